"""Freshness: what changed in MLflow shows after the poll that is to find it, and the mirror never goes back."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from app.domain.errors import MlflowDenied, MlflowUnavailable
from app.domain.registry.fleet import Fleet, swept
from app.domain.registry.models import Inventory, Newest
from app.domain.registry_history.change import POLL
from app.domain.updates import ALIASES, CHANGES, PUSH, SWEEP
from app.services.host.file_cache import FileCache
from app.services.host.file_locks import FileLocks
from app.services.host.holding_cache import HoldingCache
from tests.fakes.memory_mlflow import MemoryGateway, MemoryWorld
from tests.servers import until
from tests.unit.mirrors import RULES, MirrorProcess

Change = Callable[[MemoryWorld], object]

# What the poll of changes finds, and what the poll of aliases does, on a model `m` of two versions.
UPDATED: dict[str, Change] = {
    "new version": lambda world: world.add_version("m", {"accuracy": 0.9}),
    "new model": lambda world: world.add_version("n", {"accuracy": 0.9}),
    "stage": lambda world: world.set_stage("m", 1, "Staging"),
    "version described": lambda world: world.describe_version("m", 1, "text"),
    "model described": lambda world: world.describe_model("m", "text"),
    "version deleted": lambda world: world.delete_version("m", 2),
    "model renamed": lambda world: world.rename("m", "q"),
}
SILENT: dict[str, Change] = {
    "alias set": lambda world: world.set_alias("m", "champion", 1),
    "alias deleted": lambda world: world.delete_alias("m", "a"),
    "model tagged": lambda world: world.tag_model("m", "k", "v"),
    "model deleted": lambda world: world.delete_model("m"),
}


class Process(MirrorProcess):
    """The process that talks to MLflow."""

    def __init__(self, directory: Path, gateway: MemoryGateway) -> None:
        super().__init__(gateway, HoldingCache(FileCache(directory / "cache")), FileLocks(directory / "locks", ""))

    def shows(self) -> dict[str, Any]:
        fleet = self.snapshots.newest()
        assert fleet is not None
        return shown(fleet)


def shown(fleet: Fleet) -> dict[str, Any]:
    """What a fleet says of each registered model."""
    return {name: fleet.model(name) for name in fleet.registered}


def truth(gateway: MemoryGateway) -> dict[str, Any]:
    """What a reading of everything would say now."""
    return shown(swept(None, MemoryGateway(gateway.world).read_inventory(), RULES))


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    gateway = MemoryGateway()
    for _ in range(2):
        gateway.world.add_version("m", {"accuracy": 0.5})
    gateway.world.add_version("other")
    gateway.world.set_alias("m", "a", 1)
    process = Process(tmp_path, gateway)
    process.publisher.sweep()
    gateway.calls.clear()
    yield process
    process.detector.stop()


@pytest.mark.parametrize("what", UPDATED)
def test_what_moves_a_time_shows_after_the_poll_of_changes(process: Process, what: str) -> None:
    UPDATED[what](process.gateway.world)
    process.detector.poll_changes()
    assert process.shows() == truth(process.gateway)
    assert "read_inventory" not in process.gateway.calls


@pytest.mark.parametrize("what", [*SILENT, *UPDATED])
def test_everything_but_descriptions_of_versions_shows_after_the_poll_of_aliases(process: Process, what: str) -> None:
    {**SILENT, **UPDATED}[what](process.gateway.world)
    process.detector.poll_aliases()
    if what != "version described":
        assert process.shows() == truth(process.gateway)


def test_where_nothing_changed_a_poll_reads_nothing_more(process: Process) -> None:
    process.detector.poll_changes()
    process.detector.poll_aliases()
    assert process.gateway.calls == ["newest", "registered_models"]
    assert [process.journal.last(kind)["changed"] for kind in (CHANGES, ALIASES)] == [0, 0]


def test_more_changes_than_one_page_are_found_and_very_many_are_read_by_a_sweep(process: Process) -> None:
    for count, sweeps in ((150, 0), (1100, 1)):
        for number in range(count):
            process.gateway.world.add_version(f"new {count} {number}")
        process.gateway.calls.clear()
        process.detector.poll_changes()
        assert process.gateway.calls.count("read_inventory") == sweeps
        assert process.shows() == truth(process.gateway)


def test_a_model_that_a_poll_does_not_find_is_asked_for_before_it_is_taken_for_gone(process: Process) -> None:
    process.gateway.registered_models = lambda: ()  # type: ignore[method-assign]
    process.detector.poll_aliases()
    assert set(process.shows()) == {"m", "other"}
    assert process.gateway.calls == ["read_models"]


def test_what_a_list_lacks_is_gone_only_where_mlflow_says_so_when_it_is_asked_by_name(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = process.gateway
    for name in ("missed", "cut", "denied", "gone"):
        gateway.world.add_version(name, {"accuracy": 0.9})
    gateway.world.add_version("cut")
    process.publisher.sweep()
    gateway.world.delete_model("gone")
    expected = truth(gateway)
    gateway.refusals["read_models"] = {"denied": MlflowDenied("MLflow denies the permission.")}
    whole = gateway.read_inventory

    def partly() -> Inventory:
        found = whole()
        left_out = ("missed", "denied")
        models = tuple(model for model in found.models if model.name not in left_out)
        versions = tuple(v for v in found.versions if v.name not in left_out and (v.name, v.version) != ("cut", 1))
        return replace(found, models=models, versions=versions)

    monkeypatch.setattr(gateway, "read_inventory", partly)
    listed = gateway.registered_models
    monkeypatch.setattr(gateway, "registered_models", lambda: tuple(m for m in listed() if m.name != "denied"))
    process.publisher.sweep()
    assert process.shows() == expected
    # Nor does what may no longer be read fail a poll, or keep it from finding the others.
    gateway.world.set_alias("cut", "champion", 2)
    process.detector.poll_aliases()
    assert process.shows() == truth(gateway)
    assert process.journal.last(ALIASES)["succeeded_at"]
    assert not process.journal.last(ALIASES).get("failed_at")


def test_a_model_that_may_not_be_read_is_told_of_to_who_asks_for_it(process: Process) -> None:
    process.gateway.refusals["read_models"] = {"denied": MlflowDenied("MLflow denies the permission.")}
    with pytest.raises(MlflowDenied):
        process.publisher.look_up(["denied"])
    process.gateway.world.add_version("n")
    assert process.publisher.look_up(["denied", "n"]) == 1


def test_a_poll_before_the_first_snapshot_leaves_that_to_the_sweep(tmp_path: Path) -> None:
    process = Process(tmp_path, MemoryGateway())
    process.detector.poll_changes()
    process.detector.poll_aliases()
    assert process.gateway.calls == []


def test_a_poll_that_fails_is_told_of_and_the_next_one_finds_what_it_missed(process: Process) -> None:
    process.gateway.world.add_version("m")
    process.gateway.failure = MlflowUnavailable("MLflow is down.")
    process.detector.poll_changes()
    assert process.journal.last(CHANGES)["error"] == "MLflow is down."
    process.gateway.failure = None
    process.detector.poll_changes()
    assert process.shows() == truth(process.gateway)
    assert process.journal.last(CHANGES)["changed"] == 1


def test_a_poll_that_crashes_is_told_of_without_its_text(process: Process) -> None:
    def crash(_: int) -> Newest:
        raise ZeroDivisionError("password")

    process.gateway.newest = crash  # type: ignore[method-assign]
    process.detector.poll_changes()
    assert process.journal.last(CHANGES)["error"] == "Internal error"


def test_a_burst_of_pushes_is_read_in_few_requests_and_nothing_of_it_is_lost(process: Process) -> None:
    names = [f"model {number}" for number in range(300)]
    process.detector.start()
    for name in names * 3:
        if name not in process.gateway.world.models:
            process.gateway.world.add_version(name)
        process.detector.pushed(name)
    until(lambda: process.shows() == truth(process.gateway))
    assert len(process.gateway.calls) <= 20
    assert process.journal.last(PUSH)["changed"] > 0


def test_a_burst_of_very_many_names_is_read_by_one_sweep(process: Process) -> None:
    for number in range(500):
        process.gateway.world.add_version(f"model {number}")
        process.detector.pushed(f"model {number}")
    process.gateway.calls.clear()
    process.detector.start()
    until(lambda: process.shows() == truth(process.gateway))
    assert process.gateway.calls == ["read_inventory"]


def test_a_model_that_is_pushed_while_a_sweep_reads_is_there_when_that_ends(process: Process) -> None:
    world, read = process.gateway.world, process.gateway.read_inventory

    def mid_sweep() -> Inventory:
        inventory = read()
        world.add_version("m")
        world.add_version("new")
        process.publisher.look_up(["m", "new"])
        return inventory

    process.gateway.read_inventory = mid_sweep  # type: ignore[method-assign]
    process.publisher.sweep()
    assert process.shows() == truth(process.gateway)


def test_a_slow_reading_of_a_model_does_not_undo_a_sweep_that_began_later(process: Process) -> None:
    reading = process.publisher.begin(POLL)
    slow = process.gateway.read_models(["m"], [])
    process.gateway.world.add_version("m")
    process.publisher.sweep()
    assert process.publisher.apply(slow, reading) == 0
    assert process.shows() == truth(process.gateway)


def test_a_poll_of_aliases_takes_nothing_back_that_was_found_while_it_read(process: Process) -> None:
    world, listed = process.gateway.world, process.gateway.registered_models
    reading = process.publisher.begin(POLL)

    def slowly() -> Any:
        models = listed()
        world.add_version("m")
        process.publisher.apply(process.gateway.read_models(["m"], []), reading)
        return models

    world.tag_model("m", "k", "v")
    process.gateway.registered_models = slowly  # type: ignore[method-assign]
    process.detector.look_at_aliases()
    assert process.shows() == truth(process.gateway)


def test_what_a_delivery_named_is_read_again_when_mlflow_failed(process: Process) -> None:
    read, failures = process.gateway.read_models, [MlflowUnavailable("down"), MlflowUnavailable("down")]

    def fail_twice(names: Sequence[str], experiments: Sequence[str]) -> Any:
        if failures:
            raise failures.pop()
        return read(names, experiments)

    process.gateway.read_models = fail_twice  # type: ignore[method-assign]
    process.gateway.world.add_version("m")
    process.detector.start()
    process.detector.pushed("m")
    until(lambda: process.shows() == truth(process.gateway))


NAMES = ("a", "b", "c")


class Mirror(RuleBasedStateMachine):
    """Changes, sweeps that take their time, look-ups and polls in any order."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.gateway = MemoryGateway()
        self.world = self.gateway.world
        self.process = Process(directory, self.gateway)
        self.process.publisher.sweep()
        self.begun: tuple[int, Inventory] | None = None
        self.was: dict[str, list[Any]] = {name: [None] for name in NAMES}
        self.at_least = dict.fromkeys(NAMES, 0)

    def changed(self) -> None:
        now = truth(self.gateway)
        for name in NAMES:
            if now.get(name) != self.was[name][-1]:
                self.was[name].append(now.get(name))

    @rule(name=st.sampled_from(NAMES), what=st.sampled_from(["add", "stage", "alias", "tag", "delete", "drop"]))
    def change(self, name: str, what: str) -> None:
        world = self.world
        versions = [version for model, version in world.versions if model == name]
        if what == "add":
            world.add_version(name, {"accuracy": 0.5})
        elif what == "drop" and name in world.models:
            world.delete_model(name)
        elif versions and what == "stage":
            world.set_stage(name, versions[0], "Staging")
        elif versions and what == "alias":
            world.set_alias(name, "champion", versions[-1])
        elif versions and what == "tag":
            world.tag_model(name, "k", str(world.now))
        elif versions and what == "delete":
            world.delete_version(name, versions[0])
        self.changed()

    @rule()
    def a_sweep_begins(self) -> None:
        self.begun = self.process.snapshots.ticket(5), self.gateway.read_inventory()

    @rule()
    def the_sweep_ends(self) -> None:
        if self.begun is not None:
            (ticket, begun), self.begun = self.begun, None
            self.gateway.read_inventory = lambda: begun  # type: ignore[method-assign]
            self.process.snapshots.ticket = lambda _: ticket  # type: ignore[method-assign]
            self.process.publisher.sweep()
            del self.gateway.read_inventory, self.process.snapshots.ticket

    @rule(name=st.sampled_from(NAMES))
    def a_model_is_pushed(self, name: str) -> None:
        self.process.publisher.look_up([name])
        assert self.process.shows().get(name) == truth(self.gateway).get(name)

    @rule()
    def changes_are_polled(self) -> None:
        self.process.detector.look_for_changes()

    @rule()
    def aliases_are_polled(self) -> None:
        self.process.detector.look_at_aliases()

    @invariant()
    def no_model_goes_back(self) -> None:
        for name, states in self.was.items():
            state = self.process.shows().get(name)
            at = max(number for number, was in enumerate(states) if was == state)
            assert at >= self.at_least[name], f"{name} went back from {self.at_least[name]} to {at}"
            self.at_least[name] = min(
                number for number, was in enumerate(states) if was == state and number >= self.at_least[name]
            )

    def teardown(self) -> None:
        self.process.detector.look_for_changes()
        self.process.detector.look_at_aliases()
        assert self.process.shows() == truth(self.gateway)
        self.process.publisher.sweep()
        assert self.process.shows() == truth(self.gateway)


def test_whatever_comes_in_whatever_order_no_model_goes_back_and_the_polls_find_all(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        lambda: Mirror(tmp_path_factory.mktemp("mirror")),
        settings=settings(
            max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def test_the_journal_tells_of_the_last_run_of_each_kind(process: Process) -> None:
    entry = process.journal.last(SWEEP)
    assert entry["requests"] == 1
    assert entry["changed"] == 2
    assert entry["started_at"] < entry["succeeded_at"]
