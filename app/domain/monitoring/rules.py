"""The rules by which a metric is judged, each a value in `RULES`.

To add a rule, add a function and an entry in `RULES`: the verdicts, their reasons, the points that a chart marks and
the documentation of the API follow from it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from app.domain.monitoring.alarms import excess_of
from app.domain.monitoring.baselines import (
    ABOVE,
    BELOW,
    BaselineFigures,
    change_point,
    far_better,
    unlike_baseline,
)
from app.domain.monitoring.check_settings import CheckSettings, Limits
from app.domain.monitoring.directions import HIGHER, LOWER
from app.domain.monitoring.reasons import (
    baseline_in_words,
    expected_in_words,
    figures_in_words,
    limits_in_words,
    short,
)
from app.domain.monitoring.verdicts import DEGRADED, DRIFTING, SILENCE, Alarm
from app.domain.monitoring.weighing import Weighed
from app.domain.registry.models import MetricPoint
from app.domain.times import HOUR_MS, day_in_words, rfc3339


@dataclass(frozen=True, slots=True)
class Measured:
    """What a rule looks at: the points of one metric whose value is a number, by time, and their values.

    `baseline` is None where there are too few points for a baseline; `origin` says where its points are from, in words,
    and `later` is the place of the first point after it.
    `newest` is the time of the metric's last point, be it judged or only shown beside the series; `now` is the time of
    the check. Times in milliseconds. `shares` are the values made comparable, where the number of cases behind each is
    known.
    """

    metric: str
    points: Sequence[MetricPoint]
    values: Sequence[float]
    settings: CheckSettings
    baseline: BaselineFigures | None
    origin: str
    later: int
    newest: int
    now: int
    shares: Weighed | None = None

    @property
    def comparable(self) -> Sequence[float]:
        """The values as they are compared with the baseline."""
        return self.shares.values if self.shares else self.values

    def factor(self, place: int) -> float:
        """How many times its own distance from the baseline a value counts."""
        return self.shares.factors[place] if self.shares else 1.0


@dataclass(frozen=True, slots=True)
class RuleOutcome:
    """What a rule says about a metric to which it applies.

    `alarm` is None if all is well; `healthy` is then the reason. `fired` are the places of the points at which the rule
    fired.
    """

    alarm: Alarm | None = None
    fired: Sequence[int] = ()
    healthy: str | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `apply` returns None where the rule does not apply, as without a limit or without a baseline.

    `fires_at_points` says whether the rule names the points at which it fired.
    """

    name: str
    apply: Callable[[Measured], RuleOutcome | None]
    fires_at_points: bool = True


def silence(metric: str, newest: int, settings: CheckSettings, now: int) -> Alarm | None:
    """The alarm if no point came for longer than the settings allow, else None; times in milliseconds."""
    hours = settings.silence_hours
    if hours is None or now - newest <= hours * HOUR_MS:
        return None
    allowed = f"{hours:g} {'hour' if hours == 1 else 'hours'}"
    sentence = f": no new point since {rfc3339(newest)}, for longer than {allowed}"
    return Alarm(SILENCE, DEGRADED, metric, newest, sentence=sentence)


def _limit(of: Measured) -> RuleOutcome | None:
    """Fires at values outside the limits in the settings."""
    limits = of.settings.limits.get(of.metric)
    if limits is None:
        return None
    sides = _outside(of.values, limits)
    alarm = _alarm(
        of, 0, sides,
        rule="limit",
        bounds=lambda _: (limits.min, limits.max),
        expectation=lambda value, *_: f"its limit is {limits_in_words(limits, value)}",
        excess=lambda place: _beyond(of.values[place], limits, of.baseline),
        began=lambda place: place,
    )  # fmt: skip
    return RuleOutcome(alarm, _places(sides, 0), f"within its limit {limits_in_words(limits)}")


def _baseline(of: Measured) -> RuleOutcome | None:
    """Fires at values that deviate from the baseline: to the worse side, or to either if the direction is not known."""
    base = of.baseline
    if base is None:
        return None
    better, values = of.settings.direction_of(of.metric), of.comparable[of.later :]
    sides = unlike_baseline(values, base, better)
    alarm = _alarm(
        of, of.later, sides,
        rule="baseline",
        bounds=lambda place: _bounds(of, base, better, place),
        expectation=lambda value, low, high, n: expected_in_words(
            value, low, high, of.origin, base, n if of.shares else None
        ),
        excess=lambda place: excess_of(abs(of.comparable[place] - base.mean), base.reach),
        began=lambda place: change_point(values, base, sides[place] or "", place),
    )  # fmt: skip
    if alarm and alarm.excess <= 1:
        expectation = expected_in_words(alarm.value or 0, None, None, of.origin, base)
        alarm = replace(alarm, accumulates=True, expectation=expectation)
    words = baseline_in_words(base)
    # Beyond reach can only mean better here: on the worse side the rule would have fired.
    beyond = abs(of.comparable[-1] - base.mean) > max(base.reach, base.std)
    healthy = f"{'better than' if beyond else 'in line with'} {words}"
    return RuleOutcome(alarm, _places(sides, of.later), healthy)


def _unit(of: Measured) -> RuleOutcome | None:
    """Fires at values so far on the better side that their unit may have changed."""
    base = of.baseline
    if base is None:
        return None
    fired = _places(far_better(of.values[of.later :], base, of.settings.direction_of(of.metric)), of.later)
    if not fired or fired[-1] < len(of.values) - of.settings.n:
        return RuleOutcome(None, fired)
    at = fired[-1]
    value, time = of.values[at], of.points[at].time
    far = f"{short(value)} on {day_in_words(time, of.now)}, far better than {of.origin} ({figures_in_words(base)})"
    side = ABOVE if value > base.mean else BELOW
    sentence = f" {'rose' if side == ABOVE else 'fell'} to {far}. Has its unit changed? Now {short(of.values[-1])}."
    lately = [place for place in fired if place >= len(of.values) - of.settings.n]
    # Never drifting, however often it fired: the points do not show whether the unit changed or the model improved.
    alarm = Alarm(
        "unit", DEGRADED, of.metric, of.points[lately[0]].time, value, time, side,
        out=len(lately), among=min(of.settings.n, len(of.values) - of.later), last=of.values[-1], sentence=sentence,
    )  # fmt: skip
    return RuleOutcome(alarm, fired)


def _silence(of: Measured) -> RuleOutcome | None:
    """Fires if no point came for longer than the settings allow."""
    if of.settings.silence_hours is None:
        return None
    return RuleOutcome(silence(of.metric, of.newest, of.settings, of.now), healthy="logged in time")


RULES = (
    Rule("limit", _limit),
    Rule("baseline", _baseline),
    Rule("unit", _unit),
    Rule(SILENCE, _silence, fires_at_points=False),
)


def _outside(values: Sequence[float], limits: Limits) -> list[str | None]:
    """For each value the side on which it is outside the limits, or None; the limits themselves are inside."""
    low = -math.inf if limits.min is None else limits.min
    high = math.inf if limits.max is None else limits.max
    return [BELOW if value < low else ABOVE if value > high else None for value in values]


def _places(hits: Sequence[object], start: int) -> list[int]:
    return [place for place, hit in enumerate(hits, start) if hit]


def _bounds(of: Measured, base: BaselineFigures, better: str | None, place: int) -> tuple[float | None, float | None]:
    """The least and the most that was expected of a point; of a share within what is possible."""
    low, high = base.mean - base.reach, base.mean + base.reach
    if of.shares:
        centre, factor = of.shares.centre, of.factor(place)
        low, high = (min(1.0, max(0.0, centre + (bound - centre) / factor)) for bound in (low, high))
    return None if better == LOWER else low, None if better == HIGHER else high


def _beyond(value: float, limits: Limits, base: BaselineFigures | None) -> float:
    """How far a value is beyond its limits: 1 at the limit, and one more for each distance that a baseline allows.

    Without a baseline the size of the limit is the measure.
    """
    bound = limits.min if limits.min is not None and value < limits.min else limits.max
    distance = abs(value - bound) if bound is not None else 0.0
    return 1 + excess_of(distance, base.reach if base else abs(bound or 1.0))


def _alarm(
    of: Measured,
    start: int,
    sides: Sequence[str | None],
    *,
    rule: str,
    bounds: Callable[[int], tuple[float | None, float | None]],
    expectation: Callable[[float, float | None, float | None, int | None], str],
    excess: Callable[[int], float],
    began: Callable[[int], int],
) -> Alarm | None:
    """The alarm if any of the last n points is out: drifting from m points on, else degraded.

    `sides` are those of the points from the place `start` on. For a place `bounds` gives what was expected there, and
    `excess` how far out it is; `expectation` says in words what was expected of a value, from the bounds and the
    number of cases behind it. `began` gives the place where the change began of which a place is the first that is out,
    both counted from `start`.
    """
    n = of.settings.n
    among = min(n, len(sides))
    lately = [place for place in range(len(sides) - among, len(sides)) if sides[place]]
    if not lately:
        return None
    values, points = of.values[start:], of.points[start:]
    # Of equal values the latest.
    worst = max(lately, key=lambda place: (excess(start + place), place))
    low, high = bounds(start + worst)
    return Alarm(
        rule,
        DRIFTING if len(lately) >= of.settings.m else DEGRADED,
        of.metric,
        points[began(_first_out(sides, n))].time,
        values[worst],
        points[worst].time,
        sides[worst],
        low,
        high,
        expectation(values[worst], low, high, points[worst].n),
        len(lately),
        among,
        " and ".join(sorted({side for place in lately if (side := sides[place])}, reverse=True)),
        points[-1].time - points[-among].time,
        values[-1],
        excess(start + worst),
    )


def _first_out(sides: Sequence[str | None], n: int) -> int:
    """The first place that is out; more than n good points in between separate it from an earlier alarm."""
    first = last = max(place for place, side in enumerate(sides) if side)
    for place in range(last, -1, -1):
        if first - place > n:
            break
        if sides[place]:
            first = place
    return first
