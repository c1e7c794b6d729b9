"""The mirror under contention: one refresh at a time, its outcome for all, and what is due when."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from app.domain.errors import MlflowUnavailable
from app.domain.registry.codec import INDEX, Source
from app.domain.registry.models import Inventory
from app.domain.registry.server import MlflowServer
from app.services.host.file_cache import FileCache
from app.services.host.file_locks import FileLocks
from app.services.host.holding_cache import HoldingCache, ReadingCache
from app.services.mirror.model_tracker import ModelTracker, TrackerOptions
from app.services.mirror.server_record import ServerRecord
from app.services.mirror.snapshot_publisher import PublisherOptions
from app.services.mirror.snapshots import Snapshots
from tests.fakes.memory_mlflow import MemoryGateway
from tests.servers import HANGS_AFTER_SECONDS
from tests.unit.mirrors import RULES, MirrorProcess
from tests.unit.processes import Link

DOWN = MlflowUnavailable("MLflow is down.")


Make = Callable[..., MirrorProcess]


class SlowGateway(MemoryGateway):
    """Reads of everything wait until the gate is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Semaphore(0)
        self.gate = threading.Event()

    def read_inventory(self) -> Inventory:
        self.reached.release()
        assert self.gate.wait(HANGS_AFTER_SECONDS)
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

    def made(interval: float = 60, timeout: float = 2 * HANGS_AFTER_SECONDS, cached: bool = True) -> MirrorProcess:
        options = PublisherOptions(interval, timeout, cached)
        return MirrorProcess(gateway, HoldingCache(FileCache(tmp_path / "cache")), locks, options)

    return made


def later(gateway: SlowGateway, seconds: float) -> None:
    gateway.world.now += int(seconds * 1000)


@pytest.mark.parametrize("failure", [None, DOWN])
def test_all_who_ask_for_a_refresh_while_one_runs_share_the_next_one(
    make: Make, gateway: SlowGateway, failure: MlflowUnavailable | None
) -> None:
    first, second = make(), make()
    asked = threading.Barrier(6)
    draw = second.snapshots.ticket

    def drawn(patience: float) -> int:
        ticket = draw(patience)
        with suppress(threading.BrokenBarrierError):
            asked.wait(HANGS_AFTER_SECONDS)
        return ticket

    second.snapshots.ticket = drawn  # type: ignore[method-assign]
    gateway.gate.clear()
    gateway.failure = failure
    with ThreadPoolExecutor(6) as pool:
        one = pool.submit(first.publisher.sweep)
        assert gateway.reached.acquire(timeout=HANGS_AFTER_SECONDS)
        others = [pool.submit(second.publisher.sweep) for _ in range(5)]
        assert second.journal.is_refreshing()
        # What is changed now need not be in the reading that runs.
        gateway.world.add_version("late")
        asked.wait(HANGS_AFTER_SECONDS)
        second.snapshots.ticket = draw  # type: ignore[method-assign]
        gateway.gate.set()
        outcomes = [call.exception() for call in (one, *others)]
    if failure:
        assert [str(error) for error in outcomes] == ["MLflow is down."] * 6
    else:
        assert outcomes == [None] * 6
        assert {call.result().find("late", 1) is not None for call in others} == {True}
        assert len({call.result().edition for call in others}) == 1
    assert gateway.calls == ["read_inventory"] * 2


def test_a_refresh_asked_for_after_one_is_a_refresh_of_its_own(make: Make, gateway: SlowGateway) -> None:
    worker = make()
    first = worker.publisher.sweep()
    gateway.world.add_version("m")
    assert len(worker.publisher.sweep().models) == len(first.models) + 1


def test_a_refresh_waits_no_longer_than_its_time_for_another(make: Make, locks: FileLocks) -> None:
    worker = make(timeout=0.05)
    with locks.hold("refresh", 0), pytest.raises(MlflowUnavailable, match="Another refresh"):
        worker.publisher.sweep()


def test_a_first_request_waits_for_the_first_reading_and_no_longer_than_mlflow_may_take(
    make: Make, gateway: SlowGateway, locks: FileLocks
) -> None:
    gateway.patience = 0.05
    with locks.hold("refresh", 0), pytest.raises(MlflowUnavailable, match="first reading"):
        make().tracker.fleet()


def test_the_scheduler_leaves_a_refresh_to_whoever_is_at_it(make: Make, gateway: SlowGateway, locks: FileLocks) -> None:
    worker = make()
    with locks.hold("refresh", 0):
        assert worker.publisher.sweep_if_due() is None
    assert gateway.calls == []
    assert worker.publisher.sweep_if_due() is not None


def test_a_refresh_is_due_at_the_start_and_then_once_an_interval_for_all_workers(
    make: Make, gateway: SlowGateway
) -> None:
    one, two = make(interval=60), make(interval=60)
    assert one.publisher.sweep_if_due() is not None
    assert [one.publisher.sweep_if_due(), two.publisher.sweep_if_due()] == [None, None]
    later(gateway, 60)
    assert two.publisher.sweep_if_due() is not None
    assert one.publisher.sweep_if_due() is None


def test_after_a_failure_mlflow_is_left_alone_for_fifteen_seconds(make: Make, gateway: SlowGateway) -> None:
    worker = make()
    gateway.failure = DOWN
    with pytest.raises(MlflowUnavailable):
        worker.publisher.sweep_if_due()
    gateway.failure = None
    later(gateway, 14)
    assert worker.publisher.sweep_if_due() is None
    later(gateway, 1)
    assert worker.publisher.sweep_if_due() is not None


def test_without_a_cache_nothing_is_ever_due(make: Make, gateway: SlowGateway) -> None:
    assert make(cached=False).publisher.sweep_if_due() is None
    assert gateway.calls == []


def test_a_refresher_that_was_killed_does_not_count_as_refreshing_for_ever(
    make: Make, gateway: SlowGateway, tmp_path: Path
) -> None:
    worker = make(timeout=30)
    FileCache(tmp_path / "cache").set(
        "last-sweep", {"started_at": gateway.world.now, "is_running": True, "process": "gone:1"}
    )
    assert worker.journal.is_refreshing()
    later(gateway, 30)
    assert not worker.journal.is_refreshing()


def test_an_older_snapshot_never_replaces_a_newer_one(make: Make, gateway: SlowGateway, tmp_path: Path) -> None:
    cache = FileCache(tmp_path / "cache")
    worker = make()
    worker.publisher.sweep()
    old = cache.get(INDEX)
    gateway.world.add_version("m")
    newer = worker.publisher.sweep()
    cache.set(INDEX, old)
    assert worker.tracker.peek() == newer


@pytest.mark.parametrize("value", [None, {}, {"source": "elsewhere"}, "garbage"])
def test_a_snapshot_that_is_not_understood_leaves_the_one_that_is_served(
    make: Make, tmp_path: Path, value: object
) -> None:
    worker = make()
    served = worker.publisher.sweep()
    FileCache(tmp_path / "cache").set(INDEX, value)
    assert worker.tracker.fleet() == served
    assert make().tracker.peek() is None


def test_a_process_that_has_read_no_snapshot_yet_names_the_stored_one_unless_it_is_of_another_mlflow(
    make: Make, gateway: SlowGateway, tmp_path: Path
) -> None:
    started = make()
    assert started.publisher.edition() is None
    first = make()
    for _ in range(2):
        gateway.world.add_version("m")
        published = first.publisher.sweep()
        assert started.publisher.edition() == published.edition
    assert started.tracker.fleet() == published
    gateway.world.add_version("m")
    published = first.publisher.sweep()
    assert started.publisher.edition() == published.edition
    cache = FileCache(tmp_path / "cache")
    cache.set(INDEX, {**cache.get(INDEX), "source": "elsewhere"})
    assert make().publisher.edition() is None


def test_a_snapshot_that_cannot_be_shared_is_served_by_the_worker_that_read_it(
    make: Make, gateway: SlowGateway, tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("in the way")
    worker = make()
    assert worker.publisher.sweep() == worker.tracker.peek() == worker.tracker.fleet()
    assert worker.journal.last("sweep")["succeeded_at"] > 0
    assert worker.publisher.sweep_if_due() is None
    assert gateway.calls == ["read_inventory"]


def test_a_model_that_cannot_be_looked_up_is_answered_from_the_mirror(
    make: Make, gateway: SlowGateway, locks: FileLocks
) -> None:
    worker = make()
    worker.publisher.sweep()
    gateway.world.add_version("m")
    gateway.patience = 0.05
    with locks.hold("publish", 0):
        worker.tracker.ensure_known("m", 2, gateway.world.versions["m", 2].created)
    assert [model.row.version for model in worker.tracker.versions("m")] == [1]


def test_a_snapshot_that_cannot_be_published_is_a_failure_that_is_told(
    make: Make, gateway: SlowGateway, locks: FileLocks
) -> None:
    worker = make()
    gateway.patience = 0.05
    with locks.hold("publish", 0), pytest.raises(MlflowUnavailable):
        worker.publisher.sweep()
    assert "writes the snapshot" in worker.journal.last("sweep")["error"]


def test_a_version_that_the_mirror_has_is_not_looked_up(make: Make, gateway: SlowGateway) -> None:
    worker = make()
    worker.publisher.sweep()
    worker.tracker.ensure_known("m", 1, gateway.world.versions["m", 1].created)
    assert gateway.calls == ["read_inventory"]


def worker_of(agent: MirrorProcess, directory: Path, locks: FileLocks, gateway: SlowGateway) -> ModelTracker:
    """A worker's mirror: it asks the agent."""
    cache = ReadingCache(FileCache(directory), Link(agent.cache))
    snapshots = Snapshots(cache, Source("here", RULES))
    return ModelTracker(snapshots, agent.publisher, RULES, gateway.world.tick, TrackerOptions())


def test_where_nothing_can_be_shared_a_worker_has_the_snapshot_of_the_process_that_reads(
    make: Make, gateway: SlowGateway, tmp_path: Path, locks: FileLocks
) -> None:
    (tmp_path / "cache").write_text("in the way")
    agent = make()
    worker = worker_of(agent, tmp_path / "cache", locks, gateway)
    assert len(worker.fleet().models) == 1
    gateway.world.add_version("m")
    agent.publisher.look_up(["m"])
    worker.catch_up()
    assert len(worker.fleet().models) == 2
    worker.catch_up()
    assert worker.fleet() is worker.peek()
    gateway.world.add_version("m")
    assert len(worker.refreshed(agent.publisher.sweep().edition).models) == 3


@pytest.mark.parametrize("key", [INDEX, "fleet-experiments"])
def test_a_worker_that_cannot_read_what_is_stored_has_it_shared_anew(
    make: Make, gateway: SlowGateway, tmp_path: Path, locks: FileLocks, key: str
) -> None:
    agent = make()
    agent.publisher.sweep()
    FileCache(tmp_path / "cache").set(key, "damaged")
    worker = worker_of(agent, tmp_path / "cache", locks, gateway)
    assert len(worker.fleet().models) == 1
    gateway.world.add_version("m")
    agent.publisher.sweep()
    FileCache(tmp_path / "cache").set(INDEX, "damaged")
    worker.catch_up()
    assert len(worker.fleet().models) == 2


def test_after_a_clear_no_worker_goes_back_behind_a_refresh_that_it_had_not_seen_yet(
    make: Make, gateway: SlowGateway, tmp_path: Path, locks: FileLocks
) -> None:
    agent = make()
    clearing, behind = (worker_of(agent, tmp_path / "cache", locks, gateway) for _ in range(2))
    agent.publisher.sweep()
    assert [len(worker.fleet().models) for worker in (clearing, behind)] == [1, 1]
    gateway.world.add_version("m")
    assert len(clearing.refreshed(agent.publisher.sweep().edition).models) == 2
    assert agent.snapshots.forget()
    calls = list(gateway.calls)
    assert [len(worker.fleet().models) for worker in (clearing, behind)] == [2, 2]
    # The persisted copy stays away, and MLflow is not asked.
    assert agent.snapshots.facts() is None
    assert gateway.calls == calls
    gateway.world.add_version("m")
    agent.publisher.sweep()
    assert [len(worker.fleet().models) for worker in (clearing, behind)] == [3, 3]


@pytest.mark.parametrize("stored", [{}, {"version": 3, "workspaces": "all"}, {"workspaces": [None, {}]}])
def test_a_record_of_the_server_in_another_shape_is_as_good_as_none(stored: dict[str, Any], tmp_path: Path) -> None:
    cache = FileCache(tmp_path)
    cache.set("server", {"source": "here", **stored})
    assert ServerRecord(cache, "here").last() == MlflowServer(None)
