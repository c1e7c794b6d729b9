"""The history of the registry: what is recorded is what happened, whoever looked, and whatever failed between."""

from pathlib import Path

import pytest

from app.domain.errors import MlflowDenied, MlflowUnavailable
from app.domain.registry_history.change import Change
from app.domain.registry_history.index import ChangeIndex, ChangeQuery
from app.domain.registry_history.record import RegistryRecord
from app.services.host.file_cache import FileCache
from app.services.host.file_locks import FileLocks
from app.services.host.holding_cache import HoldingCache
from app.services.mirror.change_recorder import ChangeRecorder
from app.services.mirror.registry_records import RegistryRecordStore
from tests.fakes.memory_mlflow import MemoryGateway
from tests.unit.mirrors import MirrorProcess


class Host:
    """A host that reads MLflow and records what changes. Hosts share nothing but MLflow."""

    def __init__(self, directory: Path, gateway: MemoryGateway) -> None:
        self.directory, self.gateway = directory, gateway
        self.start()

    def start(self) -> None:
        """As after `kill -9`: what is stored stays."""
        cache, locks = FileCache(self.directory / "cache"), FileLocks(self.directory / "locks", "x")
        self.mirror = MirrorProcess(self.gateway, HoldingCache(cache), locks)
        self.store = RegistryRecordStore(cache, locks, "x")
        self.recorder = ChangeRecorder(
            self.gateway,
            self.store,
            self.mirror.snapshots,
            self.mirror.publisher.looks,
            locks,
            self.gateway.world.tick,
            60,
            60_000,
        )

    def look(self) -> None:
        """A look at everything, and its record."""
        self.recorder.read_others()
        self.mirror.publisher.sweep()
        self.recorder.record()

    @property
    def record(self) -> RegistryRecord:
        return self.store.newest() or RegistryRecord()

    def changes(self, name: str = "m") -> list[Change]:
        """The changes of a model, oldest first."""
        index = ChangeIndex(self.record)
        return index.changes(reversed(index.find(ChangeQuery(name))))

    def told(self, name: str = "m") -> list[tuple[str, str, object, object]]:
        return [(one.kind, one.subject, _short(one, one.old), _short(one, one.new)) for one in self.changes(name)]


def _short(change: Change, value: object) -> object:
    """A value without its creation time."""
    if not isinstance(value, list):
        return value
    return next(part for part in value if isinstance(part, str))


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
