"""The outcome of checking a registration, as the workers share it and as clients see it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.domain.monitoring.verdicts import INSUFFICIENT, MetricVerdict, VersionVerdict
from app.domain.registry.models import Registration
from app.domain.times import rfc3339

NOT_YET = "Not checked yet: that takes some seconds."


@dataclass(frozen=True, slots=True)
class Check:
    """The last check of one registration. `since` is when its verdict became what it is; times in milliseconds.

    `ticket` is the number that the reading of its evidence took: of two checks the one with the greater is newer.
    `metrics` are JSON-shaped, as `metric_figures` makes them.
    """

    monitor_run_id: str
    verdict: str
    since: int
    checked_at: int
    reasons: Sequence[str] = ()
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    ticket: int = 0


@dataclass(frozen=True, slots=True)
class Listed:
    """The open monitor runs by a reading of MLflow that took a ticket."""

    run_ids: Collection[str]
    ticket: int

    def leaves(self, check: Check) -> bool:
        """Whether a check stays: of a run that is listed, or that may have been opened since the list was read."""
        return check.monitor_run_id in self.run_ids or check.ticket > self.ticket


def check_of(registration: Registration, found: VersionVerdict, since: int, now: int, ticket: int = 0) -> Check:
    """What is kept of a verdict."""
    metrics = {name: metric_figures(one) for name, one in found.metrics.items()}
    return Check(registration.monitor_run_id, found.verdict, since, now, list(found.reasons), metrics, ticket)


def unchecked(registration: Registration) -> Check:
    """What is said of a registration before its first check."""
    return Check(registration.monitor_run_id, INSUFFICIENT, registration.registered_at, 0, [NOT_YET])


def last_check(checks: Mapping[str, Check], registration: Registration) -> Check:
    """The last check of a registration, of the checks by monitor run, or that there was none yet."""
    return checks.get(registration.monitor_run_id) or unchecked(registration)


def metric_figures(one: MetricVerdict) -> dict[str, Any]:
    """The verdict on one metric, as JSON."""
    value, time = one.last or (None, None)
    base = one.baseline
    return {
        "verdict": one.verdict,
        "reasons": list(one.reasons),
        "population": one.population,
        "baseline": {"mean": base.mean, "std": base.std, "n": base.n} if base else None,
        "last": value,
        "last_at": rfc3339(time),
        "points": one.points,
        "recent": list(one.recent),
    }


def checks_value(checks: Mapping[str, Check], source: str) -> dict[str, Any]:
    """What to store of the checks. `source` names the MLflow they are of."""
    return {"source": source, "checks": list(checks.values())}


def checks_from(value: Any, source: str) -> dict[str, Check]:
    """The stored checks by monitor run; none where they are of another MLflow or not understood."""
    try:
        if value["source"] != source:
            return {}
        return {row["monitor_run_id"]: Check(**row) for row in value["checks"]}
    except (KeyError, TypeError, ValueError):
        return {}
