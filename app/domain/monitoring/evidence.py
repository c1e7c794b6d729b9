"""Evidence: the points of a metric of a model version, and which of them are the series that is judged."""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.domain.registry.models import MetricPoint
from app.domain.times import TOLERANCE_MS, day_of, is_future

PRODUCTION, TRAINING = "production", "training"
SOURCE_RUN, LOGGED_MODEL, EVALUATION_RUN, MONITOR_RUN = "source run", "logged model", "evaluation run", "monitor run"
SOURCES = (SOURCE_RUN, LOGGED_MODEL, EVALUATION_RUN, MONITOR_RUN)

# So many points from outside the source run are the series, whatever the source run holds ...
ENOUGH = 3
# ... and one is, where the source run holds fewer than a history of so many.
HISTORY = 10
_OWN = "control_tower."
# MLflow's system metrics, of the machine that trained.
_MACHINE = "system/"
# An earlier time than this is one in seconds, or none at all: as seconds it is the year 2969.
_EARLY_MS = 365 * 86_400_000
# Times in these units are so many times too large.
_SMALLER_UNITS = (("microseconds", 1000), ("nanoseconds", 1_000_000))


@dataclass(frozen=True, slots=True)
class Series:
    """The points of one metric that are judged, by time, and those shown beside them.

    `population` is `production` where the points were logged outside the source run, else `training`. `misplaced` says
    in words which points have a time that cannot be right; those that are in neither sequence are not judged.
    """

    metric: str
    population: str
    points: tuple[MetricPoint, ...]
    reference: tuple[MetricPoint, ...] = ()
    misplaced: tuple[str, ...] = ()


def is_own(metric: str) -> bool:
    """Whether the service itself logs under this name: that is never evidence."""
    return metric.startswith(_OWN)


def is_of_machine(metric: str) -> bool:
    """Whether it is one of MLflow's system metrics, which no rule judges."""
    return metric.startswith(_MACHINE)


def series_by_metric(points: Iterable[MetricPoint], now: int) -> dict[str, Series]:
    """The series of each metric of one version, each point once, by name of the metric.

    Points of the future are left out: they would stand last for good. So are those of 1970 beside points of later
    times: they would stand first, as the baseline. Where there are no others, their own order is all that is known.
    """
    grouped: dict[str, set[MetricPoint]] = {}
    for point in points:
        if not is_own(point.metric):
            grouped.setdefault(point.metric, set()).add(point)
    return {metric: _series(metric, found, now) for metric, found in sorted(grouped.items())}


def _series(metric: str, found: Iterable[MetricPoint], now: int) -> Series:
    once = _once(found)
    future = [point for point in once if is_future(point.time, now)]
    past = [point for point in once if not is_future(point.time, now)]
    training = _dated([point for point in past if point.source == SOURCE_RUN])
    production = _dated([point for point in past if point.source != SOURCE_RUN])
    early = [point for point in past if _is_early(point)]
    left_out = len(past) - len(training) - len(production)
    misplaced = tuple(_in_words(metric, future, early, left_out, now))
    if len(production) >= ENOUGH or (production and len(training) < HISTORY) or not training:
        return Series(metric, PRODUCTION, production, training, misplaced)
    return Series(metric, TRAINING, training, production, misplaced)


def _is_early(point: MetricPoint) -> bool:
    return point.time < _EARLY_MS


def _dated(points: Sequence[MetricPoint]) -> tuple[MetricPoint, ...]:
    return tuple(point for point in points if not _is_early(point)) or tuple(points)


def _in_words(
    metric: str, future: Sequence[MetricPoint], early: Sequence[MetricPoint], left_out: int, now: int
) -> Iterable[str]:
    """What is said of points whose times cannot be right, the first of each kind named by its day."""
    if future:
        units = [unit for unit, times in _SMALLER_UNITS if _EARLY_MS <= future[0].time // times <= now + TOLERANCE_MS]
        asked = f"were their times sent in {units[0]}" if units else "is the clock ahead where they are logged"
        lie = "lies in the future and is" if len(future) == 1 else "lie in the future and are"
        yield f"{metric}: {_count(future)} {lie} left out (first {day_of(future[0].time)}): {asked}?"
    if early:
        have = "has a time" if len(early) == 1 else "have times"
        some = f"{left_out} of them " if 0 < left_out < len(early) else ""
        what = f"{some}left out" if left_out else "kept in their own order"
        yield f"{metric}: {_count(early)} {have} of {day_of(early[0].time)[:4]}, {what}: sent in seconds?"


def _count(points: Sequence[MetricPoint]) -> str:
    return "1 point" if len(points) == 1 else f"{len(points)} points"


def _once(found: Iterable[MetricPoint]) -> Sequence[MetricPoint]:
    """By time; a point that MLflow holds both in a run and in a logged model is one point."""
    seen: dict[tuple[str, int, int, float | None], MetricPoint] = {}
    for point in sorted(found, key=lambda p: p.source == LOGGED_MODEL):
        seen.setdefault((point.run_id, point.time, point.step, point.value), point)
    return sorted(seen.values(), key=_place)


def _place(point: MetricPoint) -> tuple[int, int, int]:
    # MLflow keeps no order of what has one time and step. Their values must not make one, which would look like drift.
    return point.time, point.step, zlib.crc32(f"{point.run_id} {point.value!r}".encode())
