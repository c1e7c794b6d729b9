"""A host that records what changes in the registry, against the fake of MLflow."""

from pathlib import Path

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
