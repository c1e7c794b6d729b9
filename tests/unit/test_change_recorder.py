"""The history of the registry: what is recorded is what happened, whoever looked, and whatever failed between."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from app.domain.errors import Busy, MlflowDenied, MlflowUnavailable
from app.domain.registry.models import RegisteredModel
from app.domain.registry_history.past import lineage_at, unknown_at
from tests.fakes.memory_mlflow import MemoryGateway
from tests.unit.recording_host import Host
from tests.unit.registry_moves import try_moves


@pytest.fixture
def host(tmp_path: Path) -> Host:
    made = Host(tmp_path / "a", MemoryGateway())
    made.gateway.world.add_version("m")
    made.gateway.world.add_version("m")
    made.look()
    return made


def test_what_the_first_look_finds_is_the_beginning_and_no_change(host: Host) -> None:
    assert host.changes() == []
    assert host.record.begun is not None
    host.look()
    assert host.changes() == []


def test_every_kind_of_change_is_recorded_with_what_was_before(host: Host) -> None:
    world = host.gateway.world
    world.set_alias("m", "champion", 1)
    host.look()
    world.set_alias("m", "champion", 2)
    world.set_stage("m", 1, "Production")
    host.look()
    world.delete_alias("m", "champion")
    world.delete_version("m", 2)
    world.add_version("m")
    host.look()
    world.rename("m", "n")
    host.look()
    world.delete_model("n")
    host.look()
    world.add_version("n")
    host.look()
    assert host.told("n") == [
        ("alias", "alias champion", None, 1),
        ("stage", "version 1", "None", "Production"),
        ("alias", "alias champion", 1, 2),
        ("created", "version 3", None, "None"),
        ("alias", "alias champion", 2, None),
        ("deleted", "version 2", "None", None),
        ("renamed", "model", "m", "n"),
        ("deleted", "model", "n", None),
        ("recreated", "model", "n", "n"),
        ("created", "version 1", None, "None"),
    ]


def test_a_move_there_and_back_and_there_again_is_four_changes(host: Host) -> None:
    for version in (1, 2, 1, 2):
        host.gateway.world.set_alias("m", "champion", version)
        host.look()
    assert [(old, new) for _, _, old, new in host.told()] == [(None, 1), (1, 2), (2, 1), (1, 2)]
    assert len({change.key for change in host.changes()}) == 4


def test_two_hosts_that_see_the_same_change_write_one(host: Host, tmp_path: Path) -> None:
    other = Host(tmp_path / "b", host.gateway)
    other.look()
    host.gateway.world.set_alias("m", "champion", 1)
    host.mirror.publisher.sweep()
    other.mirror.publisher.sweep()
    host.recorder.record()
    other.recorder.record()
    assert other.changes() == host.changes()
    assert len(host.changes()) == 1


def test_five_hundred_moves_at_once_are_written_in_few_requests(host: Host) -> None:
    world = host.gateway.world
    for number in range(500):
        world.add_version(f"n{number}")
    host.look()
    for number in range(500):
        world.set_alias(f"n{number}", "champion", 1)
    host.mirror.publisher.sweep()
    before = len(host.gateway.calls)
    host.recorder.record()
    assert len(host.gateway.calls) - before <= 8
    assert all(len(host.changes(f"n{number}")) == 3 for number in range(500))


def test_what_was_seen_while_mlflow_took_nothing_is_recorded_later(host: Host) -> None:
    host.gateway.world.set_alias("m", "champion", 1)
    host.mirror.publisher.sweep()
    host.gateway.locked = True
    with pytest.raises(MlflowUnavailable):
        host.recorder.record()
    host.gateway.world.set_alias("m", "champion", 2)
    host.mirror.publisher.sweep()
    host.gateway.locked = False
    host.recorder.record()
    assert [(old, new) for _, _, old, new in host.told()] == [(None, 1), (1, 2)]


def test_a_model_that_mlflow_does_not_show_is_not_a_deleted_one(host: Host) -> None:
    hidden = host.gateway.world.models.pop("m")
    host.gateway.refusals = {"read_models": {"m": MlflowDenied("MLflow denies that.")}}
    host.look()
    host.mirror.detector.look_at_aliases()
    host.recorder.record()
    assert host.changes() == []
    host.gateway.world.models["m"] = hidden
    host.gateway.refusals = {}
    host.look()
    assert host.changes() == []


def test_the_record_of_random_moves_is_right_for_every_moment_outside_its_intervals(tmp_path: Path) -> None:
    try_moves(tmp_path, 12)


def test_a_model_that_one_host_saw_before_it_was_renamed_and_another_after_is_one_model(
    host: Host, tmp_path: Path
) -> None:
    other = Host(tmp_path / "b", host.gateway)
    other.look()
    host.gateway.world.add_version("n")
    host.look()
    host.gateway.world.rename("n", "o")
    other.mirror.publisher.look_up_each(["o"], "push")
    other.recorder.record()
    other.look()
    assert other.told("o") == [
        ("created", "model", None, "n"),
        ("created", "version 1", None, "None"),
        ("renamed", "model", "n", "o"),
    ]


FIRST_LOOKS: dict[str, Callable[[Host], object]] = {
    "a sweep": lambda host: host.mirror.publisher.sweep(),
    "a poll": lambda host: host.mirror.detector.look_at_aliases() or host.mirror.publisher.sweep(),
    "a push": lambda host: host.mirror.publisher.look_up_each(["m"], "push"),
}


class Hosts(NamedTuple):
    """Hosts that share a cache: the one that led first, the one that led last, and one that never led."""

    first: Host
    last: Host
    idle: Host


def restart(hosts: Hosts) -> Host:
    hosts.last.start()
    return hosts.last


def lose_cache(hosts: Hosts) -> Host:
    hosts.last.lose_cache()
    return hosts.last


BEGINNINGS: dict[str, Callable[[Hosts], Host]] = {
    "a restart": restart,
    "the loss of the cache": lose_cache,
    "the turn of another host": lambda hosts: hosts.idle,
    "the turn of a host that led before": lambda hosts: hosts.first,
}


@pytest.mark.parametrize("is_read_late", [False, True])
@pytest.mark.parametrize("look", FIRST_LOOKS)
@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_the_first_look_shows_what_changed_while_nobody_looked(
    host: Host, beginning: str, look: str, is_read_late: bool
) -> None:
    world, directory = host.gateway.world, host.directory
    hosts = Hosts(host, Host(directory, host.gateway), Host(directory, host.gateway))
    hosts.idle.recorder.first()
    world.set_alias("m", "champion", 1)
    hosts.last.look()
    looked = hosts.last.record.looked
    assert looked is not None
    world.set_alias("m", "champion", 2)
    world.set_stage("m", 1, "Production")
    begun = BEGINNINGS[beginning](hosts)
    FIRST_LOOKS[look](begun)
    ended = world.tick()
    if is_read_late:
        host.gateway.failure = MlflowUnavailable("MLflow is down.")
        with pytest.raises(MlflowUnavailable):
            begun.recorder.read_others()
        host.gateway.failure = None
        # Each look that waited is compared, in its turn.
        world.set_alias("m", "champion", 1)
        begun.mirror.publisher.sweep()
    begun.recorder.read_others()
    begun.recorder.record()
    moves = [(None, 1), (1, 2), (2, 1)] if is_read_late else [(None, 1), (1, 2)]
    changes = begun.changes()
    aliases = [change for change in changes if change.subject == "alias champion"]
    assert [(change.old, change.new) for change in aliases] == moves
    (staged,) = (change for change in changes if change.kind == "stage")
    for change in (aliases[1], staged):
        assert looked.aliases <= change.not_before < change.not_after < ended


OTHERS_LOOKS: dict[str, Callable[[Host], object]] = {
    "all": lambda other: other.look(),
    "what was pushed": lambda other: other.mirror.publisher.look_up_each([*"mnopq"], "push", frozenset("mpq")),
}


@pytest.mark.parametrize("behind_ms", [0, 100])
@pytest.mark.parametrize("look", OTHERS_LOOKS)
def test_the_first_look_does_not_undo_what_another_tower_recorded_after_it_began(
    host: Host, tmp_path: Path, look: str, behind_ms: int
) -> None:
    """The clock of the other tower may be behind."""
    world, other = host.gateway.world, Host(tmp_path / "b", host.gateway, behind_ms)
    world.add_version("p")
    host.look()
    other.look()
    host.apart_ms = behind_ms + 1
    host.lose_cache()
    host.mirror.publisher.sweep()
    world.rename("p", "q")
    OTHERS_LOOKS[look](other)
    world.set_alias("m", "champion", 1)
    world.rename("m", "n")
    world.delete_model("q")
    world.add_version("o")
    OTHERS_LOOKS[look](other)
    other.recorder.record()
    host.recorder.read_others()
    host.recorder.record()
    host.look()
    assert host.told("n") == [("renamed", "model", "m", "n"), ("alias", "alias champion", None, 1)]
    assert host.told("o") == [("created", "model", None, "o"), ("created", "version 1", None, "None")]
    assert [kind for kind, *_ in host.told("q")] == ["created", "created", "renamed", "deleted"]


def test_a_look_that_waits_while_the_tower_moves_something_is_not_lost(host: Host) -> None:
    world, (lineage,) = host.gateway.world, host.record.lineages()
    world.set_stage("m", 2, "Staging")
    host.mirror.publisher.sweep()
    world.set_alias("m", "champion", 1)
    moved = [("alias champion", None, 1)]
    assert host.recorder.record_moves("m", lineage.first[0].created, moved, {}, "ann", world.now, world.tick())
    host.recorder.record()
    world.set_stage("m", 2, "Production")
    host.look()
    assert [(kind, new) for kind, _, _, new in host.told()] == [
        ("stage", "Staging"),
        ("alias", 1),
        ("stage", "Production"),
    ]


def test_a_look_that_waits_while_another_tower_records_a_new_model_confirms_nothing_of_that_model(
    host: Host, tmp_path: Path
) -> None:
    world, other = host.gateway.world, Host(tmp_path / "b", host.gateway)
    other.look()
    world.add_version("n")
    other.look()
    began = world.tick()
    world.add_version("n")
    ended = world.tick()
    host.mirror.publisher.sweep()
    host.look()
    host.look()
    change = next(change for change in host.changes("n") if change.subject == "version 2")
    assert change.not_before < ended
    assert change.not_after > began
    assert len(host.changes("n")) == 3


LOOKS: dict[str, Callable[[Host], object]] = {
    "read_inventory": lambda host: host.mirror.publisher.sweep(),
    "registered_models": lambda host: host.mirror.detector.look_at_aliases(),
    "newest": lambda host: host.mirror.detector.look_for_changes(),
    "read_versions": lambda host: host.mirror.detector.look_for_changes(),
    "read_models": lambda host: host.mirror.publisher.look_up_each(["m"], "push"),
}


@pytest.mark.parametrize("read", LOOKS)
def test_a_model_that_is_renamed_while_it_is_read_loses_neither_aliases_nor_versions(
    host: Host, read: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = host.gateway
    gateway.world.set_alias("m", "champion", 1)
    host.look()
    before = host.told()
    # Something else is changed as well, so that the model is read.
    gateway.world.describe_model("m", "better")
    answer = getattr(gateway, read)

    def torn(*given: Any) -> Any:
        """What MLflow says where the name changes after it has read the model, and before it reads what is of it."""
        monkeypatch.setattr(gateway, read, answer)
        found = answer(*given)
        gateway.world.rename("m", "n")
        return without_parts(found)

    monkeypatch.setattr(gateway, read, torn)
    LOOKS[read](host)
    host.recorder.record()
    monkeypatch.setattr(gateway, read, answer)
    host.look()
    assert host.told("n") == [*before, ("renamed", "model", "m", "n")]


def without_parts(found: Any) -> Any:
    """The same answer of a gateway, in which no model has aliases or versions."""
    if isinstance(found, dict):
        return {name: replace(reading, model=bare(reading.model), versions=()) for name, reading in found.items()}
    if isinstance(found, tuple):
        return tuple(map(bare, found))
    return replace(found, models=tuple(map(bare, found.models)), versions=())


def bare(model: RegisteredModel) -> RegisteredModel:
    return replace(model, aliases={})


def test_what_another_host_saw_may_have_gone_before_the_model_did(host: Host, tmp_path: Path) -> None:
    world, other = host.gateway.world, Host(tmp_path / "b", host.gateway)
    other.look()
    world.delete_model("m")
    world.add_version("m")
    other.look()
    world.delete_version("m", 1)
    gone = world.tick()
    host.mirror.detector.look_at_aliases()
    host.gateway.failure = MlflowUnavailable("MLflow is down.")
    with pytest.raises(MlflowUnavailable):
        host.recorder.record()
    host.gateway.failure = None
    world.delete_model("m")
    host.look()
    found = lineage_at(host.record, "m", gone)
    assert found is not None
    assert found[1].unsure or not found[1].versions


def test_a_name_that_passed_to_a_new_model_is_lost_to_the_old_one(host: Host, tmp_path: Path) -> None:
    world, other = host.gateway.world, Host(tmp_path / "b", host.gateway)
    other.look()
    world.delete_model("m")
    gone = world.tick()
    world.add_version("m")
    for one in (host, other):
        one.mirror.publisher.look_up_each(["m"], "push")
        one.recorder.record()
    other.look()
    deleted, created = (change for change in other.changes() if change.subject == "model")
    assert (deleted.kind, created.kind) == ("deleted", "recreated")
    assert deleted.not_before <= gone <= deleted.not_after
    found = lineage_at(other.record, "m", gone)
    assert found is not None
    unknown = unknown_at(other.record, gone, found[1].unsure)
    assert unknown is not None
    assert unknown.why == "between_looks"


def test_a_start_without_a_cache_reads_the_record_when_the_first_snapshot_is_there(host: Host) -> None:
    host.gateway.world.set_alias("m", "champion", 1)
    host.look()
    told = host.told()
    host.lose_cache()
    before = host.gateway.calls.count("registry_runs")
    host.recorder.tick()
    assert host.gateway.calls.count("registry_runs") == before
    host.mirror.publisher.sweep()
    host.recorder.tick()
    assert host.told() == told


def test_who_asks_while_the_record_is_read_is_told_so_and_what_others_move_meanwhile_stays_in_it(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, world, (lineage,) = host.gateway, host.gateway.world, host.record.lineages()
    shares_the_cache = Host(host.directory, gateway)
    shares_the_cache.recorder.read_newest()
    host.start()
    is_reading, goes_on, runs = threading.Event(), threading.Event(), gateway.registry_runs

    def slow(newest: int | None) -> Any:
        found = runs(newest)
        if newest is None:
            is_reading.set()
            assert goes_on.wait(60)
        return found

    monkeypatch.setattr(gateway, "registry_runs", slow)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(host.recorder.read_others)
        assert is_reading.wait(60)
        gateway.patience = 0.05
        with pytest.raises(Busy):
            host.recorder.read_newest()
        gateway.patience = 60.0
        moved = [("alias champion", None, 1)]
        created = lineage.first[0].created
        assert shares_the_cache.recorder.record_moves("m", created, moved, {}, "ann", world.now, world.tick())
        goes_on.set()
        reading.result()
    assert host.told() == [("alias", "alias champion", None, 1)]
