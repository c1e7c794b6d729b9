"""The service itself: the root, health, liveness, readiness, configuration."""

from collections.abc import Callable
from pathlib import Path

import pytest

from app.domain.errors import MlflowUnavailable
from config import RELEASE
from tests.api.service import Service
from tests.fakes.memory_mlflow import MemoryGateway, MemoryWorld

Start = Callable[..., Service]
DOWN = MlflowUnavailable("MLflow is down.")


def test_the_root_says_what_this_is(shared: Service) -> None:
    assert shared.json("/") == {
        "message": "LifeDNA MLOps Control Tower API",
        "status": "ready",
        "version": "1.0.0",
        "docs": "/docs",
    }


def test_healthy_while_mlflow_answers(service: Service, world: MemoryWorld) -> None:
    world.add_version("m")
    world.add_experiment("second")
    world.add_experiment("gone")
    world.delete_experiment("gone")
    service.refresh()
    found = service.json("/health")
    assert found["cache_status"].pop("last_refresh").startswith("2023-11-14T22:13:20")
    assert found == {
        "status": "healthy",
        "mlflow_connection": "connected",
        "experiments_count": 2,
        "cache_status": {"ready": True, "total_models": 1, "is_refreshing": False},
    }


def test_degraded_while_mlflow_does_not_answer(service: Service, gateway: MemoryGateway) -> None:
    gateway.failure = DOWN
    assert service.json("/health") == {
        "status": "degraded",
        "mlflow_connection": "disconnected",
        "experiments_count": 0,
        "cache_status": {"ready": False, "total_models": 0, "is_refreshing": False, "last_refresh": None},
    }


def test_degraded_still_counts_the_experiments_of_the_snapshot(start: Start, gateway: MemoryGateway) -> None:
    gateway.world.add_experiment("second")
    start().refresh()
    gateway.failure = DOWN
    assert start().json("/health")["experiments_count"] == 2


def test_health_asks_mlflow_at_most_once_in_five_seconds_whoever_is_asked(start: Start, gateway: MemoryGateway) -> None:
    workers = [start(), start()]
    for worker in workers * 5:
        worker.json("/health")
        worker.json("/cache/info")
    assert gateway.calls.count("ping") == 1
    gateway.failure = DOWN
    workers[0].clock.forward(5)
    assert [worker.json("/health")["status"] for worker in workers * 2] == ["degraded"] * 4
    assert gateway.calls.count("ping") == 2


def test_alive_whatever_mlflow_does(service: Service, gateway: MemoryGateway) -> None:
    gateway.failure = DOWN
    assert service.json("/livez") == {"status": "alive"}
    assert gateway.calls == []


def test_ready_once_there_is_something_to_serve(service: Service, gateway: MemoryGateway) -> None:
    gateway.failure = DOWN
    response = service.get("/readyz")
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "5"
    gateway.failure = None
    service.agent.coordinator.tick()
    service.clock.forward(20)
    service.agent.coordinator.tick()
    assert service.json("/readyz") == {"status": "ready"}
    gateway.failure = DOWN
    assert service.get("/readyz").status_code == 200


def test_without_a_cache_ready_while_mlflow_answers(start: Start, gateway: MemoryGateway) -> None:
    service = start(enable_cache=False)
    assert service.get("/readyz").status_code == 200
    gateway.failure = DOWN
    service.clock.forward(5)
    assert service.get("/readyz").status_code == 503


def test_the_configuration_is_told_as_the_old_service_told_it(start: Start) -> None:
    service = start(
        mlflow_tracking_uri="https://mlflow.example:5000/base",
        api_host="127.0.0.1",
        api_port=9000,
        enable_mock_data=True,
        enable_debug_endpoints=False,
    )
    assert service.json("/config") == {
        "mlflow": {"tracking_uri": "https://mlflow.example:5000/base", "authentication": False, "workspace": None},
        "api": {"host": "127.0.0.1", "port": 9000, "version": "1.0.0"},
        "release": RELEASE,
        "features": {
            "mock_data_enabled": True,
            "debug_endpoints_enabled": False,
            "cache_enabled": True,
            "access_keys_enabled": False,
        },
        "validation": {"mlflow_configured": True, "api_port_valid": True, "log_level_valid": True},
    }


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({"mlflow_tracking_uri": "http://ada:hunter2@mlflow:5000"}, "http://mlflow:5000"),
        ({"mlflow_tracking_uri": "http://ada:hunt@er2@mlflow:5000/x"}, "http://mlflow:5000/x"),
        ({"mlflow_tracking_uri": "https://hunter2@mlflow"}, "https://mlflow"),
        ({"mlflow_tracking_uri": "postgresql://ada:hunter2@db/mlflow"}, "postgresql://db/mlflow"),
        ({"mlflow_tracking_uri": "http://mlflow", "mlflow_tracking_password": "hunter2"}, "http://mlflow"),
        ({"mlflow_tracking_uri": "http://mlflow", "mlflow_tracking_token": "hunter2"}, "http://mlflow"),
    ],
)
def test_the_configuration_never_shows_a_credential(start: Start, settings: dict[str, str], shown: str) -> None:
    service = start(**settings)
    assert service.json("/config")["mlflow"] == {"tracking_uri": shown, "authentication": True, "workspace": None}
    assert "er2" not in service.get("/config").text


def test_the_configuration_tells_whether_there_are_keys(start: Start, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    service = start(api_tokens_file=keys)
    assert service.tower.keys is not None
    service.token = service.tower.keys.add("ada", "admin")
    assert service.json("/config")["features"]["access_keys_enabled"] is True
