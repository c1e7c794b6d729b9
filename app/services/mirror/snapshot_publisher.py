"""The snapshot publisher reads all of MLflow or some registered models, and publishes them as the snapshot."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from app.domain.errors import LockTimeout, MlflowDenied, MlflowUnavailable, TowerError
from app.domain.messages import NOTHING_READ
from app.domain.ports import Clock, Gateway, Locks, Monotonic
from app.domain.registry.changes import completed, is_torn, lacking
from app.domain.registry.fleet import Edition, Fleet, reading_of, swept, with_models
from app.domain.registry.models import Inventory, ModelReading
from app.domain.registry.stages import StageRules
from app.domain.registry_history.change import POLL
from app.domain.registry_history.looking import REGISTRY, Look
from app.domain.times import age_ms
from app.domain.updates import SWEEP
from app.services.host.scheduler import RETRY_SECONDS
from app.services.mirror.journal import JournalWriter
from app.services.mirror.looks import Looks
from app.services.mirror.snapshots import SnapshotStore

log = logging.getLogger(__name__)

# How long after a failed sweep requests that find no snapshot leave MLflow alone.
_COLD_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class PublisherOptions:
    """The `interval` between sweeps and the `timeout` of a sweep, in seconds. Without a cache no sweep is due."""

    interval: float
    timeout: float
    cached: bool = True


@dataclass(frozen=True, slots=True)
class _Failure:
    """A sweep that failed: its ticket, the text of its error, and when it ended, in seconds."""

    ticket: int
    detail: str
    at: float


@dataclass(frozen=True, slots=True)
class Reading:
    """A reading that begins: its ticket, the time in milliseconds, and how it came about."""

    ticket: int
    began: int
    through: str


class SnapshotPublisher:
    """Sweeps and look-ups. All processes together run one sweep at a time; look-ups go on beside it.

    `looks` has what was read when.
    """

    def __init__(
        self,
        gateway: Gateway,
        snapshots: SnapshotStore,
        journal: JournalWriter,
        locks: Locks,
        rules: StageRules,
        clock: Clock,
        monotonic: Monotonic,
        options: PublisherOptions,
    ) -> None:
        self._gateway = gateway
        self._snapshots = snapshots
        self._journal = journal
        self._locks = locks
        self._rules = rules
        self._clock = clock
        self._monotonic = monotonic
        self._options = options
        self.looks = Looks()
        self._failure: _Failure | None = None
        # The last sweep's ticket, and when this process first saw it, in seconds.
        self._seen = (0, 0.0)

    def read(self) -> Fleet:
        """Everything that MLflow has now, without storing it."""
        return swept(None, self._inventory()[0], self._rules)

    def sweep(self) -> Fleet:
        """Read everything now. All calls during a sweep share the next sweep, which begins after they were made."""
        asked = self._ticket()
        try:
            with self._locks.hold("refresh", self._options.timeout):
                return self._joined(asked) or self._sweep()
        except LockTimeout:
            raise MlflowUnavailable("Another refresh is under way and takes too long. Try again later.") from None

    def sweep_if_due(self) -> Fleet | None:
        """The scheduler's tick: sweep if a sweep is due and no other process is at it. Returns the new fleet."""
        if not self._due():
            return None
        try:
            with self._locks.hold("refresh", 0):
                return self._sweep() if self._due() else None
        except LockTimeout:
            return None

    def sweep_first(self) -> Fleet:
        """Make the first snapshot, for a request that finds none. Raises `MlflowUnavailable`."""
        if self._failure and self._monotonic() - self._failure.at < _COLD_SECONDS:
            raise MlflowUnavailable(self._failure.detail)
        asked = self._ticket()
        try:
            with self._locks.hold("refresh", self._gateway.patience):
                return self._snapshots.newest() or self._joined(asked) or self._sweep()
        except LockTimeout:
            raise MlflowUnavailable("The first reading of MLflow is still under way. Try again shortly.") from None

    def first(self) -> Edition:
        """Make sure that there is a snapshot, and return its edition. Raises `MlflowUnavailable`."""
        return (self._snapshots.newest() or self.sweep_first()).edition

    def edition(self) -> Edition | None:
        """The edition of the newest snapshot."""
        return self._snapshots.edition()

    def share(self) -> None:
        """Publish the whole newest snapshot again, for processes that cannot read what is stored."""
        fleet = self._snapshots.newest()
        if fleet is not None:
            self._snapshots.publish(lambda current: current or fleet, self._gateway.patience, whole=True)

    def held(self, edition: Edition) -> bytes | None:
        """The newest snapshot as JSON; None where it does not replace this edition."""
        fleet = self._snapshots.newest()
        return self._snapshots.body() if fleet is not None and fleet.edition.replaces(edition) else None

    def forget(self) -> bool:
        """Remove the shared snapshot; returns whether it is gone. Every process keeps its own."""
        return self._snapshots.forget()

    def look_up(self, names: Sequence[str]) -> int:
        """Read some registered models again. Returns how many had changed. Raises `MlflowUnavailable`."""
        return self.look_up_each(names)[1]

    def look_up_each(
        self, names: Sequence[str], through: str = POLL, lost: frozenset[str] | None = None
    ) -> tuple[Collection[str], int]:
        """As `look_up`; returns as well which of the models could be read.

        `lost` are the known models that a list of all lacks now, where there is such a list.
        """
        fleet = self._snapshots.newest() or self.sweep_first()
        reading = self.begin(through)
        with self._gateway.within(self._gateway.patience):
            readings = self.read_models(names, fleet)
        return readings.keys(), self.apply(readings, reading, lost)

    def read_models(self, names: Sequence[str], fleet: Fleet) -> Mapping[str, ModelReading]:
        """Read some registered models, and those again whose reading another change may have torn."""
        readings = self._gateway.read_models(names, fleet.experiment_ids)
        torn = [name for name, reading in readings.items() if is_torn(reading, name, fleet)]
        if not torn:
            return readings
        whole = {name: reading for name, reading in readings.items() if name not in torn}
        return {**whole, **self._gateway.read_models(torn, fleet.experiment_ids)}

    def begin(self, through: str) -> Reading:
        """Begin a reading. Raises `MlflowUnavailable`."""
        began = self._clock()
        return Reading(self._ticket(), began, through)

    def looked(self, covers: str, fleet: Fleet, reading: Reading, unread: frozenset[str]) -> None:
        """Note that MLflow was compared with a fleet, even where nothing had changed. `unread` could not be read."""
        now = self._clock()
        self.looks.add(
            Look(fleet, reading.through, reading.ticket, reading.began, now, covers, unread=unread, published=False)
        )

    def apply(self, readings: Mapping[str, ModelReading], reading: Reading, lost: frozenset[str] | None = None) -> int:
        """Publish what was read of some registered models. Returns how many of them had changed.

        `lost` as for `look_up_each`.
        """
        changed, ticket = 0, reading.ticket
        taken: frozenset[str] = frozenset()

        def change(current: Fleet | None) -> Fleet:
            nonlocal changed, taken
            if current is None:
                raise MlflowUnavailable(NOTHING_READ)
            newer = {name: read for name, read in readings.items() if _is_newer(read, ticket, name, current)}
            taken = frozenset(newer)
            fleet = with_models(current, newer, self._rules, ticket)
            changed = sum(fleet.model(name) != current.model(name) for name in newer)
            return fleet

        fleet = self._snapshots.publish(change, self._gateway.patience)
        self.looks.add(Look(fleet, reading.through, ticket, reading.began, self._clock(), names=taken, lost=lost))
        return changed

    def _joined(self, asked: int) -> Fleet | None:
        """The fleet, or the raised failure, of a sweep that began after the ticket `asked`; None without one."""
        if self._failure and self._failure.ticket > asked:
            raise MlflowUnavailable(self._failure.detail)
        fleet = self._snapshots.newest()
        return fleet if fleet and fleet.ticket > asked else None

    def _due(self) -> bool:
        if not self._options.cached:
            return False
        now, fleet = self._monotonic(), self._snapshots.newest()
        if self._failure and now - self._failure.at < min(RETRY_SECONDS, self._options.interval):
            return False
        if fleet is None:
            return True
        if fleet.ticket != self._seen[0]:
            self._seen = (fleet.ticket, now)
        # After a restart only the time of day knows the age; otherwise the monotonic clock is more reliable.
        age = age_ms(fleet.as_of, self._clock())
        return age is None or max(age / 1000, now - self._seen[1]) >= self._options.interval

    def _ticket(self) -> int:
        return self._snapshots.ticket(self._gateway.patience)

    def _sweep(self) -> Fleet:
        began = self._clock()
        ticket = self._ticket()
        try:
            with self._journal.entry(SWEEP) as entry:
                with self._gateway.within(self._options.timeout) as operation:
                    inventory, unread = self._inventory()
                    before = self._snapshots.newest()
                    fleet = self._snapshots.publish(
                        lambda current: swept(current, inventory, self._rules, ticket),
                        self._gateway.patience,
                        whole=True,
                    )
                entry["requests"] = operation.requests
                entry["changed"] = fleet.changes_since(before)
        except Exception as error:
            detail = error.detail if isinstance(error, TowerError) else "Internal error"
            self._failure = _Failure(ticket, detail, self._monotonic())
            log.warning("Refresh failed, the snapshot stays: %s", detail)
            raise
        self._failure = None
        self.looks.add(Look(fleet, SWEEP, ticket, began, self._clock(), REGISTRY, unread=unread))
        log.info("Refreshed %d model versions with %d MLflow requests", len(fleet.models), operation.requests)
        return fleet

    def _inventory(self) -> tuple[Inventory, frozenset[str]]:
        """Read everything, and read it again where the first reading says that everything is gone.

        Returns as well the known models that could not be read.
        """
        inventory = self._gateway.read_inventory()
        before = self._snapshots.newest()
        if before and before.by_name and not inventory.versions:
            log.warning("MLflow says that all %d model versions are gone: asking again", len(before.models))
            inventory = self._gateway.read_inventory()
        return self._completed(inventory, before) if before else (inventory, frozenset())

    def _completed(self, inventory: Inventory, before: Fleet) -> tuple[Inventory, frozenset[str]]:
        """The reading, completed by looking up the models that it lacks: a list may leave out models that exist."""
        names = lacking(inventory, before)
        if not names:
            return inventory, frozenset()
        known = {name: reading_of(before, name) for name in names}
        read: Mapping[str, ModelReading] = {}
        try:
            read = self._gateway.read_models(names, [experiment.experiment_id for experiment in inventory.experiments])
        except MlflowDenied as error:
            log.warning("%d models that may no longer be read stay as they were: %s", len(names), error.detail)
        return completed(inventory, {**known, **read}), frozenset(names) - read.keys()


def _is_newer(reading: ModelReading, ticket: int, name: str, fleet: Fleet) -> bool:
    """Whether a reading of a registered model began after the reading that the fleet has of it."""
    if ticket <= max(fleet.touched.get(name, 0), fleet.ticket):
        return False
    # A row of a long list may be out of date, since other readings may be published while the list is read.
    known, read = fleet.model(name)[0], reading.model
    return reading.versions is not None or known is None or read is None or read.updated >= known.updated
