"""The mirror: what is told of it, reading it anew, clearing what is persisted."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from app.domain.errors import LockTimeout, MlflowRefused, MlflowUnavailable
from app.domain.registry.codec import INDEX, part_keys
from app.domain.registry.models import Inventory
from app.domain.registry.server import MlflowServer
from app.services.host.file_cache import FileCache
from tests.api.service import Service
from tests.fakes.memory_mlflow import MemoryGateway, MemoryWorld
from tests.fakes.memory_world import Clock, memory_world

Start = Callable[..., Service]
DOWN = MlflowUnavailable("MLflow is down.")


@pytest.fixture
def fleet(service: Service, world: MemoryWorld) -> Service:
    """Five versions, one of each stage and one by an alias, two of them monitored; read once."""
    for stage in ("Production", "Staging", "Archived", "None", "None"):
        world.add_version("m", stage=stage)
    world.set_alias("m", "champion", 5)
    service.refresh()
    service.register("m", 1)
    service.register("m", 2)
    return service


def test_every_figure_of_the_cache_is_true(fleet: Service, tmp_path: Path) -> None:
    fleet.clock.forward(90 * 60)
    cache = FileCache(tmp_path / "cache")
    files = [facts[0] for key in (INDEX, *part_keys()) if (facts := cache.facts(key))]
    found = fleet.json("/cache/info")
    persistence = found["cache_info"].pop("persistence")
    assert persistence.pop("cache_file_size_bytes") == sum(files)
    # The file is of today, which the clock of this world says nothing of.
    assert persistence.pop("cache_file_age_hours") is None
    assert persistence == {
        "enabled": True,
        "cache_directory": str(tmp_path / "cache"),
        "cache_file_exists": True,
        "max_age_hours": 24,
    }
    assert found["cache_info"] == {
        "total_models": 5,
        "models_by_stage": {"None": 1, "Staging": 1, "Production": 2, "Archived": 1},
        "last_refresh": fleet.get("/models").headers["X-Data-As-Of"],
        "is_refreshing": False,
        "cache_age_minutes": 90.0,
        "is_stale": False,
        "unreadable_rows": 0,
    }
    assert found["tracking_info"] == {
        "total_models": 5,
        "production_models": 2,
        "staging_models": 1,
        "monitored_models": 2,
    }
    assert found["system_status"] == {"mlflow_connected": True, "tracking_method": "cached", "cache_enabled": True}


def test_what_the_server_lacks_and_which_workspaces_are_not_shown_can_be_read(
    start: Start, gateway: MemoryGateway
) -> None:
    gateway.mlflow = MlflowServer("2.22.1", ("default", "fraud", "sales"))
    service = start(mlflow_tracking_uri="http://mlflow:5000", mlflow_workspace="fraud")
    assert service.json("/cache/info")["mlflow_server"]["version"] is None
    service.agent.stores.server.update(gateway)
    assert service.json("/cache/info")["mlflow_server"] == {
        "version": "2.22.1",
        "lacks": ["logged models", "webhooks", "workspaces"],
        "workspace": "fraud",
        "other_workspaces": ["default", "sales"],
    }
    # Of another MLflow nothing is known yet.
    other = start(mlflow_tracking_uri="http://elsewhere:5000").json("/cache/info")["mlflow_server"]
    assert (other["version"], other["other_workspaces"]) == (None, [])


def test_the_age_of_the_file_on_disk_is_told_in_hours(fleet: Service, tmp_path: Path) -> None:
    then = fleet.world.now / 1000 + 3600
    for path in (tmp_path / "cache").iterdir():
        os.utime(path, (then, then))
    fleet.clock.forward(3 * 3600)
    assert fleet.json("/cache/info")["cache_info"]["persistence"]["cache_file_age_hours"] == 2.0


def test_nothing_is_told_of_a_cache_that_holds_nothing(service: Service, gateway: MemoryGateway) -> None:
    gateway.failure = DOWN
    found = service.json("/cache/info")
    assert found["cache_info"]["total_models"] == 0
    assert found["cache_info"]["last_refresh"] is None
    assert found["cache_info"]["cache_age_minutes"] is None
    assert found["cache_info"]["persistence"]["cache_file_exists"] is False
    assert found["system_status"] == {"mlflow_connected": False, "tracking_method": "cached", "cache_enabled": True}


def test_without_persistence_no_file_is_told_of(start: Start) -> None:
    service = start(enable_cache_persistence=False)
    service.refresh()
    told = service.json("/cache/info")["cache_info"]["persistence"]
    assert (told["enabled"], told["cache_file_exists"], told["cache_file_size_bytes"]) == (False, False, None)


def test_a_refresh_reads_everything_anew_and_tells_what_there_is(fleet: Service, world: MemoryWorld) -> None:
    world.add_version("new")
    world.set_stage("m", 4, "Staging")
    response = fleet.post("/cache/refresh")
    assert response.status_code == 200
    told = response.json
    assert (told["message"], told["models_synced"]) == ("Cache refreshed successfully", 6)
    stats = fleet.json("/cache/info")["cache_info"]
    assert told["cache_stats"] == stats
    assert stats["models_by_stage"] == {"None": 1, "Staging": 2, "Production": 2, "Archived": 1}
    assert fleet.row("new")["stage"] == "None"


def test_a_refresh_that_fails_is_a_500_and_the_snapshot_stays(fleet: Service, gateway: MemoryGateway) -> None:
    before = fleet.get("/models/all")
    gateway.failure = DOWN
    response = fleet.post("/cache/refresh")
    assert (response.status_code, response.json) == (500, {"detail": "MLflow is down."})
    after = fleet.get("/models/all")
    assert (after.json, after.headers["ETag"]) == (before.json, before.headers["ETag"])
    told = fleet.json("/cache/info")["refresh"]
    assert told["last_error"] == "MLflow is down."
    assert told["last_failure"] > told["last_success"]


@pytest.mark.parametrize("failure", [DOWN, MlflowRefused("MLflow refused the request."), LockTimeout("Others write.")])
def test_a_refresh_that_could_not_read_the_registrations_says_so_and_its_model_versions_are_new(
    fleet: Service, gateway: MemoryGateway, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def fail() -> None:
        raise failure

    fleet.world.add_version("new")
    with monkeypatch.context() as patch:
        patch.setattr(gateway, "open_registrations", fail)
        answer = fleet.post("/cache/refresh")
    assert (answer.status_code, answer.json["models_synced"]) == (200, 6)
    assert "registrations could not be read" in answer.json["message"]
    assert answer.json["registrations_error"] == str(failure)
    assert fleet.json("/cache/info")["refresh"]["registrations_error"] == str(failure)
    answer = fleet.post("/cache/refresh")
    assert (answer.json["message"], answer.json["registrations_error"]) == ("Cache refreshed successfully", None)
    assert fleet.json("/cache/info")["refresh"]["registrations_error"] is None


def test_where_this_user_may_not_read_the_registrations_a_refresh_succeeds_and_the_cache_s_report_says_so(
    fleet: Service, gateway: MemoryGateway
) -> None:
    gateway.registrations_denied = True
    answer = fleet.post("/cache/refresh")
    assert (answer.status_code, answer.json["message"]) == (200, "Cache refreshed successfully")
    told = fleet.json("/cache/info")["refresh"]
    assert "MONITORING_EXPERIMENT" in told["registrations_error"] == answer.json["registrations_error"]
    assert told["last_error"] is None


def test_a_refresh_that_crashes_is_a_500_without_its_text_and_the_next_one_may_succeed(
    fleet: Service, gateway: MemoryGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash() -> Inventory:
        raise RuntimeError("secret")

    with monkeypatch.context() as patch:
        patch.setattr(gateway, "read_inventory", crash)
        response = fleet.post("/cache/refresh")
    assert response.status_code == 500
    assert "secret" not in response.text + fleet.get("/cache/info").text
    told = fleet.json("/cache/info")
    assert (told["refresh"]["last_error"], told["cache_info"]["is_refreshing"]) == ("Internal error", False)
    fleet.refresh()


def test_the_last_refresh_is_told_also_by_another_worker(fleet: Service, start: Start) -> None:
    told = start().json("/cache/info")["refresh"]
    assert told == fleet.json("/cache/info")["refresh"]
    assert told["last_attempt"] < told["last_success"]
    assert (told["last_failure"], told["last_error"]) == (None, None)
    assert told["mlflow_requests"] == 1
    assert told["process"].endswith(f":{os.getpid()}")


def test_while_a_refresh_runs_it_is_told(
    fleet: Service, gateway: MemoryGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    read = gateway.read_inventory

    def watched() -> Inventory:
        seen.append(fleet.json("/cache/info")["cache_info"]["is_refreshing"])
        seen.append(fleet.json("/health")["cache_status"]["is_refreshing"])
        return read()

    monkeypatch.setattr(gateway, "read_inventory", watched)
    fleet.refresh()
    assert seen == [True, True]
    assert fleet.json("/health")["cache_status"]["is_refreshing"] is False


def test_a_clear_takes_the_file_and_leaves_what_is_served(fleet: Service, start: Start, gateway: MemoryGateway) -> None:
    before = fleet.json("/models/all")
    response = fleet.delete("/cache/clear")
    assert response.status_code == 200
    assert {**response.json, "timestamp": ""} == {
        "message": "Persistent cache cleared successfully",
        "timestamp": "",
        "note": "Next startup will fetch fresh data from MLflow",
    }
    assert fleet.json("/models/all") == before
    told = fleet.json("/cache/info")["cache_info"]
    assert (told["total_models"], told["persistence"]["cache_file_exists"]) == (5, False)
    calls = gateway.calls.count("read_inventory")
    assert start().json("/models/all") == before
    assert gateway.calls.count("read_inventory") == calls + 1


def test_a_clear_of_nothing_succeeds(service: Service) -> None:
    assert [service.delete("/cache/clear").status_code for _ in range(2)] == [200, 200]


def test_a_clear_that_cannot_be_done_is_a_500_that_says_what_to_check(fleet: Service, tmp_path: Path) -> None:
    for path in (tmp_path / "cache").iterdir():
        path.unlink()
        path.mkdir()
    response = fleet.delete("/cache/clear")
    assert response.status_code == 500
    assert "CACHE_DIRECTORY" in response.json["detail"]


def test_the_lists_are_marked_stale_when_the_snapshot_is_too_old(start: Start, world: MemoryWorld) -> None:
    service = start(cache_max_age_hours=2)
    world.add_version("m")
    first = service.get("/models/all")
    assert "X-Data-Stale" not in first.headers
    service.clock.forward(2 * 3600 + 1)
    for path in ("/models/all", "/experiments", "/dashboard/summary", "/model/m/versions"):
        found = service.get(path)
        assert (found.status_code, found.headers["X-Data-Stale"]) == (200, "true")
        assert found.headers["X-Data-As-Of"] == first.headers["X-Data-As-Of"]
    assert service.json("/cache/info")["cache_info"]["is_stale"] is True
    service.agent.coordinator.tick()
    assert "X-Data-Stale" not in service.get("/models/all").headers
    assert service.json("/cache/info")["cache_info"]["is_stale"] is False


def test_an_answer_without_a_single_model_is_asked_for_again(
    fleet: Service, gateway: MemoryGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = gateway.read_inventory
    answers = iter([True])

    def empty_once() -> Inventory:
        inventory = read()
        return Inventory(inventory.read_at, (), (), inventory.experiments) if next(answers, False) else inventory

    monkeypatch.setattr(gateway, "read_inventory", empty_once)
    fleet.refresh()
    assert len(fleet.json("/models/all")) == 5


def test_an_answer_without_a_single_model_is_believed_when_it_is_given_twice(
    fleet: Service, world: MemoryWorld
) -> None:
    world.delete_model("m")
    fleet.refresh()
    assert fleet.json("/models/all") == []


def test_an_answer_without_a_single_experiment_is_never_believed(fleet: Service, world: MemoryWorld) -> None:
    world.delete_model("m")
    world.experiments.clear()
    response = fleet.post("/cache/refresh")
    assert response.status_code == 500
    assert len(fleet.json("/models/all")) == 5


def test_a_cache_that_cannot_be_written_costs_only_the_cache(tmp_path: Path, start: Start, world: MemoryWorld) -> None:
    (tmp_path / "cache").write_text("in the way")
    world.add_version("m")
    service = start()
    assert service.keys("/models/all") == [("m", "1")]
    assert service.register("m").status_code == 201
    assert service.is_monitored("m")
    service.refresh()
    assert service.json("/cache/info")["cache_info"]["total_models"] == 1
    assert service.json("/dashboard/summary")["monitored_models"] == 1


def test_an_age_that_nobody_knows_is_shown_as_unknown_and_never_as_fresh(tmp_path: Path) -> None:
    gateway = MemoryGateway()
    gateway.world.add_version("m")
    clock = Clock(gateway)
    clock.ahead = 26 * 3600
    Service(tmp_path, gateway, memory_world(tmp_path, gateway, clock)).refresh()
    clock.ahead = 0
    service = Service(tmp_path, gateway, memory_world(tmp_path, gateway, clock))
    answer = service.get("/models/all")
    assert answer.status_code == 200
    assert "X-Data-As-Of" not in answer.headers
    assert answer.headers["X-Data-Stale"] == "true"
    info = service.json("/cache/info")
    assert (info["cache_info"]["last_refresh"], info["cache_info"]["cache_age_minutes"]) == (None, None)
    assert info["cache_info"]["is_stale"] is True
    assert (info["refresh"]["last_attempt"], info["refresh"]["last_success"]) == (None, None)
    assert service.json("/health")["cache_status"]["last_refresh"] is None
    assert service.json("/dashboard/summary")["last_updated"] is None
    assert "\ncontrol_tower_snapshot_age_seconds " not in service.get("/metrics").text
    service.refresh()
    answer = service.get("/models/all")
    assert "X-Data-As-Of" in answer.headers
    assert "X-Data-Stale" not in answer.headers
