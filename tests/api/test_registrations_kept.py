"""What becomes of registrations when models, runs, caches and experiments change beneath them."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from app.domain.errors import MlflowUnavailable
from app.domain.registry.models import Registration
from tests.api.service import Service
from tests.fakes.memory_mlflow import MemoryGateway, MemoryWorld

Start = Callable[..., Service]
DOWN = MlflowUnavailable("MLflow is down.")


def also_open(world: MemoryWorld, like: Registration, run_id: str, earlier: int) -> None:
    """A second open monitor run for a version, as another host may have made it."""
    world.registrations[run_id] = replace(like, monitor_run_id=run_id, registered_at=like.registered_at - earlier)


@pytest.fixture
def registered(service: Service, world: MemoryWorld) -> Registration:
    """The registration of version 1 of `m`."""
    world.add_version("m")
    service.register("m", registered_by="ada")
    return next(iter(world.registrations.values()))


def test_a_registration_outlives_the_clearing_of_the_cache(service: Service, registered: Registration) -> None:
    assert service.delete("/cache/clear").status_code == 200
    assert service.is_monitored("m")
    assert service.row("m")["monitored"] is True


@pytest.mark.parametrize("first", ["/models/monitored", "/models/all", "/dashboard/summary"])
def test_a_registration_outlives_the_loss_of_the_cache_directory_and_a_restart(
    registered: Registration, start: Start, tmp_path: Path, first: str
) -> None:
    shutil.rmtree(tmp_path / "cache")
    anew = start()
    told = anew.json(first)
    assert (told["monitored_models"] if isinstance(told, dict) else [row["monitored"] for row in told]) in (1, [True])
    assert anew.is_monitored("m")


def test_a_registration_made_while_the_cache_directory_is_lost_leaves_the_others(
    service: Service, world: MemoryWorld, registered: Registration, tmp_path: Path, start: Start
) -> None:
    world.add_version("other")
    shutil.rmtree(tmp_path / "cache")
    assert service.register("other").status_code == 201
    assert start().keys("/models/monitored") == [("m", "1"), ("other", "1")]


def test_a_registration_that_the_mirror_lost_is_still_refused_and_then_listed(
    service: Service, gateway: MemoryGateway, registered: Registration
) -> None:
    world = gateway.world
    world.registrations.clear()
    service.refresh()
    assert not service.is_monitored("m")
    world.registrations[registered.monitor_run_id] = registered
    assert service.register("m").json == {"detail": "Model is already being monitored"}
    assert service.is_monitored("m")


def test_a_model_deleted_and_made_anew_inherits_nothing(
    service: Service, world: MemoryWorld, registered: Registration
) -> None:
    world.delete_model("m")
    world.add_version("m")
    service.refresh()
    assert service.row("m")["monitored"] is False
    assert service.json("/models/monitored") == []
    assert not service.is_monitored("m")
    assert world.ended[registered.monitor_run_id] == ("control-tower", "the model version no longer exists in MLflow")


def test_a_model_made_anew_can_be_registered_before_any_refresh(
    service: Service, world: MemoryWorld, registered: Registration
) -> None:
    service.json("/models/all")
    world.delete_model("m")
    world.add_version("m")
    assert service.register("m", model_type="regressor").status_code == 201
    assert service.keys("/models/monitored/regressor") == [("m", "1")]
    assert [r.model_type for r in world.registrations.values()] == ["regressor"]
    assert world.ended[registered.monitor_run_id][1] == "the model version was deleted and made again"


def test_the_run_of_a_vanished_version_is_ended_with_the_reason(
    service: Service, world: MemoryWorld, registered: Registration
) -> None:
    world.delete_version("m", 1)
    service.refresh()
    assert world.registrations == {}
    assert world.ended[registered.monitor_run_id] == ("control-tower", "the model version no longer exists in MLflow")
    assert not service.is_monitored("m")
    assert service.json("/cache/info")["tracking_info"]["monitored_models"] == 0


@pytest.mark.parametrize(("earlier", "expected"), [(1000, "zzz"), (-1000, "monitor-0"), (0, "monitor-0")])
def test_of_two_open_runs_the_earlier_counts_and_the_other_is_ended(
    service: Service, world: MemoryWorld, registered: Registration, earlier: int, expected: str
) -> None:
    also_open(world, registered, "zzz", earlier)
    service.refresh()
    assert list(world.registrations) == [expected]
    assert [r["monitor_run_id"] for r in service.json("/debug/monitored")["monitored_list"]] == [expected]
    assert [reason for _, reason in world.ended.values()] == [f"registered twice: run {expected} counts"]


def test_removal_ends_every_open_run_and_says_who_removed(
    service: Service, world: MemoryWorld, registered: Registration
) -> None:
    also_open(world, registered, "another", 5)
    assert service.remove("m").status_code == 200
    assert world.registrations == {}
    assert set(world.ended.values()) == {("anonymous", "removed from monitoring")}
    service.refresh()
    assert not service.is_monitored("m")


def test_with_the_experiment_deleted_the_list_stays_marked_stale_and_the_next_write_restores_it(
    service: Service, world: MemoryWorld, registered: Registration
) -> None:
    world.add_version("other")
    world.delete_experiment("control-tower")
    service.refresh()
    stale = service.get("/models/monitored")
    assert [row["name"] for row in stale.json] == ["m"]
    assert stale.headers["X-Data-Stale"] == "true"
    assert service.register("other").status_code == 201
    restored = service.get("/models/monitored")
    assert [row["name"] for row in restored.json] == ["m", "other"]
    assert "X-Data-Stale" not in restored.headers
    assert world.experiments["control-tower"].lifecycle_stage == "active"


def test_with_the_experiment_deleted_a_registration_can_be_removed(
    service: Service, world: MemoryWorld, registered: Registration
) -> None:
    world.delete_experiment("control-tower")
    service.refresh()
    assert service.remove("m").status_code == 200
    assert world.registrations == {}
    assert not service.is_monitored("m")


def test_before_anything_was_registered_the_list_is_empty_and_not_stale(service: Service) -> None:
    response = service.get("/models/monitored")
    assert response.json == []
    assert "X-Data-Stale" not in response.headers


def test_a_run_that_somebody_ended_in_mlflow_is_no_registration_after_a_refresh(
    service: Service, world: MemoryWorld, registered: Registration
) -> None:
    del world.registrations[registered.monitor_run_id]
    service.refresh()
    assert not service.is_monitored("m")
    assert service.register("m").status_code == 201


def test_with_mlflow_down_registrations_are_served_and_writes_are_refused(
    service: Service, gateway: MemoryGateway, registered: Registration
) -> None:
    gateway.world.add_version("other")
    service.json("/models/all")
    gateway.failure = DOWN
    assert service.is_monitored("m")
    assert service.keys("/models/monitored") == [("m", "1")]
    assert (service.register("other").status_code, service.remove("m").status_code) == (500, 500)
    gateway.failure = None
    assert service.is_monitored("m")
    assert not service.is_monitored("other")


def test_with_mlflow_down_and_nothing_known_the_status_is_a_500_with_the_reason(
    service: Service, gateway: MemoryGateway
) -> None:
    gateway.failure = DOWN
    response = service.get("/models/m/1/monitor/status")
    assert (response.status_code, response.json) == (500, {"detail": "MLflow is down."})


def test_many_vanished_versions_are_ended_over_a_few_refreshes(service: Service, world: MemoryWorld) -> None:
    for _ in range(25):
        service.register("m", world.add_version("m"))
    world.delete_model("m")
    service.refresh()
    assert service.json("/models/monitored") == []
    service.refresh()
    assert world.registrations == {}
    assert len(world.ended) == 25


def test_a_run_opened_on_another_host_counts_for_registering_and_removing(
    service: Service, world: MemoryWorld, gateway: MemoryGateway
) -> None:
    world.add_version("m")
    world.add_version("m")
    assert service.json("/models/monitored") == []
    for version in (1, 2):
        created = world.versions["m", version].created
        gateway.open_monitor_run(Registration("m", version, "classifier", "elsewhere", 5, "", created))
    assert service.register("m", 1).json == {"detail": "Model is already being monitored"}
    assert service.keys("/models/monitored") == [("m", "1")]
    assert service.remove("m", 2).status_code == 200
    assert [r.version for r in world.registrations.values()] == [1]


def test_a_look_up_that_fails_does_not_undo_a_registration(
    service: Service, world: MemoryWorld, gateway: MemoryGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise DOWN

    service.json("/models/all")
    world.add_version("m")
    with monkeypatch.context() as patch:
        patch.setattr(gateway, "read_models", fail)
        assert service.register("m").status_code == 201
    assert service.is_monitored("m")
    service.refresh()
    assert service.keys("/models/monitored") == [("m", "1")]


def test_a_version_made_anew_is_not_monitored_as_soon_as_the_mirror_has_it(
    service: Service, world: MemoryWorld
) -> None:
    world.add_version("m")
    assert len(service.get("/models/all").json) == 1
    service.register("m")
    world.delete_model("m")
    world.add_version("m")
    world.add_version("m")
    service.register("m", 2)
    assert service.get("/models/m/1/monitor/status").json["is_monitored"] is False
    assert service.get("/models/m/2/monitor/status").json["is_monitored"] is True
