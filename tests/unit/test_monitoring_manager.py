"""Registrations under contention: what happens when the list, the lock or MLflow is not to be had."""

from pathlib import Path

import pytest

from app.domain.codec import Source
from app.domain.errors import InvalidInput, LockTimeout, MlflowRefused, MlflowUnavailable
from app.domain.fleet import Fleet, swept
from app.domain.models import Registration
from app.domain.stages import stage_rules
from app.services.file_cache import FileCache
from app.services.file_locks import FileLocks
from app.services.journal import Journal
from app.services.model_tracker import ModelTracker, TrackerOptions
from app.services.monitoring_manager import MonitoringManager
from app.services.snapshots import Snapshots
from app.services.updater import Updater, UpdaterOptions
from tests.fakes.memory_mlflow import MemoryGateway

DOWN = MlflowUnavailable("MLflow is down.")


@pytest.fixture
def gateway() -> MemoryGateway:
    gateway = MemoryGateway()
    gateway.world.add_version("m")
    gateway.world.add_version("m")
    return gateway


@pytest.fixture
def locks(tmp_path: Path) -> FileLocks:
    return FileLocks(tmp_path / "locks", "")


def mirror_of(gateway: MemoryGateway, locks: FileLocks) -> ModelTracker:
    """A mirror that has read nothing, and keeps nothing."""
    cache = FileCache(Path("/dev/null/cache"))
    rules, clock = stage_rules([], []), gateway.world.tick
    snapshots = Snapshots(cache, locks, Source("here", rules))
    updater = Updater(gateway, snapshots, Journal(cache, clock, 300), locks, rules, clock, UpdaterOptions(1800, 300))
    return ModelTracker(snapshots, updater, rules, clock, TrackerOptions())


@pytest.fixture
def manager(tmp_path: Path, gateway: MemoryGateway, locks: FileLocks) -> MonitoringManager:
    cache = FileCache(tmp_path / "cache")
    return MonitoringManager(gateway, cache, locks, gateway.world.tick, "here", True, mirror_of(gateway, locks))


def fleet_of(gateway: MemoryGateway) -> Fleet:
    return swept(None, gateway.read_inventory(), stage_rules([], []))


def listed(manager: MonitoringManager) -> list[int]:
    return sorted(version for _, version in manager.peek().by_key)


def test_a_list_that_is_locked_is_behind_until_the_next_reconcile_and_nothing_is_lost(
    manager: MonitoringManager, gateway: MemoryGateway, locks: FileLocks, caplog: pytest.LogCaptureFixture
) -> None:
    manager.register("m", "1", "classifier", "ada")
    gateway.patience = 0.05
    with locks.hold("monitored", 0):
        made = manager.register("m", "2", "classifier", "ada")
    assert listed(manager) == [1]
    assert "behind until the next refresh" in caplog.text
    with pytest.raises(InvalidInput):
        manager.register("m", "2", "classifier", "ada")
    assert listed(manager) == [1, 2]
    with locks.hold("monitored", 0):
        manager.remove("m", "2", "ada")
    assert made.monitor_run_id in gateway.world.ended
    manager.reconcile(fleet_of(gateway))
    assert listed(manager) == [1]


def test_a_list_that_mlflow_cannot_give_again_is_behind_and_the_registration_stands(
    manager: MonitoringManager, gateway: MemoryGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise DOWN

    with monkeypatch.context() as patch:
        patch.setattr(gateway, "open_registrations", fail)
        manager.register("m", "1", "classifier", "ada")
    assert len(gateway.world.registrations) == 1
    assert manager.is_monitored("m", "1")


def test_a_registration_waits_for_another_of_the_same_version_no_longer_than_mlflow_may_take(
    manager: MonitoringManager, gateway: MemoryGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = MonitoringManager(
        gateway, FileCache(tmp_path / "cache"), FileLocks(tmp_path / "locks", ""), gateway.world.tick, "here", True,
        mirror_of(gateway, FileLocks(tmp_path / "locks", "")),
    )  # fmt: skip
    opened = gateway.open_monitor_run
    refused: list[str] = []

    def meanwhile(wanted: Registration) -> Registration:
        gateway.patience = 0.05
        with pytest.raises(LockTimeout) as caught:
            other.register("m", "1", "classifier", "bob")
        refused.append(caught.value.detail)
        return opened(wanted)

    monkeypatch.setattr(gateway, "open_monitor_run", meanwhile)
    manager.register("m", "1", "classifier", "ada")
    assert refused == ["Another request is changing the same thing. Try again."]
    assert [r.registered_by for r in gateway.world.registrations.values()] == ["ada"]


@pytest.mark.parametrize("failure", [DOWN, MlflowRefused("MLflow refused the request.")])
def test_where_nothing_is_known_and_mlflow_fails_it_is_asked_again_only_after_a_while(
    manager: MonitoringManager, gateway: MemoryGateway, failure: MlflowUnavailable
) -> None:
    gateway.failure = failure
    assert [manager.peek().stale for _ in range(5)] == [True] * 5
    assert gateway.calls == ["open_registrations"]
    gateway.failure = None
    gateway.world.now += 15_000
    assert manager.peek().stale is False


def test_a_reconcile_that_fails_changes_nothing(manager: MonitoringManager, gateway: MemoryGateway) -> None:
    manager.register("m", "1", "classifier", "ada")
    fleet = fleet_of(gateway)
    gateway.failure = DOWN
    with pytest.raises(MlflowUnavailable):
        manager.reconcile(fleet)
    assert listed(manager) == [1]


def test_a_fleet_older_than_a_registration_does_not_end_it(manager: MonitoringManager, gateway: MemoryGateway) -> None:
    before = fleet_of(gateway)
    gateway.world.add_version("new")
    manager.register("new", "1", "classifier", "ada")
    manager.reconcile(before)
    assert manager.is_monitored("new", "1")
    assert len(gateway.world.registrations) == 1


@pytest.mark.parametrize("value", ["garbage", {}, {"source": "elsewhere", "registrations": [], "stale": False}])
def test_a_stored_list_that_is_not_understood_is_read_from_mlflow(
    manager: MonitoringManager, gateway: MemoryGateway, locks: FileLocks, tmp_path: Path, value: object
) -> None:
    manager.register("m", "1", "classifier", "ada")
    cache = FileCache(tmp_path / "cache")
    cache.set("monitored", value)
    anew = MonitoringManager(gateway, cache, locks, gateway.world.tick, "here", True, mirror_of(gateway, locks))
    assert listed(anew) == listed(manager) == [1]
