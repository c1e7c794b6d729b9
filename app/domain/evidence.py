"""Evidence: the points of a metric of a model version, and which of them are the series that is judged."""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.domain.models import MetricPoint

PRODUCTION, TRAINING = "production", "training"
SOURCE_RUN, LOGGED_MODEL, EVALUATION_RUN, MONITOR_RUN = "source run", "logged model", "evaluation run", "monitor run"

# So many points from outside the source run are the series, whatever the source run holds ...
ENOUGH = 3
# ... and one is, where the source run holds fewer than a history of so many.
HISTORY = 10
_OWN = "control_tower."


@dataclass(frozen=True, slots=True)
class Series:
    """The points of one metric that are judged, by time, and those shown beside them.

    `population` is `production` where the points were logged outside the source run, else `training`.
    """

    metric: str
    population: str
    points: tuple[MetricPoint, ...]
    reference: tuple[MetricPoint, ...] = ()


def is_own(metric: str) -> bool:
    """Whether the service itself logs under this name: that is never evidence."""
    return metric.startswith(_OWN)


def series_by_metric(points: Iterable[MetricPoint]) -> dict[str, Series]:
    """The series of each metric of one version, each point once, by name of the metric."""
    grouped: dict[str, set[MetricPoint]] = {}
    for point in points:
        if not is_own(point.metric):
            grouped.setdefault(point.metric, set()).add(point)
    return {metric: _series(metric, found) for metric, found in sorted(grouped.items())}


def _series(metric: str, found: Iterable[MetricPoint]) -> Series:
    once = _once(found)
    training = tuple(point for point in once if point.source == SOURCE_RUN)
    production = tuple(point for point in once if point.source != SOURCE_RUN)
    if len(production) >= ENOUGH or (production and len(training) < HISTORY) or not training:
        return Series(metric, PRODUCTION, production, training)
    return Series(metric, TRAINING, training, production)


def _once(found: Iterable[MetricPoint]) -> Sequence[MetricPoint]:
    """By time; a point that MLflow holds both in a run and in a logged model is one point."""
    seen: dict[tuple[str, int, int, float | None], MetricPoint] = {}
    for point in sorted(found, key=lambda p: p.source == LOGGED_MODEL):
        seen.setdefault((point.run_id, point.time, point.step, point.value), point)
    return sorted(seen.values(), key=_place)


def _place(point: MetricPoint) -> tuple[int, int, int]:
    # MLflow keeps no order of what has one time and step. Their values must not make one, which would look like drift.
    return point.time, point.step, zlib.crc32(f"{point.run_id} {point.value!r}".encode())
