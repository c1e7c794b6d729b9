"""What the process that judges data is asked for, and what it answers. The agent imports this, so it needs no numpy."""

from collections.abc import Sequence
from typing import Any

import msgspec


class JudgeOrder(msgspec.Struct, frozen=True):
    """A series to judge: its layout, its reference if one was sent, and its windows, oldest first.

    All of it is compressed JSON, as MLflow has it. A window has its start, its end (milliseconds) and its batches.
    `floor` is the least share of the mass that matters.
    """

    layout: bytes
    reference: bytes | None
    windows: Sequence[tuple[int, int, Sequence[bytes]]]
    floor: float


class JudgeOutcome(msgspec.Struct, frozen=True):
    """The report on a series, or why there is none."""

    report: dict[str, Any] | None = None
    problem: str | None = None
