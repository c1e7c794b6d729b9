"""Two workers over one directory: what one does, the other shows at once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.domain.errors import MlflowUnavailable
from app.domain.registry.models import Inventory
from tests.api.service import Service
from tests.fakes.memory_mlflow import MemoryGateway, MemoryWorld

Start = Callable[..., Service]


@pytest.fixture
def workers(start: Start, world: MemoryWorld) -> tuple[Service, Service]:
    """Two workers that both have served already."""
    world.add_version("m")
    first, second = start(), start()
    for worker in (first, second):
        assert worker.keys("/models/all") == [("m", "1")]
        assert worker.json("/models/monitored") == []
    return first, second


def test_a_registration_and_a_removal_in_one_are_seen_by_the_other_at_once(workers: tuple[Service, Service]) -> None:
    first, second = workers
    first.register("m")
    assert second.is_monitored("m")
    assert second.row("m")["monitored"] is True
    assert second.register("m").status_code == 400
    assert second.remove("m").status_code == 200
    assert not first.is_monitored("m")
    assert first.row("m")["monitored"] is False


def test_a_refresh_in_one_is_served_by_the_other_without_asking_mlflow(
    workers: tuple[Service, Service], gateway: MemoryGateway
) -> None:
    first, second = workers
    gateway.world.add_version("m")
    first.refresh()
    before = list(gateway.calls)
    assert second.keys("/models/all") == [("m", "2"), ("m", "1")]
    assert second.json("/cache/info")["cache_info"]["last_refresh"] == second.get("/models").headers["X-Data-As-Of"]
    assert [call for call in gateway.calls[len(before) :] if call != "ping"] == []


def test_after_a_clear_in_one_both_go_on_serving_also_with_mlflow_down(
    workers: tuple[Service, Service], gateway: MemoryGateway
) -> None:
    first, _ = workers
    first.register("m")
    gateway.failure = MlflowUnavailable("MLflow is down.")
    assert first.delete("/cache/clear").status_code == 200
    for worker in workers:
        assert worker.keys("/models/all") == [("m", "1")]
        assert worker.is_monitored("m")


def test_a_sweep_that_began_before_a_look_up_does_not_undo_it(
    workers: tuple[Service, Service], gateway: MemoryGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = workers
    gateway.world.add_version("gone")
    first.refresh()
    read = gateway.read_inventory

    def slow() -> Inventory:
        """While MLflow is being read, a version is made and looked up, and a model deleted and looked up."""
        inventory = read()
        gateway.world.add_version("new")
        gateway.world.delete_model("gone")
        gateway.world.add_version("gone")
        assert second.register("new").status_code == 201
        assert second.register("gone").status_code == 201
        return inventory

    monkeypatch.setattr(gateway, "read_inventory", slow)
    first.refresh()
    for worker in workers:
        assert worker.keys("/models/all") == [("gone", "1"), ("m", "1"), ("new", "1")]
        assert worker.keys("/models/monitored") == [("gone", "1"), ("new", "1")]


def test_a_later_sweep_does_undo_a_look_up(workers: tuple[Service, Service], world: MemoryWorld) -> None:
    first, second = workers
    world.add_version("new")
    assert second.register("new").status_code == 201
    world.delete_model("new")
    first.refresh()
    assert second.keys("/models/all") == [("m", "1")]


def test_of_many_requests_at_once_to_register_one_version_one_gets_201(workers: tuple[Service, Service]) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: workers[n % 2].register("m").status_code, range(16)))
    assert sorted(found) == [201] + [400] * 15
    assert len(workers[0].world.registrations) == 1


def test_different_versions_registered_at_once_are_all_kept(
    workers: tuple[Service, Service], world: MemoryWorld
) -> None:
    for _ in range(11):
        world.add_version("m")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: workers[n % 2].register("m", n).status_code, range(1, 13)))
    assert found == [201] * 12
    for worker in workers:
        assert len(worker.json("/models/monitored")) == 12


def test_a_worker_started_later_serves_what_the_others_have_read(
    workers: tuple[Service, Service], gateway: MemoryGateway, start: Start
) -> None:
    workers[0].register("m")
    gateway.failure = MlflowUnavailable("MLflow is down.")
    late = start()
    assert late.get("/readyz").status_code == 200
    assert late.keys("/models/all") == [("m", "1")]
    assert late.is_monitored("m")


def test_the_snapshot_of_another_mlflow_is_not_served(
    workers: tuple[Service, Service], gateway: MemoryGateway, start: Start
) -> None:
    workers[0].register("m")
    gateway.failure = MlflowUnavailable("MLflow is down.")
    other = start(mlflow_tracking_uri="http://elsewhere:5000")
    assert other.get("/models/all").status_code == 500
    assert other.get("/models/m/1/monitor/status").status_code == 500


def test_what_was_read_from_another_workspace_is_not_served(start: Start, gateway: MemoryGateway) -> None:
    server = {"mlflow_tracking_uri": "http://mlflow:5000"}
    gateway.world.add_version("m")
    start(**server, mlflow_workspace="fraud").refresh()
    gateway.failure = MlflowUnavailable("MLflow is down.")
    assert start(**server, mlflow_workspace="fraud").keys("/models/all") == [("m", "1")]
    for other in ({}, {"mlflow_workspace": "sales"}):
        assert start(**server, **other).get("/models/all").status_code == 500


def test_a_snapshot_is_kept_for_the_same_mlflow_under_other_credentials(
    start: Start, gateway: MemoryGateway, tmp_path: Path
) -> None:
    gateway.world.add_version("m")
    start(mlflow_tracking_uri="http://ada:old@mlflow:5000").refresh()
    gateway.failure = MlflowUnavailable("MLflow is down.")
    assert start(mlflow_tracking_uri="http://ada:new@mlflow:5000").keys("/models/all") == [("m", "1")]
