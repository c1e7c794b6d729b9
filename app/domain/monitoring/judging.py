"""Judging: applies the rules to a metric and to a model version as a whole."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from app.domain.monitoring.alarms import alarm_in_words, badness, reasons_of
from app.domain.monitoring.baselines import LEAST_LATER, BaselineFigures, figures, first_points
from app.domain.monitoring.check_settings import LEAST_BASELINE, Baseline, CheckSettings, settings_or_default
from app.domain.monitoring.evidence import (
    MetricSeries,
    PointsByMetric,
    is_system_metric,
    points_by_metric,
    series_by_metric,
    until,
    was_observed,
)
from app.domain.monitoring.reasons import (
    NO_METRIC,
    borrowed_baseline,
    cases_in_words,
    first_of,
    short,
    without_number,
    without_rule,
)
from app.domain.monitoring.rules import RULES, Measured, Rule, RuleOutcome, silence
from app.domain.monitoring.verdicts import (
    DEGRADED,
    HEALTHY,
    INSUFFICIENT,
    MetricVerdict,
    VersionVerdict,
    severity,
)
from app.domain.monitoring.weighing import Weighed, counts_of, weighed
from app.domain.registry.models import MetricPoint, Registration, VersionKey
from app.domain.times import DAY_MS, day_in_words

# How many values a sparkline shows.
_RECENT = 20
# A value of hardly fewer cases than the baseline's days have needs no words for that.
_HARDLY_FEWER = 0.99
# Checks of different hosts differ by few points. Judging each of them takes time.
_POINTS_BACK = 20

StandIn = tuple[int, Sequence[float]]
"""An earlier version, and the values of its baseline."""


def judge_version(
    series: Mapping[str, MetricSeries],
    references: Mapping[str, Sequence[float]],
    settings: CheckSettings,
    since: int,
    now: int,
    no_metric: str = NO_METRIC,
    stand_ins: Mapping[str, StandIn] | None = None,
    resumed: int = 0,
) -> VersionVerdict:
    """Judge every metric of a version.

    `references` are the baseline values, by metric, of the version that the settings name as the baseline, if any.
    `since` is since when the version has been monitored; times in milliseconds. `no_metric` is the reason if no
    metric was logged. `stand_ins` are baseline values of an earlier version, by metric. `resumed` is when
    monitoring went on after a pause, 0 if there was none: that no point came before is no silence.
    """
    by_version = settings.baseline.version is not None
    # A run that has ended logs nothing more. So once others log metrics, no new point of those is due.
    is_observed = any(was_observed(points) for points in series.values())
    endless = replace(settings, silence_hours=None)
    metrics = {
        metric: judge_metric(
            points,
            settings if was_observed(points) or not is_observed else endless,
            now,
            references.get(metric, ()) if by_version else None,
            (stand_ins or {}).get(metric),
            resumed,
        )
        for metric, points in series.items()
    }
    unlogged = [
        f"{metric}: no point yet, so its limit is not applied" for metric in settings.limits if metric not in metrics
    ]
    misplaced = [reason for points in series.values() for reason in points.misplaced]
    if not any(points.points for points in series.values()):
        quiet = silence("No metric", since, settings, now)
        # If there are points, but all of them are left out for their times, those reasons suffice.
        why = [alarm_in_words(quiet, now)] if quiet else [] if misplaced else [no_metric]
        verdict = DEGRADED if quiet else INSUFFICIENT
        return VersionVerdict(verdict, first_of([*why, *misplaced, *unlogged]), metrics, [quiet] if quiet else [])
    verdict = max((metric.verdict for metric in metrics.values()), key=severity)
    alarms = [alarm for metric in metrics.values() for alarm in metric.alarms]
    reasons = reasons_of(alarms, now)
    if not alarms:
        reasons = [reason for metric in metrics.values() if metric.verdict == verdict for reason in metric.reasons]
    more = [reason for reason in misplaced if reason not in reasons]
    return VersionVerdict(verdict, first_of([*reasons, *more, *unlogged]), metrics, alarms)


def judge_registration(
    registration: Registration,
    evidence: Mapping[VersionKey, Iterable[MetricPoint]],
    now: int,
    others: Mapping[VersionKey, Registration] | None = None,
    no_metric: str = NO_METRIC,
) -> tuple[dict[str, MetricSeries], VersionVerdict]:
    """The series of a registered version by metric, and the verdict on the version.

    `evidence` holds the points of the version, and of the version that its settings name as the baseline. `others` are
    all registrations, since that other version may have settings of its own. `no_metric` is the reason if no metric was
    logged.
    """
    return _judge(registration, _points(registration, evidence), now, others, no_metric)


def _points(
    registration: Registration, evidence: Mapping[VersionKey, Iterable[MetricPoint]]
) -> dict[VersionKey, PointsByMetric]:
    """The points of a version, and of those whose baselines may count for it."""
    keys = (registration.key, *baseline_keys(registration))
    return {key: points_by_metric(evidence.get(key, ())) for key in keys}


def _judge(
    registration: Registration,
    points: Mapping[VersionKey, PointsByMetric],
    now: int,
    others: Mapping[VersionKey, Registration] | None = None,
    no_metric: str = NO_METRIC,
) -> tuple[dict[str, MetricSeries], VersionVerdict]:
    settings = settings_or_default(registration.settings)
    series = series_by_metric(points[registration.key], now)
    references: dict[str, list[float]] = {}
    if key := baseline_key(registration):
        other = (others or {}).get(key)
        own = settings_or_default(other.settings if other else {})
        named = series_by_metric(points[key], now)
        references = {metric: _own_baseline(named.get(metric), judged, own) for metric, judged in series.items()}
    stand_ins = {} if key else _stand_ins(registration, series, points, now)
    return series, judge_version(
        series, references, settings, registration.since, now, no_metric, stand_ins, registration.resumed_at or 0
    )


def _stand_ins(
    registration: Registration,
    series: Mapping[str, MetricSeries],
    points: Mapping[VersionKey, PointsByMetric],
    now: int,
) -> dict[str, StandIn]:
    """For each metric the baseline values of the last version before that has a baseline."""
    stand_ins: dict[str, StandIn] = {}
    for earlier in registration.predecessors:
        named = series_by_metric(points[registration.name, earlier.version], now)
        own = settings_or_default({"baseline": earlier.baseline} if earlier.baseline else {})
        for metric, judged in series.items():
            values = _own_baseline(named.get(metric), judged, own)
            if metric not in stand_ins and len(values) >= LEAST_BASELINE:
                stand_ins[metric] = earlier.version, values
    return stand_ins


def decided_at(
    registration: Registration,
    evidence: Mapping[VersionKey, Iterable[MetricPoint]],
    judged: tuple[Mapping[str, MetricSeries], VersionVerdict],
    others: Mapping[VersionKey, Registration] | None = None,
) -> int:
    """The time of the point that decided: from it on, the verdict is the present verdict. In milliseconds.

    So it is the same for hosts that check the version at different times, with more or fewer points. Where the points
    do not decide, as for silence, it is the time of the newest point, and 0 if there is none. Where the verdict has
    been the same for the last 20 points, it is the time of the registration. Arguments as of `judge_registration`,
    which returned `judged`.
    """
    series, verdict = judged
    judged_series = [series[metric] for metric, judgement in verdict.metrics.items() if judgement.last]
    # What is only shown beside the series now may have been the series before.
    counted = [point for one in judged_series for point in (*one.points, *one.reference) if point.value is not None]
    times = sorted({point.time for point in counted}, reverse=True)
    points = _points(registration, evidence)
    decided = max(times, default=0)
    for time in times[:_POINTS_BACK]:
        earlier = {**points, registration.key: until(points[registration.key], time)}
        if _judge(registration, earlier, time, others)[1].verdict != verdict.verdict:
            return decided
        decided = time
    return decided if len(times) <= _POINTS_BACK else registration.registered_at


def baseline_key(registration: Registration) -> VersionKey | None:
    """The version that the settings of a registration name as the baseline."""
    version = settings_or_default(registration.settings).baseline.version
    return None if version is None else (registration.name, version)


def baseline_keys(registration: Registration) -> list[VersionKey]:
    """The versions whose baselines may count for a version: the version that its settings name, or its predecessors."""
    key = baseline_key(registration)
    return [key] if key else [(registration.name, earlier.version) for earlier in registration.predecessors]


def earlier_runs(registrations: Iterable[Registration]) -> dict[VersionKey, str]:
    """The monitor runs of the predecessors of some registrations. They may have ended."""
    return {
        (registration.name, earlier.version): earlier.monitor_run_id
        for registration in registrations
        for earlier in registration.predecessors
    }


def judge_metric(
    series: MetricSeries,
    settings: CheckSettings,
    now: int,
    reference: Sequence[float] | None = None,
    stand_in: StandIn | None = None,
    resumed: int = 0,
) -> MetricVerdict:
    """Judge one metric. `reference` are the baseline values of another version if the settings name one, else None.

    The baseline of an earlier version, `stand_in`, counts until the metric has a baseline of its own. `resumed` is as
    for `judge_version`.
    """
    points = [point for point in series.points if point.value is not None]
    if not points or is_system_metric(series.metric):
        is_misplaced = not series.points and series.misplaced
        reasons = series.misplaced if is_misplaced else (without_number(series), *series.misplaced)
        return MetricVerdict(INSUFFICIENT, reasons, series.population, len(points))
    values = [point.value for point in points if point.value is not None]
    shares, (chosen, later) = (
        (None, (reference, 0)) if reference is not None else _weighed(series.metric, points, values, settings.baseline)
    )
    base = _figures(chosen, len(values), later)
    origin, borrowed = _origin(points[:later], settings.baseline, now), tuple[str, ...]()
    if base is None and stand_in is not None and reference is None:
        shares, base, later = None, _figures(stand_in[1], len(values), 0), 0
        if base is not None:
            origin = f"the baseline of version {stand_in[0]}, for want of its own"
            borrowed = (borrowed_baseline(series.metric, stand_in[0]),)
    newest = max(resumed, *(point.time for point in (*points, *series.reference)))
    measured = Measured(series.metric, points, values, settings, base, origin, later, newest, now, shares)
    outcomes = [(rule, outcome) for rule in RULES if (outcome := rule.apply(measured))]
    alarms = sorted((outcome.alarm for _, outcome in outcomes if outcome.alarm), key=badness)
    if alarms:
        verdict, reasons = alarms[0].verdict, tuple(alarm_in_words(alarm, now) for alarm in alarms)
    elif outcomes:
        value = f"{series.metric} {short(values[-1])}{_of_few(points[-1], shares)}"
        verdict, reasons = HEALTHY, (f"{value}, {_why_healthy(outcomes)}", *borrowed)
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
        alarms=tuple(alarms),
    )


def _of_few(last: MetricPoint, shares: Weighed | None) -> str:
    """How many cases the last value is of, where days of the baseline have more, so that it may vary more."""
    if shares is None or last.n is None or shares.factors[-1] > _HARDLY_FEWER:
        return ""
    return f" of {cases_in_words(last.n)}"


def _origin(baseline: Sequence[MetricPoint], choice: Baseline, now: int) -> str:
    """Where the points of a baseline are from, in words."""
    if choice.version is not None:
        return f"version {choice.version}"
    if choice.since is not None and choice.until is not None:
        return f"its points from {day_in_words(choice.since, now)} to {day_in_words(choice.until, now)}"
    days = [point.time // DAY_MS for point in baseline]
    is_daily = all(later - earlier == 1 for earlier, later in pairwise(days))
    return f"its first {len(baseline)} {'days' if is_daily else 'points'}"


def _why_healthy(outcomes: Sequence[tuple[Rule, RuleOutcome]]) -> str:
    """The reasons of the rules about values; those of the other rules only if none of these applies."""
    words = [outcome.healthy for rule, outcome in outcomes if outcome.healthy and rule.fires_at_points]
    return " and ".join(words or [outcome.healthy for _, outcome in outcomes if outcome.healthy])


def _fired(outcomes: Iterable[tuple[Rule, RuleOutcome]]) -> dict[int, tuple[str, ...]]:
    fired: dict[int, tuple[str, ...]] = {}
    for rule, outcome in outcomes:
        for place in outcome.fired:
            fired[place] = (*fired.get(place, ()), rule.name)
    return fired


def _weighed(
    metric: str, points: Sequence[MetricPoint], values: Sequence[float], choice: Baseline
) -> tuple[Weighed | None, tuple[list[float], int]]:
    """The values, made comparable where the number of cases behind each is known; and as `_baseline_values`.

    Which of the first values are the default baseline is decided with the first ten of them as the centre.
    """
    counts = counts_of(metric, points) if len(values) >= LEAST_BASELINE else None
    if counts is None:
        return None, _baseline_values(points, values, choice)
    first = weighed(values, counts, range(LEAST_BASELINE))
    later = _baseline_values(points, first.values, choice)[1]
    since = choice.since if choice.since is not None else points[0].time
    places = [place for place, point in enumerate(points[:later]) if point.time >= since]
    if len(places) < LEAST_BASELINE:
        return None, _baseline_values(points, values, choice)
    shares = weighed(values, counts, frozenset(places))
    return shares, ([shares.values[place] for place in places], later)


def _own_baseline(named: MetricSeries | None, judged: MetricSeries, settings: CheckSettings) -> list[float]:
    """The baseline values of another version's series of the same population, as its own settings choose them.

    Its later values may have drifted. If its settings name a third version, its first values are the baseline.
    """
    if named is None or named.population != judged.population:
        return []
    points = [point for point in named.points if point.value is not None]
    values = [point.value for point in points if point.value is not None]
    return _baseline_values(points, values, settings.baseline)[0]


def _baseline_values(
    points: Sequence[MetricPoint], values: Sequence[float], choice: Baseline
) -> tuple[list[float], int]:
    """The values of a series that are its baseline, and the place of the first later value."""
    if choice.since is not None and choice.until is not None:
        since, until = choice.since, choice.until
        inside = [value for point, value in zip(points, values, strict=True) if since <= point.time <= until]
        return inside, sum(point.time <= until for point in points)
    later = first_points(values, choice.points)
    return list(values[:later]), later


def _figures(chosen: Sequence[float], count: int, later: int) -> BaselineFigures | None:
    """The figures of a baseline; None if its values, or those of `count` that come later, are too few."""
    base = figures(chosen)
    return base if base and count - later >= LEAST_LATER else None
