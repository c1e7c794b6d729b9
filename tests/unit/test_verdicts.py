"""What the rules say of a series: when they are silent, when they fire, and how often they are wrong."""

import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.check_settings import CheckSettings, check_settings
from app.domain.evidence import series_by_metric
from app.domain.models import MetricPoint, Registration
from app.domain.rules import figures, first_points, unlike_baseline
from app.domain.times import DAY_MS
from app.domain.verdicts import judge_metric, judge_registration, judge_version
from tests.unit.series import START, judged, points, series

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
        "accuracy 0.871, baseline 0.940 ± 0.010, below for 3 of the last 5 points since 2023-12-05",
    )
    assert found.fired == {21: ("baseline",), 23: ("baseline",), 24: ("baseline",)}


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
    assert found.reasons == (f"accuracy: {told}; a baseline needs 10, and 2 later ones",)


def test_limits_and_silence_work_without_a_baseline() -> None:
    assert judged([0.8], limits={"accuracy": {"min": 0.9}}).verdict == "degraded"
    found = judged([0.95, 0.8, 0.8, 0.8], limits={"accuracy": {"min": 0.9, "max": 1}})
    assert found.verdict == "drifting"
    assert found.reasons == (
        "accuracy 0.800, limit at least 0.900 and at most 1.000, below for 3 of the last 4 points since 2023-11-15",
    )
    assert judged([0.9, 1.0, 0.95], limits={"accuracy": {"min": 0.9, "max": 1}}).verdict == "healthy"
    assert judged([0.9], silence_hours=25).verdict == "healthy"
    assert judged([0.9], silence_hours=23).reasons == (
        "accuracy: no new point since 2023-11-14T00:00:00Z, for longer than 23 hours",
    )


def test_silence_is_degraded_and_never_drifting_and_counts_from_the_registration_where_nothing_came() -> None:
    found = judge_metric(series([0.9]), check_settings({"silence_hours": 1}), START + 400 * DAY_MS)
    assert found.verdict == "degraded"
    nothing = judge_version({}, {}, check_settings({"silence_hours": 1}), START, START + 2 * HOUR_MS)
    assert nothing.verdict == "degraded"
    assert judge_version({}, {}, check_settings({"silence_hours": 3}), START, START + 2 * HOUR_MS).verdict == (
        "insufficient_data"
    )


def test_a_point_that_is_only_shown_beside_the_series_breaks_the_silence_too() -> None:
    training = points(STEADY, source="source run", run="train")
    found = series_by_metric([*training, *points([0.5], start=START + 300 * DAY_MS)])["accuracy"]
    assert found.population == "training"
    now = START + 300 * DAY_MS + HOUR_MS
    assert judge_metric(found, check_settings({"silence_hours": 48}), now).verdict == "healthy"


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
    assert judged([None, None]).reasons == ("accuracy: no value of it is a finite number",)


def test_values_too_large_to_be_squared_are_not_judged() -> None:
    assert judged([1e300 * (-1) ** n for n in range(30)]).verdict == "insufficient_data"
    assert judged([1e300 * (-1) ** n for n in range(30)]).reasons == (
        "accuracy: its values are too large for a deviation to be computed",
    )
    assert judged([1.7e308] * 30).verdict in ("healthy", "insufficient_data")


def test_a_limit_of_a_metric_that_nobody_logs_is_said_not_to_be_applied() -> None:
    settings = check_settings({"limits": {"acuracy": {"min": 0.9}}})
    found = judge_version(series_by_metric(points([*STEADY, 0.94, 0.94])), {}, settings, START, START + 30 * DAY_MS)
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


def test_a_version_has_the_verdict_of_its_worst_metric_and_one_that_appears_late_takes_nothing_away() -> None:
    both = {**series_by_metric(points([*STEADY, 0.94, 0.94])), **series_by_metric(points([0.5], "f1"))}
    now = START + 30 * DAY_MS
    found = judge_version(both, {}, CheckSettings(), START, now)
    assert found.verdict == "healthy"
    assert {name: one.verdict for name, one in found.metrics.items()} == {
        "accuracy": "healthy",
        "f1": "insufficient_data",
    }
    both |= series_by_metric(points([*STEADY, 2.0, 2.0, 2.0], "rmse"))
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
    found = series_by_metric(shuffled + shuffled[:twice])["accuracy"]
    assert judge_metric(found, CheckSettings(), START) == judged([*STEADY, 0.9, 0.8, 0.7])


@given(
    st.lists(st.none() | st.floats(-1e6, 1e6), max_size=60),
    st.sampled_from(["accuracy", "rmse", "my_score"]),
    st.integers(1, 5),
)
def test_every_series_gets_a_verdict_with_a_reason(values: list[float | None], metric: str, m: int) -> None:
    found = judge_version(
        series_by_metric(points(values, metric)), {}, check_settings({"alarm": {"m": m, "n": 5}}), START, START
    )
    assert found.verdict in ("healthy", "degraded", "drifting", "insufficient_data")
    assert found.reasons


@given(st.lists(st.floats(0, 1), min_size=22, max_size=60), st.floats(1e-3, 1e3), st.floats(-100, 100))
def test_another_unit_does_not_change_which_points_are_out(values: list[float], scale: float, shift: float) -> None:
    base = figures(values[:20])
    moved = figures([value * scale + shift for value in values[:20]])
    assert base is not None
    assert moved is not None
    if base.std < 1e-3:
        return
    first = unlike_baseline(values[20:], base, None)
    second = unlike_baseline([value * scale + shift for value in values[20:]], moved, None)
    # A value on the very limit may fall to either side of it.
    edge = base.reach / base.std
    clear = all(abs(abs(value - base.mean) / base.std - edge) > 1e-3 for value in values[20:])
    if clear and abs(shift) <= scale * 1e3:
        assert [one is None for one in first] == [one is None for one in second] or base.std * scale < 1e-6
