"""The updater: reads MLflow and publishes what it finds, all of it or some registered models."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.domain.changes import completed, lacking
from app.domain.errors import LockTimeout, MlflowDenied, MlflowUnavailable, TowerError
from app.domain.fleet import Fleet, reading_of, swept, with_models
from app.domain.models import Inventory, ModelReading
from app.domain.ports import Clock, Gateway, Journal, Locks, Snapshots
from app.domain.stages import StageRules

log = logging.getLogger(__name__)

# After a failed sweep MLflow is left alone for so long by the scheduler, and by requests that find nothing cached.
_RETRY_MS = 15_000
_COLD_RETRY_MS = 3_000
_SWEEP = "sweep"


@dataclass(frozen=True, slots=True)
class UpdaterOptions:
    """`interval` between sweeps and `timeout` of one, in seconds; without a cache none is ever due."""

    interval: float
    timeout: float
    cached: bool = True


class Updater:
    """Sweeps and look-ups. One sweep at a time, in whatever process; look-ups go on beside it."""

    def __init__(
        self,
        gateway: Gateway,
        snapshots: Snapshots,
        journal: Journal,
        locks: Locks,
        rules: StageRules,
        clock: Clock,
        options: UpdaterOptions,
    ) -> None:
        self._gateway = gateway
        self._snapshots = snapshots
        self._journal = journal
        self._locks = locks
        self._rules = rules
        self._clock = clock
        self._options = options
        self._failure: tuple[int, str] | None = None

    def read(self) -> Fleet:
        """All that MLflow says now, kept nowhere."""
        return swept(None, self._inventory(), self._rules)

    def sweep(self) -> Fleet:
        """Read everything now. Whoever asks while a sweep runs gets its outcome."""
        asked = self._clock()
        try:
            with self._locks.hold("refresh", self._options.timeout):
                return self._joined(asked) or self._sweep()
        except LockTimeout:
            raise MlflowUnavailable("Another refresh is under way and takes too long. Try again later.") from None

    def sweep_if_due(self) -> Fleet | None:
        """The scheduler's tick: the new fleet where one was due and nobody else was at it."""
        if not self._due():
            return None
        try:
            with self._locks.hold("refresh", 0):
                return self._sweep() if self._due() else None
        except LockTimeout:
            return None

    def sweep_first(self) -> Fleet:
        """The first snapshot, for a request that finds none."""
        asked = self._clock()
        if self._failure and asked - self._failure[0] < _COLD_RETRY_MS:
            raise MlflowUnavailable(self._failure[1])
        try:
            with self._locks.hold("refresh", self._gateway.patience):
                return self._snapshots.newest() or self._joined(asked) or self._sweep()
        except LockTimeout:
            raise MlflowUnavailable("The first reading of MLflow is still under way. Try again shortly.") from None

    def first(self) -> int:
        """See to it that there is a snapshot, and give its `as_of`. Raises `MlflowUnavailable`."""
        return (self._snapshots.newest() or self.sweep_first()).as_of

    def held(self, since: int) -> Fleet | None:
        """The snapshot, where it changed after a time in milliseconds: for processes that cannot share it."""
        fleet = self._snapshots.newest()
        return fleet if fleet is not None and fleet.changed_at > since else None

    def look_up(self, names: Sequence[str]) -> int:
        """Read some registered models anew; how many of them had changed. Raises `MlflowUnavailable`."""
        fleet = self._snapshots.newest() or self.sweep_first()
        with self._gateway.within(self._gateway.patience):
            readings = self._gateway.read_models(names, fleet.experiment_ids)
        return self.apply(readings)

    def apply(self, readings: Mapping[str, ModelReading]) -> int:
        """Publish readings of some registered models; how many of them were news."""
        changed = 0

        def change(current: Fleet | None) -> Fleet:
            nonlocal changed
            if current is None:
                raise MlflowUnavailable("Nothing has been read from MLflow yet. Try again shortly.")
            newer = {name: reading for name, reading in readings.items() if _is_newer(reading, name, current)}
            fleet = with_models(current, newer, self._rules)
            changed = sum(fleet.model(name) != current.model(name) for name in newer)
            return fleet

        self._snapshots.publish(change, self._gateway.patience)
        return changed

    def _joined(self, asked: int) -> Fleet | None:
        """What a sweep that ended after `asked` came to: its fleet, or its failure raised."""
        entry = self._journal.last(_SWEEP)
        if (entry.get("failed_at") or 0) >= asked:
            raise MlflowUnavailable(entry["error"])
        return self._snapshots.newest() if (entry.get("succeeded_at") or 0) >= asked else None

    def _due(self) -> bool:
        if not self._options.cached:
            return False
        now, fleet = self._clock(), self._snapshots.newest()
        failed = max(self._journal.last(_SWEEP).get("failed_at") or 0, self._failure[0] if self._failure else 0)
        if now - failed < min(_RETRY_MS, self._options.interval * 1000):
            return False
        return fleet is None or now - fleet.as_of >= self._options.interval * 1000

    def _sweep(self) -> Fleet:
        try:
            with self._journal.entry(_SWEEP) as entry:
                with self._gateway.within(self._options.timeout) as operation:
                    inventory = self._inventory()
                    before = self._snapshots.newest()
                    fleet = self._snapshots.publish(
                        lambda current: swept(current, inventory, self._rules), self._gateway.patience, whole=True
                    )
                entry["requests"] = operation.requests
                entry["changed"] = fleet.changes_since(before)
        except TowerError as error:
            self._failure = (self._clock(), error.detail)
            log.warning("Refresh failed, the snapshot stays: %s", error.detail)
            raise
        self._failure = None
        log.info("Refreshed %d model versions with %d MLflow requests", len(fleet.models), operation.requests)
        return fleet

    def _inventory(self) -> Inventory:
        """One reading, doubted where it says that everything is gone."""
        inventory = self._gateway.read_inventory()
        if not inventory.experiments:
            # A real MLflow always has one, be it deleted; an empty 200 from something in between has none.
            raise MlflowUnavailable("MLflow's answer holds nothing at all, which no MLflow says. Check what answers.")
        before = self._snapshots.newest()
        if before and before.by_name and not inventory.versions:
            log.warning("MLflow says that all %d model versions are gone: asking again", len(before.models))
            inventory = self._gateway.read_inventory()
        return self._completed(inventory, before) if before else inventory

    def _completed(self, inventory: Inventory, before: Fleet) -> Inventory:
        """The reading, after MLflow was asked by name for what it lacks: a list may leave out what is there."""
        names = lacking(inventory, before)
        if not names:
            return inventory
        known = {name: reading_of(before, name, before.as_of) for name in names}
        try:
            known |= self._gateway.read_models(names, [one.experiment_id for one in inventory.experiments])
        except MlflowDenied as error:
            log.warning("%d models that may no longer be read stay as they were: %s", len(names), error.detail)
        return completed(inventory, known)


def _is_newer(reading: ModelReading, name: str, fleet: Fleet) -> bool:
    """Whether a reading of a registered model began after what the fleet has of it was read."""
    if reading.read_at <= fleet.touched.get(name, 0) or reading.read_at < fleet.as_of:
        return False
    # A row of a long list may be older than it says: another reading may have come and gone while the list was read.
    known, read = fleet.model(name)[0], reading.model
    return reading.versions is not None or known is None or read is None or read.updated >= known.updated
