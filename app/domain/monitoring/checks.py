"""The outcome of checking a registration, as the workers share it and as clients see it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

from app.domain.errors import MISFITS
from app.domain.monitoring.alarms import alarm_info
from app.domain.monitoring.verdicts import INSUFFICIENT, MetricVerdict, VersionVerdict
from app.domain.registry.models import Registration
from app.domain.shapes import TimeText, has_shape
from app.domain.times import rfc3339

NOT_YET = "Not checked yet. The first check takes some seconds."


@dataclass(frozen=True, slots=True)
class Check:
    """The last check of one registration. `since` is when its verdict became what it is; times in milliseconds.

    `began` is when the change began that led to the verdict, None if no rule fired.
    `ticket` is the number of the reading of its evidence: of two checks, the one with the higher ticket is newer.
    `metrics` are JSON-shaped, as `metric_figures` makes them.
    """

    monitor_run_id: str
    verdict: str
    since: int
    checked_at: int
    reasons: Sequence[str] = ()
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    ticket: int = 0
    began: int | None = None


@dataclass(frozen=True, slots=True)
class OpenRuns:
    """The ids of the open monitor runs, and the ticket of the reading of MLflow that listed them."""

    run_ids: Collection[str]
    ticket: int

    def keeps(self, check: Check) -> bool:
        """Whether a check stays: its run is open, or may have been opened after the list was read."""
        return check.monitor_run_id in self.run_ids or check.ticket > self.ticket


def check_of(registration: Registration, verdict: VersionVerdict, since: int, now: int, ticket: int = 0) -> Check:
    """The check of a registration that gave a verdict."""
    metrics = {name: metric_figures(metric) for name, metric in verdict.metrics.items()}
    run_id, reasons = registration.monitor_run_id, list(verdict.reasons)
    return Check(run_id, verdict.verdict, since, now, reasons, metrics, ticket, verdict.began)


def unchecked(registration: Registration) -> Check:
    """What stands for the check of a registration before the first check."""
    return Check(registration.monitor_run_id, INSUFFICIENT, registration.registered_at, 0, [NOT_YET])


def last_check(checks: Mapping[str, Check], registration: Registration) -> Check:
    """The last check of a registration, or `unchecked`. `checks` are by the id of the monitor run."""
    return checks.get(registration.monitor_run_id) or unchecked(registration)


def metric_figures(metric: MetricVerdict) -> dict[str, Any]:
    """The verdict on one metric, as JSON."""
    value, time = metric.last or (None, None)
    base = metric.baseline
    return {
        "verdict": metric.verdict,
        "reasons": list(metric.reasons),
        "population": metric.population,
        "baseline": {"mean": base.mean, "std": base.std, "n": base.n} if base else None,
        "last": value,
        "last_at": rfc3339(time),
        "points": metric.points,
        "recent": list(metric.recent),
        "began_at": rfc3339(metric.began),
        "alarms": [alarm_info(alarm) for alarm in metric.alarms],
    }


_Verdict = Literal["drifting", "degraded", "insufficient_data", "healthy"]


class _StoredBaseline(TypedDict):
    mean: float | None
    std: float | None
    n: int


class _StoredAlarm(TypedDict):
    rule: str
    verdict: _Verdict
    value: float | None
    at: TimeText | None
    expected_min: float | None
    expected_max: float | None
    began_at: TimeText | None
    fired: int
    of: int
    excess: float
    accumulates: bool


class _StoredFigures(TypedDict):
    verdict: _Verdict
    reasons: list[str]
    population: str
    baseline: _StoredBaseline | None
    last: float | None
    last_at: TimeText | None
    points: int
    recent: list[float | None]
    began_at: TimeText | None
    alarms: list[_StoredAlarm]


class _StoredCheck(TypedDict):
    """A `Check` as JSON."""

    monitor_run_id: str
    verdict: _Verdict
    since: int
    checked_at: int
    reasons: list[str]
    metrics: dict[str, _StoredFigures]
    ticket: int
    began: int | None


def checks_value(checks: Mapping[str, Check], source: str) -> dict[str, Any]:
    """The checks in the form they are stored in. `source` names the MLflow that they are from."""
    return {"source": source, "checks": list(checks.values())}


def checks_from(value: Any, source: str) -> dict[str, Check]:
    """The stored checks by the id of the monitor run; none if they are from another MLflow or unreadable."""
    try:
        if value["source"] != source:
            return {}
        return {row["monitor_run_id"]: Check(**row) for row in value["checks"] if has_shape(row, _StoredCheck)}
    except MISFITS:
        return {}
