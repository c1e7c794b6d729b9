"""Verdicts: what the rules say of a metric and of a model version, with the reasons in words and figures."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from app.domain.monitoring.check_settings import LEAST_BASELINE, Baseline, CheckSettings, Limits, settings_or_default
from app.domain.monitoring.evidence import Series, series_by_metric
from app.domain.monitoring.rules import (
    LEAST_LATER,
    BaselineFigures,
    far_better,
    figures,
    first_points,
    outside_limits,
    unlike_baseline,
)
from app.domain.registry.models import MetricPoint, Registration
from app.domain.times import day_of, rfc3339

HEALTHY, DEGRADED, DRIFTING, INSUFFICIENT = "healthy", "degraded", "drifting", "insufficient_data"
# From good to bad; where nothing could be judged is not worse than healthy, it is not known.
_WORSE = (INSUFFICIENT, HEALTHY, DEGRADED, DRIFTING)
VERDICTS = (HEALTHY, DEGRADED, DRIFTING, INSUFFICIENT)

LIMIT, BASELINE, UNIT = "limit", "baseline", "unit"
NO_METRIC = "No metric has been logged for this version. Send observations, or tag a run that evaluates it."
RUN_GONE = (
    "The source run no longer exists in MLflow, and its metrics are gone with it. "
    "Send observations, or tag a run that evaluates this version."
)
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
        quiet = _silence("No metric", since, settings, now)
        # Where there are points, but none that can be placed, that is the reason.
        why = [quiet] if quiet else [] if misplaced else [no_metric]
        return VersionVerdict(DEGRADED if quiet else INSUFFICIENT, _cut([*why, *misplaced, *unlogged]), metrics)
    verdict = max((one.verdict for one in metrics.values()), key=severity)
    ordered = sorted(metrics.values(), key=lambda one: -severity(one.verdict))
    told = [reason for one in ordered if one.verdict == verdict or severity(one.verdict) > 1 for reason in one.reasons]
    more = [reason for reason in misplaced if reason not in told]
    return VersionVerdict(verdict, _cut([*told, *more, *unlogged]), metrics)


def judge_registration(
    registration: Registration,
    evidence: Mapping[tuple[str, int], Iterable[MetricPoint]],
    now: int,
    others: Mapping[tuple[str, int], Registration] | None = None,
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


def baseline_key(registration: Registration) -> tuple[str, int] | None:
    """The version that the settings of a registration name as the baseline."""
    version = settings_or_default(registration.settings).baseline.version
    return None if version is None else (registration.name, version)


def judge_metric(
    series: Series, settings: CheckSettings, now: int, reference: Sequence[float] | None = None
) -> MetricVerdict:
    """Judge one metric. `reference` are the baseline points of another version, where the settings name one."""
    points = [point for point in series.points if point.value is not None]
    if not points or is_of_machine(series.metric):
        reasons = series.misplaced if not series.points and series.misplaced else (_unjudged(series), *series.misplaced)
        return MetricVerdict(INSUFFICIENT, reasons, series.population, len(points))
    values = [point.value for point in points if point.value is not None]
    limits = settings.limits.get(series.metric)
    base, later = _baseline(points, values, settings, reference)
    findings, fired = _findings(series.metric, points, values, settings, base, later)
    newest = max(point.time for point in (*points, *series.reference))
    quiet = _silence(series.metric, newest, settings, now)
    if quiet:
        findings.append((DEGRADED, quiet))
    last = (values[-1], points[-1].time)
    if findings:
        verdict = max((found for found, _ in findings), key=severity)
        reasons = tuple(text for _, text in sorted(findings, key=lambda found: -severity(found[0])))
    elif limits or base or settings.silence_hours:
        verdict, reasons = HEALTHY, (f"{series.metric} {_short(values[-1])}, {_well(values[-1], limits, base)}",)
    else:
        why = _too_large(values, settings) or _too_few(len(points), settings, reference)
        verdict, reasons = INSUFFICIENT, (f"{series.metric}: {why}",)
    recent = tuple(values[-_RECENT:])
    reasons = (*reasons, *series.misplaced)
    return MetricVerdict(verdict, reasons, series.population, len(points), last, base, fired, recent)


def _findings(
    metric: str,
    points: Sequence[MetricPoint],
    values: Sequence[float],
    settings: CheckSettings,
    base: BaselineFigures | None,
    later: int,
) -> tuple[list[tuple[str, str]], dict[int, tuple[str, ...]]]:
    """What the rules find in the last points, each a verdict with its reason; and at which points which rules fired."""
    limits, better = settings.limits.get(metric), settings.direction_of(metric)
    outside = outside_limits(values, limits) if limits else []
    unlike = unlike_baseline(values[later:], base, better) if base else []
    far = far_better(values[later:], base, better) if base else []
    findings = []
    for start, sides, against in ((0, outside, _limits_in_words(limits)), (later, unlike, _baseline_in_words(base))):
        found = _alarm(points[start:], sides, settings)
        if found:
            findings.append((found[0], f"{metric} {_short(values[-1])}, {against}, {found[1]}"))
    # However often: whether it is another unit or a better model, the points do not tell.
    if lately := [place for place in range(len(far))[-settings.n :] if far[place]]:
        at = later + lately[-1]
        told = f"{metric} {_short(values[at])} on {day_of(points[at].time)} is far better than its"
        findings.append((DEGRADED, f"{told} {_baseline_in_words(base)}: has its unit changed?"))
    fired: dict[int, tuple[str, ...]] = {}
    for rule, start, hits in ((LIMIT, 0, outside), (BASELINE, later, unlike), (UNIT, later, far)):
        for place, hit in enumerate(hits, start):
            if hit:
                fired[place] = (*fired.get(place, ()), rule)
    return findings, fired


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
        return f"{series.metric}: no value of it is a finite number"
    return f"{series.metric}: {'a figure of the machine, which is not judged' if series.points else 'no point yet'}"


def _too_large(values: Sequence[float], settings: CheckSettings) -> str | None:
    is_default = settings.baseline.version is None and settings.baseline.since is None
    enough = len(values) >= LEAST_BASELINE + LEAST_LATER
    return "its values are too large for a deviation to be computed" if is_default and enough else None


def _too_few(count: int, settings: CheckSettings, reference: Sequence[float] | None) -> str:
    if reference is not None:
        if len(reference) < LEAST_BASELINE:
            of = f"its baseline, version {settings.baseline.version}, has {_points(len(reference))} of it"
            return f"{of}; a baseline needs {LEAST_BASELINE}"
        return f"{_points(count)}; {LEAST_LATER} are needed to hold against the baseline"
    if settings.baseline.since is not None:
        return f"its baseline, the period, has fewer than 10 points of it, or fewer than {LEAST_LATER} came after"
    return f"{_points(count)}; a baseline needs {LEAST_BASELINE}, and {LEAST_LATER} later ones"


def _points(count: int) -> str:
    return f"{count} {'point' if count == 1 else 'points'}"


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
    if base is None:
        return ""
    odd = f" ({base.set_aside} odd {'point' if base.set_aside == 1 else 'points'} set aside)" if base.set_aside else ""
    return f"baseline {_short(base.mean)} ± {_short(base.std)}{odd}"


def _short(value: float) -> str:
    """Three decimals where that tells enough, else three digits."""
    return f"{value:.3f}" if value == 0 or 0.01 <= abs(value) < 1000 else f"{value:.3g}"  # noqa: PLR2004 - see above


def _cut(reasons: Sequence[str]) -> tuple[str, ...]:
    more = len(reasons) - _MOST_REASONS
    return (*reasons[:_MOST_REASONS], f"and {more} more") if more > 0 else tuple(reasons)
