"""Corrections of observations: of the points with the same metric and time the last one written counts, and points can
be withdrawn.

MLflow keeps every point and not the order of writing. So each write has an order, a number that grows with the writes
of a monitor run which may concern a point that is there already; all other writes have 0. MLflow keeps it as the part
of a point's step that exceeds the point's time in seconds.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import orjson

from app.domain.errors import InvalidInput
from app.domain.monitoring.evidence import MONITOR_RUN, SOURCE_RUN
from app.domain.monitoring.observations import Observation
from app.domain.monitoring.sent_once import SentOnce
from app.domain.registry.models import MetricPoint
from app.domain.times import is_future, parse_rfc3339

PointKey = tuple[str, int]
"""A point of a monitor run: its metric and its time in milliseconds."""


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """Points that no longer count: those of a metric, or of all, from `since` until `until`, both inclusive.

    None for `metric` or `since` means no restriction. Points that were written later than the withdrawal count. `at` is
    when it was made, `by` who made it; times in milliseconds.
    """

    order: int
    at: int
    by: str
    until: int
    metric: str | None = None
    since: int | None = None

    def covers(self, metric: str, time: int) -> bool:
        return self.metric in (None, metric) and (self.since is None or self.since <= time) and time <= self.until


@dataclass(frozen=True, slots=True)
class LastPoint:
    """The point of a metric that MLflow shows as the last: of the highest step, then of the latest time."""

    time: int
    step: int
    value: float | None
    order: int
    n: int | None = None


@dataclass(frozen=True, slots=True)
class Ledger:
    """What a monitor run keeps of the writes to it: the ids that were sent, by page, and the order of the writes.

    `last` has the last point of each metric, and `order` the highest order noted so far.
    """

    sent: Mapping[int, Sequence[SentOnce]]
    last: Mapping[str, LastPoint] = field(default_factory=dict)
    order: int = 0
    withdrawals: Sequence[Withdrawal] = ()

    @property
    def highest(self) -> int:
        """The highest order that any write has."""
        kept = (row.order for rows in self.sent.values() for row in rows)
        return max(self.order, *(one.order for one in self.withdrawals), *kept, 0)

    def is_new(self, row: Observation) -> bool:
        """Whether no point can be there, neither with this time nor withdrawn, whose order this one must exceed."""
        last = self.last.get(row.metric)
        if any(one.covers(row.metric, row.time) for one in self.withdrawals):
            return False
        # No step is less than the seconds of its time. So a second after the highest step has no point yet.
        return last is None or (row.time // 1000, row.time) > (last.step, last.time)

    def is_there(self, row: Observation) -> bool:
        """Whether the last point of the metric is this one, and counts."""
        last = self.last.get(row.metric)
        return (
            last is not None
            and (last.time, last.value, last.n) == (row.time, row.value, row.n)
            and not any(one.order > last.order and one.covers(row.metric, row.time) for one in self.withdrawals)
        )


class Numbering:
    """Gives the writes to a monitor run their orders, one request after the other."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._written: set[PointKey] = set()
        self.highest = ledger.highest

    def next_order(self, values: Sequence[Observation]) -> int:
        """The order of the next request, 0 if none of its values may concern a point that is there already."""
        keys = {(row.metric, row.time) for row in values}
        is_new = len(keys) == len(values) and not keys & self._written
        is_new = is_new and all(self._ledger.is_new(row) or self._ledger.is_there(row) for row in values)
        return 0 if is_new else self.highest + 1

    def numbered(self, values: Iterable[Observation], order: int) -> list[Observation]:
        """The values of a request of this order, each with an order of its own; the later of equals has the higher."""
        rows = numbered(values, order)
        self._written |= {(row.metric, row.time) for row in rows}
        self.highest = max(self.highest, *(row.order for row in rows), 0)
        if order:
            return rows
        # A point that is there is not written a second time with another order.
        return [
            replace(row, order=self._ledger.last[row.metric].order) if self._ledger.is_there(row) else row
            for row in rows
        ]


def numbered(values: Iterable[Observation], order: int) -> list[Observation]:
    """Observations that are written together, from an order on: of the same metric and time the later counts."""
    seen: Counter[PointKey] = Counter()
    rows = []
    for row in values:
        key = (row.metric, row.time)
        rows.append(replace(row, order=order + seen[key]))
        seen[key] += 1
    return rows


def counting(points: Iterable[MetricPoint], withdrawals: Sequence[Withdrawal]) -> list[MetricPoint]:
    """The points of a version that count, each with the number of those that it replaced: without the withdrawn ones.

    A point of the monitor run has its order as `step`; points of other runs were written before any withdrawal. Points
    of the source run are the version's own record: they are neither replaced nor withdrawn.
    """
    others: list[MetricPoint] = []
    observed: dict[tuple[str, str, int], MetricPoint] = {}
    earlier: dict[tuple[str, str, int], list[float | None]] = {}
    for point in points:
        if point.source != MONITOR_RUN:
            if point.source == SOURCE_RUN or not _is_withdrawn(point, 0, withdrawals):
                others.append(point)
            continue
        key = (point.run_id, point.metric, point.time)
        known = observed.get(key)
        # Where no order was noted, any rule will do that does not depend on the order of reading.
        observed[key] = point if known is None else max(known, point, key=_rank)
        if known is not None:
            earlier.setdefault(key, []).append(min(known, point, key=_rank).value)
    for key, values in earlier.items():
        kept = observed[key]
        observed[key] = replace(kept, replaced=sum(value != kept.value for value in values))
    return others + [point for point in observed.values() if not _is_withdrawn(point, point.step, withdrawals)]


def points_to_withdraw(
    metrics: Sequence[str], since: str | None, until: str | None, now: int
) -> tuple[str | None, int | None, int | None]:
    """The metric and the times, in milliseconds, that a client gives as RFC 3339. Raises `InvalidInput`."""
    if not metrics and since is until is None:
        raise InvalidInput("Give metric, from or to: which observations are withdrawn.")
    if len(metrics) > 1:
        raise InvalidInput("metric: Give one metric in a request.")
    metric = next(iter(metrics), None)
    first = None if since is None else parse_rfc3339(since, "from")
    last = None if until is None else parse_rfc3339(until, "to")
    if last is not None and last < 0:
        raise InvalidInput("to: No observation is from before 1970.")
    if first is not None and last is not None and first > last:
        raise InvalidInput("from is after to.")
    if first is not None and is_future(first, now):
        raise InvalidInput("from: No observation is from the future.")
    return metric, None if first is None else max(first, 0), last


def withdrawal_text(withdrawal: Withdrawal) -> str:
    """A withdrawal as the text of a tag, without its order, which is in the tag's name."""
    row = [withdrawal.at, withdrawal.by, withdrawal.until, withdrawal.metric, withdrawal.since]
    return orjson.dumps(row).decode()


def withdrawal_from(order: str, text: str) -> Withdrawal | None:
    """The withdrawal that a tag holds; None where somebody made it unreadable."""
    try:
        at, by, until, metric, since = orjson.loads(text)
        return Withdrawal(
            int(order), int(at), str(by), int(until), None if metric is None else str(metric),
            None if since is None else int(since),
        )  # fmt: skip
    except (ValueError, TypeError, OverflowError):
        return None


def _is_withdrawn(point: MetricPoint, order: int, withdrawals: Sequence[Withdrawal]) -> bool:
    return any(one.order > order and one.covers(point.metric, point.time) for one in withdrawals)


def _rank(point: MetricPoint) -> tuple[int, bool, float]:
    return point.step, point.value is not None, point.value or 0.0
