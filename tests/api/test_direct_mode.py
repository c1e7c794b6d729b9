"""`ENABLE_CACHE=false`: every request reads MLflow."""

from collections.abc import Callable

import pytest

from app.domain.errors import MlflowUnavailable
from tests.api.service import Service
from tests.fakes.memory_mlflow import MemoryGateway, MemoryWorld

Start = Callable[..., Service]


@pytest.fixture
def direct(start: Start, world: MemoryWorld) -> Service:
    """A worker without a cache; MLflow holds version 1 of `m` in Production."""
    world.add_version("m", stage="Production")
    return start(enable_cache=False)


def test_a_change_is_seen_at_once(direct: Service, world: MemoryWorld) -> None:
    assert direct.keys("/models/all") == [("m", "1")]
    world.add_version("m")
    assert direct.keys("/models/all") == [("m", "2"), ("m", "1")]
    assert len(direct.json("/model/m/versions")) == 2
    world.add_experiment("new")
    assert len(direct.json("/experiments")) == 2
    assert direct.get("/model/nobody/versions").status_code == 404


def test_registrations_are_those_of_mlflow_whoever_made_them(direct: Service, start: Start, world: MemoryWorld) -> None:
    other = start(enable_cache=False)
    assert direct.register("m").status_code == 201
    assert other.is_monitored("m")
    assert other.keys("/models/monitored") == [("m", "1")]
    assert other.row("m")["monitored"] is True
    assert other.register("m").status_code == 400
    assert other.remove("m").status_code == 200
    assert not direct.is_monitored("m")
    assert direct.remove("m").status_code == 404
    assert direct.register("m").status_code == 201


def test_what_was_read_just_now_is_not_stale(direct: Service) -> None:
    direct.register("m")
    for path in ("/models/all", "/models/monitored", "/experiments", "/dashboard/summary"):
        assert "X-Data-Stale" not in direct.get(path).headers


def test_every_figure_is_true(direct: Service, world: MemoryWorld) -> None:
    direct.register("m")
    world.add_version("m", stage="Staging")
    summary = direct.json("/dashboard/summary")
    assert (summary["total_models"], summary["production_models"], summary["monitored_models"]) == (2, 1, 1)
    assert summary["total_runs"] == 3
    found = direct.json("/cache/info")
    assert found["tracking_info"] == {
        "total_models": 2,
        "production_models": 1,
        "staging_models": 1,
        "monitored_models": 1,
    }
    assert found["system_status"] == {"mlflow_connected": True, "tracking_method": "direct", "cache_enabled": False}


def test_debug_tells_what_is_registered(direct: Service, world: MemoryWorld) -> None:
    direct.register("m", registered_by="ada")
    found = direct.json("/debug/monitored")
    assert found["monitored_count"] == 1
    assert [(r["registered_by"], r["run_id"]) for r in found["monitored_list"]] == [("ada", world.run_of("m", 1))]
    assert [row["name"] for row in found["model_details"]] == ["m"]


def test_there_is_nothing_to_refresh(direct: Service, gateway: MemoryGateway) -> None:
    response = direct.post("/cache/refresh")
    assert response.status_code == 400
    assert "ENABLE_CACHE" in response.json["detail"]
    direct.agent.coordinator.tick()
    assert gateway.calls == []


def test_a_snapshot_of_earlier_days_with_a_cache_is_not_told_of(start: Start, gateway: MemoryGateway) -> None:
    gateway.world.add_version("m")
    start().refresh()
    gateway.world.add_version("m")
    direct = start(enable_cache=False)
    assert len(direct.json("/models/all")) == 2
    assert direct.json("/cache/info")["tracking_info"]["total_models"] == 2
    assert direct.json("/health")["cache_status"]["ready"] is False


def test_with_mlflow_down_every_read_is_a_500_with_the_reason(direct: Service, gateway: MemoryGateway) -> None:
    direct.json("/models/all")
    gateway.failure = MlflowUnavailable("MLflow is down.")
    for path in ("/models", "/models/all", "/models/monitored", "/experiments", "/dashboard/summary",
                 "/model/m/versions", "/models/m/1/monitor/status"):  # fmt: skip
        response = direct.get(path)
        assert (response.status_code, response.json) == (500, {"detail": "MLflow is down."})
    told = direct.json("/cache/info")
    assert (told["tracking_info"]["total_models"], told["system_status"]["mlflow_connected"]) == (0, False)


def test_the_sample_is_shown_with_mlflow_down_and_not_counted(start: Start, gateway: MemoryGateway) -> None:
    gateway.failure = MlflowUnavailable("MLflow is down.")
    service = start(enable_cache=False, enable_mock_data=True)
    assert service.get("/models/all").headers["X-Data-Source"] == "mock"
    assert service.json("/cache/info")["tracking_info"]["total_models"] == 0
