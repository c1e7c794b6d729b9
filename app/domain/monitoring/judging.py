"""Judging: what the rules say of a metric and of a model version as a whole."""

from collections.abc import Iterable, Mapping, Sequence

from app.domain.monitoring.baselines import LEAST_LATER, BaselineFigures, figures, first_points
from app.domain.monitoring.check_settings import Baseline, CheckSettings, settings_or_default
from app.domain.monitoring.evidence import Series, is_of_machine, series_by_metric
from app.domain.monitoring.reasons import NO_METRIC, first_of, short, without_number, without_rule
from app.domain.monitoring.rules import RULES, Measured, Outcome, Rule, silence
from app.domain.monitoring.verdicts import (
    DEGRADED,
    HEALTHY,
    INSUFFICIENT,
    MetricVerdict,
    VersionVerdict,
    severity,
)
from app.domain.registry.models import MetricPoint, Registration, VersionKey

# What a small line shows.
_RECENT = 20


def judge_version(
    series: Mapping[str, Series],
    references: Mapping[str, Sequence[float]],
    settings: CheckSettings,
    since: int,
    now: int,
    no_metric: str = NO_METRIC,
) -> VersionVerdict:
    """Judge every metric. `references` are the baseline points of the version that the settings name, if they do.

    `since` is when the version was registered for monitoring; times in milliseconds.
    """
    by_version = settings.baseline.version is not None
    metrics = {
        metric: judge_metric(found, settings, now, references.get(metric, ()) if by_version else None)
        for metric, found in series.items()
    }
    unlogged = [
        f"{metric}: no point yet, so its limit is not applied" for metric in settings.limits if metric not in metrics
    ]
    misplaced = [reason for one in series.values() for reason in one.misplaced]
    if not any(one.points for one in series.values()):
        quiet = silence("No metric", since, settings, now)
        # Where there are points, but none that can be placed, that is the reason.
        why = [quiet] if quiet else [] if misplaced else [no_metric]
        return VersionVerdict(DEGRADED if quiet else INSUFFICIENT, first_of([*why, *misplaced, *unlogged]), metrics)
    verdict = max((one.verdict for one in metrics.values()), key=severity)
    ordered = sorted(metrics.values(), key=lambda one: -severity(one.verdict))
    told = [reason for one in ordered if one.verdict == verdict or severity(one.verdict) > 1 for reason in one.reasons]
    more = [reason for reason in misplaced if reason not in told]
    return VersionVerdict(verdict, first_of([*told, *more, *unlogged]), metrics)


def judge_registration(
    registration: Registration,
    evidence: Mapping[VersionKey, Iterable[MetricPoint]],
    now: int,
    others: Mapping[VersionKey, Registration] | None = None,
    no_metric: str = NO_METRIC,
) -> tuple[dict[str, Series], VersionVerdict]:
    """The series of a registered version, and the verdict on it.

    `evidence` holds the points of the version, and of the one that its settings name as the baseline; `others` the
    registrations there are, since that one may have settings of its own. `no_metric` is the reason where nothing was
    found.
    """
    settings = settings_or_default(registration.settings)
    series = series_by_metric(evidence.get(registration.key, ()), now)
    references: dict[str, list[float]] = {}
    if key := baseline_key(registration):
        other = (others or {}).get(key)
        own = settings_or_default(other.settings if other else {})
        named = series_by_metric(evidence.get(key, ()), now)
        references = {metric: _own_baseline(named.get(metric), one, own) for metric, one in series.items()}
    return series, judge_version(series, references, settings, registration.registered_at, now, no_metric)


def baseline_key(registration: Registration) -> VersionKey | None:
    """The version that the settings of a registration name as the baseline."""
    version = settings_or_default(registration.settings).baseline.version
    return None if version is None else (registration.name, version)


def judge_metric(
    series: Series, settings: CheckSettings, now: int, reference: Sequence[float] | None = None
) -> MetricVerdict:
    """Judge one metric. `reference` are the baseline points of another version, where the settings name one."""
    points = [point for point in series.points if point.value is not None]
    if not points or is_of_machine(series.metric):
        is_misplaced = not series.points and series.misplaced
        reasons = series.misplaced if is_misplaced else (without_number(series), *series.misplaced)
        return MetricVerdict(INSUFFICIENT, reasons, series.population, len(points))
    values = [point.value for point in points if point.value is not None]
    base, later = _baseline(points, values, settings, reference)
    newest = max(point.time for point in (*points, *series.reference))
    measured = Measured(series.metric, points, values, settings, base, later, newest, now)
    outcomes = [(rule, outcome) for rule in RULES if (outcome := rule.apply(measured))]
    alarms = [outcome.alarm for _, outcome in outcomes if outcome.alarm]
    if alarms:
        # Of equal verdicts the rules' order stays.
        alarms.sort(key=lambda alarm: -severity(alarm[0]))
        verdict, reasons = alarms[0][0], tuple(reason for _, reason in alarms)
    elif outcomes:
        verdict, reasons = HEALTHY, (f"{series.metric} {short(values[-1])}, {_why_healthy(outcomes)}",)
    else:
        verdict, reasons = INSUFFICIENT, (without_rule(series.metric, len(values), settings, reference),)
    return MetricVerdict(
        verdict,
        (*reasons, *series.misplaced),
        series.population,
        len(points),
        last=(values[-1], points[-1].time),
        baseline=base,
        fired=_fired(outcomes),
        recent=tuple(values[-_RECENT:]),
    )


def _why_healthy(outcomes: Sequence[tuple[Rule, Outcome]]) -> str:
    """What the rules for values say; that a value came in time goes without saying where one of those applies."""
    words = [outcome.healthy for rule, outcome in outcomes if outcome.healthy and rule.fires_at_points]
    return " and ".join(words or [outcome.healthy for _, outcome in outcomes if outcome.healthy])


def _fired(outcomes: Iterable[tuple[Rule, Outcome]]) -> dict[int, tuple[str, ...]]:
    fired: dict[int, tuple[str, ...]] = {}
    for rule, outcome in outcomes:
        for place in outcome.fired:
            fired[place] = (*fired.get(place, ()), rule.name)
    return fired


def _own_baseline(named: Series | None, judged: Series, settings: CheckSettings) -> list[float]:
    """The baseline points of another version's series of the same population, as its own settings choose them.

    What came after them may be its drift. A version that is held against yet another one has its first points.
    """
    if named is None or named.population != judged.population:
        return []
    points = [point for point in named.points if point.value is not None]
    values = [point.value for point in points if point.value is not None]
    return _chosen(points, values, settings.baseline)[0]


def _chosen(points: Sequence[MetricPoint], values: Sequence[float], chosen: Baseline) -> tuple[list[float], int]:
    """The values of a series that are its baseline, and the place of the first later one."""
    if chosen.since is not None and chosen.until is not None:
        since, until = chosen.since, chosen.until
        inside = [value for point, value in zip(points, values, strict=True) if since <= point.time <= until]
        return inside, sum(point.time <= until for point in points)
    later = first_points(values, chosen.points)
    return list(values[:later]), later


def _baseline(
    points: Sequence[MetricPoint], values: Sequence[float], settings: CheckSettings, reference: Sequence[float] | None
) -> tuple[BaselineFigures | None, int]:
    """The figures to hold the later values against, where there is enough of both, and the place of the first."""
    chosen, later = _chosen(points, values, settings.baseline) if reference is None else (reference, 0)
    base = figures(chosen)
    return (base, later) if base and len(values) - later >= LEAST_LATER else (None, later)
