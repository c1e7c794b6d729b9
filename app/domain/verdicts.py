"""Verdicts: what the rules say of a metric and of a model version, with the reasons in words and figures."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from app.domain.check_settings import LEAST_BASELINE, CheckSettings, Limits, settings_or_default
from app.domain.evidence import Series, series_by_metric
from app.domain.models import MetricPoint, Registration
from app.domain.rules import (
    LEAST_LATER,
    BaselineFigures,
    figures,
    first_points,
    outside_limits,
    unlike_baseline,
)
from app.domain.times import day_of, rfc3339

HEALTHY, DEGRADED, DRIFTING, INSUFFICIENT = "healthy", "degraded", "drifting", "insufficient_data"
# From good to bad; where nothing could be judged is not worse than healthy, it is not known.
_WORSE = (INSUFFICIENT, HEALTHY, DEGRADED, DRIFTING)
VERDICTS = (HEALTHY, DEGRADED, DRIFTING, INSUFFICIENT)

LIMIT, BASELINE, SILENCE = "limit", "baseline", "silence"
NO_METRIC = "No metric has been logged for this version. Send observations, or tag a run that evaluates it."
_HOUR_MS = 3_600_000
# Shown in full; of hundreds of metrics that say the same, these are enough.
_MOST_REASONS = 20
# What a small line shows.
_RECENT = 20
# MLflow's system metrics say how the machine does.
_MACHINE = "system/"


def severity(verdict: str) -> int:
    """How bad a verdict is: the higher the worse."""
    return _WORSE.index(verdict)


def is_of_machine(metric: str) -> bool:
    """Whether it is one of MLflow's system metrics, which no rule judges."""
    return metric.startswith(_MACHINE)


@dataclass(frozen=True, slots=True)
class MetricVerdict:
    """The verdict on one metric. `last` is the last value and its time in milliseconds; `points` how many are judged.

    `fired` names, for each point of the series, the rules that fired there; `recent` are the last values.
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
    """The verdict on a version: its worst metric's, and the reasons, the worst first."""

    verdict: str
    reasons: tuple[str, ...]
    metrics: Mapping[str, MetricVerdict]


def judge_version(
    series: Mapping[str, Series], reference: Mapping[str, Series], settings: CheckSettings, since: int, now: int
) -> VersionVerdict:
    """Judge every metric. `reference` is the evidence of the version that the settings name as the baseline.

    `since` is when the version was registered for monitoring; times in milliseconds.
    """
    by_version = settings.baseline.version is not None
    metrics = {
        metric: judge_metric(found, settings, now, _alike(found, reference.get(metric)) if by_version else None)
        for metric, found in series.items()
    }
    unlogged = [
        f"{metric}: no point yet, so its limit is not applied" for metric in settings.limits if metric not in metrics
    ]
    if not metrics:
        quiet = _silence("No metric", since, settings, now)
        return VersionVerdict(DEGRADED if quiet else INSUFFICIENT, _cut([quiet or NO_METRIC, *unlogged]), {})
    verdict = max((one.verdict for one in metrics.values()), key=severity)
    ordered = sorted(metrics.values(), key=lambda one: -severity(one.verdict))
    told = [reason for one in ordered if one.verdict == verdict or severity(one.verdict) > 1 for reason in one.reasons]
    return VersionVerdict(verdict, _cut([*told, *unlogged]), metrics)


def judge_registration(
    registration: Registration, evidence: Mapping[tuple[str, int], Iterable[MetricPoint]], now: int
) -> tuple[dict[str, Series], VersionVerdict]:
    """The series of a registered version, and the verdict on it.

    `evidence` holds the points of the version, and of the one that its settings name as the baseline.
    """
    settings = settings_or_default(registration.settings)
    series = series_by_metric(evidence.get(registration.key, ()))
    reference = series_by_metric(evidence.get(other, ())) if (other := baseline_key(registration)) else {}
    return series, judge_version(series, reference, settings, registration.registered_at, now)


def baseline_key(registration: Registration) -> tuple[str, int] | None:
    """The version that the settings of a registration name as the baseline."""
    version = settings_or_default(registration.settings).baseline.version
    return None if version is None else (registration.name, version)


def judge_metric(
    series: Series, settings: CheckSettings, now: int, reference: Sequence[float] | None = None
) -> MetricVerdict:
    """Judge one metric. `reference` are the values of another version, where the settings name one as the baseline."""
    points = [point for point in series.points if point.value is not None]
    if not points or is_of_machine(series.metric):
        return MetricVerdict(INSUFFICIENT, (f"{series.metric}: {_unjudged(series)}",), series.population, len(points))
    values = [point.value for point in points if point.value is not None]
    limits = settings.limits.get(series.metric)
    base, later = _baseline(points, values, settings, reference)
    findings: list[tuple[str, str]] = []
    fired: dict[int, list[str]] = {}
    for rule, start, sides, against in (
        (LIMIT, 0, outside_limits(values, limits) if limits else [], _limits_in_words(limits)),
        (BASELINE, later, _later(values, base, later, settings, series.metric), _baseline_in_words(base)),
    ):
        for place, side in enumerate(sides):
            if side:
                fired.setdefault(start + place, []).append(rule)
        found = _alarm(points[start:], sides, settings)
        if found:
            findings.append((found[0], f"{series.metric} {_short(values[-1])}, {against}, {found[1]}"))
    newest = max(point.time for point in (*points, *series.reference))
    quiet = _silence(series.metric, newest, settings, now)
    if quiet:
        findings.append((DEGRADED, quiet))
    last = (values[-1], points[-1].time)
    told = {place: tuple(rules) for place, rules in fired.items()}
    if findings:
        verdict = max((found for found, _ in findings), key=severity)
        reasons = tuple(text for _, text in sorted(findings, key=lambda found: -severity(found[0])))
    elif limits or base or settings.silence_hours:
        verdict, reasons = HEALTHY, (f"{series.metric} {_short(values[-1])}, {_well(values[-1], limits, base)}",)
    else:
        why = _too_large(values, settings) or _too_few(len(points), settings)
        verdict, reasons = INSUFFICIENT, (f"{series.metric}: {why}",)
    recent = tuple(values[-_RECENT:])
    return MetricVerdict(verdict, reasons, series.population, len(points), last, base, told, recent)


def _alike(series: Series, reference: Series | None) -> list[float]:
    """The values of another version's series, where it is of the same population."""
    if reference is None or reference.population != series.population:
        return []
    return [point.value for point in reference.points if point.value is not None]


def _baseline(
    points: Sequence[MetricPoint], values: Sequence[float], settings: CheckSettings, reference: Sequence[float] | None
) -> tuple[BaselineFigures | None, int]:
    """The figures to hold the later values against, where there is enough of both, and the place of the first."""
    chosen = settings.baseline
    if reference is not None:
        base, later = figures(reference), 0
    elif chosen.since is not None and chosen.until is not None:
        since, until = chosen.since, chosen.until
        inside = [value for point, value in zip(points, values, strict=True) if since <= point.time <= until]
        base, later = figures(inside), sum(point.time <= until for point in points)
    else:
        later = first_points(values, chosen.points)
        base = figures(values[:later])
    return (base, later) if base and len(values) - later >= LEAST_LATER else (None, later)


def _later(
    values: Sequence[float], base: BaselineFigures | None, later: int, settings: CheckSettings, metric: str
) -> list[str | None]:
    return unlike_baseline(values[later:], base, settings.direction_of(metric)) if base else []


def _alarm(
    points: Sequence[MetricPoint], sides: Sequence[str | None], settings: CheckSettings
) -> tuple[str, str] | None:
    """Whether m of the last n points are out, or some; in words."""
    window = [side for side in sides[-settings.n :] if side]
    if not window:
        return None
    verdict = DRIFTING if len(window) >= settings.m else DEGRADED
    where = " and ".join(sorted(set(window), reverse=True))
    began = last = max(place for place, side in enumerate(sides) if side)
    # Back to where it began: a gap of n points within reach is another story.
    for place in range(last, -1, -1):
        if began - place > settings.n:
            break
        if sides[place]:
            began = place
    among = min(settings.n, len(sides))
    of = f"{where} for {len(window)} of the last {among} points" if among > 1 else where
    return verdict, f"{of} since {day_of(points[began].time)}"


def _silence(metric: str, last: int, settings: CheckSettings, now: int) -> str | None:
    hours = settings.silence_hours
    if hours is None or now - last <= hours * _HOUR_MS:
        return None
    return (
        f"{metric}: no new point since {rfc3339(last)}, for longer than {hours:g} {'hour' if hours == 1 else 'hours'}"
    )


def _unjudged(series: Series) -> str:
    if series.points and not is_of_machine(series.metric):
        return "no value of it is a finite number"
    return "a figure of the machine, which is not judged" if series.points else "no point yet"


def _too_large(values: Sequence[float], settings: CheckSettings) -> str | None:
    is_default = settings.baseline.version is None and settings.baseline.since is None
    enough = len(values) >= LEAST_BASELINE + LEAST_LATER
    return "its values are too large for a deviation to be computed" if is_default and enough else None


def _too_few(count: int, settings: CheckSettings) -> str:
    if settings.baseline.version or settings.baseline.since is not None:
        which = f"version {settings.baseline.version}" if settings.baseline.version else "the period"
        return f"its baseline, {which}, has fewer than 10 points of it, or fewer than {LEAST_LATER} came after"
    return f"{count} {'point' if count == 1 else 'points'}; a baseline needs 10, and {LEAST_LATER} later ones"


def _well(last: float, limits: Limits | None, base: BaselineFigures | None) -> str:
    told = [f"within its {_limits_in_words(limits)}"] if limits else []
    if base:
        # On the side that is no worse: the other one would have fired.
        beyond = abs(last - base.mean) > max(base.reach, base.std)
        told.append(f"{'better than' if beyond else 'in line with'} {_baseline_in_words(base)}")
    return " and ".join(told) or "logged in time"


def _limits_in_words(limits: Limits | None) -> str:
    if limits is None:
        return ""
    told = [f"at least {_short(limits.min)}"] if limits.min is not None else []
    told += [f"at most {_short(limits.max)}"] if limits.max is not None else []
    return f"limit {' and '.join(told)}"


def _baseline_in_words(base: BaselineFigures | None) -> str:
    return f"baseline {_short(base.mean)} ± {_short(base.std)}" if base else ""


def _short(value: float) -> str:
    """Three decimals where that tells enough, else three digits."""
    return f"{value:.3f}" if value == 0 or 0.01 <= abs(value) < 1000 else f"{value:.3g}"  # noqa: PLR2004 - see above


def _cut(reasons: Sequence[str]) -> tuple[str, ...]:
    more = len(reasons) - _MOST_REASONS
    return (*reasons[:_MOST_REASONS], f"and {more} more") if more > 0 else tuple(reasons)
