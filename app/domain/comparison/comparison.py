"""Champion against challenger: whether a candidate is not worse than a baseline, metric by metric.

Like is compared with like: points from production with points from production, else those of the source runs. Not worse
means that the confidence bound of the difference on the worse side stays within a margin (Blackwelder: "Proving the
null hypothesis" in clinical trials, Controlled Clinical Trials 3, 1982). Details: docs/decisions/0019.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from app.domain.comparison.differences import Difference, Values, difference, level
from app.domain.comparison.requirements import Requirements
from app.domain.monitoring.directions import HIGHER, LOWER
from app.domain.monitoring.evidence import PRODUCTION, TRAINING, MetricSeries
from app.domain.monitoring.weighing import counts_of
from app.domain.registry.models import MetricPoint

# The floating-point noise in a difference of equal values, as a share of the largest value.
_NOISE = 1e-12


@dataclass(frozen=True, slots=True)
class MetricComparison:
    """The comparison of one metric, in its own unit. `difference` is the candidate's value less the baseline's.

    `n` counts days, or points of the smaller sample. If the two cannot be compared, `reason` says why, and `method`
    is None; so is `population` if the two have no evidence of the same kind. `margin`, `min` and `max` are what was
    required; `within_limits` is None without limits, or if the candidate has no value.
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
    margin: float = 0.0
    min: float | None = None
    max: float | None = None
    within_limits: bool | None = None


def compare(
    baseline: Mapping[str, MetricSeries],
    candidate: Mapping[str, MetricSeries],
    required: Requirements,
    direction_of: Callable[[str], str | None],
    wanted: Collection[str] = (),
) -> tuple[MetricComparison, ...]:
    """One row for each metric of either version, or for each of the `wanted` metrics, by name; and for each limit.

    A margin of a metric that neither has is a row as well, so that a misspelt name is seen. `direction_of` gives
    `higher`, `lower` or None.
    """
    unknown = required.margins.keys() - baseline.keys() - candidate.keys()
    return tuple(
        _limited(
            _compared(
                metric, direction_of(metric), baseline.get(metric), candidate.get(metric), required.margin_of(metric)
            ),
            candidate.get(metric),
            required,
        )
        for metric in sorted({*(wanted or {*baseline, *candidate}), *required.limited(), *unknown})
    )


def passes(rows: Collection[MetricComparison], wanted: Collection[str] = ()) -> bool:
    """Whether a gate lets the candidate pass: it is not worse, and no value is beyond a limit or missing."""
    limited = [row.within_limits for row in rows if row.min is not None or row.max is not None]
    return non_inferior(rows, wanted) is True and all(limited)


def non_inferior(rows: Collection[MetricComparison], wanted: Collection[str] = ()) -> bool | None:
    """Whether the candidate is not worse in any metric that counts; None if that is not known.

    A metric counts if its direction is known. If any such metric has evidence from production, only those with evidence
    from production count. Metrics that are wanted always count, even if they cannot be compared.
    """
    counting = [row for row in rows if row.direction and row.population]
    production = [row for row in counting if row.population == PRODUCTION]
    named = [row for row in rows if row.metric in wanted]
    answers = {row.non_inferior for row in (named if wanted else production or counting)}
    if False in answers:
        return False
    return None if None in answers or not answers else True


def _compared(
    metric: str, direction: str | None, baseline: MetricSeries | None, candidate: MetricSeries | None, margin: float
) -> MetricComparison:
    for population in (PRODUCTION, TRAINING):
        ours, theirs = _points(baseline, population), _points(candidate, population)
        if ours and theirs:
            result = _difference(metric, ours, theirs)
            if isinstance(result, str):
                return _not_comparable(metric, direction, population, result)
            return _judged(metric, direction, population, result, margin)
    return _not_comparable(metric, direction, None, _unlike(baseline, candidate))


def _limited(row: MetricComparison, candidate: MetricSeries | None, required: Requirements) -> MetricComparison:
    """A row with the limits of its metric, and whether the candidate's value is within them."""
    row = replace(row, margin=required.margin_of(row.metric))
    low, high = required.least.get(row.metric), required.most.get(row.metric)
    if low is None and high is None:
        return row
    value = row.candidate
    if value is None:
        # Without anything to compare with, the candidate still has to keep the limit.
        points = next(filter(None, (_finite(_points(candidate, kind)) for kind in (PRODUCTION, TRAINING))), ())
        value = level(_values(points), counts_of(row.metric, points))
    within = None if value is None else _is_within(value, low, high)
    bounds = [f"at least {low:g}"] if low is not None else []
    bounds += [f"at most {high:g}"] if high is not None else []
    has = "there is no value" if value is None else f"{value:.5g} is {'within' if within else 'beyond'} the limit"
    reason = f"{row.reason}; required is {' and '.join(bounds)}: {has}"
    return replace(row, min=low, max=high, within_limits=within, reason=reason)


def _is_within(value: float, low: float | None, high: float | None) -> bool:
    """Whether a value keeps its limits. A mean of values at a limit may miss it by a rounding error."""
    noise = _NOISE * abs(value)
    return (low is None or value >= low - noise) and (high is None or value <= high + noise)


def _points(series: MetricSeries | None, population: str) -> Sequence[MetricPoint]:
    if series is None:
        return ()
    return series.points if series.population == population else series.reference


def _not_comparable(metric: str, direction: str | None, population: str | None, why: str) -> MetricComparison:
    return MetricComparison(metric, direction, population, None, 0, None, None, None, None, None, why)


def _unlike(baseline: MetricSeries | None, candidate: MetricSeries | None) -> str:
    ours, theirs = (bool(series and (series.points or series.reference)) for series in (baseline, candidate))
    if baseline and candidate and ours and theirs:
        kinds = f"the baseline has points only from {baseline.population}, the candidate from {candidate.population}"
        return f"Not comparable: {kinds}"
    who = "neither version has a" if ours == theirs else f"the {'candidate' if ours else 'baseline'} has no"
    misplaced = [reason for series in (baseline, candidate) if series for reason in series.misplaced]
    return "; ".join([f"Not comparable: {who} point of this metric", *misplaced])


def _difference(metric: str, ours: Sequence[MetricPoint], theirs: Sequence[MetricPoint]) -> Difference | str:
    """The difference of two series, or why there is none."""
    baseline, candidate = _finite(ours), _finite(theirs)
    if not baseline or not candidate:
        return f"Not comparable: none of the {'candidate' if baseline else 'baseline'}'s values is a finite number"
    counts = counts_of(metric, baseline), counts_of(metric, candidate)
    known = (counts[0], counts[1]) if counts[0] and counts[1] else None
    try:
        return difference(_values(baseline), _values(candidate), known)
    except OverflowError:
        return "Not comparable: the values are too large to be subtracted"


def _finite(points: Sequence[MetricPoint]) -> Sequence[MetricPoint]:
    return [point for point in points if point.value is not None and math.isfinite(point.value)]


def _values(points: Sequence[MetricPoint]) -> Values:
    return [(point.time, point.value) for point in points if point.value is not None]


def _judged(metric: str, direction: str | None, population: str, diff: Difference, margin: float) -> MetricComparison:
    better, holds = None, None
    if direction:
        gain = diff.value if direction == HIGHER else -diff.value
        noise = _NOISE * diff.largest
        better = None if abs(gain) <= noise else gain > 0
        holds = gain - (diff.error or 0) >= -margin - max(noise, _NOISE * margin)
    reason = _in_words(direction, population, diff, holds, margin)
    return MetricComparison(
        metric, direction, population, diff.method, diff.n, diff.first, diff.second, diff.value, better, holds,
        reason,
    )  # fmt: skip


def _in_words(direction: str | None, population: str, diff: Difference, holds: bool | None, margin: float) -> str:
    text = f"{diff.second:.5g} against {diff.first:.5g} in {population}, {diff.basis}: {diff.value:+.5g}"
    if direction is None:
        return f"{text}; its direction is not known: set it in the settings of the baseline's registration"
    if diff.error is not None:
        side, sign = ("most", 1) if direction == LOWER else ("least", -1)
        text += f", with 95 % confidence at {side} {diff.value + sign * diff.error:+.5g}"
    return f"{text}; {'within' if holds else 'beyond'} the margin of {margin:g}"
