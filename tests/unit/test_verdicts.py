"""What the rules say of a series: when they are silent, when they fire, and how often they are wrong."""

import random
import re
import statistics
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.domain.monitoring.baselines import figures, first_points, unlike_baseline
from app.domain.monitoring.check_settings import CheckSettings, check_settings
from app.domain.monitoring.checks import metric_figures
from app.domain.monitoring.judging import decided_at, judge_metric, judge_registration, judge_version
from app.domain.monitoring.key_metric import worst
from app.domain.monitoring.possible import possible_range
from app.domain.monitoring.verdicts import VersionVerdict
from app.domain.registry.models import MetricPoint, Registration
from app.domain.times import DAY_MS, rfc3339
from bench.weighing import found_after
from bench.weighing import series as series_of_shares
from tests.unit.series import LATER, START, by_metric, judged, points, series

STEADY = [0.94 + 0.01 * (-1) ** n for n in range(20)]
HOUR_MS = 3_600_000


def confirmed_after(values: list[float], known: int, better: str | None) -> int | None:
    """After how many points beyond `known` 3 of the last 5 are out, as the verdict counts them."""
    start = first_points(values)
    base = figures(values[:start])
    assert base is not None
    sides = [side is not None for side in unlike_baseline(values[start:], base, better)]
    confirmed = (n for n in range(len(sides)) if sum(sides[max(0, n - 4) : n + 1]) >= 3)
    found = next(confirmed, None)
    return None if found is None else found + start + 1 - known


def test_at_most_one_of_a_hundred_unchanged_metrics_is_called_drifting_within_sixty_points() -> None:
    rng = random.Random(20231201)
    many = 6000
    wrong = sum(confirmed_after([rng.gauss(0.9, 0.02) for _ in range(80)], 20, None) is not None for _ in range(many))
    assert wrong / many <= 0.01


@pytest.mark.parametrize(("drop", "found", "delay"), [(1, 0.5, 60), (2, 0.99, 13), (3, 1.0, 7)])
def test_a_drop_is_found_the_sooner_the_larger_it_is(drop: int, found: float, delay: int) -> None:
    rng = random.Random(7)
    many = 1000
    delays = [
        confirmed_after([rng.gauss(-drop if n >= 20 else 0, 1) for n in range(80)], 20, "higher") for _ in range(many)
    ]
    seen = [one for one in delays if one is not None]
    assert len(seen) / many >= found
    assert statistics.median(seen) <= delay


def test_a_drop_right_after_the_tenth_point_is_found_and_not_learnt() -> None:
    rng = random.Random(3)
    many = 300
    found = [
        confirmed_after([rng.gauss(-4 if n >= 10 else 0, 1) for n in range(40)], 10, "higher") for _ in range(many)
    ]
    assert sum(one is not None for one in found) / many >= 0.99


def test_a_steady_series_is_healthy_and_says_what_it_is_held_against() -> None:
    found = judged([*STEADY, 0.94, 0.95])
    assert found.verdict == "healthy"
    assert found.reasons == ("accuracy 0.950, in line with baseline 0.940 ± 0.010",)
    assert found.baseline is not None
    assert (found.baseline.n, found.points, found.last) == (20, 22, (0.95, START + 21 * DAY_MS))


def test_one_point_out_is_degraded_and_three_of_five_are_drifting_with_reasons_in_words_and_figures() -> None:
    assert judged([*STEADY, 0.94, 0.87]).verdict == "degraded"
    found = judged([*STEADY, 0.94, 0.87, 0.94, 0.87, 0.871])
    assert found.verdict == "drifting"
    assert found.reasons == (
        "accuracy fell to 0.870 on 7 December; at least 0.904 was expected from its first 20 days (0.940 ± 0.010). "
        "Below at 3 of the last 5 points since 5 December. Now 0.871.",
    )
    assert found.fired == {21: ("baseline",), 23: ("baseline",), 24: ("baseline",)}


def test_a_reason_names_the_value_that_fired_where_the_last_value_is_inside_again() -> None:
    found = judged([*STEADY, 0.94, 0.6, 0.7, 0.94])
    assert found.reasons == (
        "accuracy fell to 0.600 on 5 December; at least 0.904 was expected from its first 20 days (0.940 ± 0.010). "
        "Below at 2 of the last 4 points. Now 0.940.",
    )
    assert (found.verdict, found.began) == ("degraded", START + 21 * DAY_MS)


def test_a_small_shift_began_where_the_data_changed_and_not_where_the_sum_grew_too_large() -> None:
    found = judged([*STEADY, *[0.91] * 8])
    assert found.verdict == "drifting"
    assert found.reasons[0].startswith(
        "accuracy fell to 0.910 on 11 December, a small deviation that lasts (cumulative sum); about 0.940 was "
        "expected from its first 20 days (0.940 ± 0.010). Below at 4 of the last 5 points since 4 December."
    )
    assert found.began == START + 20 * DAY_MS


def test_what_was_expected_says_which_baseline_it_is_from() -> None:
    every_hour = [replace(point, time=START + n * HOUR_MS) for n, point in enumerate(points([*STEADY, 0.94, 0.5]))]
    assert "from its first 20 points (" in version_of(every_hour, START + DAY_MS).reasons[0]
    period = {"from": rfc3339(START), "to": rfc3339(START + 19 * DAY_MS)}
    assert (
        "from its points from 14 November to 3 December (" in judged([*STEADY, 0.94, 0.5], baseline=period).reasons[0]
    )


def test_metrics_that_move_together_are_one_reason_and_the_worst_is_the_key_metric() -> None:
    drops = {"precision": 0.85, "accuracy": 0.8, "f1_score": 0.82}
    moved = [point for name, low in drops.items() for point in points([*STEADY, *[low] * 5], name)]
    rmse = points([*STEADY, 0.94, *[1.0] * 4], "rmse")
    found = version_of([*moved, *rmse], START + 25 * DAY_MS)
    assert found.reasons == (
        "accuracy, f1_score and precision fell and rmse rose together since 4 December. Worst is accuracy, "
        "at 0.800 on 8 December; at least 0.904 was expected from its first 20 days (0.940 ± 0.010). "
        "Below at 5 of the last 5 points. Now 0.800.",
    )
    assert found.began == START + 20 * DAY_MS
    assert worst({name: metric_figures(metric) for name, metric in found.metrics.items()}) == "accuracy"
    precision = version_of([*points([*STEADY, *[0.3] * 5], "precision"), *moved[25:]], START + 25 * DAY_MS)
    assert "Worst is precision" in precision.reasons[0]
    assert worst({name: metric_figures(metric) for name, metric in precision.metrics.items()}) == "precision"


def test_metrics_that_moved_at_other_times_are_reasons_of_their_own() -> None:
    early, late = points([*STEADY, *[0.5] * 20], "accuracy"), points([*STEADY, *[0.94] * 19, 0.7], "recall")
    found = version_of([*early, *late], START + 40 * DAY_MS)
    assert [reason.split()[0] for reason in found.reasons] == ["accuracy", "recall"]
    assert found.began == START + 20 * DAY_MS


def test_equal_numbers_of_cases_change_nothing_and_a_small_day_counts_for_little() -> None:
    rng = random.Random(5)
    values = [round(rng.gauss(0.9, 0.01), 3) for _ in range(40)] + [0.8] * 3
    plain = judged(values)
    weighed = [replace(point, n=300) for point in points(values)]
    found = judge_metric(by_metric(weighed)["accuracy"], CheckSettings(), START + len(values) * DAY_MS)
    assert (found.verdict, found.fired, found.began) == (plain.verdict, plain.fired, plain.began)
    assert found.baseline is not None
    assert plain.baseline is not None
    assert (found.baseline.mean, found.baseline.std) == pytest.approx((plain.baseline.mean, plain.baseline.std))
    small = [replace(point, n=5 if point.value == 0.8 else 300) for point in points(values)]
    few = judge_metric(by_metric(small)["accuracy"], CheckSettings(), LATER)
    assert (few.verdict, few.reasons[0].startswith("accuracy 0.800 of 5 cases, in line with")) == ("healthy", True)
    usual = judge_metric(by_metric(weighed[:40])["accuracy"], CheckSettings(), LATER)
    assert (usual.verdict, "cases" in usual.reasons[0]) == ("healthy", False)
    # Of other metrics, and where a number is not known, the values count as they are.
    for metric, cases in (("rmse", 300), ("accuracy", None)):
        rows = [replace(point, n=cases) for point in points(values, metric)]
        assert judge_metric(by_metric(rows)[metric], CheckSettings(), LATER).fired == judged(values, metric).fired


def test_days_of_unequal_size_give_fewer_false_alarms_and_find_a_drop_sooner() -> None:
    # The figures of many more series are in docs/decisions/0035.
    rng = random.Random(1)
    for drop in (0.0, 0.06):
        made = [series_of_shares(rng, "5 or 2000", drop, 0.0) for _ in range(20)]
        plain, weighed = ([found_after(points, weighs) for points in made] for weighs in (False, True))
        found = [[after for after in answers if after is not None] for answers in (plain, weighed)]
        if drop:
            assert len(found[1]) == len(made) > len(found[0])
            assert statistics.median(found[1]) < statistics.median(found[0])
        else:
            assert len(found[1]) <= len(found[0])


def test_a_drop_that_is_over_is_forgotten() -> None:
    assert judged([*STEADY, *[0.8] * 40, *[0.94] * 4]).verdict == "degraded"
    assert judged([*STEADY, *[0.8] * 40, *[0.94] * 5]).verdict == "healthy"


def test_a_metric_that_gets_better_is_healthy_and_one_of_unknown_direction_is_not() -> None:
    assert judged([*STEADY, *[0.99] * 5]).verdict == "healthy"
    assert judged([*STEADY, *[0.99] * 5]).reasons == ("accuracy 0.990, better than baseline 0.940 ± 0.010",)
    assert judged([*STEADY, *[0.99] * 5], "rmse").verdict == "drifting"
    assert judged([*STEADY, *[0.80] * 5], "rmse").verdict == "healthy"
    assert judged([*STEADY, *[0.99] * 5], "my_score").verdict == "drifting"
    assert judged([*STEADY, *[0.99] * 5], "my_score", direction={"my_score": "higher"}).verdict == "healthy"
    assert judged([*STEADY, *[0.99] * 5], direction={"accuracy": "lower"}).verdict == "drifting"


@pytest.mark.parametrize("count", [0, 1, 2, 9, 10, 11])
def test_without_ten_points_and_two_later_ones_nothing_is_claimed(count: int) -> None:
    values = STEADY[:count]
    if not values:
        assert judge_version({}, {}, CheckSettings(), START, START).verdict == "insufficient_data"
        return
    found = judged(values)
    assert (found.verdict, found.baseline) == ("insufficient_data", None)
    told = "1 point" if count == 1 else f"{count} points"
    assert found.reasons == (f"accuracy: {told}; a baseline needs 10, and 2 later points",)


def test_limits_and_silence_work_without_a_baseline() -> None:
    assert judged([0.8], limits={"accuracy": {"min": 0.9}}).verdict == "degraded"
    found = judged([0.95, 0.8, 0.8, 0.8], limits={"accuracy": {"min": 0.9, "max": 1}})
    assert found.verdict == "drifting"
    assert found.reasons == (
        "accuracy fell to 0.800 on 17 November; its limit is at least 0.900 and at most 1.000. "
        "Below at 3 of the last 4 points since 15 November. Now 0.800.",
    )
    assert judged([0.9, 1.0, 0.95], limits={"accuracy": {"min": 0.9, "max": 1}}).verdict == "healthy"
    assert judged([0.9], silence_hours=25).verdict == "healthy"
    assert judged([0.9], silence_hours=23).reasons == (
        "accuracy: no new point since 2023-11-14T00:00:00Z, for longer than 23 hours",
    )


def test_silence_is_degraded_and_never_drifting_and_counts_from_the_registration_where_nothing_came() -> None:
    found = judge_metric(series([0.9]), check_settings({"silence_hours": 1}), START + 400 * DAY_MS)
    # No data came, so none has changed.
    assert (found.verdict, found.began) == ("degraded", None)
    nothing = judge_version({}, {}, check_settings({"silence_hours": 1}), START, START + 2 * HOUR_MS)
    assert nothing.verdict == "degraded"
    assert judge_version({}, {}, check_settings({"silence_hours": 3}), START, START + 2 * HOUR_MS).verdict == (
        "insufficient_data"
    )


def test_a_point_that_is_only_shown_beside_the_series_breaks_the_silence_too() -> None:
    training = points(STEADY, source="source run", run="train")
    found = by_metric([*training, *points([0.5], start=START + 300 * DAY_MS)])["accuracy"]
    assert found.population == "training"
    now = START + 300 * DAY_MS + HOUR_MS
    assert judge_metric(found, check_settings({"silence_hours": 48}), now).verdict == "healthy"


def version_of(found: list[MetricPoint], now: int, **settings: object) -> VersionVerdict:
    return judge_version(by_metric(found, now), {}, check_settings(settings), START, now)


def test_metrics_of_the_source_run_fall_silent_only_while_nothing_else_is_logged() -> None:
    training = [replace(point, metric="loss") for point in points(STEADY, source="source run", run="train")]
    late = START + 400 * DAY_MS
    fresh = points([*STEADY, 0.94], start=late - 15 * DAY_MS)
    assert version_of([*training, *fresh], late - HOUR_MS, silence_hours=48).verdict == "healthy"
    assert version_of(training, late, silence_hours=48).reasons[0].startswith("loss: no new point since")
    silent = version_of([*training, *fresh], late + 9 * DAY_MS, silence_hours=48)
    assert [reason.partition(":")[0] for reason in silent.reasons] == ["accuracy"]


def test_points_sent_in_microseconds_hide_no_drift_and_no_silence() -> None:
    late = START + 40 * DAY_MS
    ahead = [MetricPoint("run", "accuracy", (late + n) * 1000, 0.94, "monitor run") for n in range(5)]
    found = version_of([*points([*STEADY, *[0.5] * 20]), *ahead], late)
    assert found.verdict == "drifting"
    assert found.reasons[0].startswith("accuracy fell to 0.500 on 23 December; at least 0.904 was expected")
    assert found.reasons[1].startswith("accuracy: 5 points lie in the future and are left out (first 5")
    assert found.metrics["accuracy"].last == (0.5, START + 39 * DAY_MS)
    assert found.metrics["accuracy"].points == 40
    healthy = version_of([*points([*STEADY, 0.94, 0.95]), *ahead], late)
    assert (healthy.verdict, len(healthy.reasons)) == ("healthy", 2)
    silent = version_of([*points([*STEADY, 0.94, 0.95]), *ahead], late, silence_hours=24)
    assert silent.verdict == "degraded"
    assert "no new point since 2023-12-05" in silent.reasons[0]


def test_a_version_with_points_of_the_future_alone_has_no_data_and_falls_silent_and_says_why() -> None:
    ahead = [MetricPoint("run", "accuracy", START * 1000, 0.94, "monitor run")]
    found = version_of(ahead, START + DAY_MS)
    assert found.verdict == "insufficient_data"
    assert [reason[:40] for reason in found.reasons] == ["accuracy: 1 point lies in the future and"]
    assert version_of(ahead, START + DAY_MS, silence_hours=1).verdict == "degraded"


def test_what_is_said_of_times_is_said_beside_the_worse_metrics_too() -> None:
    ahead = [MetricPoint("run", "accuracy", LATER * 1000, 0.94, "monitor run")]
    drifted = points([*STEADY, *[2.0] * 5], "rmse")
    found = version_of([*points([*STEADY, 0.94, 0.95]), *ahead, *drifted], LATER)
    assert found.verdict == "drifting"
    assert [reason.split()[0] for reason in found.reasons] == ["rmse", "accuracy:"]


@pytest.mark.parametrize("away", [-10, -30, -1000, 30, 1e9])
@pytest.mark.parametrize("count", [20, 19, 14, 10])
def test_one_odd_day_in_the_baseline_does_not_let_the_same_value_pass_later(away: float, count: int) -> None:
    if (away, count) == (-10, 10):
        away = -15  # the fewer points, the wider their limits
    rng = random.Random(f"{away} {count}")
    for _ in range(30):
        values = [rng.gauss(0, 1) for _ in range(count + 2)]
        values[rng.randrange(count)] = away
        found = judged([*values, away], "my_score", baseline={"points": count})
        assert count + 2 in found.fired
        assert found.verdict == "degraded"
        assert found.baseline is not None
        assert abs(found.baseline.mean) < 1.5
        assert found.baseline.std < 2


def test_two_odd_days_of_twenty_do_not_hide_each_other_and_are_counted() -> None:
    base = figures([*STEADY[:18], 0.3, 0.35])
    assert base is not None
    assert (base.n, base.set_aside) == (18, 2)
    assert (base.mean, base.std) == pytest.approx((0.94, 0.0103), rel=1e-2)
    assert judged([0.3, *STEADY, 0.95, 0.94]).reasons == (
        "accuracy 0.940, in line with baseline 0.941 ± 0.010 (1 outlier set aside)",
    )


def test_a_weekly_rhythm_stays_in_the_baseline() -> None:
    rng = random.Random(5)
    week = [rng.gauss(0.94 - 0.1 * (n % 7 > 4), 0.01) for n in range(42)]
    found = judged(week)
    assert found.verdict == "healthy"
    assert found.baseline == replace(figures(week[:20]), set_aside=0)


@given(st.lists(st.floats(-1, 1), min_size=10, max_size=40), st.floats(-1e300, 1e300))
def test_a_value_that_was_set_aside_is_out_when_it_comes_again(values: list[float], odd: float) -> None:
    base = figures([*values, odd])
    if base and base.set_aside == 1 and base == replace(figures(values) or base, set_aside=1):
        assert unlike_baseline([odd], base, None) != [None]


def test_a_value_far_on_the_better_side_is_degraded_and_asks_about_the_unit() -> None:
    found = judged([*STEADY, 0.94, 40.0])
    assert found.verdict == "degraded"
    assert found.reasons == (
        "accuracy rose to 40.000 on 5 December, far better than its first 20 days (0.940 ± 0.010). "
        "Has its unit changed? Now 40.000.",
    )
    assert found.fired == {21: ("unit",)}
    assert judged([*STEADY, *[40.0] * 10]).verdict == "degraded"
    assert judged([*STEADY, 40.0, *[0.94] * 4]).verdict == "degraded"
    assert judged([*STEADY, 40.0, *[0.94] * 5]).verdict == "healthy"
    assert judged([*STEADY, 0.94, 1.1]).verdict == "healthy"
    assert judged([*STEADY, 0.94, -1.0], "rmse").verdict == "degraded"
    assert judged([*STEADY, 0.94, 40.0], "my_score").reasons[0].startswith("my_score rose to 40.000")
    assert judged([*STEADY, 0.94, 40.0, 0.1, 0.1, 0.1]).verdict == "drifting"


def test_of_equal_values_only_another_size_asks_about_the_unit() -> None:
    assert judged([0.9] * 20 + [0.95] * 3).verdict == "healthy"
    assert judged([0.9] * 20 + [90.0] * 3).verdict == "degraded"
    assert judged([0.0] * 20 + [90.0] * 3).verdict == "healthy"


@given(st.floats(0.01, 1000), st.sampled_from([1e-15, 1e-9, 1e-5, 1e-3, 0.1]))
def test_a_value_and_the_limit_that_it_crossed_are_never_written_alike(limit: float, part: float) -> None:
    value = limit * (1 - part)
    assume(value < limit)
    (reason,) = judged([value] * 3, limits={"accuracy": {"min": limit}}).reasons
    words = re.search(r"fell to (\S+) on .*; its limit is at least (\S+)\. ", reason)
    assert words is not None
    assert words[1] != words[2]
    assert [float(word) for word in words.groups()] == pytest.approx([value, limit], rel=0.06)


def test_m_of_n_can_be_set() -> None:
    assert judged([*STEADY, 0.94, 0.8], alarm={"m": 1, "n": 1}).verdict == "drifting"
    assert judged([*STEADY, 0.8, 0.94], alarm={"m": 1, "n": 1}).verdict == "healthy"
    assert judged([*STEADY, *[0.8] * 4], alarm={"m": 5, "n": 10}).verdict == "degraded"


def test_a_constant_series_is_healthy_and_any_other_value_is_not() -> None:
    assert judged([0.95] * 30).verdict == "healthy"
    assert judged([0.9] * 30).reasons == ("accuracy 0.900, in line with baseline 0.900 ± 0.000",)
    assert judged([0.1 + 0.2, 0.3] * 15).verdict == "healthy"
    assert judged([0.95] * 20 + [0.94] * 3).verdict == "drifting"
    assert judged([0.0] * 30).verdict == "healthy"


def test_what_is_no_number_is_judged_by_no_rule() -> None:
    with_gaps: list[float | None] = [x for value in [*STEADY, 0.94, 0.95] for x in (value, None)]
    found = judged(with_gaps)
    assert (found.verdict, found.points) == ("healthy", 22)
    assert judged([None, None]).verdict == "insufficient_data"
    assert judged([None, None]).reasons == ("accuracy: none of its values is a finite number",)


def test_values_too_large_to_be_squared_are_not_judged() -> None:
    assert judged([1e300 * (-1) ** n for n in range(30)]).verdict == "insufficient_data"
    assert judged([1e300 * (-1) ** n for n in range(30)]).reasons == (
        "accuracy: its values are too large to compute a standard deviation",
    )
    assert judged([1.7e308] * 30).verdict in ("healthy", "insufficient_data")


def test_a_limit_of_a_metric_that_nobody_logs_is_said_not_to_be_applied() -> None:
    settings = check_settings({"limits": {"acuracy": {"min": 0.9}}})
    found = judge_version(by_metric(points([*STEADY, 0.94, 0.94])), {}, settings, START, START + 30 * DAY_MS)
    assert found.verdict == "healthy"
    assert found.reasons[-1] == "acuracy: no point yet, so its limit is not applied"
    assert judge_version({}, {}, settings, START, START).reasons[-1] == found.reasons[-1]


def test_a_period_can_be_the_baseline() -> None:
    period = {"from": "2023-11-14T00:00:00Z", "to": "2023-11-23T00:00:00Z"}
    found = judged([*STEADY[:10], 0.8, 0.8, 0.8], baseline=period)
    assert found.verdict == "drifting"
    assert found.baseline is not None
    assert found.baseline.n == 10
    assert judged([*STEADY[:10], 0.8], baseline=period).verdict == "insufficient_data"
    empty = {"from": "2020-11-14T00:00:00Z", "to": "2020-11-23T00:00:00Z"}
    assert judged([*STEADY, 0.8, 0.8], baseline=empty).verdict == "insufficient_data"


def test_another_version_can_be_the_baseline_where_its_points_are_of_the_same_population() -> None:
    registration = Registration("m", 2, "classifier", "ada", START, "run", START, {"baseline": {"version": "1"}})
    late = points([0.8, 0.8, 0.8], start=START + 100 * DAY_MS)
    now = START + 110 * DAY_MS
    found = judge_registration(registration, {("m", 2): late, ("m", 1): points(STEADY)}, now)[1]
    assert found.verdict == "drifting"
    of_training = points(STEADY, source="source run")
    assert judge_registration(registration, {("m", 2): late, ("m", 1): of_training}, now)[1].verdict == (
        "insufficient_data"
    )
    assert judge_registration(registration, {("m", 2): late}, now)[1].verdict == "insufficient_data"


def test_another_version_as_baseline_does_not_teach_its_own_drift() -> None:
    registration = Registration("m", 2, "classifier", "ada", START, "run", START, {"baseline": {"version": "1"}})
    other = Registration("m", 1, "classifier", "ada", START, "other", START)
    champion = points([*STEADY, *[0.5] * 60])
    late = points([0.5, 0.5, 0.5], start=START + 100 * DAY_MS)
    evidence = {("m", 2): late, ("m", 1): champion}
    found = judge_registration(registration, evidence, LATER)[1]
    assert found.verdict == "drifting"
    own = judge_registration(other, evidence, LATER)[1].metrics["accuracy"].baseline
    assert found.metrics["accuracy"].baseline == own
    assert own == figures(STEADY)
    # Its own settings say which of its points are its baseline.
    period = {"from": rfc3339(START + 30 * DAY_MS), "to": rfc3339(START + 70 * DAY_MS)}
    chosen = {other.key: replace(other, settings={"baseline": period})}
    assert judge_registration(registration, evidence, LATER, chosen)[1].verdict == "healthy"


@pytest.mark.parametrize(
    ("values", "settings", "day"),
    [
        ([*STEADY, 0.5], {}, len(STEADY)),
        ([*STEADY, 0.5, 0.5, 0.5, 0.5], {}, len(STEADY) + 2),
        ([0.9, 0.7, 0.9], {"limits": {"accuracy": {"min": 0.8}}}, 1),
        # It was degraded before, and was drifting in between.
        ([*STEADY, 0.5, 0.5, 0.5, *STEADY[:8], 0.5], {}, len(STEADY) + 11),
    ],
)
def test_which_point_decided_does_not_depend_on_how_many_came_later(
    values: list[float], settings: dict[str, object], day: int
) -> None:
    registration = Registration("m", 1, "classifier", "ada", 7, "run", START, settings)

    def decided(found: Sequence[MetricPoint]) -> tuple[str, int]:
        evidence, now = {("m", 1): found}, found[-1].time + 1
        judged = judge_registration(registration, evidence, now)
        return judged[1].verdict, decided_at(registration, evidence, judged)

    verdict, at = decided(points(values))
    assert at == START + day * DAY_MS
    assert decided(points(values[: day + 1])) == (verdict, at)
    # Other metrics that are well decide nothing.
    assert decided(points(values) + points([0.9], "recall", start=START + len(values) * DAY_MS)) == (verdict, at)


def test_where_no_point_decided_it_is_the_newest_and_where_nothing_changed_for_long_the_registration() -> None:
    registration = Registration("m", 1, "classifier", "ada", 7, "run", START, {"silence_hours": 24})

    def decided(found: Sequence[MetricPoint], now: int) -> tuple[str, int]:
        judged = judge_registration(registration, {("m", 1): found}, now)
        return judged[1].verdict, decided_at(registration, {("m", 1): found}, judged)

    quiet = points(STEADY)
    assert decided(quiet, LATER) == ("degraded", quiet[-1].time)
    assert decided([], LATER) == ("degraded", 0)
    steady = points(STEADY * 3)
    assert decided(steady, steady[-1].time) == ("healthy", 7)


def test_a_version_has_the_verdict_of_its_worst_metric_and_one_that_appears_late_takes_nothing_away() -> None:
    both = {**by_metric(points([*STEADY, 0.94, 0.94])), **by_metric(points([0.5], "f1"))}
    now = START + 30 * DAY_MS
    found = judge_version(both, {}, CheckSettings(), START, now)
    assert found.verdict == "healthy"
    assert {name: one.verdict for name, one in found.metrics.items()} == {
        "accuracy": "healthy",
        "f1": "insufficient_data",
    }
    both |= by_metric(points([*STEADY, 2.0, 2.0, 2.0], "rmse"))
    found = judge_version(both, {}, CheckSettings(), START, now)
    assert found.verdict == "drifting"
    assert [reason.split()[0] for reason in found.reasons] == ["rmse"]


def test_figures_of_the_machine_are_not_judged() -> None:
    assert judged([*STEADY, 9.0, 9.0, 9.0], "system/cpu_utilization_percentage").verdict == "insufficient_data"


def test_hundreds_of_metrics_do_not_make_hundreds_of_reasons() -> None:
    many = {f"m{n}": series([0.1], f"m{n}") for n in range(300)}
    found = judge_version(many, {}, CheckSettings(), START, START)
    assert len(found.reasons) == 21
    assert found.reasons[-1] == "and 280 more"


@given(st.permutations(points([*STEADY, 0.9, 0.8, 0.7])), st.integers(0, 3))
def test_the_order_in_which_points_come_and_how_often_does_not_matter(shuffled: list[MetricPoint], twice: int) -> None:
    found = by_metric(shuffled + shuffled[:twice])["accuracy"]
    assert judge_metric(found, CheckSettings(), START) == judged([*STEADY, 0.9, 0.8, 0.7])


@given(
    st.lists(st.none() | st.floats(-1e6, 1e6), max_size=60),
    st.sampled_from(["accuracy", "rmse", "my_score"]),
    st.integers(1, 5),
)
def test_every_series_gets_a_verdict_with_a_reason(values: list[float | None], metric: str, m: int) -> None:
    found = judge_version(
        by_metric(points(values, metric)), {}, check_settings({"alarm": {"m": m, "n": 5}}), START, START
    )
    assert found.verdict in ("healthy", "degraded", "drifting", "insufficient_data")
    assert found.reasons


@given(st.lists(st.floats(0, 1), min_size=22, max_size=60), st.floats(1e-3, 1e3), st.floats(-100, 100))
def test_another_unit_does_not_change_which_points_are_out(values: list[float], scale: float, shift: float) -> None:
    base = figures(values[:20])
    moved = figures([value * scale + shift for value in values[:20]])
    assert base is not None
    assert moved is not None
    if base.std < 1e-3 or base.set_aside != moved.set_aside:
        return
    first = unlike_baseline(values[20:], base, None)
    second = unlike_baseline([value * scale + shift for value in values[20:]], moved, None)
    # A value on the very limit may fall to either side of it.
    edge = base.reach / base.std
    clear = all(abs(abs(value - base.mean) / base.std - edge) > 1e-3 for value in values[20:])
    if clear and abs(shift) <= scale * 1e3:
        assert [one is None for one in first] == [one is None for one in second] or base.std * scale < 1e-6


@pytest.mark.parametrize(
    ("metric", "values", "possible"),
    [
        ("accuracy", [0.9], (0.0, 1.0)),
        ("val_F1Score", [0.9, None], (0.0, 1.0)),
        ("accuracy", [93.2], (0.0, None)),
        ("rmse", [4.0], (0.0, None)),
        ("error_rate", [0.1], (0.0, None)),
        ("loss", [-0.1], (None, None)),
        ("neg_mean_squared_error", [-4.0], (None, 0.0)),
        ("r2", [-3.0], (None, 1.0)),
        ("mcc", [0.1], (-1.0, 1.0)),
        ("clicks", [5.0], (None, None)),
    ],
)
def test_what_a_metric_can_be_follows_from_its_name_unless_a_value_denies_it(
    metric: str, values: list[float | None], possible: tuple[float | None, float | None]
) -> None:
    assert possible_range(metric, values) == possible
