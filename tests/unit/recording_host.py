"""A host that records what changes in the registry, against the fake of MLflow."""

import shutil
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
    """A host that reads MLflow and records what changes. Hosts share nothing but MLflow.

    Its clock is `behind_ms` behind that of others, and it reckons with `apart_ms`.
    """

    def __init__(self, directory: Path, gateway: MemoryGateway, behind_ms: int = 0, apart_ms: int = 0) -> None:
        self.directory, self.gateway = directory, gateway
        self.behind_ms, self.apart_ms = behind_ms, apart_ms
        self.start()

    def clock(self) -> int:
        return self.gateway.world.tick() - self.behind_ms

    def start(self) -> None:
        """As after `kill -9`: what is stored stays."""
        cache, locks = FileCache(self.directory / "cache"), FileLocks(self.directory / "locks", "x")
        self.mirror = MirrorProcess(self.gateway, HoldingCache(cache), locks, clock=self.clock)
        self.store = RegistryRecordStore(cache, locks, "x")
        self.recorder = ChangeRecorder(
            self.gateway,
            self.store,
            self.mirror.snapshots,
            self.mirror.publisher.looks,
            locks,
            self.clock,
            60,
            60_000,
            self.apart_ms,
        )

    def lose_cache(self) -> None:
        """Start anew, with nothing stored."""
        shutil.rmtree(self.directory)
        self.start()

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
