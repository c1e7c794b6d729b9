"""The rules by which a metric is judged, each a value in `RULES`.

To add a rule, add a function and an entry in `RULES`: the verdicts, their reasons, the points that a chart marks and
the documentation of the API follow from it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.domain.monitoring.baselines import ABOVE, BELOW, BaselineFigures, far_better, unlike_baseline
from app.domain.monitoring.check_settings import CheckSettings, Limits
from app.domain.monitoring.reasons import baseline_in_words, limits_in_words, short
from app.domain.monitoring.verdicts import DEGRADED, DRIFTING
from app.domain.registry.models import MetricPoint
from app.domain.times import day_of, rfc3339

_HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Measured:
    """What a rule looks at: the points of one metric whose value is a number, by time, and their values.

    `baseline` is None where there are too few points for a baseline; `later` is the place of the first point after it.
    `newest` is the time of the metric's last point, be it judged or only shown beside the series; `now` is the time of
    the check. Times in milliseconds.
    """

    metric: str
    points: Sequence[MetricPoint]
    values: Sequence[float]
    settings: CheckSettings
    baseline: BaselineFigures | None
    later: int
    newest: int
    now: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a rule says about a metric to which it applies.

    `alarm` is a verdict with its reason, None if all is well; `healthy` is then the reason. `fired` are the places of
    the points at which the rule fired.
    """

    alarm: tuple[str, str] | None = None
    fired: Sequence[int] = ()
    healthy: str | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `apply` returns None where the rule does not apply, as without a limit or without a baseline.

    `fires_at_points` says whether the rule names the points at which it fired.
    """

    name: str
    apply: Callable[[Measured], Outcome | None]
    fires_at_points: bool = True


def silence(metric: str, newest: int, settings: CheckSettings, now: int) -> str | None:
    """The reason if no point came for longer than the settings allow, else None; times in milliseconds."""
    hours = settings.silence_hours
    if hours is None or now - newest <= hours * _HOUR_MS:
        return None
    allowed = f"{hours:g} {'hour' if hours == 1 else 'hours'}"
    return f"{metric}: no new point since {rfc3339(newest)}, for longer than {allowed}"


def _limit(of: Measured) -> Outcome | None:
    """Fires at values outside the limits in the settings."""
    limits = of.settings.limits.get(of.metric)
    if limits is None:
        return None
    sides = _outside(of.values, limits)
    words = limits_in_words(limits)
    return Outcome(_alarm(of, 0, sides, words), _places(sides, 0), f"within its {words}")


def _baseline(of: Measured) -> Outcome | None:
    """Fires at values that deviate from the baseline: to the worse side, or to either if the direction is not known."""
    base = of.baseline
    if base is None:
        return None
    sides = unlike_baseline(of.values[of.later :], base, of.settings.direction_of(of.metric))
    words = baseline_in_words(base)
    # Beyond reach can only mean better here: on the worse side the rule would have fired.
    beyond = abs(of.values[-1] - base.mean) > max(base.reach, base.std)
    healthy = f"{'better than' if beyond else 'in line with'} {words}"
    return Outcome(_alarm(of, of.later, sides, words), _places(sides, of.later), healthy)


def _unit(of: Measured) -> Outcome | None:
    """Fires at values so far on the better side that their unit may have changed."""
    base = of.baseline
    if base is None:
        return None
    fired = _places(far_better(of.values[of.later :], base, of.settings.direction_of(of.metric)), of.later)
    if not fired or fired[-1] < len(of.values) - of.settings.n:
        return Outcome(None, fired)
    at = fired[-1]
    far = f"{of.metric} {short(of.values[at])} on {day_of(of.points[at].time)} is far better than its"
    # Never drifting, however often it fired: the points do not show whether the unit changed or the model improved.
    return Outcome((DEGRADED, f"{far} {baseline_in_words(base)}. Has its unit changed?"), fired)


def _silence(of: Measured) -> Outcome | None:
    """Fires if no point came for longer than the settings allow."""
    if of.settings.silence_hours is None:
        return None
    quiet = silence(of.metric, of.newest, of.settings, of.now)
    return Outcome((DEGRADED, quiet) if quiet else None, healthy="logged in time")


RULES = (
    Rule("limit", _limit),
    Rule("baseline", _baseline),
    Rule("unit", _unit),
    Rule("silence", _silence, fires_at_points=False),
)


def _outside(values: Sequence[float], limits: Limits) -> list[str | None]:
    """For each value the side on which it is outside the limits, or None; the limits themselves are inside."""
    low = -math.inf if limits.min is None else limits.min
    high = math.inf if limits.max is None else limits.max
    return [BELOW if value < low else ABOVE if value > high else None for value in values]


def _places(hits: Sequence[object], start: int) -> list[int]:
    return [place for place, hit in enumerate(hits, start) if hit]


def _alarm(of: Measured, start: int, sides: Sequence[str | None], against: str) -> tuple[str, str] | None:
    """The verdict and its reason if any of the last n points is out: drifting from m points on, else degraded.

    `sides` are those of the points from the place `start` on.
    """
    window = [side for side in sides[-of.settings.n :] if side]
    if not window:
        return None
    verdict = DRIFTING if len(window) >= of.settings.m else DEGRADED
    where = " and ".join(sorted(set(window), reverse=True))
    began = last = max(place for place, side in enumerate(sides) if side)
    # Go back to where it began; a gap of more than n good points separates it from an earlier alarm.
    for place in range(last, -1, -1):
        if began - place > of.settings.n:
            break
        if sides[place]:
            began = place
    among = min(of.settings.n, len(sides))
    out = f"{where} for {len(window)} of the last {among} points" if among > 1 else where
    since = day_of(of.points[start + began].time)
    return verdict, f"{of.metric} {short(of.values[-1])}, {against}, {out} since {since}"
