"""The dashboard's figures, and the debug endpoint."""

from collections.abc import Callable

import pytest

from app.domain.errors import MlflowUnavailable
from app.domain.times import DAY_MS
from tests.api.conforms import document_of
from tests.api.service import Service
from tests.fakes.memory_mlflow import MemoryGateway, MemoryWorld

Start = Callable[..., Service]
DOWN = MlflowUnavailable("MLflow is down.")


def test_every_figure_of_the_summary_is_true(service: Service, world: MemoryWorld) -> None:
    for stage in ("Production", "Production", "Staging", "Archived", "None", "None"):
        world.add_version("m", stage=stage)
    world.set_alias("m", "challenger", 6)
    world.add_experiment("gone")
    world.delete_experiment("gone")
    world.delete_run(world.add_run())
    service.refresh()
    service.register("m", 1)
    service.register("m", 4)
    service.refresh()
    found = service.json("/dashboard/summary")
    assert found.pop("runs_counted_at") > found.pop("last_updated")
    assert found == {
        "total_experiments": 3,  # Default, the deleted one, and the tower's own
        "active_experiments": 2,
        "total_models": 6,
        "monitored_models": 2,
        "production_models": 2,
        "staging_models": 2,
        "total_runs": 8,  # six source runs and two monitor runs
    }


def test_the_first_summary_has_a_count_of_runs(service: Service, world: MemoryWorld) -> None:
    world.add_run()
    assert service.json("/dashboard/summary")["total_runs"] == 1


def refreshed(service: Service) -> None:
    """A refresh, and the count that the scheduler makes after it."""
    service.refresh()
    service.agent.coordinator.count()


def test_after_a_refresh_the_runs_are_counted_anew(service: Service, world: MemoryWorld) -> None:
    refreshed(service)
    run = world.add_run()
    refreshed(service)
    assert service.json("/dashboard/summary")["total_runs"] == 1
    world.delete_run(run)
    refreshed(service)
    assert service.json("/dashboard/summary")["total_runs"] == 0


def test_runs_that_cannot_be_counted_leave_the_last_count_and_its_time(
    service: Service, world: MemoryWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add_run()
    service.refresh()
    before = service.json("/dashboard/summary")

    def fail(started_after: int | None = None) -> int:
        raise DOWN

    monkeypatch.setattr(service.gateway, "count_runs", fail)
    world.add_run()
    service.refresh()
    after = service.json("/dashboard/summary")
    assert (after["total_runs"], after["runs_counted_at"]) == (1, before["runs_counted_at"])
    assert after["last_updated"] > before["last_updated"]


def test_the_summary_follows_a_registration_at_once(service: Service, world: MemoryWorld) -> None:
    world.add_version("m")
    assert service.json("/dashboard/summary")["monitored_models"] == 0
    service.register("m")
    assert service.json("/dashboard/summary")["monitored_models"] == 1


def test_debug_tells_what_is_registered_with_its_models(service: Service, world: MemoryWorld) -> None:
    world.add_version("b", {"accuracy": 0.9}, stage="Production")
    world.add_version("a", with_run=False)
    service.refresh()
    at = service.register("b", registered_by="john_doe").json["registered_at"]
    service.register("a", model_type="regressor")
    found = service.json("/debug/monitored")
    assert found["monitored_count"] == 2
    assert found["mlflow_status"] == "connected"
    assert found["monitored_list"][1] == {
        "model_name": "b",
        "model_version": "1",
        "model_type": "classifier",
        "registered_at": at,
        "registered_by": "john_doe",
        "run_id": world.run_of("b", 1),
        "monitor_run_id": "monitor-0",
    }
    assert found["monitored_list"][0]["run_id"] is None
    assert found["model_details"] == service.json("/models/monitored")


def test_debug_tells_of_registrations_the_first_time_it_is_asked(start: Start, world: MemoryWorld) -> None:
    world.add_version("m")
    start().register("m")
    for path in (start().worker.settings.cache_directory).iterdir():
        path.unlink()
    found = start().json("/debug/monitored")
    assert (found["monitored_count"], len(found["monitored_list"]), len(found["model_details"])) == (1, 1, 1)


def test_debug_answers_with_mlflow_down(service: Service, gateway: MemoryGateway) -> None:
    gateway.failure = DOWN
    assert service.json("/debug/monitored") == {
        "monitored_count": 0,
        "monitored_list": [],
        "mlflow_status": "disconnected",
        "model_details": [],
    }


def test_debug_is_absent_where_it_is_switched_off(start: Start) -> None:
    service = start(enable_debug_endpoints=False)
    assert service.get("/debug/monitored").status_code == 404
    assert [path for path in document_of(service.app)["paths"] if "debug" in path] == []
    assert "Debug" not in document_of(service.app)["components"]["schemas"]


def test_a_count_is_made_in_full_once_a_day_and_in_between_only_of_what_is_new(
    service: Service, world: MemoryWorld
) -> None:
    runs = [world.add_run() for _ in range(2001)]
    refreshed(service)
    world.delete_run(runs[0])
    world.add_run()
    refreshed(service)
    assert service.json("/dashboard/summary")["total_runs"] == 2002
    service.clock.forward(DAY_MS / 1000)
    refreshed(service)
    assert service.json("/dashboard/summary")["total_runs"] == 2001
