"""Encodes the history of the registrations as JSON for the shared cache, and decodes it."""

from collections.abc import Callable, Mapping
from typing import Any, TypedDict

import orjson

from app.domain.errors import MISFITS
from app.domain.monitoring.monitor_history import (
    EMPTY_SEGMENT,
    SEGMENTS,
    HistorySegment,
    MonitorHistory,
    RunHistory,
    from_record,
    segment_with,
)
from app.domain.segments import segments_from
from app.domain.shapes import check_shape

INDEX = "history"


class _Index(TypedDict):
    read_at: int | None
    revision: int
    segments: list[str]


def part_keys() -> list[str]:
    """The keys of all segments of the history, beside its index."""
    return [_key(number) for number in range(SEGMENTS)]


def index_value(history: MonitorHistory, source: str) -> dict[str, Any]:
    """The index, which must be stored last. `source` names the MLflow that the history was read from."""
    return {
        "source": source,
        "read_at": history.read_at,
        "revision": history.revision,
        "segments": [segment.digest for segment in history.segments],
    }


def parts_value(history: MonitorHistory, known: MonitorHistory | None, source: str) -> dict[str, Any]:
    """The segments to store, by cache key: those that differ from a history whose segments are stored already."""
    return {
        _key(number): {
            "source": source,
            "digest": segment.digest,
            "runs": [[run.revision, orjson.loads(run.record)] for run in segment.runs.values()],
        }
        for number, segment in enumerate(history.segments)
        if segment.runs and (known is None or known.segments[number].digest != segment.digest)
    }


def history_from(
    index: Any, read: Callable[[str], Any], known: MonitorHistory | None, source: str
) -> MonitorHistory | None:
    """The stored history, or None if it is from another MLflow or unreadable.

    Segments and runs that a known history already has are taken from it.
    """
    try:
        if index["source"] != source:
            return None
        check_shape(index, _Index)
        segments = segments_from(
            index["segments"],
            known.segments if known else (EMPTY_SEGMENT,) * SEGMENTS,
            lambda number, held: _segment(read(_key(number)), held.runs, source),
            EMPTY_SEGMENT,
        )
        read_at = index["read_at"]
        return MonitorHistory(None if read_at is None else int(read_at), int(index["revision"]), segments)
    except MISFITS:
        return None


def _segment(value: Any, known: Mapping[str, RunHistory], source: str) -> HistorySegment:
    if value["source"] != source:
        raise ValueError("stored for another MLflow")
    runs = {}
    for revision, record in value["runs"]:
        text = orjson.dumps(record)
        before = known.get(record[0])
        same = before is not None and before.record == text and before.revision == revision
        runs[str(record[0])] = before if before and same else from_record(text, int(revision))
    return segment_with(runs, str(value["digest"]))


def _key(number: int) -> str:
    return f"history-{number}"
