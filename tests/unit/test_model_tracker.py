"""The mirror under contention: one refresh at a time, its outcome for all, and what is due when."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.domain.errors import MlflowUnavailable
from app.domain.models import Inventory
from app.domain.stages import stage_rules
from app.services.file_cache import FileCache
from app.services.file_locks import FileLocks
from app.services.model_tracker import SNAPSHOT, ModelTracker, TrackerOptions
from tests.fakes.memory_mlflow import MemoryGateway

DOWN = MlflowUnavailable("MLflow is down.")
RULES = stage_rules([], [])
Make = Callable[..., ModelTracker]


class SlowGateway(MemoryGateway):
    """Reads of everything wait until the gate is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Semaphore(0)
        self.gate = threading.Event()

    def read_inventory(self) -> Inventory:
        self.reached.release()
        assert self.gate.wait(30)
        return super().read_inventory()


@pytest.fixture
def gateway() -> Iterator[SlowGateway]:
    """Opened; a test that wants it to be slow closes it."""
    gateway = SlowGateway()
    gateway.gate.set()
    gateway.world.add_version("m")
    yield gateway
    gateway.gate.set()


@pytest.fixture
def locks(tmp_path: Path) -> FileLocks:
    return FileLocks(tmp_path / "locks", "")


@pytest.fixture
def make(tmp_path: Path, gateway: SlowGateway, locks: FileLocks) -> Make:
    """Makes workers over one directory; the clock goes on by a millisecond each time that it is read."""

    def made(
        interval: float = 60, timeout: float = 30, cached: bool = True, clock: Callable[[], int] | None = None
    ) -> ModelTracker:
        options = TrackerOptions("here", interval, timeout, cached)
        cache = FileCache(tmp_path / "cache")
        return ModelTracker(gateway, cache, locks, RULES, clock or gateway.world.tick, options)

    return made


def later(gateway: SlowGateway, seconds: float) -> None:
    gateway.world.now += int(seconds * 1000)


@pytest.mark.parametrize("failure", [None, DOWN])
def test_whoever_asks_for_a_refresh_while_one_runs_gets_its_outcome(
    make: Make, gateway: SlowGateway, failure: MlflowUnavailable | None
) -> None:
    asked = threading.Semaphore(0)

    def clock() -> int:
        asked.release()
        return gateway.world.tick()

    first, second = make(), make(clock=clock)
    gateway.gate.clear()
    gateway.failure = failure
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(first.refresh)
        assert gateway.reached.acquire(timeout=10)
        two = pool.submit(second.refresh)
        assert asked.acquire(timeout=10)
        assert second.is_refreshing()
        gateway.gate.set()
        outcomes = [one.exception(30), two.exception(30)]
    if failure:
        assert [str(error) for error in outcomes] == ["MLflow is down."] * 2
    else:
        assert outcomes == [None, None]
        assert one.result() == two.result()
    assert gateway.calls == ["read_inventory"]


def test_a_refresh_asked_for_after_one_is_a_refresh_of_its_own(make: Make, gateway: SlowGateway) -> None:
    tracker = make()
    first = tracker.refresh()
    gateway.world.add_version("m")
    assert len(tracker.refresh().models) == len(first.models) + 1


def test_a_refresh_waits_no_longer_than_its_time_for_another(make: Make, locks: FileLocks) -> None:
    tracker = make(timeout=0.05)
    with locks.hold("refresh", 0), pytest.raises(MlflowUnavailable, match="Another refresh"):
        tracker.refresh()


def test_a_first_request_waits_for_the_first_reading_and_no_longer_than_mlflow_may_take(
    make: Make, gateway: SlowGateway, locks: FileLocks
) -> None:
    gateway.patience = 0.05
    with locks.hold("refresh", 0), pytest.raises(MlflowUnavailable, match="first reading"):
        make().fleet()


def test_the_scheduler_leaves_a_refresh_to_whoever_is_at_it(make: Make, gateway: SlowGateway, locks: FileLocks) -> None:
    tracker = make()
    with locks.hold("refresh", 0):
        assert tracker.refresh_if_due() is None
    assert gateway.calls == []
    assert tracker.refresh_if_due() is not None


def test_a_refresh_is_due_at_the_start_and_then_once_an_interval_for_all_workers(
    make: Make, gateway: SlowGateway
) -> None:
    one, two = make(interval=60), make(interval=60)
    assert one.refresh_if_due() is not None
    assert [one.refresh_if_due(), two.refresh_if_due()] == [None, None]
    later(gateway, 60)
    assert two.refresh_if_due() is not None
    assert one.refresh_if_due() is None


def test_after_a_failure_mlflow_is_left_alone_for_fifteen_seconds(make: Make, gateway: SlowGateway) -> None:
    one, two = make(), make()
    gateway.failure = DOWN
    with pytest.raises(MlflowUnavailable):
        one.refresh_if_due()
    gateway.failure = None
    later(gateway, 14)
    assert [one.refresh_if_due(), two.refresh_if_due()] == [None, None]
    later(gateway, 1)
    assert two.refresh_if_due() is not None


def test_without_a_cache_nothing_is_ever_due(make: Make, gateway: SlowGateway) -> None:
    assert make(cached=False).refresh_if_due() is None
    assert gateway.calls == []


def test_a_refresher_that_was_killed_does_not_count_as_refreshing_for_ever(
    make: Make, gateway: SlowGateway, tmp_path: Path
) -> None:
    tracker = make(timeout=30)
    FileCache(tmp_path / "cache").set("refresh", {"started_at": gateway.world.now, "holder": "gone:1"})
    assert tracker.is_refreshing()
    later(gateway, 30)
    assert not tracker.is_refreshing()


def test_an_older_snapshot_never_replaces_a_newer_one(make: Make, gateway: SlowGateway, tmp_path: Path) -> None:
    cache = FileCache(tmp_path / "cache")
    tracker = make()
    tracker.refresh()
    old = cache.get(SNAPSHOT)
    gateway.world.add_version("m")
    newer = tracker.refresh()
    cache.set(SNAPSHOT, old)
    assert tracker.peek() == newer


@pytest.mark.parametrize("value", [None, {}, {"source": "elsewhere"}, "garbage"])
def test_a_snapshot_that_is_not_understood_leaves_the_one_that_is_served(
    make: Make, tmp_path: Path, value: object
) -> None:
    tracker = make()
    served = tracker.refresh()
    FileCache(tmp_path / "cache").set(SNAPSHOT, value)
    assert tracker.fleet() == served
    assert make().peek() is None


def test_a_snapshot_that_cannot_be_shared_is_served_by_the_worker_that_read_it(
    make: Make, gateway: SlowGateway, tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("in the way")
    tracker = make()
    assert tracker.refresh() == tracker.peek() == tracker.fleet()
    assert tracker.state()["succeeded_at"] > 0
    assert tracker.refresh_if_due() is None
    assert gateway.calls == ["read_inventory"]


def test_a_model_that_cannot_be_looked_up_is_answered_from_the_mirror(
    make: Make, gateway: SlowGateway, locks: FileLocks
) -> None:
    tracker = make()
    tracker.refresh()
    gateway.world.add_version("m")
    gateway.patience = 0.05
    with locks.hold("publish", 0):
        tracker.ensure_known("m", 2, gateway.world.versions["m", 2].created)
    assert [model.row.version for model in tracker.versions("m")] == [1]


def test_a_snapshot_that_cannot_be_published_is_a_failure_that_is_told(
    make: Make, gateway: SlowGateway, locks: FileLocks
) -> None:
    tracker = make()
    gateway.patience = 0.05
    with locks.hold("publish", 0), pytest.raises(MlflowUnavailable):
        tracker.refresh()
    assert "Another request" in tracker.state()["error"]


def test_a_version_that_the_mirror_has_is_not_looked_up(make: Make, gateway: SlowGateway) -> None:
    tracker = make()
    tracker.refresh()
    tracker.ensure_known("m", 1, gateway.world.versions["m", 1].created)
    assert gateway.calls == ["read_inventory"]
