"""Verdicts: their names and severity, and what a verdict on a metric and on a model version holds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from app.domain.monitoring.baselines import BaselineFigures

HEALTHY, DEGRADED, DRIFTING, INSUFFICIENT = "healthy", "degraded", "drifting", "insufficient_data"
VERDICTS = (HEALTHY, DEGRADED, DRIFTING, INSUFFICIENT)
# From good to bad. Too little data is no worse than healthy: a version's verdict comes from the metrics with enough.
_WORSE = (INSUFFICIENT, HEALTHY, DEGRADED, DRIFTING)


def severity(verdict: str) -> int:
    """How bad a verdict is: the higher the worse."""
    return _WORSE.index(verdict)


SILENCE = "silence"
"""The name of the rule that fires where no point comes."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm of one rule. Times in milliseconds.

    `value` is the value farthest out among the last points, at the time `at`, on the `side` where it is out; all three
    are None for an alarm that no point raised. `low` and `high` are the least and the most that was expected, None
    where that side is open, and `expectation` says in words what was expected from what. `began` is when the data
    changed. The rule fired at `out` of the last `among` points, on the sides that `where` names, which are the points
    of the last `span` milliseconds; `last` is the present value. `excess` is the distance of the value in multiples of
    what was allowed. `accumulates`: no value was out by itself, but their cumulative sum was. `sentence` replaces all
    words but the name of the metric.
    """

    rule: str
    verdict: str
    metric: str
    began: int
    value: float | None = None
    at: int | None = None
    side: str | None = None
    low: float | None = None
    high: float | None = None
    expectation: str = ""
    out: int = 0
    among: int = 0
    where: str = ""
    span: int = 0
    last: float | None = None
    excess: float = 0.0
    accumulates: bool = False
    sentence: str | None = None


@dataclass(frozen=True, slots=True)
class MetricVerdict:
    """The verdict on one metric. `last` is the last value and its time in milliseconds; `points` counts those judged.

    `fired` maps the place of a point to the names of the rules that fired there; `recent` are the last values; `alarms`
    are those of the rules, the worst first.
    """

    verdict: str
    reasons: tuple[str, ...]
    population: str
    points: int
    last: tuple[float, int] | None = None
    baseline: BaselineFigures | None = None
    fired: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    recent: tuple[float, ...] = ()
    alarms: tuple[Alarm, ...] = ()

    @property
    def began(self) -> int | None:
        """When the change began that led to this verdict, in milliseconds; None if no rule fired at a point."""
        return _began(self.alarms, self.verdict)


@dataclass(frozen=True, slots=True)
class VersionVerdict:
    """The verdict on a version, which is that of its worst metric, and the reasons, the worst first."""

    verdict: str
    reasons: tuple[str, ...]
    metrics: Mapping[str, MetricVerdict]
    alarms: Sequence[Alarm] = ()

    @property
    def began(self) -> int | None:
        """When the change began that led to this verdict, in milliseconds; None if no rule fired at a point."""
        return _began(self.alarms, self.verdict)


def _began(alarms: Iterable[Alarm], verdict: str) -> int | None:
    # Where no point came, no metric has changed.
    began = (alarm.began for alarm in alarms if alarm.verdict == verdict and alarm.rule != SILENCE)
    return min(began, default=None)
