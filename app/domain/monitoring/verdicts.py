"""Verdicts: their names and severity, and what a verdict on a metric and on a model version holds."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.domain.monitoring.baselines import BaselineFigures

HEALTHY, DEGRADED, DRIFTING, INSUFFICIENT = "healthy", "degraded", "drifting", "insufficient_data"
VERDICTS = (HEALTHY, DEGRADED, DRIFTING, INSUFFICIENT)
# From good to bad. Too little data is no worse than healthy: a version's verdict comes from the metrics with enough.
_WORSE = (INSUFFICIENT, HEALTHY, DEGRADED, DRIFTING)


def severity(verdict: str) -> int:
    """How bad a verdict is: the higher the worse."""
    return _WORSE.index(verdict)


@dataclass(frozen=True, slots=True)
class MetricVerdict:
    """The verdict on one metric. `last` is the last value and its time in milliseconds; `points` counts those judged.

    `fired` maps the place of a point to the names of the rules that fired there; `recent` are the last values.
    """

    verdict: str
    reasons: tuple[str, ...]
    population: str
    points: int
    last: tuple[float, int] | None = None
    baseline: BaselineFigures | None = None
    fired: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    recent: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class VersionVerdict:
    """The verdict on a version, which is that of its worst metric, and the reasons, the worst first."""

    verdict: str
    reasons: tuple[str, ...]
    metrics: Mapping[str, MetricVerdict]

    @property
    def newest(self) -> int:
        """The time of the newest point judged, in milliseconds; 0 if there is none."""
        return max((metric.last[1] for metric in self.metrics.values() if metric.last), default=0)
