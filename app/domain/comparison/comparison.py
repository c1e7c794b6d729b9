"""Champion against challenger: whether a candidate is not worse than a baseline, metric by metric.

Like is compared with like: points from production with such, else those of the source runs. Not worse means that the
bound of the difference, on its worse side, stays within a margin (Blackwelder: "Proving the null hypothesis" in
clinical trials, Controlled Clinical Trials 3, 1982). How and why: docs/decisions/0019.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from app.domain.comparison.differences import Difference, Values, difference
from app.domain.monitoring.directions import HIGHER, LOWER
from app.domain.monitoring.evidence import PRODUCTION, TRAINING, Series
from app.domain.registry.models import MetricPoint

MOST_MARGIN = 1e9
# Of the largest value: what floating point leaves of a difference of equals.
_NOISE = 1e-12


@dataclass(frozen=True, slots=True)
class MetricComparison:
    """One metric of two versions, in its own unit. `difference` is the candidate's less the baseline's.

    `n` counts days, or points of the smaller sample. Where the two cannot be compared, `reason` says why, and `method`
    is None; so is `population` where they have no evidence of one kind.
    """

    metric: str
    direction: str | None
    population: str | None
    method: str | None
    n: int
    baseline: float | None
    candidate: float | None
    difference: float | None
    better: bool | None
    non_inferior: bool | None
    reason: str


def compare(
    baseline: Mapping[str, Series],
    candidate: Mapping[str, Series],
    margin: float,
    direction_of: Callable[[str], str | None],
    wanted: Collection[str] = (),
) -> tuple[MetricComparison, ...]:
    """One row for each metric that either has, or for each of those wanted, by name.

    `margin`, 0 or more and in the metric's unit, is how much worse the candidate may be. `direction_of` gives
    `higher`, `lower` or None.
    """
    return tuple(
        _compared(metric, direction_of(metric), baseline.get(metric), candidate.get(metric), margin)
        for metric in sorted({*wanted} or {*baseline, *candidate})
    )


def non_inferior(rows: Collection[MetricComparison], wanted: Collection[str] = ()) -> bool | None:
    """Whether the candidate is not worse in any metric that counts; None where that is not known.

    Those count whose direction is known: on evidence from production where any of them has such, else from training.
    Metrics that are wanted count in any case, also where they cannot be compared.
    """
    counting = [row for row in rows if row.direction and row.population]
    production = [row for row in counting if row.population == PRODUCTION]
    answers = {row.non_inferior for row in (rows if wanted else production or counting)}
    if False in answers:
        return False
    return None if None in answers or not answers else True


def _compared(
    metric: str, direction: str | None, baseline: Series | None, candidate: Series | None, margin: float
) -> MetricComparison:
    for population in (PRODUCTION, TRAINING):
        ours, theirs = _points(baseline, population), _points(candidate, population)
        if ours and theirs:
            found = _difference(ours, theirs)
            if isinstance(found, str):
                return _not_comparable(metric, direction, population, found)
            return _judged(metric, direction, population, found, margin)
    return _not_comparable(metric, direction, None, _unlike(baseline, candidate))


def _points(series: Series | None, population: str) -> Sequence[MetricPoint]:
    if series is None:
        return ()
    return series.points if series.population == population else series.reference


def _not_comparable(metric: str, direction: str | None, population: str | None, why: str) -> MetricComparison:
    return MetricComparison(metric, direction, population, None, 0, None, None, None, None, None, why)


def _unlike(baseline: Series | None, candidate: Series | None) -> str:
    ours, theirs = (bool(one and (one.points or one.reference)) for one in (baseline, candidate))
    if baseline and candidate and ours and theirs:
        kinds = f"the baseline has points of {baseline.population} alone, the candidate of {candidate.population}"
        return f"Not comparable: {kinds}"
    who = "neither version has" if ours == theirs else f"the {'candidate' if ours else 'baseline'} has no"
    of = "a point of it" if ours == theirs else "point of it"
    misplaced = [reason for one in (baseline, candidate) if one for reason in one.misplaced]
    return "; ".join([f"Not comparable: {who} {of}", *misplaced])


def _difference(ours: Sequence[MetricPoint], theirs: Sequence[MetricPoint]) -> Difference | str:
    """The difference of two series, or why there is none."""
    baseline, candidate = _finite(ours), _finite(theirs)
    if not baseline or not candidate:
        return f"Not comparable: no value of the {'candidate' if baseline else 'baseline'}'s is a finite number"
    try:
        return difference(baseline, candidate)
    except OverflowError:
        return "Not comparable: the values are too large to be subtracted"


def _finite(points: Sequence[MetricPoint]) -> Values:
    return [(point.time, point.value) for point in points if point.value is not None and math.isfinite(point.value)]


def _judged(metric: str, direction: str | None, population: str, found: Difference, margin: float) -> MetricComparison:
    better, holds = None, None
    if direction:
        gain = found.value if direction == HIGHER else -found.value
        noise = _NOISE * found.largest
        better = None if abs(gain) <= noise else gain > 0
        holds = gain - (found.error or 0) >= -margin - max(noise, _NOISE * margin)
    reason = _in_words(direction, population, found, holds, margin)
    return MetricComparison(
        metric, direction, population, found.method, found.n, found.first, found.second, found.value, better, holds,
        reason,
    )  # fmt: skip


def _in_words(direction: str | None, population: str, found: Difference, holds: bool | None, margin: float) -> str:
    told = f"{found.second:.5g} against {found.first:.5g} in {population}, {found.told}: {found.value:+.5g}"
    if direction is None:
        return f"{told}; which way is better is not known: the settings of the baseline's registration can say it"
    if found.error is not None:
        side, sign = ("most", 1) if direction == LOWER else ("least", -1)
        told += f", with 95 % confidence at {side} {found.value + sign * found.error:+.5g}"
    return f"{told}; {'within' if holds else 'beyond'} the margin of {margin:g}"
