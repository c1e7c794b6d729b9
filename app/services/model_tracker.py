"""ModelTracker: the mirror of the registry. It loads, refreshes and hands out the fleet."""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from app.domain.codec import fleet_from, fleet_value
from app.domain.errors import LockTimeout, MlflowUnavailable, NotFound, TowerError
from app.domain.fleet import Fleet, swept, with_model
from app.domain.models import Inventory, TrackedModel
from app.domain.ports import Clock, Gateway, Locks, SharedCache
from app.domain.sample import sample_fleet
from app.domain.stages import StageRules

log = logging.getLogger(__name__)

SNAPSHOT = "fleet"
_STATE = "refresh"
# After a failed refresh MLflow is left alone for so long by the scheduler, and by requests that find nothing cached.
_RETRY_MS = 15_000
_COLD_RETRY_MS = 3_000


@dataclass(frozen=True, slots=True)
class TrackerOptions:
    """`source` names the MLflow that is mirrored; `interval` and `timeout` are in seconds."""

    source: str
    interval: float
    timeout: float
    cached: bool = True
    mock: bool = False


class ModelTracker:
    """One worker's view of the shared snapshot. Nothing is changed in place."""

    def __init__(
        self,
        gateway: Gateway,
        cache: SharedCache,
        locks: Locks,
        rules: StageRules,
        clock: Clock,
        options: TrackerOptions,
    ) -> None:
        self._gateway = gateway
        self._cache = cache
        self._locks = locks
        self._rules = rules
        self._clock = clock
        self._options = options
        self._fleet: Fleet | None = None
        self._token: object | None = None
        self._failure: tuple[int, str] | None = None
        self._own_state: dict[str, Any] = {}
        self._adopting = threading.Lock()

    @property
    def cached(self) -> bool:
        return self._options.cached

    def peek(self) -> Fleet | None:
        """The newest snapshot there is, without asking MLflow; without a cache there is none."""
        if not self.cached:
            return None
        token = self._cache.token(SNAPSHOT)
        if token is not None and token != self._token:
            with self._adopting:
                self._adopt(token)
        return self._fleet

    def fleet(self) -> Fleet:
        """The fleet to answer from. Raises `MlflowUnavailable` when nothing is cached and MLflow does not answer."""
        try:
            if not self.cached:
                return swept(None, self._read(), self._rules)
            return self.peek() or self._first()
        except MlflowUnavailable:
            if not self._options.mock:
                raise
            return sample_fleet(self._clock(), self._rules)

    def shows_mock(self) -> bool:
        """Whether the lists show the sample fleet, for want of anything else."""
        return self._options.mock and self.cached and self.peek() is None

    def versions(self, name: str) -> Sequence[TrackedModel]:
        """Every version of a model, highest first. One that the mirror has not seen yet is looked up."""
        fleet = self.fleet()
        if name not in fleet.registered and self.cached and not fleet.mock:
            fleet = self._looked_up(name)
        if name not in fleet.registered:
            raise NotFound("Model not found in MLflow")
        return fleet.by_name.get(name, ())

    def ensure_known(self, name: str, version: int, created: int) -> None:
        """See to it that a version that MLflow has is in the mirror; a failure is logged and mended later."""
        fleet = self.peek()
        known = fleet.by_key.get((name, version)) if fleet else None
        if fleet and not (known and known.row.created == created):
            try:
                self._looked_up(name)
            except TowerError as error:
                log.warning("A new version is not in the mirror until the next refresh: %s", error.detail)

    def refresh(self) -> Fleet:
        """Read everything from MLflow now. Whoever asks while a refresh runs gets its outcome."""
        asked = self._clock()
        try:
            with self._locks.hold("refresh", self._options.timeout):
                return self._joined(asked) or self._sweep()
        except LockTimeout:
            raise MlflowUnavailable("Another refresh is under way and takes too long. Try again later.") from None

    def refresh_if_due(self) -> Fleet | None:
        """The scheduler's tick: the new fleet where one was due and nobody else was at it."""
        if not self._due():
            return None
        try:
            with self._locks.hold("refresh", 0):
                return self._sweep() if self._due() else None
        except LockTimeout:
            return None

    def state(self) -> dict[str, Any]:
        """How the last refresh went, in any process."""
        found = self._cache.get(_STATE)
        shared: dict[str, Any] = found if isinstance(found, dict) else {}
        # Where nothing can be shared, each process knows of its own refreshes.
        return max(shared, self._own_state, key=lambda state: state.get("started_at") or 0)

    def is_refreshing(self) -> bool:
        state = self.state()
        started = state.get("started_at") or 0
        # A holder that was killed leaves its mark; no refresh lasts longer than its time-out.
        return started > (state.get("finished_at") or 0) and self._clock() - started < self._options.timeout * 1000

    def _first(self) -> Fleet:
        """The first snapshot, for a request that finds none."""
        asked = self._clock()
        if self._failure and asked - self._failure[0] < _COLD_RETRY_MS:
            raise MlflowUnavailable(self._failure[1])
        try:
            with self._locks.hold("refresh", self._gateway.patience):
                return self.peek() or self._joined(asked) or self._sweep()
        except LockTimeout:
            raise MlflowUnavailable("The first reading of MLflow is still under way. Try again shortly.") from None

    def _joined(self, asked: int) -> Fleet | None:
        """What a refresh that ended after `asked` came to: its fleet, or its failure raised."""
        state = self.state()
        if (state.get("failed_at") or 0) >= asked:
            raise MlflowUnavailable(state["error"])
        return self.peek() if (state.get("succeeded_at") or 0) >= asked else None

    def _due(self) -> bool:
        if not self.cached:
            return False
        now, state, fleet = self._clock(), self.state(), self.peek()
        failed = max(state.get("failed_at") or 0, self._failure[0] if self._failure else 0)
        if now - failed < min(_RETRY_MS, self._options.interval * 1000):
            return False
        return fleet is None or now - fleet.as_of >= self._options.interval * 1000

    def _sweep(self) -> Fleet:
        state = {
            **self.state(),
            "started_at": self._clock(),
            "holder": f"{socket.gethostname()}:{os.getpid()}",
        }
        self._note(state)
        began = time.monotonic()
        try:
            with self._gateway.within(self._options.timeout) as operation:
                inventory = self._read()
                fleet = self._publish(lambda current: swept(current, inventory, self._rules))
        except TowerError as error:
            self._failure = (self._clock(), error.detail)
            self._note({**state, **self._ended("failed_at"), "error": error.detail})
            log.warning("Refresh failed, the snapshot stays: %s", error.detail)
            raise
        except Exception:
            self._note({**state, **self._ended("failed_at"), "error": "Internal error"})
            raise
        self._failure = None
        took = round(time.monotonic() - began, 3)
        told = {
            "duration_seconds": took,
            "requests": operation.requests,
            "unreadable_rows": inventory.unreadable,
        }
        self._note({**state, **self._ended("succeeded_at"), **told})
        log.info(
            "Refreshed %d model versions in %.2f s with %d MLflow requests",
            len(fleet.models),
            took,
            operation.requests,
        )
        return fleet

    def _note(self, state: dict[str, Any]) -> None:
        self._own_state = state
        self._cache.set(_STATE, state)

    def _ended(self, how: str) -> dict[str, int]:
        now = self._clock()
        return {"finished_at": now, how: now}

    def _read(self) -> Inventory:
        """One reading, doubted where it says that everything is gone."""
        inventory = self._gateway.read_inventory()
        if not inventory.experiments:
            # A real MLflow always has one, be it deleted; an empty 200 from something in between has none.
            raise MlflowUnavailable("MLflow's answer holds nothing at all, which no MLflow says. Check what answers.")
        if self._fleet and self._fleet.models and not inventory.versions:
            log.warning("MLflow says that all %d model versions are gone: asking again", len(self._fleet.models))
            inventory = self._gateway.read_inventory()
        return inventory

    def _looked_up(self, name: str) -> Fleet:
        """The fleet with one model read anew. Raises `MlflowUnavailable`."""
        with self._gateway.within(self._gateway.patience):
            reading = self._gateway.read_model(name)
        fleet = self.fleet()
        if reading.model is None and name not in fleet.registered:
            return fleet
        return self._publish(lambda current: with_model(current or fleet, reading, name, self._rules))

    def _publish(self, change: Callable[[Fleet | None], Fleet]) -> Fleet:
        """Make the next fleet of the current one and share it; a full disk leaves it in this process alone."""
        with self._locks.hold("publish", self._gateway.patience):
            current = self.peek()
            with self._adopting:
                fleet = change(current)
                if self._cache.set(SNAPSHOT, fleet_value(fleet, self._options.source)):
                    self._token = self._cache.token(SNAPSHOT)
                self._fleet = fleet
                return fleet

    def _adopt(self, token: object) -> None:
        if token == self._token:
            return
        stored = self._cache.get(SNAPSHOT)
        fleet = fleet_from(stored, self._options.source, self._rules) if stored is not None else None
        if fleet is None:
            log.warning("The stored snapshot is of another MLflow or not readable: ignored")
        elif self._fleet is None or fleet.as_of >= self._fleet.as_of:
            self._fleet = fleet
        self._token = token
