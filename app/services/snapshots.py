"""The snapshot in the shared cache: published by one process at a time, adopted by all."""

import logging
import threading
from collections.abc import Callable

from app.domain.codec import INDEX, Source, fleet_from, index_value, part_keys, parts_value
from app.domain.errors import LockTimeout, MlflowUnavailable
from app.domain.fleet import Fleet
from app.domain.ports import Locks, SharedCache

log = logging.getLogger(__name__)


class Snapshots:
    """This process's newest fleet, kept in step with the shared one. Nothing is changed in place."""

    def __init__(self, cache: SharedCache, locks: Locks, source: Source) -> None:
        self._cache = cache
        self._locks = locks
        self._source = source
        self._fleet: Fleet | None = None
        # The fleet that is known to be stored; None where a disk took only some of it.
        self._stored: Fleet | None = None
        self._mark: object | None = None
        self._adopting = threading.Lock()

    def newest(self) -> Fleet | None:
        """The newest fleet there is. Costs microseconds where nothing changed."""
        mark = self._cache.mark(INDEX)
        if mark != self._mark:
            with self._adopting:
                self._adopt(mark)
        return self._fleet

    def publish(self, change: Callable[[Fleet | None], Fleet], patience: float, *, whole: bool = False) -> Fleet:
        """Make the next fleet of the current one and share it; a full disk leaves it in this process alone.

        `whole` writes also the parts that did not change, which mends what somebody damaged. Raises
        `MlflowUnavailable` when others publish for longer than `patience`, in seconds.
        """
        try:
            with self._locks.hold("publish", patience):
                return self._publish(change, whole)
        except LockTimeout:
            raise MlflowUnavailable("Another process writes the snapshot and takes too long. Try again.") from None

    def is_shared(self) -> bool:
        """Whether the other processes can see a snapshot."""
        return self._cache.token(INDEX) is not None

    def keep(self, fleet: Fleet) -> None:
        """Take a fleet that came another way than through the cache."""
        with self._adopting:
            if self._fleet is None or fleet.changed_at > self._fleet.changed_at:
                self._fleet = fleet

    def forget(self) -> bool:
        """Remove the shared snapshot; whether there was one. Every process goes on with its own."""
        self.newest()
        for key in part_keys():
            self._cache.delete(key)
        return self._cache.delete(INDEX)

    def facts(self) -> tuple[int, float] | None:
        """Size in bytes and time of writing (seconds since 1970) of the shared snapshot."""
        index = self._cache.facts(INDEX)
        if index is None:
            return None
        parts = [found for key in part_keys() if (found := self._cache.facts(key))]
        return index[0] + sum(size for size, _ in parts), index[1]

    def _publish(self, change: Callable[[Fleet | None], Fleet], whole: bool) -> Fleet:
        current = self.newest()
        with self._adopting:
            fleet = change(current)
            known = self._stored if self.is_shared() and not whole else None
            self._stored = fleet if self._share(fleet, known) else None
            if self._stored is not None:
                self._mark = self._cache.mark(INDEX)
            self._fleet = fleet
            return fleet

    def _share(self, fleet: Fleet, known: Fleet | None) -> bool:
        # The index last: it names nothing that is not there.
        parts = parts_value(fleet, known, self._source.name)
        stored = all(self._cache.set(key, value) for key, value in parts.items())
        return stored and self._cache.set(INDEX, index_value(fleet, self._source.name))

    def _adopt(self, mark: object) -> None:
        if mark == self._mark:
            return
        index = self._cache.get(INDEX)
        fleet = fleet_from(index, self._cache.get, self._fleet, self._source) if index is not None else None
        if fleet is None:
            if self.is_shared():
                log.warning("The stored snapshot is of another MLflow or not readable: ignored")
        elif self._fleet is None or fleet.changed_at >= self._fleet.changed_at:
            self._fleet = self._stored = fleet
        self._mark = mark
