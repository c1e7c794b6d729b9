"""Champion against challenger: which values are compared, how sure the difference is, and what "not worse" means."""

import math
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from app.domain.comparison.comparison import MetricComparison, compare, non_inferior, passes
from app.domain.comparison.requirements import Requirements, requirements
from app.domain.errors import InvalidInput
from app.domain.monitoring.directions import HIGHER, LOWER, direction_of
from app.domain.monitoring.evidence import EVALUATION_RUN, SOURCE_RUN, MetricSeries
from app.domain.registry.models import MetricPoint
from app.domain.times import DAY_MS
from tests.unit.series import by_metric

HOUR_MS = 3_600_000
Values = Sequence[float | None]


def points(values: Values, source: str, every: int = DAY_MS, start: int = 0) -> list[MetricPoint]:
    """Points of a metric, one every day or so, from a day of the calendar on."""
    return [
        MetricPoint(source, "m", start * DAY_MS + number * every, value, source) for number, value in enumerate(values)
    ]


def produced(values: Values, start: int = 0, every: int = DAY_MS) -> dict[str, MetricSeries]:
    return by_metric(points(values, EVALUATION_RUN, every, start))


def trained(values: Values, start: int = 0, every: int = HOUR_MS) -> dict[str, MetricSeries]:
    return by_metric(points(values, SOURCE_RUN, every, start))


def row_of(
    baseline: dict[str, MetricSeries],
    candidate: dict[str, MetricSeries],
    margin: float = 0.0,
    direction: str | None = HIGHER,
) -> MetricComparison:
    """The comparison of the one metric there is."""
    (row,) = compare(baseline, candidate, Requirements(margin), lambda _: direction)
    return row


STABLE = [0.92, 0.91, 0.93, 0.92, 0.90, 0.92, 0.91]
BETTER = [0.94, 0.92, 0.95, 0.93, 0.93, 0.93, 0.94]


def test_on_shared_days_the_bound_is_that_of_the_paired_t_test() -> None:
    row = row_of(produced(STABLE), produced(BETTER), 0.0)
    interval = stats.ttest_rel(BETTER, STABLE, alternative="greater").confidence_interval(0.95)
    assert (row.method, row.n, row.population) == ("paired days", 7, "production")
    assert row.difference == pytest.approx(sum(BETTER) / 7 - sum(STABLE) / 7)
    assert f"at least {interval.low:+.5g}" in row.reason
    assert (row.better, row.non_inferior) == (True, True)


def test_where_lower_is_better_the_bound_is_the_upper_one() -> None:
    row = row_of(produced(STABLE), produced(BETTER), 0.0, LOWER)
    interval = stats.ttest_rel(BETTER, STABLE, alternative="less").confidence_interval(0.95)
    assert f"at most {interval.high:+.5g}" in row.reason
    assert (row.better, row.non_inferior) == (False, False)
    assert row_of(produced(STABLE), produced(BETTER), interval.high * 1.0001, LOWER).non_inferior
    assert not row_of(produced(STABLE), produced(BETTER), interval.high * 0.9999, LOWER).non_inferior


def test_without_shared_days_the_bound_is_welchs() -> None:
    row = row_of(produced(STABLE), produced([*BETTER, 0.9], start=100), 0.0)
    assert row.difference == pytest.approx(sum([*BETTER, 0.9]) / 8 - sum(STABLE) / 7)
    welch = stats.ttest_ind([*BETTER, 0.9], STABLE, equal_var=False, alternative="greater")
    error = math.hypot(stats.sem(STABLE), stats.sem([*BETTER, 0.9]))
    low = row.difference - stats.t.ppf(0.95, math.floor(welch.df)) * error
    assert (row.method, row.n) == ("two samples", 7)
    assert f"at least {low:+.5g}" in row.reason
    assert low <= welch.confidence_interval(0.95).low


def test_of_two_samples_the_last_thirty_points_count() -> None:
    row = row_of(produced([9.0] * 50 + [1.0] * 30), produced([5.0] * 7 + [1.0] * 30, start=1000))
    assert (row.n, row.baseline, row.candidate, row.difference) == (30, 1.0, 1.0, 0.0)
    assert row.non_inferior


def test_of_a_day_the_last_value_counts() -> None:
    hourly = [STABLE[hour // 24] if hour % 24 == 23 else 0.0 for hour in range(24 * 7)]
    row = row_of(produced(hourly, every=HOUR_MS), produced(STABLE))
    assert (row.method, row.n) == ("paired days", 7)
    assert (row.difference, row.better, row.non_inferior) == (0.0, None, True)


def test_few_points_are_compared_by_their_last_values_without_an_interval() -> None:
    row = row_of(trained([0.1, 0.93]), trained([0.5, 0.94]))
    assert (row.method, row.n, row.baseline, row.candidate) == ("last values", 1, 0.93, 0.94)
    assert row.difference == pytest.approx(0.01)
    assert "too few for an interval" in row.reason
    assert (row.better, row.non_inferior) == (True, True)


@pytest.mark.parametrize("days", [1, 4])
def test_fewer_than_five_shared_days_are_no_pairs(days: int) -> None:
    row = row_of(produced(STABLE), produced(BETTER, start=7 - days))
    assert row.method == "two samples"


def test_production_is_compared_where_both_have_it_and_else_training() -> None:
    both = by_metric(points(STABLE, EVALUATION_RUN) + points([0.5], SOURCE_RUN))
    assert row_of(both, both).population == "production"
    row = row_of(both, trained([0.6]))
    assert (row.population, row.baseline, row.candidate) == ("training", 0.5, 0.6)
    long_training = by_metric(points([0.5] * 20, SOURCE_RUN) + points([0.9], EVALUATION_RUN))
    row = row_of(long_training, both)
    assert (row.population, row.method, row.baseline, row.candidate) == ("production", "last values", 0.9, 0.91)


def test_production_is_not_compared_with_training() -> None:
    for one, other in ((produced(STABLE), trained([0.9])), (trained([0.9]), produced(STABLE))):
        row = row_of(one, other)
        assert (row.population, row.method, row.non_inferior, row.difference) == (None, None, None, None)
        assert row.reason.startswith("Not comparable: the baseline has points only from ")


def test_a_metric_that_one_of_them_lacks_is_not_comparable_and_which_is_said() -> None:
    assert "the candidate has no point" in row_of(trained([1.0]), {}).reason
    assert "the baseline has no point" in row_of({}, trained([1.0])).reason
    (row,) = compare({}, {}, Requirements(), direction_of, ["accuracy"])
    assert "neither version has a point" in row.reason


def test_a_version_that_yields_no_number_in_production_is_not_saved_by_its_training() -> None:
    candidate = by_metric(points([None] * 6, EVALUATION_RUN) + points([0.99], SOURCE_RUN))
    baseline = by_metric(points(STABLE, EVALUATION_RUN) + points([0.9], SOURCE_RUN))
    row = row_of(baseline, candidate)
    assert (row.population, row.method, row.non_inferior) == ("production", None, None)
    assert "none of the candidate's values is a finite number" in row.reason
    assert non_inferior([row]) is None


def test_values_that_are_no_numbers_are_left_out() -> None:
    row = row_of(produced([None, *STABLE, None]), produced([0.1, *STABLE, 0.1]))
    assert (row.method, row.n, row.difference) == ("paired days", 7, 0.0)


def test_what_floating_point_adds_at_the_margins_edge_decides_nothing() -> None:
    assert 0.93 - 0.92 > 0.01
    assert row_of(trained([0.93]), trained([0.92]), 0.01).non_inferior
    assert row_of(trained([0.92]), trained([0.93]), 0.01, LOWER).non_inferior
    assert not row_of(trained([0.93]), trained([0.92]), 0.00999).non_inferior


def test_differences_that_are_all_the_same_need_no_interval_to_be_sure() -> None:
    worse = [round(value - 0.01, 2) for value in STABLE]
    row = row_of(produced(STABLE), produced(worse), 0.01)
    assert (row.better, row.non_inferior) == (False, True)
    assert not row_of(produced(STABLE), produced(worse), 0.0099).non_inferior
    flat = row_of(produced([0.9] * 6), produced([0.9] * 6, start=50))
    assert (flat.method, flat.better, flat.non_inferior) == ("two samples", None, True)


def test_a_worse_mean_is_no_loss_within_the_margin_and_a_better_one_no_proof_without_certainty() -> None:
    noisy = [0.99, 0.80, 0.99, 0.85, 0.97, 0.92, 0.99]
    row = row_of(produced(STABLE), produced(noisy))
    assert (row.better, row.non_inferior) == (True, False)
    slightly = [value - 0.001 * (1 + number % 2) for number, value in enumerate(STABLE)]
    row = row_of(produced(STABLE), produced(slightly), 0.01)
    assert (row.better, row.non_inferior) == (False, True)


def test_without_a_known_direction_there_is_a_difference_and_no_verdict() -> None:
    row = row_of(produced(STABLE), produced(BETTER), 0.0, None)
    assert row.difference
    assert (row.better, row.non_inferior) == (None, None)
    assert "not known" in row.reason


HUGE = 1.79e308


@pytest.mark.parametrize(
    "series", [lambda v: trained([v]), lambda v: produced([v, 0.0] * 4), lambda v: trained([v] * 9)]
)
def test_values_too_large_to_be_subtracted_are_said_to_be(series: object) -> None:
    row = row_of(series(HUGE), series(-HUGE))  # type: ignore[operator]
    assert (row.method, row.difference, row.non_inferior) == (None, None, None)
    assert "too large" in row.reason


def test_the_tiniest_values_have_a_deviation_too() -> None:
    row = row_of(produced([1e-200 * value for value in STABLE]), produced([1e-200 * value for value in BETTER]))
    assert row.non_inferior == row_of(produced(STABLE), produced(BETTER)).non_inferior
    noisy = [0.99, 0.80, 0.99, 0.85, 0.97, 0.92, 0.99]
    assert not row_of(produced([1e-200 * v for v in STABLE]), produced([1e-200 * v for v in noisy])).non_inferior


def answered(population: str | None, answer: bool | None, direction: str | None = HIGHER) -> MetricComparison:
    return MetricComparison("m", direction, population, None, 0, None, None, None, None, answer, "")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], None),
        ([answered("production", True)], True),
        ([answered("production", True), answered("production", False)], False),
        ([answered("production", True), answered("training", False)], True),
        ([answered("production", True), answered(None, None)], True),
        ([answered("production", True), answered("production", None)], None),
        ([answered("production", False), answered("production", None)], False),
        ([answered("production", True), answered("production", None, None)], True),
        ([answered("production", None, None), answered("training", True)], True),
        ([answered("training", True), answered("training", False)], False),
        ([answered(None, None)], None),
        ([answered("production", None, None)], None),
    ],
)
def test_the_candidate_is_not_worse_when_no_metric_that_counts_is(
    rows: list[MetricComparison], expected: bool | None
) -> None:
    assert non_inferior(rows) is expected


def test_a_metric_that_is_asked_for_counts_whatever_there_is_of_it() -> None:
    rows = [answered("production", True), answered("training", False)]
    assert non_inferior(rows, ["m"]) is False
    assert non_inferior([answered("production", True), answered(None, None)], ["m"]) is None
    assert non_inferior([answered("production", True)], ["m"]) is True


def test_one_row_a_metric_by_name_each_in_its_own_direction() -> None:
    def of(**values: float) -> dict[str, MetricSeries]:
        return by_metric(MetricPoint("r", name, 0, value) for name, value in values.items())

    rows = compare(
        of(rmse=2.0, accuracy=0.9, size=3.0), of(rmse=1.0, accuracy=0.8, extra=1.0), Requirements(), direction_of
    )
    assert [(row.metric, row.direction, row.better) for row in rows] == [
        ("accuracy", HIGHER, False),
        ("extra", None, None),
        ("rmse", LOWER, True),
        ("size", None, None),
    ]
    (row,) = compare(
        of(rmse=2.0, accuracy=0.9), of(rmse=1.0, accuracy=0.8), Requirements(), direction_of, ["rmse", "rmse"]
    )
    assert row.metric == "rmse"


def test_each_metric_has_its_own_margin_and_the_others_the_common_one() -> None:
    baseline, candidate = of_each(accuracy=0.93, f1=0.93, rmse=40.0), of_each(accuracy=0.92, f1=0.90, rmse=41.5)
    for texts, answers in (
        ((), (False, False, False)),
        (("0.01",), (True, False, False)),
        (("0.01", "rmse=2"), (True, False, True)),
        (("f1=0.03", "rmse=2", "0.01"), (True, True, True)),
        (("2", "accuracy=0"), (False, True, True)),
    ):
        rows = compare(baseline, candidate, requirements(texts, (), ()), direction_of)
        assert tuple(row.non_inferior for row in rows) == answers
        assert passes(rows) is all(answers)


def test_a_candidate_has_to_keep_its_limits_however_bad_the_baseline_is() -> None:
    baseline, candidate = of_each(accuracy=0.3, rmse=90.0), of_each(accuracy=0.5, rmse=40.0, extra=1.0)
    for least, most, within in (
        ((), (), True),
        (("accuracy=0.5",), ("rmse=40",), True),
        (("accuracy=0.51",), (), False),
        ((), ("rmse=39.9",), False),
        (("extra=1",), (), True),
        (("extra=1.1",), (), False),
        (("acuracy=0.1",), (), False),
    ):
        required = requirements((), least, most)
        rows = compare(baseline, candidate, required, direction_of)
        assert (non_inferior(rows), passes(rows)) == (True, within)
        # Where metrics are named, others still have to keep their limits.
        assert passes(compare(baseline, candidate, required, direction_of, ["rmse"]), ["rmse"]) is within
    # Five means of 0.9 come to a little less than 0.9.
    assert passes(compare(produced([0.1] * 7), produced([0.9] * 7), requirements((), ("m=0.9",), ()), lambda _: HIGHER))


def of_each(**values: float) -> dict[str, MetricSeries]:
    return by_metric(MetricPoint("r", name, 0, value) for name, value in values.items())


@pytest.mark.parametrize(
    ("place", "texts", "told"),
    [
        ("margin", ["x"], "Not a valid number"),
        ("margin", ["accuracy="], "Not a valid number"),
        ("margin", ["accuracy=1_0"], "Not a valid number"),
        ("margin", ["accuracy=-1"], "from 0 to 1e9"),
        ("margin", ["accuracy=0.1", "accuracy=0.2"], "accuracy is there twice"),
        ("margin", ["1", "2"], "A number without a metric is there twice"),
        ("margin", ["../up=1"], "name of a metric"),
        ("margin", ["=1"], "name of a metric"),
        ("min", ["0.9"], "Name the metric"),
        ("max", ["0.9"], "Name the metric"),
        ("min", ["accuracy=nan"], "Not a valid number"),
    ],
)
def test_what_is_required_and_cannot_be_read_is_refused(place: str, texts: list[str], told: str) -> None:
    given_texts = {"margin": (), "min": (), "max": (), place: texts}
    with pytest.raises(InvalidInput) as refused:
        requirements(given_texts["margin"], given_texts["min"], given_texts["max"])
    assert refused.value.detail.startswith(f"{place}: ")
    assert told in refused.value.detail
    with pytest.raises(InvalidInput, match="above max for accuracy"):
        requirements((), ["accuracy=0.9"], ["accuracy=0.8"])


_decimals = st.integers(-1_000_000, 1_000_000).map(lambda n: Decimal(n) / 1000)
_margins = st.integers(0, 5000).map(lambda n: Decimal(n) / 1000)


@given(_decimals, _decimals, _margins, st.sampled_from([HIGHER, LOWER]))
def test_two_decimal_numbers_are_compared_as_on_paper(a: Decimal, b: Decimal, margin: Decimal, direction: str) -> None:
    row = row_of(trained([float(a)]), trained([float(b)]), float(margin), direction)
    gain = b - a if direction == HIGHER else a - b
    assert row.non_inferior is (gain >= -margin)
    assert row.better is (None if gain == 0 else gain > 0)


_values = st.lists(st.integers(-1000, 1000).map(lambda n: n / 8), min_size=1, max_size=12)


@settings(max_examples=300)
@given(_values, _values, st.sampled_from([0, 3, 100]), st.integers(0, 400).map(lambda n: n / 8))
def test_the_answer_is_that_of_scipys_bounds(a: list[float], b: list[float], start: int, margin: float) -> None:
    row = row_of(produced(a), produced(b, start=start), margin)
    shared = [(a[day], b[day - start]) for day in range(start, min(len(a), len(b) + start))]
    if len(shared) >= 5:
        differences = [theirs - ours for ours, theirs in shared]
        expected, error, df = sum(differences) / len(shared), stats.sem(differences), len(shared) - 1.0
    elif min(len(a), len(b)) >= 5:
        expected = sum(b) / len(b) - sum(a) / len(a)
        error = math.hypot(stats.sem(a), stats.sem(b))
        shares = (stats.sem(a) ** 2, stats.sem(b) ** 2)
        parts = shares[0] ** 2 / (len(a) - 1) + shares[1] ** 2 / (len(b) - 1)
        df = math.floor(sum(shares) ** 2 / parts + 1e-9) if parts else 1.0
    else:
        expected, error, df = b[-1] - a[-1], 0.0, 1.0
    assert row.difference == pytest.approx(expected, abs=1e-9)
    bound = expected - stats.t.ppf(0.95, df) * error if error else expected
    if abs(bound + margin) > 1e-3:
        assert row.non_inferior is bool(bound >= -margin)


_any = st.lists(
    st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, 5e-324, HUGE, -HUGE]),
    max_size=8,
)


@settings(max_examples=300)
@given(_any, _any, _any, _any, st.floats(0, 1e9), st.sampled_from([HIGHER, LOWER, None]), st.integers(0, 9))
def test_whatever_was_logged_every_figure_is_finite_and_swapping_turns_the_difference(
    a: Values, b: Values, c: Values, d: Values, margin: float, direction: str | None, start: int
) -> None:
    baseline = by_metric(points(a, EVALUATION_RUN) + points(b, SOURCE_RUN))
    candidate = by_metric(points(c, EVALUATION_RUN, start=start) + points(d, SOURCE_RUN))
    there, back = (
        compare(*pair, Requirements(margin), lambda _: direction)
        for pair in ((baseline, candidate), (candidate, baseline))
    )
    assert len(there) == len(back) == (1 if baseline or candidate else 0)
    for row, turned in zip(there, back, strict=True):
        assert (row.method, row.n, row.population) == (turned.method, turned.n, turned.population)
        for figure in (row.baseline, row.candidate, row.difference):
            assert figure is None or math.isfinite(figure)
        assert (row.difference is None) == (row.method is None)
        if row.difference is not None:
            assert turned.difference == -row.difference
            assert (row.better is None) == (turned.better is None)
            assert row.better is None or row.better != turned.better
        if direction is None or row.method is None:
            assert row.non_inferior is None
        assert row.reason


@given(_values, _values, st.integers(0, 9), st.floats(0, 100), st.floats(0, 100))
def test_a_wider_margin_never_turns_a_yes_into_a_no(
    a: list[float], b: list[float], start: int, margin: float, more: float
) -> None:
    narrow = row_of(produced(a), produced(b, start=start), margin)
    wide = row_of(produced(a), produced(b, start=start), margin + more)
    assert wide.non_inferior or not narrow.non_inferior


def cases(values: Values, counts: Sequence[int], start: int = 0, every: int = DAY_MS) -> dict[str, MetricSeries]:
    """The series of an accuracy with the number of cases behind each value."""
    return by_metric(
        MetricPoint("run", "accuracy", start * DAY_MS + number * every, value, EVALUATION_RUN, n=n)
        for number, (value, n) in enumerate(zip(values, counts, strict=True))
    )


UNEVEN = [10_000] * 22 + [5] * 4


@pytest.mark.parametrize("start", [0, 40])
def test_days_of_few_cases_do_not_let_a_worse_candidate_pass(start: int) -> None:
    champion = [0.9 + 0.002 * (day % 3 - 1) for day in range(22)] + [0.4, 0.6, 0.2, 0.4]
    worse = [value - 0.03 for value in champion[:22]] + [0.6, 0.8, 0.4, 0.8]
    row = row_of(cases(champion, UNEVEN), cases(worse, UNEVEN, start), 0.01)
    assert row.baseline == pytest.approx(0.9, abs=0.002)
    assert row.difference == pytest.approx(-0.03, abs=0.003)
    assert (row.better, row.non_inferior, "weighed by their cases" in row.reason) == (False, False, True)
    as_good = [value + 0.001 for value in champion[:22]] + [0.0, 0.0, 0.0, 0.0]
    assert row_of(cases(champion, UNEVEN), cases(as_good, UNEVEN, start), 0.01).non_inferior is True


@given(
    st.lists(st.floats(0, 1), min_size=5, max_size=12), st.lists(st.floats(0, 1), min_size=5, max_size=12),
    st.integers(1, 10**9), st.integers(1, 10**9), st.sampled_from([0, 40]),
)  # fmt: skip
def test_equally_many_cases_change_nothing(a: list[float], b: list[float], n: int, m: int, start: int) -> None:
    without = (by_metric(points(values, EVALUATION_RUN, start=at)) for values, at in ((a, 0), (b, start)))
    plain, weighed = row_of(*without), row_of(cases(a, [n] * len(a)), cases(b, [m] * len(b), start))
    assert replace(weighed, metric="m") == plain


share_and_cases = st.tuples(st.floats(0, 1), st.integers(1, 10**9))


@given(st.lists(st.tuples(share_and_cases, share_and_cases), min_size=5, max_size=40), st.sampled_from([0, 40]))
def test_a_weighed_mean_lies_between_the_values_and_every_figure_is_finite(days: list, start: int) -> None:
    ours, theirs = ([day[side] for day in days] for side in (0, 1))
    row = row_of(cases(*zip(*ours, strict=True)), cases(*zip(*theirs, strict=True), start))
    for mean, side in ((row.baseline, ours), (row.candidate, theirs)):
        values = [value for value, _ in side]
        assert mean is not None
        assert min(values) - 1e-9 <= mean <= max(values) + 1e-9
    assert row.difference == pytest.approx((row.candidate or 0) - (row.baseline or 0), abs=1e-9)
    assert "Not comparable" not in row.reason
    assert "nan" not in row.reason
