"""Which points of a metric are its series, and which way it is better."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.monitoring.check_settings import CheckSettings
from app.domain.monitoring.directions import direction_of
from app.domain.monitoring.evidence import points_by_metric, series_by_metric, until
from app.domain.monitoring.judging import judge_metric
from app.domain.registry.models import MetricPoint
from app.domain.times import DAY_MS
from tests.unit.series import START, by_metric, points


def test_what_was_logged_outside_the_source_run_is_the_series_and_the_source_run_a_reference() -> None:
    training = points([0.99] * 40, source="source run", run="train")
    production = points([0.9, 0.91, 0.92], source="evaluation run", run="eval")
    found = by_metric(training + production)["accuracy"]
    assert found.population == "production"
    assert [point.value for point in found.points] == [0.9, 0.91, 0.92]
    assert len(found.reference) == 40


@pytest.mark.parametrize("stray", [1, 2])
def test_a_stray_point_does_not_throw_away_a_history(stray: int) -> None:
    training = points([0.99] * 10, source="source run", run="train")
    found = by_metric(training + points([0.9] * stray))["accuracy"]
    assert found.population == "training"
    assert (len(found.points), len(found.reference)) == (10, stray)


def test_one_point_is_the_series_where_the_source_run_has_no_history() -> None:
    training = points([0.99] * 9, source="source run", run="train")
    found = by_metric(training + points([0.9]))["accuracy"]
    assert (found.population, len(found.points), len(found.reference)) == ("production", 1, 9)


def test_each_metric_is_decided_by_itself() -> None:
    found = by_metric(points([0.1], "loss", "source run") + points([0.9], "accuracy"))
    assert {name: one.population for name, one in found.items()} == {"accuracy": "production", "loss": "training"}


def test_a_point_of_a_run_that_its_logged_model_has_too_is_one_point() -> None:
    found = by_metric(points([0.9, 0.8], source="logged model") + points([0.9, 0.8], source="evaluation run"))
    assert [(point.value, point.source) for point in found["accuracy"].points] == [
        (0.9, "evaluation run"),
        (0.8, "evaluation run"),
    ]


def test_two_values_at_one_time_are_two_points() -> None:
    found = by_metric(points([0.9]) + points([0.8]) + points([0.9], run="another"))["accuracy"]
    assert len(found.points) == 3


def test_what_was_logged_at_one_time_comes_by_its_step_and_never_by_its_value() -> None:
    rng = random.Random(1)
    values = [rng.gauss(1, 0.1) for _ in range(60)]
    at_once = [MetricPoint("run", "rmse", START, value, "monitor run") for value in values]
    found = by_metric(at_once)["rmse"]
    told = [point.value for point in found.points]
    assert told != sorted(values)
    assert by_metric(reversed(at_once))["rmse"] == found
    assert judge_metric(found, CheckSettings(), START).verdict == "healthy"
    stepped = [MetricPoint("run", "loss", START, 1 / (n + 1), "source run", n) for n in range(20)]
    assert [p.step for p in by_metric(reversed(stepped))["loss"].points] == list(range(20))


def test_what_the_service_itself_logs_is_no_evidence() -> None:
    assert by_metric(points([1.0], "control_tower.verdict")) == {}


@pytest.mark.parametrize(
    ("metric", "better"),
    [
        ("accuracy", "higher"), ("val_accuracy", "higher"), ("test/f1_score", "higher"), ("roc_auc", "higher"),
        ("r2", "higher"), ("trainingR2", "higher"), ("precision@5", "higher"), ("r_squared", "higher"),
        ("rmse", "lower"), ("val_loss", "lower"), ("log_loss", "lower"), ("mean_absolute_error", "lower"),
        ("eval-mape", "lower"), ("brier_score", "lower"), ("ValidationError", "lower"), ("p95 latency", "lower"),
        ("neg_mean_squared_error", "higher"), ("neg_log_loss", "higher"),
        ("my_score", None), ("n_rows", None), ("x", None), ("Größe", None), ("", None),
    ],
)  # fmt: skip
def test_the_name_of_a_metric_tells_which_way_it_is_better(metric: str, better: str | None) -> None:
    assert direction_of(metric) == better


NOW = START + 30 * DAY_MS
MICROSECONDS, NANOSECONDS = 1000, 1_000_000


def at(times: list[int], value: float = 0.9, source: str = "monitor run") -> list[MetricPoint]:
    return [MetricPoint("late", "accuracy", time, value, source) for time in times]


@pytest.mark.parametrize(
    ("times", "told"),
    [
        ([NOW * MICROSECONDS], "1 point lies in the future and is left out (first 55920-06-17)"),
        ([NOW * MICROSECONDS], "Were their times sent in microseconds?"),
        ([NOW * NANOSECONDS, NOW * NANOSECONDS + 1], "2 points lie in the future and are left out"),
        ([NOW * NANOSECONDS], "Were their times sent in nanoseconds?"),
        ([NOW + DAY_MS], "(first 2023-12-15). Is the clock ahead where they are logged?"),
        ([2**63 - 1], "Is the clock ahead"),
        ([NOW // 1000], "1 point has a time of 1970, left out. Were times sent in seconds?"),
        ([0, 1, 2], "3 points have times of 1970, left out. Were times sent in seconds?"),
    ],
)
def test_a_point_whose_time_cannot_be_right_is_in_no_series_and_the_verdict_names_it(
    times: list[int], told: str
) -> None:
    good = points([0.9] * 5)
    for source in ("monitor run", "evaluation run", "logged model"):
        found = by_metric([*good, *at(times, source=source)], NOW)["accuracy"]
        assert [point.time for point in (*found.points, *found.reference)] == [point.time for point in good]
        (reason,) = found.misplaced
        assert reason.startswith("accuracy: ")
        assert told in reason


def test_a_point_of_the_next_five_minutes_is_of_now() -> None:
    assert len(by_metric(at([NOW + 300_000]), NOW)["accuracy"].points) == 1
    assert by_metric(at([NOW + 300_001]), NOW)["accuracy"].points == ()
    assert len(by_metric(at([NOW + 300_001]), NOW + 1)["accuracy"].points) == 1


def test_points_in_seconds_alone_are_judged_in_their_own_order_and_named() -> None:
    found = by_metric(at([(START + n * DAY_MS) // 1000 for n in range(5)]), NOW)["accuracy"]
    assert len(found.points) == 5
    assert found.misplaced == (
        "accuracy: 5 points have times of 1970, kept in their own order. Were times sent in seconds?",
    )


TIMES = st.one_of(st.integers(0, 2**63 - 1), st.integers(START, NOW + DAY_MS), st.integers(0, 2_000_000_000))


@given(
    st.lists(st.tuples(TIMES, st.floats(-1, 1), st.sampled_from(["source run", "monitor run"]))), st.integers(0, 2**62)
)
def test_of_any_times_none_of_the_future_is_judged_and_each_point_is_judged_shown_or_named(
    rows: list[tuple[int, float, str]], now: int
) -> None:
    found = [MetricPoint("r", "m", time, value, source, n) for n, (time, value, source) in enumerate(rows)]
    for one in by_metric(found, now).values():
        placed = [*one.points, *one.reference]
        assert all(point.time <= now + 300_000 for point in placed)
        assert len(placed) == len(found) or one.misplaced
        assert by_metric(placed, now)["m"].points == one.points if placed else True


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["accuracy", "loss"]),
            st.integers(0, 8).map(lambda day: START + day * DAY_MS) | st.integers(0, 3),
            st.sampled_from([None, 0.5, 0.9]),
            st.sampled_from(["source run", "logged model", "monitor run"]),
            st.integers(0, 1),
        ),
        max_size=40,
    ),
    st.integers(-1, 9),
)
def test_the_points_up_to_a_time_are_judged_as_if_none_had_come_later(
    rows: list[tuple[str, int, float | None, str, int]], day: int
) -> None:
    found = [MetricPoint("run", metric, time, value, source, step) for metric, time, value, source, step in rows]
    time = START + day * DAY_MS
    expected = by_metric([point for point in found if point.time <= time], time)
    assert series_by_metric(until(points_by_metric(found), time), time) == expected
