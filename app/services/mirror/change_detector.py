"""The change detector finds what changed in MLflow between two sweeps, and has only that read."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

from app.domain.errors import MlflowDenied, TowerError
from app.domain.ports import Gateway
from app.domain.registry.changes import is_torn, newer_than, renamed, unlike
from app.domain.registry.fleet import Fleet
from app.domain.registry.models import ModelReading
from app.domain.registry_history.change import POLL
from app.domain.registry_history.looking import REGISTRY, VERSIONS
from app.domain.updates import ALIASES, CHANGES, PUSH
from app.services.host.gatherer import TRIES_AFTER_SECONDS, Gatherer
from app.services.mirror.journal import JournalWriter
from app.services.mirror.snapshot_publisher import SnapshotPublisher
from app.services.mirror.snapshots import SnapshotStore

log = logging.getLogger(__name__)
T = TypeVar("T")

# How many of the newest rows a poll reads; and how many where all of those are new.
_PAGES = (100, 1000)
# A sweep is cheaper than looking up more models than this.
_MOST_READ = 400


class ChangeDetector:
    """Polls on the scheduler's ticks, and reads the models that deliveries name on a separate thread."""

    def __init__(
        self,
        gateway: Gateway,
        snapshots: SnapshotStore,
        publisher: SnapshotPublisher,
        journal: JournalWriter,
        timeout: float,
        tries_after: Sequence[float] = TRIES_AFTER_SECONDS,
    ) -> None:
        self._gateway = gateway
        self._snapshots = snapshots
        self._publisher = publisher
        self._journal = journal
        self._timeout = timeout
        self._pushed = Gatherer[str]("pushed", self._read_pushed, tries_after)

    def poll_changes(self) -> None:
        """The scheduler's tick: look for updated models. A failure is noted, and a later poll tries again."""
        self._noted(CHANGES, self.look_for_changes)

    def poll_aliases(self) -> None:
        """The scheduler's tick: look for changes that move no timestamp."""
        self._noted(ALIASES, self.look_at_aliases)

    def look_for_changes(self) -> int:
        """Read the models that were updated since they were last read. Returns how many had changed."""
        fleet = self._snapshots.newest()
        if fleet is None:
            return 0
        # A reading of several steps is as old as its first step.
        reading = whole = self._publisher.begin(POLL)
        for limit in _PAGES:
            newest = self._gateway.newest(limit)
            changed = newer_than(newest, limit, fleet)
            if not changed.beyond:
                break
        if changed.beyond or len(changed.names) > _MOST_READ:
            return self._swept(fleet)
        just_read = [model for model in newest.models if model.name in changed.names]
        torn: set[str] = set()
        news, unread = 0, frozenset[str]()
        if just_read:
            readings = self._gateway.read_versions(just_read, fleet.experiment_ids)
            torn = {name for name, read in readings.items() if is_torn(read, name, fleet)}
            news += self._publisher.apply({name: readings[name] for name in readings.keys() - torn}, reading)
            unread |= changed.names.intersection(model.name for model in just_read) - readings.keys()
        others = sorted(changed.names - {model.name for model in just_read} | torn) + renamed(newest, fleet)
        if others:
            reading = self._publisher.begin(POLL)
            nothing: Mapping[str, ModelReading] = {}
            again = self._unless_denied(lambda: self._publisher.read_models(others, fleet), nothing)
            news += self._publisher.apply(again, reading)
            unread |= frozenset(others) - again.keys()
        self._publisher.looked(VERSIONS, fleet, whole, unread)
        return news

    def look_at_aliases(self) -> int:
        """Look for changes that move no timestamp: aliases, tags, deletions. Returns how many models had changed."""
        fleet = self._snapshots.newest()
        if fleet is None:
            return 0
        reading = self._publisher.begin(POLL)
        differences = unlike(self._gateway.registered_models(), fleet)
        to_read = [*differences.updated, *differences.missing]
        if len(to_read) > _MOST_READ:
            return self._swept(fleet)
        readings = {
            # The versions were not read; those that are known at the time of publishing stay.
            model.name: ModelReading(model, None)
            for model in differences.same_versions
        }
        changed = self._publisher.apply(readings, reading) if readings else 0
        read: Collection[str] = ()
        if to_read:
            # A missing model counts as gone only after it was looked up by name.
            nothing: tuple[Collection[str], int] = ((), 0)
            read, more = self._unless_denied(
                lambda: self._publisher.look_up_each(to_read, lost=differences.lost), nothing
            )
            changed += more
        self._publisher.looked(REGISTRY, fleet, reading, frozenset(to_read) - frozenset(read))
        return changed

    def pushed(self, name: str) -> None:
        """Have a registered model read soon."""
        self._pushed.add(name)

    def start(self) -> None:
        """Start to read the models that deliveries name."""
        self._pushed.start()

    def stop(self) -> None:
        self._pushed.stop()

    def _read_pushed(self, names: list[str]) -> bool:
        return self._noted(PUSH, lambda: self._read(names))

    def _read(self, names: list[str]) -> int:
        if len(names) > _MOST_READ:
            return self._swept(self._snapshots.newest())
        return self._publisher.look_up_each(names, PUSH)[1]

    def _unless_denied(self, read: Callable[[], T], nothing: T) -> T:
        """The result of `read`, or `nothing` where MLflow denies access to all of it, which must not fail a poll."""
        try:
            return read()
        except MlflowDenied as error:
            log.debug("Not read: %s", error.detail)
            return nothing

    def _swept(self, before: Fleet | None) -> int:
        return self._publisher.sweep().changes_since(before)

    def _noted(self, kind: str, work: Callable[[], int]) -> bool:
        """Do the work and note in the journal how it went. Returns whether it succeeded."""
        try:
            with self._journal.entry(kind) as entry:
                with self._gateway.within(self._timeout) as operation:
                    entry["changed"] = work()
                entry["requests"] = operation.requests
            return True
        except TowerError as error:
            log.warning("Looking for changes in MLflow failed (%s): %s", kind, error.detail)
        except Exception:
            log.exception("Looking for changes in MLflow failed (%s)", kind)
        return False
