"""Real gateways to MLflows in SQLite, each of its own, with what property tests ask of the gateway in memory."""

import itertools
import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app.domain.errors import TowerError
from app.domain.own_runs import OwnRun
from app.services.mlflow_gateway.gateway import MlflowGateway
from app.services.mlflow_gateway.store import ensure_store
from app.wiring.world import now_ms
from tests.contract.real_world import RealWorld
from tests.unit.registry_moves import Dying


class TimedWorld(RealWorld):
    """An MLflow with the machine's clock, on which no two ticks show the same millisecond."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self._last = 0
        self._ticking = threading.Lock()

    def tick(self) -> int:
        with self._ticking:
            while (now := now_ms()) <= self._last:
                time.sleep(0.0002)
            self._last = now
            return now

    def seconds(self) -> float:
        return time.monotonic()


class SqliteGateway(Dying, MlflowGateway):
    """A real gateway that counts moves, and fails or dies where a test wants it to."""

    world: TimedWorld
    failure: TowerError | None = None

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.calls: list[str] = []

    def set_alias(self, name: str, alias: str, version: int) -> None:
        self.calls.append("set_alias")
        super().set_alias(name, alias, version)

    def registry_runs(self, newest: int | None) -> Sequence[OwnRun]:
        self._fail()
        return super().registry_runs(newest)

    def write_registry_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        self._fail()
        super().write_registry_tags(run_id, tags)

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


class Stores:
    """Makes MLflows in SQLite: copies of an empty one, since to make a store takes seconds."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)
        self._empty = folder / "empty.db"
        ensure_store(f"sqlite:///{self._empty}")

    def gateway(self) -> SqliteGateway:
        """A gateway to a store of its own."""
        path = self._folder / f"{next(self._numbers)}.db"
        shutil.copy(self._empty, path)
        uri = f"sqlite:///{path}"
        made = SqliteGateway.connect(uri, monitoring_experiment="control-tower", clock=now_ms)
        assert isinstance(made, SqliteGateway)
        made.world = TimedWorld(uri)
        return made
