"""The shapes of what is stored of the data of a version: reports, and what lists and verdicts have of them."""

from typing import Any, TypedDict

from app.domain.shapes import TimeText


class _Moved(TypedDict):
    name: str
    column: str
    is_segment: bool
    since: TimeText
    words: str


class _Fall(TypedDict):
    figure: str
    label: str
    before: float
    now: float
    assumption: str


class _Summary(TypedDict):
    window: TimeText | None
    at: TimeText | None
    is_learning: bool
    learnt_windows: int
    reference_rows: int
    rows: int | None
    inputs: int
    moved_inputs: list[_Moved]
    moved_outputs: list[_Moved]
    moved_since: TimeText | None
    estimated_fall: _Fall | None


class StoredSummary(_Summary):
    """What lists, findings and verdicts have of a version."""

    name: str
    version: int
    created: int
    is_sent: bool
    estimated: dict[str, float | None] | None


class _Segment(TypedDict):
    column: str
    value: str


class _Column(TypedDict):
    name: str
    role: str
    segment: _Segment | None
    verdict: str
    is_provisional: bool
    moved: float | None
    missing_change: float | None
    unknown_change: float | None
    p_chance: float | None
    p_history: float | None
    quiet_windows: int
    words: str


class _Window(TypedDict):
    start: TimeText
    end: TimeText
    rows: int
    is_reference: bool
    labelled_rows: int
    label_problem: str | None
    unknown_columns: list[str]
    missing_columns: list[str]
    estimated: dict[str, float | None] | None
    no_estimate: str | None
    realised: dict[str, float | None] | None
    columns: list[_Column]


class _Report(TypedDict):
    reference_rows: int
    limits: dict[str, float]
    windows: list[_Window]
    summary: _Summary


class _Reference(TypedDict):
    id: str
    created_at: TimeText
    created_by: str
    origin: str
    rows: int | None


class _Earlier(TypedDict):
    id: str
    created_at: TimeText
    batches: int


class StoredReport(TypedDict):
    """What is known of the data of a version."""

    reference: _Reference
    layout: dict[str, Any]
    earlier: list[_Earlier]
    batches: int
    seal: str | None
    judged_batches: int
    report: _Report | None
    problem: str | None
    judged_at: TimeText | None
