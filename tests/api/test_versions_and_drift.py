"""One model: its versions, and its metrics day by day."""

from typing import Any
from urllib.parse import quote

import pytest

from app.domain.errors import MlflowUnavailable
from app.domain.registry.names import EVALUATES
from app.domain.times import DAY_MS, day_start
from tests.api.service import Service
from tests.fakes.memory_mlflow import MemoryGateway, MemoryWorld

NOON = 1_699_963_200_000  # 2023-11-14T12:00:00Z, ten hours before the world begins


def versions(name: str) -> str:
    return f"/model/{quote(name, safe='')}/versions"


def drift(name: str, days: object = None) -> str:
    return f"/model/{quote(name, safe='')}/drift" + (f"?days={days}" if days is not None else "")


def test_versions_come_highest_first_with_everything_but_the_name(service: Service, world: MemoryWorld) -> None:
    for _ in range(10):
        world.add_version("m")
    world.add_version("m", {"accuracy": 0.9}, stage="Staging", tags={"a": "b"}, description="eleventh")
    world.add_version("other")
    service.register("m", 11, "regressor")
    found = service.json(versions("m"))
    assert [row["version"] for row in found] == [str(n) for n in range(11, 0, -1)]
    row = service.row("m", 11)
    del row["name"]
    assert found[0] == row
    assert (row["model_type"], row["monitored"]) == ("regressor", True)


def test_a_model_without_versions_has_none(service: Service, world: MemoryWorld) -> None:
    world.add_model("empty")
    assert service.json(versions("empty")) == []
    assert service.json(drift("empty")) == []


@pytest.mark.parametrize("name", ["a b", 'it\'s "x" & y', "100%25", "🧬", "old:name", "end\n", " "])
def test_a_model_is_found_under_any_name(service: Service, world: MemoryWorld, name: str) -> None:
    world.add_version(name, {"m": 1.0})
    assert [row["version"] for row in service.json(versions(name))] == ["1"]
    assert [row["version"] for row in service.json(drift(name))] == ["1"]


@pytest.mark.parametrize("name", ["nobody", "M", "m ", "%"])
def test_an_unknown_model_is_a_404(shared: Service, name: str) -> None:
    for path in (versions(name), drift(name)):
        response = shared.get(path)
        assert (response.status_code, response.json) == (404, {"detail": "Model not found in MLflow"})


def test_a_model_newer_than_the_mirror_is_found_and_from_then_on_listed(service: Service, world: MemoryWorld) -> None:
    service.json("/models/all")
    world.add_version("new", {"m": 1.0})
    assert [row["version"] for row in service.json(versions("new"))] == ["1"]
    assert service.keys("/models/all") == [("new", "1")]


def test_a_day_has_the_last_value_of_each_metric_and_versions_come_highest_first(
    service: Service, world: MemoryWorld
) -> None:
    world.add_version("m", {})
    world.add_version("m", {}, stage="Production")
    run, evaluation = world.run_of("m", 2), world.add_run({}, {EVALUATES: "models:/m/2"})
    world.log_metric(run, "accuracy", 0.5, NOON - DAY_MS)
    world.log_metric(run, "accuracy", 0.7, NOON + 2)
    world.log_metric(run, "accuracy", 0.6, NOON + 1)
    world.log_metric(evaluation, "loss", 0.1, NOON)
    world.log_metric(world.run_of("m", 1), "rmse", 3.0, NOON)
    assert service.json(drift("m")) == [
        {
            "version": "2",
            "stage": "Production",
            "metrics_over_time": [
                {"date": "2023-11-13T00:00:00Z", "accuracy": 0.5},
                {"date": "2023-11-14T00:00:00Z", "accuracy": 0.7, "loss": 0.1},
            ],
            "verdict": "insufficient_data",
            "verdicts": {"accuracy": "insufficient_data", "loss": "insufficient_data"},
            "populations": {"accuracy": "training", "loss": "production"},
        },
        {
            "version": "1",
            "stage": "None",
            "metrics_over_time": [{"date": "2023-11-14T00:00:00Z", "rmse": 3.0}],
            "verdict": "insufficient_data",
            "verdicts": {"rmse": "insufficient_data"},
            "populations": {"rmse": "training"},
        },
    ]


def test_drift_of_some_metrics_asks_mlflow_for_no_other(
    service: Service, world: MemoryWorld, gateway: MemoryGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    evidence = gateway.evidence

    def noting(*given: Any) -> Any:
        asked.append(list(given[2]))
        return evidence(*given)

    monkeypatch.setattr(gateway, "evidence", noting)
    world.add_version("m", {"accuracy": 0.9, "f1": 0.8, "loss": 0.1})
    world.add_version("m", {"loss": 0.2})
    (entry,) = service.json(f"{drift('m')}?metric=f1&metric=accuracy")
    assert (entry["version"], set(entry["verdicts"])) == ("1", {"accuracy", "f1"})
    assert entry["metrics_over_time"] == [{"date": "2023-11-14T00:00:00Z", "accuracy": 0.9, "f1": 0.8}]
    assert service.json(f"{drift('m')}?metric=unknown") == []
    assert service.get(f"{drift('m')}?metric=").status_code == 400
    assert [row["version"] for row in service.json(drift("m"))] == ["2", "1"]
    assert asked == [["f1", "accuracy"], ["unknown"], []]


def test_a_version_without_points_in_the_window_has_no_entry(service: Service, world: MemoryWorld) -> None:
    world.add_version("m", {})
    world.log_metric(world.run_of("m", 1), "accuracy", 0.5, NOON - 3 * DAY_MS)
    assert service.json(drift("m", 3)) == []
    assert len(service.json(drift("m", 4))) == 1


def test_the_window_ends_now_and_begins_so_many_days_before(service: Service, world: MemoryWorld) -> None:
    world.add_version("m", {})
    run = world.run_of("m", 1)
    service.json("/models/all")
    world.now = day_start(NOON) + 10 * DAY_MS
    for time in (world.now - DAY_MS - 1000, world.now - DAY_MS + 1000, world.now - 1000, world.now + DAY_MS):
        world.log_metric(run, str(time), 1.0, time)
    days = service.json(drift("m", 1))[0]["metrics_over_time"]
    assert [day["date"] for day in days] == ["2023-11-23T00:00:00Z"]
    assert set(days[0]) == {"date", str(world.now // 1000 * 1000 - DAY_MS + 1000), str(world.now // 1000 * 1000 - 1000)}


def test_a_day_without_points_is_left_out_and_nan_is_null(service: Service, world: MemoryWorld) -> None:
    world.add_version("m", {})
    run = world.run_of("m", 1)
    world.log_metric(run, "accuracy", 0.5, NOON - 5 * DAY_MS)
    world.log_metric(run, "accuracy", 0.4, NOON)
    world.log_metric(run, "accuracy", None, NOON + 1)
    assert service.json(drift("m"))[0]["metrics_over_time"] == [
        {"date": "2023-11-09T00:00:00Z", "accuracy": 0.5},
        {"date": "2023-11-14T00:00:00Z", "accuracy": None},
    ]


def test_a_metric_named_date_does_not_hide_the_date(service: Service, world: MemoryWorld) -> None:
    world.add_version("m", {"date": 5.0, "accuracy": 1.0})
    assert service.json(drift("m"))[0]["metrics_over_time"] == [{"date": "2023-11-14T00:00:00Z", "accuracy": 1.0}]


@pytest.mark.parametrize("days", ["1", "3650"])
def test_from_one_day_to_ten_years_can_be_asked_for(shared: Service, days: str) -> None:
    assert len(shared.json(drift("m", days))) == 2


@pytest.mark.parametrize("days", ["0", "-5", "3651", "x", "", "1.5", "9" * 30])
def test_days_that_cannot_be_used_are_a_400(shared: Service, days: str) -> None:
    response = shared.get(drift("m", days))
    assert response.status_code == 400
    assert response.json["detail"].startswith("days: ")


def test_with_mlflow_down_versions_are_served_and_drift_is_a_500(service: Service, gateway: MemoryGateway) -> None:
    gateway.world.add_version("m", {"accuracy": 1.0})
    service.json("/models/all")
    gateway.failure = MlflowUnavailable("MLflow is down.")
    assert len(service.json(versions("m"))) == 1
    # The mirror cannot say that a model does not exist: it may be newer than the mirror.
    assert service.get(versions("newer")).json == {"detail": "MLflow is down."}
    response = service.get(drift("m"))
    assert (response.status_code, response.json) == (500, {"detail": "MLflow is down."})
