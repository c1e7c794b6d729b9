"""Data drift: what is called moved, and how rarely that is a false alarm. The seeds are fixed; each limit is stated."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.domain.data_drift.binning import counted, numeric_bins
from app.domain.data_drift.bins import Categories, NumericBins
from app.domain.data_drift.counts import ColumnCounts
from app.domain.data_drift.judging import MOVED, OUT, QUIET, TOO_FEW_ROWS, Column, Judgement, Rules, judge
from app.domain.data_drift.words import described
from bench.data_drift import Case, by_this_rule, columns_of, normal_counts

Draw = Callable[[np.random.Generator, int], ColumnCounts]
CHANGE = 30


def numbers(shift: float, rows: int = 1000, missing: float = 0) -> Draw:
    def draw(rng: np.random.Generator, window: int) -> ColumnCounts:
        lacking = int(rng.binomial(rows, missing if window >= CHANGE else 0))
        counts = normal_counts(rng, rows - lacking, shift if window >= CHANGE else 0)
        return ColumnCounts(counts.cells, lacking)

    return draw


def classes(before: float, after: float, rows: int) -> Draw:
    def draw(rng: np.random.Generator, window: int) -> ColumnCounts:
        rare = after if window >= CHANGE else before
        return ColumnCounts(tuple(rng.multinomial(rows, [0.7 * (1 - rare), 0.3 * (1 - rare), rare]).tolist()))

    return draw


def share_found(draw: Draw, reference: Callable[[np.random.Generator], ColumnCounts], is_output: bool = False) -> float:
    """In how many of 60 runs the column is called moved within three windows of the change, as one of 20 columns.

    It is judged alone, at the rate that is left to it if none of the other 19 moves.
    """
    rate = 0.05 * (0.2 if is_output else 1 / 20)
    found = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        windows = [draw(rng, window) for window in range(CHANGE + 3)]
        judgements = judge([Column("x", "", is_output, reference(rng), windows)], Rules(false_discoveries=rate))[0]
        found += any(one.verdict == MOVED for one in judgements[CHANGE:])
    return found / 60


def alone(reference: ColumnCounts, windows: list[ColumnCounts]) -> list[Judgement]:
    return judge([Column("x", "", False, reference, windows)], Rules())[0]


@pytest.mark.parametrize("noise", [0, 0.05])
def test_two_hundred_columns_without_drift_are_left_alone_for_ninety_windows(noise: float) -> None:
    rng = np.random.default_rng(20231201)
    case = Case("30 to 100,000", noise, columns=200)
    assert by_this_rule(columns_of(case, rng)).any(axis=0).sum() == 0


def test_large_windows_without_drift_are_left_alone_although_days_differ_by_more_than_chance() -> None:
    rng = np.random.default_rng(20231201)
    case = Case("100,000", 0.05, columns=20)
    alarms = sum(int(by_this_rule(columns_of(case, rng)).any(axis=0).sum()) for _ in range(3))
    assert alarms <= 3 * 90 / 200


def test_a_shift_of_a_third_of_a_deviation_is_found_within_three_windows() -> None:
    assert share_found(numbers(0.3), lambda rng: normal_counts(rng, 10_000)) >= 0.95


def test_missing_values_that_were_not_there_are_found_within_three_windows() -> None:
    assert share_found(numbers(0, missing=0.03), lambda rng: normal_counts(rng, 10_000)) >= 0.95


def test_a_rare_class_that_doubles_is_found_within_three_windows() -> None:
    draw = classes(0.002, 0.004, 20_000)
    ten_windows = classes(0.002, 0.002, 200_000)
    assert share_found(draw, lambda rng: ten_windows(rng, 0), is_output=True) >= 0.95


def test_drift_in_one_segment_of_two_percent_is_found() -> None:
    assert share_found(numbers(0.7, rows=400), lambda rng: normal_counts(rng, 1000)) >= 0.95


def test_a_relation_that_changes_moves_no_input_but_the_predictions() -> None:
    """Only columns by themselves are compared, as the documentation says; the model sees more of them at once."""
    rng = np.random.default_rng(1)
    bins = numeric_bins(rng.normal(size=10_000))

    def draw(rows: int, sign: int) -> list[ColumnCounts]:
        one = rng.normal(size=rows)
        other = sign * 0.9 * one + np.sqrt(1 - 0.81) * rng.normal(size=rows)
        said = int((one * other > 0).sum())
        return [*(ColumnCounts(counted(bins, values)) for values in (one, other)), ColumnCounts((rows - said, said))]

    reference = draw(10_000, 1)
    windows = [draw(1000, 1 if window < CHANGE else -1) for window in range(CHANGE + 3)]
    columns = [
        Column(name, "", is_output, reference[place], [window[place] for window in windows], is_output)
        for place, (name, is_output) in enumerate({"one": False, "other": False, "said": True}.items())
    ]
    one, other, said = ([judgement.verdict for judgement in of] for of in judge(columns, Rules()))
    assert MOVED not in one + other
    assert MOVED not in said[:CHANGE]
    assert said[CHANGE + 1] == MOVED


def test_weekends_that_differ_from_a_mondays_reference_become_what_is_usual() -> None:
    rng = np.random.default_rng(1)
    days = [normal_counts(rng, 5000, 0.5 if day % 7 >= 5 else 0) for day in range(60)]
    judgements = alone(normal_counts(rng, 5000), days)
    assert [day for day, one in enumerate(judgements) if one.verdict != QUIET] == [5, 6]
    assert judgements[5].is_provisional
    assert judgements[5].verdict == OUT


def test_a_slow_creep_does_not_become_what_is_usual() -> None:
    rng = np.random.default_rng(1)
    days = [normal_counts(rng, 1000, 0.01 * day) for day in range(90)]
    judgements = alone(normal_counts(rng, 10_000), days)
    assert judgements[-1].verdict == MOVED


def test_few_rows_are_said_to_be_too_few() -> None:
    rng = np.random.default_rng(1)
    windows = [normal_counts(rng, 29), normal_counts(rng, 30, 5)]
    assert [one.verdict for one in alone(normal_counts(rng, 1000), windows)] == [TOO_FEW_ROWS, OUT]


def test_a_column_that_is_all_null_or_constant_is_quiet_until_it_is_not() -> None:
    null, seven = ColumnCounts((0,), 1000), ColumnCounts((0, 1000, 0))
    assert {one.verdict for one in alone(null, [null] * 15)} == {QUIET}
    assert {one.verdict for one in alone(seven, [seven] * 15)} == {QUIET}
    appeared = alone(null, [*[null] * 12, *[ColumnCounts((900,), 100)] * 2])
    assert [one.verdict for one in appeared[-2:]] == [OUT, MOVED]
    changed = alone(seven, [*[seven] * 12, *[ColumnCounts((0, 500, 500))] * 2])
    assert [one.verdict for one in changed[-2:]] == [OUT, MOVED]


def test_a_renamed_column_is_all_missing_and_moved() -> None:
    rng = np.random.default_rng(1)
    windows = [*(normal_counts(rng, 1000) for _ in range(12)), *[ColumnCounts((0,) * 66, 1000)] * 2]
    judgements = alone(normal_counts(rng, 10_000), windows)
    assert [one.verdict for one in judgements[-2:]] == [OUT, MOVED]
    assert judgements[-1].missing_change == 1


def test_a_default_that_replaces_a_tenth_of_the_values_is_found() -> None:
    rng = np.random.default_rng(1)
    bins = numeric_bins(rng.normal(size=10_000))

    def draw(defaults: int) -> ColumnCounts:
        return ColumnCounts(counted(bins, np.concatenate([rng.normal(size=1000 - defaults), np.full(defaults, -999)])))

    judgements = alone(
        ColumnCounts(counted(bins, rng.normal(size=10_000))), [draw(0) for _ in range(12)] + [draw(100)] * 2
    )
    assert judgements[-1].verdict == MOVED


def test_one_window_alone_is_never_an_alarm() -> None:
    rng = np.random.default_rng(1)
    windows = [normal_counts(rng, 1000, 2 if window == 15 else 0) for window in range(20)]
    judgements = alone(normal_counts(rng, 10_000), windows)
    assert judgements[15].verdict == OUT
    assert MOVED not in {one.verdict for one in judgements}


def test_a_difference_that_nobody_would_act_on_is_quiet() -> None:
    rng = np.random.default_rng(1)
    windows = [normal_counts(rng, 1_000_000, 0.05 if window >= 15 else 0) for window in range(20)]
    judgements = alone(normal_counts(rng, 1_000_000), windows)
    assert judgements[-1].p_chance is not None
    assert judgements[-1].p_chance < 1e-9
    assert {one.verdict for one in judgements} == {QUIET}


def test_the_words_name_what_moved_and_what_that_was_compared_with() -> None:
    rng = np.random.default_rng(1)
    bins = numeric_bins(np.arange(1.0, 37.0).repeat(100))
    reference = ColumnCounts(counted(bins, np.arange(1.0, 37.0).repeat(100)), 4)
    usual = [ColumnCounts(counted(bins, rng.integers(1, 37, 3600).astype(float))) for _ in range(12)]
    longer = np.concatenate([rng.integers(1, 37, 2600), rng.integers(24, 37, 1000)]).astype(float)
    moved = ColumnCounts(counted(bins, longer), 116)
    judgements = alone(reference, [*usual, moved, moved])
    words = [described(bins, reference, moved, one, Rules()) for one in judgements[-2:]]
    assert words[1] == (
        "15 % of the mass moved, mostly to 32 to 36; missing 0.11 % → 3.1 %; outside what 12 earlier windows showed"
    )
    assert described(bins, reference, usual[0], judgements[0], Rules()) == "like the reference"


counts_of_any_kind = st.builds(
    ColumnCounts,
    st.tuples(*[st.sampled_from([0, 1, 30, 5000])] * 3),
    st.sampled_from([0, 40, 9000]),
    st.sampled_from([0, 40, 9000]),
)


@given(
    reference=counts_of_any_kind,
    windows=st.lists(counts_of_any_kind, min_size=1, max_size=4),
    is_categorical=st.booleans(),
)
@example(
    reference=ColumnCounts((0, 0, 0), 9000),
    windows=[ColumnCounts((30, 5000, 0)), ColumnCounts((0, 5000, 0))],
    is_categorical=False,
)
def test_there_are_words_for_any_counts(
    reference: ColumnCounts, windows: list[ColumnCounts], is_categorical: bool
) -> None:
    bins = Categories(("a", "b"), ("c",)) if is_categorical else NumericBins((1.0, 2.0))
    judgements = judge([Column("x", "", is_categorical, reference, windows)], Rules())[0]
    for window, judgement in zip(windows, judgements, strict=True):
        words = described(bins, reference, window, judgement, Rules())
        assert "nan" not in words
        assert ("too few" in words) == (judgement.verdict == TOO_FEW_ROWS)


def test_a_column_whose_rare_values_are_all_missing_is_described() -> None:
    bins = Categories(("a",), ())
    reference, window = ColumnCounts((900,), 0, 100), ColumnCounts((0,), 1000, 0)
    judgement = alone(reference, [window])[0]
    assert described(bins, reference, window, judgement, Rules()).startswith(
        "missing 0 % → 100 %; rare or new 10 % → 0 %"
    )


def test_the_words_name_a_rare_category_that_doubled() -> None:
    bins = Categories(("no", "yes", "fraud"))
    reference, window = ColumnCounts((70_000, 29_800, 200)), ColumnCounts((14_000, 5_900, 100))
    judgement = judge([Column("prediction", "", True, reference, [window], True)], Rules())[0][0]
    assert described(bins, reference, window, judgement, Rules()) == (
        "'fraud' 0.2 % → 0.5 %; provisional, with only 0 comparable earlier windows"
    )
