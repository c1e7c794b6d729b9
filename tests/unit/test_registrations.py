"""Registrations under contention: what happens when the list, the lock or MLflow is not to be had."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from app.domain.errors import (
    InvalidInput,
    LockTimeout,
    MlflowDenied,
    MlflowMissing,
    MlflowRefused,
    MlflowUnavailable,
    NotFound,
    TowerError,
)
from app.domain.monitoring.monitored import first_of_each
from app.domain.monitoring.observations import Observation
from app.domain.registry.fleet import Fleet, swept
from app.domain.registry.models import Inventory, Registration
from app.services.host.file_cache import FileCache
from app.services.host.file_locks import FileLocks
from app.services.host.holding_cache import HeldCache, HoldingCache
from app.services.monitoring.monitor_run_writer import MonitorRunWriter
from app.services.monitoring.reconciler import Reconciler
from app.services.monitoring.registration_list import RegistrationList, RegistrationStore
from tests.fakes.memory_mlflow import MemoryGateway
from tests.servers import HANGS_AFTER_SECONDS
from tests.unit.mirrors import RULES, MirrorProcess
from tests.unit.processes import Processes

DOWN = MlflowUnavailable("MLflow is down.")
DENIED = MlflowDenied("MLflow denies the permission.")
REFUSED = MlflowRefused("MLflow refused the request.")


@pytest.fixture
def gateway() -> MemoryGateway:
    gateway = MemoryGateway()
    gateway.world.add_version("m")
    gateway.world.add_version("m")
    return gateway


@pytest.fixture
def locks(tmp_path: Path) -> FileLocks:
    return FileLocks(tmp_path / "locks", "")


class Process:
    """What one process has of the registrations."""

    def __init__(self, cache: HoldingCache, gateway: MemoryGateway, locks: FileLocks) -> None:
        world, nowhere = gateway.world, HoldingCache(FileCache(Path("/dev/null/cache")))
        # A mirror that has read nothing, and keeps nothing.
        mirror = self.mirror = MirrorProcess(gateway, nowhere, locks).tracker
        self.registrations = RegistrationStore(gateway, cache, locks, world.seconds, "here", True, mirror)
        self.writer = MonitorRunWriter(gateway, self.registrations, mirror, locks, world.tick)
        self.reconciler = Reconciler(gateway, self.registrations, self.writer)

    def listed(self) -> list[int]:
        return sorted(version for _, version in self.registrations.peek().by_key)


@pytest.fixture
def process(tmp_path: Path, gateway: MemoryGateway, locks: FileLocks) -> Process:
    return process_over(tmp_path, gateway, locks)


def process_over(directory: Path, gateway: MemoryGateway, locks: FileLocks) -> Process:
    return Process(HoldingCache(FileCache(directory / "cache")), gateway, locks)


def worker_of(agent: Process, cache: HeldCache, gateway: MemoryGateway) -> RegistrationList:
    """A worker's list: it asks the agent for what it does not know."""
    return RegistrationList(cache, agent.registrations, gateway.world.seconds, "here", True, agent.mirror)


def fleet_of(gateway: MemoryGateway) -> Fleet:
    return swept(None, gateway.read_inventory(), RULES)


def test_a_list_that_is_locked_is_behind_until_the_next_reconcile_and_nothing_is_lost(
    process: Process, gateway: MemoryGateway, locks: FileLocks, caplog: pytest.LogCaptureFixture
) -> None:
    process.writer.register("m", "1", "classifier", "ada")
    gateway.patience = 0.05
    with locks.hold("monitored", 0):
        made = process.writer.register("m", "2", "classifier", "ada")
    assert process.listed() == [1]
    assert "behind until the next refresh" in caplog.text
    with pytest.raises(InvalidInput):
        process.writer.register("m", "2", "classifier", "ada")
    assert process.listed() == [1, 2]
    with locks.hold("monitored", 0):
        process.writer.remove("m", "2", "ada")
    assert made.monitor_run_id in gateway.world.ended
    process.reconciler.reconcile(fleet_of(gateway))
    assert process.listed() == [1]


def test_a_list_that_mlflow_cannot_give_again_is_behind_and_the_registration_stands(
    process: Process, gateway: MemoryGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise DOWN

    with monkeypatch.context() as patch:
        patch.setattr(gateway, "open_registrations", fail)
        process.writer.register("m", "1", "classifier", "ada")
    assert len(gateway.world.registrations) == 1
    assert process.registrations.is_monitored("m", "1")


def test_a_registration_waits_for_another_of_the_same_version_no_longer_than_mlflow_may_take(
    process: Process, gateway: MemoryGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = process_over(tmp_path, gateway, FileLocks(tmp_path / "locks", ""))
    opened = gateway.open_monitor_run
    refused: list[str] = []

    def meanwhile(wanted: Registration) -> Registration:
        gateway.patience = 0.05
        with pytest.raises(LockTimeout) as caught:
            other.writer.register("m", "1", "classifier", "bob")
        refused.append(caught.value.detail)
        return opened(wanted)

    monkeypatch.setattr(gateway, "open_monitor_run", meanwhile)
    process.writer.register("m", "1", "classifier", "ada")
    assert refused == ["Another request is changing the same thing. Try again."]
    assert [r.registered_by for r in gateway.world.registrations.values()] == ["ada"]


@pytest.mark.parametrize("failure", [DOWN, MlflowRefused("MLflow refused the request.")])
def test_where_nothing_is_known_and_mlflow_fails_it_is_asked_again_only_after_a_while(
    process: Process, gateway: MemoryGateway, failure: MlflowUnavailable
) -> None:
    gateway.failure = failure
    assert [process.registrations.peek().stale for _ in range(5)] == [True] * 5
    assert gateway.calls == ["open_registrations"]
    gateway.failure = None
    gateway.world.now += 15_000
    assert process.registrations.peek().stale is False


def test_a_reconcile_that_fails_changes_nothing(process: Process, gateway: MemoryGateway) -> None:
    process.writer.register("m", "1", "classifier", "ada")
    fleet = fleet_of(gateway)
    gateway.failure = DOWN
    with pytest.raises(MlflowUnavailable):
        process.reconciler.reconcile(fleet)
    assert process.listed() == [1]


def test_a_fleet_older_than_a_registration_does_not_end_it(process: Process, gateway: MemoryGateway) -> None:
    before = fleet_of(gateway)
    gateway.world.add_version("new")
    process.writer.register("new", "1", "classifier", "ada")
    process.reconciler.reconcile(before)
    assert process.registrations.is_monitored("new", "1")
    assert len(gateway.world.registrations) == 1


@pytest.mark.parametrize("value", ["garbage", {}, {"source": "elsewhere", "registrations": [], "stale": False}])
def test_a_stored_list_that_is_not_understood_is_read_from_mlflow(
    process: Process, gateway: MemoryGateway, locks: FileLocks, tmp_path: Path, value: object
) -> None:
    process.writer.register("m", "1", "classifier", "ada")
    FileCache(tmp_path / "cache").set("monitored", value)
    anew = process_over(tmp_path, gateway, locks)
    assert anew.listed() == process.listed() == [1]


def test_a_run_that_the_list_shows_twice_is_not_its_own_double(
    process: Process, gateway: MemoryGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [process.writer.register("m", version, "classifier", "ada") for version in ("1", "2")]
    assert first_of_each([made[0], *made, made[1]])[1] == []
    monkeypatch.setattr(gateway, "open_registrations", lambda: [made[0], *made, made[1]])
    process.reconciler.reconcile(fleet_of(gateway))
    assert gateway.world.ended == {}
    assert process.listed() == [1, 2]


def test_before_a_double_is_ended_mlflow_is_asked_about_that_version_by_itself(
    process: Process, gateway: MemoryGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = process.writer.register("m", "1", "classifier", "ada")
    # Of a list read a while ago; another host has ended it since.
    double = replace(made, monitor_run_id="ended since", registered_at=made.registered_at - 1)
    monkeypatch.setattr(gateway, "open_registrations", lambda: [made, double])
    process.reconciler.reconcile(fleet_of(gateway))
    assert gateway.world.ended == {}
    monkeypatch.undo()
    second = gateway.open_monitor_run(replace(made, registered_at=made.registered_at + 1))
    process.reconciler.reconcile(fleet_of(gateway))
    assert set(gateway.world.ended) == {second.monitor_run_id}


def test_of_two_runs_for_a_version_that_was_made_again_that_of_the_new_one_counts(
    process: Process, gateway: MemoryGateway
) -> None:
    current = process.writer.register("m", "1", "classifier", "ada")
    old = gateway.open_monitor_run(replace(current, version_created=1, registered_at=1))
    process.reconciler.reconcile(fleet_of(gateway))
    assert set(gateway.world.ended) == {old.monitor_run_id}
    assert process.registrations.is_monitored("m", "1")


@pytest.mark.parametrize("answer", ["open", "not known"])
def test_a_registration_that_a_list_lacks_stays_unless_mlflow_says_that_it_is_none(
    process: Process, gateway: MemoryGateway, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    for version in ("1", "2"):
        process.writer.register("m", version, "classifier", "ada")
    complete = gateway.open_registrations()
    assert complete is not None
    monkeypatch.setattr(gateway, "open_registrations", lambda: complete[:1])
    if answer == "not known":
        gateway.refusals["find_registrations"] = {("m", 2): DENIED}
    process.reconciler.reconcile(fleet_of(gateway))
    assert process.listed() == [1, 2]
    gateway.refusals.clear()
    gateway.end_monitor_run(complete[1].monitor_run_id, "bob", "removed on another host")
    process.reconciler.reconcile(fleet_of(gateway))
    assert process.listed() == [1]


@pytest.mark.parametrize("is_readable", [True, False])
def test_of_many_registrations_that_a_list_lacks_none_is_dropped_unless_its_run_is_known_to_have_ended(
    process: Process, gateway: MemoryGateway, monkeypatch: pytest.MonkeyPatch, is_readable: bool
) -> None:
    made = []
    for number in range(50):
        gateway.world.add_version(f"{number:02d}")
        made.append(process.writer.register(f"{number:02d}", "1", "classifier", "ada"))
    ended = [*made[:25], made[40]]
    for registration in ended:
        gateway.end_monitor_run(registration.monitor_run_id, "bob", "removed on another host")
    # The reading came to nothing, as that of a list that changes all the time may.
    monkeypatch.setattr(gateway, "open_registrations", lambda: [])
    if not is_readable:
        monkeypatch.setattr(gateway, "monitor_runs", lambda _: None)
    process.reconciler.reconcile(fleet_of(gateway))
    known = set(process.registrations.peek().by_key)
    assert {run.key for run in made if run not in ended} <= known
    assert len(known) == (24 if is_readable else 30)


@pytest.mark.parametrize("created", [0, -1])
@pytest.mark.parametrize("lacking", ["the registration's", "the version's"])
def test_a_creation_time_that_an_answer_of_mlflow_lacks_ends_no_registration(
    process: Process, gateway: MemoryGateway, lacking: str, created: int
) -> None:
    row = gateway.world.versions["m", 1]
    without = replace(row, created=created)
    gateway.world.versions["m", 1] = row if lacking == "the version's" else without
    made = process.writer.register("m", "1", "classifier", "ada")
    gateway.world.versions["m", 1] = without if lacking == "the version's" else row
    for _ in range(2):
        fleet = fleet_of(gateway)
        process.reconciler.reconcile(fleet)
        assert process.registrations.peek().of(fleet) == {("m", 1): made}
    assert process.writer.change_settings("m", "1", {"silence_hours": 5}).monitor_run_id == made.monitor_run_id
    with pytest.raises(InvalidInput):
        process.writer.register("m", "1", "classifier", "bob")
    assert gateway.world.ended == {}


@pytest.mark.parametrize("refusal", [DENIED, REFUSED, DOWN])
def test_a_version_that_mlflow_says_nothing_of_is_not_gone_and_holds_up_no_other(
    process: Process, gateway: MemoryGateway, refusal: TowerError
) -> None:
    for number in range(30):
        gateway.world.add_version(f"{number:02d}")
        process.writer.register(f"{number:02d}", "1", "classifier", "ada")
    # None of them is in what the service may read; of all but the last MLflow says nothing at all.
    empty = swept(None, Inventory(gateway.world.tick()), RULES)
    gateway.world.delete_model("29")
    gateway.refusals["find_version"] = {(f"{number:02d}", 1): refusal for number in range(29)}
    for _ in range(2):
        process.reconciler.reconcile(empty)
    assert [gateway.world.past[run].registration.name for run in gateway.world.ended] == ["29"]
    assert len(process.listed()) == 29


def test_a_registration_that_cannot_be_stored_is_known_to_every_worker_at_once(
    gateway: MemoryGateway, locks: FileLocks, tmp_path: Path
) -> None:
    """The agent makes two while a file stands where the directory of the cache was."""
    processes = Processes(tmp_path / "cache")
    agent = Process(processes.agent, gateway, locks)
    workers = [worker_of(agent, cache, gateway) for cache in (processes.one, processes.two)]
    assert [worker.peek().by_key for worker in workers] == [{}, {}]
    processes.block()
    for version in ("1", "2"):
        agent.writer.register("m", version, "classifier", "ada")
        assert all(worker.is_monitored("m", version) for worker in workers)
    assert [len(worker.peek().by_key) for worker in workers] == [2, 2]
    processes.free()
    processes.values()
    assert process_over(tmp_path, gateway, locks).listed() == [1, 2]


def test_what_mlflow_refuses_of_one_request_is_not_held_against_others_that_are_written_with_it(
    process: Process, gateway: MemoryGateway
) -> None:
    made = process.writer.register("m", "1", "classifier", "ada")
    # It holds the only turn, so that the others wait.
    entered, opened = threading.Event(), threading.Event()
    log = gateway.log_observations

    def held(run_id: str, observations: Sequence[Observation]) -> None:
        entered.set()
        assert opened.wait(HANGS_AFTER_SECONDS)
        log(run_id, observations)

    gateway.log_observations = held  # type: ignore[method-assign]

    def observe(number: int) -> bool:
        # A metric without a name is what MLflow refuses.
        metric = "" if number == 2 else "accuracy"
        try:
            process.writer.observe("m", "1", [Observation(metric, 1_700_000_000_000 + number, 0.5)])
        except TowerError:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(observe, 0)
        assert entered.wait(HANGS_AFTER_SECONDS)
        others = [pool.submit(observe, number) for number in (1, 2, 3)]
        opened.set()
        assert [first.result(), *(other.result() for other in others)] == [True, True, False, True]
    assert len(gateway.world.monitor_points[made.monitor_run_id]) == 3


def test_mlflow_is_asked_before_an_observation_is_refused_for_want_of_a_registration(
    process: Process, gateway: MemoryGateway, locks: FileLocks, tmp_path: Path
) -> None:
    elsewhere = process_over(tmp_path / "elsewhere", gateway, locks)
    assert elsewhere.listed() == []
    made = process.writer.register("m", "1", "classifier", "ada")
    elsewhere.writer.observe("m", "1", [Observation("accuracy", 0.9, gateway.world.now)])
    assert len(gateway.world.monitor_points[made.monitor_run_id]) == 1
    assert elsewhere.listed() == [1]
    with pytest.raises(NotFound):
        elsewhere.writer.observe("m", "2", [Observation("accuracy", 0.9, gateway.world.now)])


WRITES: dict[str, Callable[[Process], object]] = {
    "remove": lambda process: process.writer.remove("m", "1", "ada"),
    "observe": lambda process: process.writer.observe("m", "1", [Observation("accuracy", 0.9, 1)]),
}


@pytest.mark.parametrize("experiments", ["none", "refused"])
@pytest.mark.parametrize("write", WRITES)
def test_where_mlflow_knows_nothing_at_all_no_registration_counts_as_removed(
    process: Process, gateway: MemoryGateway, monkeypatch: pytest.MonkeyPatch, write: str, experiments: str
) -> None:
    """Something answers RESOURCE_DOES_NOT_EXIST to everything, as a server that is set up wrongly may."""

    def missing(*_: object) -> int:
        raise MlflowMissing("MLflow does not know what was asked for.")

    process.writer.register("m", "1", "classifier", "ada")
    with monkeypatch.context() as patch:
        for method in ("is_open", "log_observations"):
            patch.setattr(gateway, method, missing)
        patch.setattr(gateway, "find_registrations", lambda *_: [])
        patch.setattr(gateway, "ping", missing if experiments == "refused" else lambda: 0)
        with pytest.raises(MlflowUnavailable, match="empty"):
            WRITES[write](process)
    assert process.listed() == [1]
    assert len(gateway.world.registrations) == 1


def test_a_registration_that_a_search_lacks_is_ended_when_it_is_removed(
    process: Process, gateway: MemoryGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = process.writer.register("m", "1", "classifier", "ada")
    monkeypatch.setattr(gateway, "find_registrations", lambda *_: [])
    process.writer.remove("m", "1", "ada")
    assert set(gateway.world.ended) == {made.monitor_run_id}
