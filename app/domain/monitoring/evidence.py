"""Evidence: the points of a model version's metrics, and which of them form the series that is judged."""

import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from app.domain.registry.models import MetricPoint
from app.domain.times import TOLERANCE_MS, day_of, is_future

PRODUCTION, TRAINING = "production", "training"
SOURCE_RUN, LOGGED_MODEL, EVALUATION_RUN, MONITOR_RUN = "source run", "logged model", "evaluation run", "monitor run"
SOURCES = (SOURCE_RUN, LOGGED_MODEL, EVALUATION_RUN, MONITOR_RUN)

# With so many points from outside the source run, they are the series, whatever the source run holds ...
ENOUGH = 3
# ... and with a single such point, if the source run holds fewer than so many.
HISTORY = 10
_OWN = "control_tower."
# The metric of a monitor run that holds the number of cases behind each value of another metric.
CASES = f"{_OWN}n."
# MLflow's system metrics, of the machine that trained.
_SYSTEM = "system/"
# An earlier time was sent in seconds, or is no time at all: in seconds this limit would be the year 2969.
_EARLY_MS = 365 * 86_400_000
# Times in these units are so many times too large.
_SMALLER_UNITS = (("microseconds", 1000), ("nanoseconds", 1_000_000))


PointsByMetric = Mapping[str, Sequence[MetricPoint]]
"""The points of one model version by the name of their metric, ordered by time."""


@dataclass(frozen=True, slots=True)
class MetricSeries:
    """The points of one metric that are judged, by time, and the `reference` points that are shown beside them.

    `population` is `production` where the points were logged outside the source run, else `training`. `misplaced` are
    reasons that name points whose time cannot be right; such points may be left out of both sequences.
    """

    metric: str
    population: str
    points: tuple[MetricPoint, ...]
    reference: tuple[MetricPoint, ...] = ()
    misplaced: tuple[str, ...] = ()


def is_own(metric: str) -> bool:
    """Whether the service itself logs this metric, which is then no evidence."""
    return metric.startswith(_OWN)


def is_system_metric(metric: str) -> bool:
    """Whether this is one of MLflow's system metrics, which no rule judges."""
    return metric.startswith(_SYSTEM)


def was_observed(series: MetricSeries) -> bool:
    """Whether any point was logged outside the source run."""
    return any(point.source != SOURCE_RUN for point in (*series.points[-1:], *series.reference))


def points_by_metric(points: Iterable[MetricPoint]) -> PointsByMetric:
    """The points of each metric of one version in their order, each once; the service's own metrics are left out."""
    grouped: dict[str, list[MetricPoint]] = {}
    for point in points:
        if not is_own(point.metric):
            grouped.setdefault(point.metric, []).append(point)
    return {metric: _distinct(group) for metric, group in sorted(grouped.items())}


def until(points: PointsByMetric, time: int) -> PointsByMetric:
    """The points up to a time in milliseconds; metrics without such points are left out."""
    counts = {metric: bisect_right(group, time, key=lambda point: point.time) for metric, group in points.items()}
    return {metric: points[metric][:count] for metric, count in counts.items() if count}


def series_by_metric(points: PointsByMetric, now: int) -> dict[str, MetricSeries]:
    """The series of each metric of one version, by the metric's name.

    Points in the future are left out: they would stay the last ones for long. Points of 1970 are left out beside later
    points: they would come first, as the baseline. Where all points are of 1970, they keep their own order.
    """
    return {metric: _series(metric, group, now) for metric, group in points.items()}


def _series(metric: str, distinct: Sequence[MetricPoint], now: int) -> MetricSeries:
    # In the order of their times: those of 1970 come first, and those in the future last.
    first_future = bisect_left(distinct, True, key=lambda point: is_future(point.time, now))
    past, future = distinct[:first_future], distinct[first_future:]
    early = past[: bisect_left(past, _EARLY_MS, key=lambda point: point.time)]
    training = _dated([point for point in past if point.source == SOURCE_RUN])
    production = _dated([point for point in past if point.source != SOURCE_RUN])
    left_out = len(past) - len(training) - len(production)
    misplaced = tuple(_in_words(metric, future, early, left_out, now))
    if len(production) >= ENOUGH or (production and len(training) < HISTORY) or not training:
        return MetricSeries(metric, PRODUCTION, production, training, misplaced)
    return MetricSeries(metric, TRAINING, training, production, misplaced)


def _dated(points: Sequence[MetricPoint]) -> tuple[MetricPoint, ...]:
    """Points by time without those of 1970, or all of them if all are of 1970."""
    first = bisect_left(points, _EARLY_MS, key=lambda point: point.time)
    return tuple(points[first:]) or tuple(points)


def _in_words(
    metric: str, future: Sequence[MetricPoint], early: Sequence[MetricPoint], left_out: int, now: int
) -> Iterable[str]:
    """The reasons that name points whose time cannot be right, with the day of the first of each kind."""
    if future:
        units = [unit for unit, times in _SMALLER_UNITS if _EARLY_MS <= future[0].time // times <= now + TOLERANCE_MS]
        question = f"Were their times sent in {units[0]}" if units else "Is the clock ahead where they are logged"
        lie = "lies in the future and is" if len(future) == 1 else "lie in the future and are"
        yield f"{metric}: {_count(future)} {lie} left out (first {day_of(future[0].time)}). {question}?"
    if early:
        have = "has a time" if len(early) == 1 else "have times"
        some = f"{left_out} of them " if 0 < left_out < len(early) else ""
        what = f"{some}left out" if left_out else "kept in their own order"
        yield f"{metric}: {_count(early)} {have} of {day_of(early[0].time)[:4]}, {what}. Were times sent in seconds?"


def _count(points: Sequence[MetricPoint]) -> str:
    return "1 point" if len(points) == 1 else f"{len(points)} points"


def _distinct(points: Iterable[MetricPoint]) -> Sequence[MetricPoint]:
    """The points by time. A point that MLflow holds both in a run and in a logged model occurs once."""
    seen: dict[tuple[str, int, int, float | None], MetricPoint] = {}
    for point in sorted(points, key=lambda point: point.source == LOGGED_MODEL):
        seen.setdefault((point.run_id, point.time, point.step, point.value), point)
    return sorted(seen.values(), key=_place)


def _place(point: MetricPoint) -> tuple[int, int, int]:
    # MLflow keeps no order of points with equal time and step. Sorting them by value would look like drift.
    return point.time, point.step, zlib.crc32(f"{point.run_id} {point.value!r}".encode())
