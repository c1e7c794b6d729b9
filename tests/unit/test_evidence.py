"""Which points of a metric are its series, and which way it is better."""

import random

import pytest

from app.domain.check_settings import CheckSettings
from app.domain.directions import direction_of
from app.domain.evidence import series_by_metric
from app.domain.models import MetricPoint
from app.domain.verdicts import judge_metric
from tests.unit.series import START, points


def test_what_was_logged_outside_the_source_run_is_the_series_and_the_source_run_a_reference() -> None:
    training = points([0.99] * 40, source="source run", run="train")
    production = points([0.9, 0.91, 0.92], source="evaluation run", run="eval")
    found = series_by_metric(training + production)["accuracy"]
    assert found.population == "production"
    assert [point.value for point in found.points] == [0.9, 0.91, 0.92]
    assert len(found.reference) == 40


@pytest.mark.parametrize("stray", [1, 2])
def test_a_stray_point_does_not_throw_away_a_history(stray: int) -> None:
    training = points([0.99] * 10, source="source run", run="train")
    found = series_by_metric(training + points([0.9] * stray))["accuracy"]
    assert found.population == "training"
    assert (len(found.points), len(found.reference)) == (10, stray)


def test_one_point_is_the_series_where_the_source_run_has_no_history() -> None:
    training = points([0.99] * 9, source="source run", run="train")
    found = series_by_metric(training + points([0.9]))["accuracy"]
    assert (found.population, len(found.points), len(found.reference)) == ("production", 1, 9)


def test_each_metric_is_decided_by_itself() -> None:
    found = series_by_metric(points([0.1], "loss", "source run") + points([0.9], "accuracy"))
    assert {name: one.population for name, one in found.items()} == {"accuracy": "production", "loss": "training"}


def test_a_point_of_a_run_that_its_logged_model_has_too_is_one_point() -> None:
    found = series_by_metric(points([0.9, 0.8], source="logged model") + points([0.9, 0.8], source="evaluation run"))
    assert [(point.value, point.source) for point in found["accuracy"].points] == [
        (0.9, "evaluation run"),
        (0.8, "evaluation run"),
    ]


def test_two_values_at_one_time_are_two_points() -> None:
    found = series_by_metric(points([0.9]) + points([0.8]) + points([0.9], run="another"))["accuracy"]
    assert len(found.points) == 3


def test_what_was_logged_at_one_time_comes_by_its_step_and_never_by_its_value() -> None:
    rng = random.Random(1)
    values = [rng.gauss(1, 0.1) for _ in range(60)]
    at_once = [MetricPoint("run", "rmse", START, value, "monitor run") for value in values]
    found = series_by_metric(at_once)["rmse"]
    told = [point.value for point in found.points]
    assert told != sorted(values)
    assert series_by_metric(reversed(at_once))["rmse"] == found
    assert judge_metric(found, CheckSettings(), START).verdict == "healthy"
    stepped = [MetricPoint("run", "loss", START, 1 / (n + 1), "source run", n) for n in range(20)]
    assert [p.step for p in series_by_metric(reversed(stepped))["loss"].points] == list(range(20))


def test_what_the_service_itself_logs_is_no_evidence() -> None:
    assert series_by_metric(points([1.0], "control_tower.verdict")) == {}


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
