"""The snapshot in the shared cache. One process at a time publishes it, and all processes adopt it."""

import logging
import secrets
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson

from app.domain.errors import LockTimeout, MlflowUnavailable
from app.domain.ports import Locks, SharedCache, WritableCache
from app.domain.registry.codec import INDEX, Read, Source, edition_from, fleet_from, index_value, part_keys, parts_value
from app.domain.registry.fleet import Edition, Fleet
from app.services.host.collector import without_collector

log = logging.getLogger(__name__)

_TICKETS = "tickets"


class Snapshots:
    """This process's copy of the shared fleet. A new fleet replaces the old one; none is changed in place."""

    def __init__(self, cache: SharedCache, source: Source) -> None:
        self._cache = cache
        self._source = source
        self._fleet: Fleet | None = None
        # Whether this process has published since its start, or has seen another process publish.
        self._in_series = False
        self._mark: object | None = None
        # The edition that the stored index names, with the index's mark.
        self._named: tuple[object | None, Edition | None] = (None, None)
        # Whether the stored snapshot was removed. It may have been newer than the fleet of this process.
        self._is_removed = False
        self._adopting = threading.Lock()

    def newest(self) -> Fleet | None:
        """The newest fleet. A call takes microseconds where nothing changed."""
        mark = self._cache.mark(INDEX)
        if mark != self._mark:
            with self._adopting:
                self._adopt(mark)
        return self._fleet

    def edition(self) -> Edition | None:
        """The edition of the newest fleet. A fleet that this process has no other use for is not decoded for it."""
        mark = self._cache.mark(INDEX)
        if self._fleet is None and mark != self._named[0]:
            self._named = (mark, edition_from(self._cache.get(INDEX), self._source.name))
        if self._fleet is None:
            return self._named[1]
        fleet = self.newest()
        return fleet.edition if fleet else None

    def catch_up(self) -> None:
        """In a worker: get what the agent could not store."""
        self._cache.catch_up()

    def is_removed(self) -> bool:
        """Whether the stored snapshot was removed, and the agent was not yet asked for a newer one."""
        return self._is_removed

    def body(self) -> bytes | None:
        """The newest fleet as JSON."""
        fleet, source = self._fleet, self._source.name
        if fleet is None:
            return None
        return orjson.dumps({"index": index_value(fleet, source), "parts": parts_value(fleet, None, source)})

    def keep(self, body: bytes | None) -> None:
        """Adopt a fleet that came from the agent, in the form of `body`; None says that it has no newer one."""
        value = orjson.loads(body) if body else None
        with self._adopting:
            self._is_removed = False
            fleet = self._decoded(value["index"], value["parts"].get) if value else None
            if fleet is not None and (self._fleet is None or fleet.edition.replaces(self._fleet.edition)):
                self._fleet, self._in_series = fleet, True

    def facts(self) -> tuple[int, float] | None:
        """Size in bytes and time of writing (seconds since 1970) of the shared snapshot."""
        index = self._cache.facts(INDEX)
        if index is None:
            return None
        parts = [part for key in part_keys() if (part := self._cache.facts(key))]
        return index[0] + sum(size for size, _ in parts), index[1]

    def _adopt(self, mark: object) -> None:
        if mark == self._mark:
            return
        index = self._cache.get(INDEX)
        fleet = self._decoded(index, self._cache.get) if index is not None else None
        if fleet is None:
            self._is_removed = self._fleet is not None and self._cache.token(INDEX) is None
            if self._cache.token(INDEX) is not None:
                log.warning("The stored snapshot is of another MLflow or not readable: ignored")
        elif self._fleet is None:
            self._fleet = fleet
        elif fleet.edition.replaces(self._fleet.edition):
            self._fleet, self._in_series = fleet, True
        self._mark = mark

    def _decoded(self, index: Any, read: Read) -> Fleet | None:
        with without_collector():
            return fleet_from(index, read, self._fleet, self._source)


class SnapshotStore(Snapshots):
    """The agent's snapshots: it publishes them, and removes them."""

    def __init__(self, cache: WritableCache, locks: Locks, source: Source) -> None:
        super().__init__(cache, source)
        self._writable = cache
        self._locks = locks
        self._ticket = 0

    def publish(self, change: Callable[[Fleet | None], Fleet], patience: float, *, whole: bool = False) -> Fleet:
        """Make a new fleet from the current one, and share it.

        `whole` also writes the parts that did not change, which repairs damaged files. Raises `MlflowUnavailable`
        where others publish for longer than `patience`, in seconds.
        """
        try:
            with self._locks.hold("publish", patience):
                return self._publish(change, whole)
        except LockTimeout:
            raise MlflowUnavailable("Another process writes the snapshot and takes too long. Try again.") from None

    def ticket(self, patience: float) -> int:
        """The number of a reading that begins now. It is greater than that of any earlier reading of any process.

        Raises `MlflowUnavailable` where others hold the counter for longer than `patience`, in seconds.
        """
        try:
            with self._locks.hold(_TICKETS, patience):
                stored, fleet = self._cache.get(_TICKETS), self.newest()
                last = stored if isinstance(stored, int) else 0
                self._ticket = max(last, self._ticket, fleet.last_ticket if fleet else 0) + 1
                self._writable.set(_TICKETS, self._ticket)
                return self._ticket
        except LockTimeout:
            raise MlflowUnavailable("Another process holds the count of readings. Try again.") from None

    def begin_series(self) -> None:
        """Give the next snapshot a new series: it replaces every other, whatever their numbers."""
        self._in_series = False

    def forget(self) -> bool:
        """Remove the shared snapshot. Returns whether there was one. Every process goes on with its own copy."""
        self.newest()
        for key in part_keys():
            self._writable.delete(key)
        return self._writable.delete(INDEX)

    def _publish(self, change: Callable[[Fleet | None], Fleet], whole: bool) -> Fleet:
        current = self.newest()
        with self._adopting:
            stored = edition_from(self._cache.get(INDEX))
            # Another process may have published before this one got the lock, and cannot do so now.
            fleet = replace(change(current), edition=self._next(current, stored))
            # Unchanged parts may be left out only where the stored snapshot is that of this process.
            known = current if current is not None and stored == current.edition and not whole else None
            # The index is stored last, so that it never names a part that is not stored.
            self._writable.set_many(
                {
                    **parts_value(fleet, known, self._source.name),
                    INDEX: index_value(fleet, self._source.name),
                }
            )
            self._mark = self._cache.mark(INDEX)
            self._fleet = fleet
            return fleet

    def _next(self, current: Fleet | None, stored: Edition | None) -> Edition:
        own = current.edition if current is not None and self._in_series else Edition(secrets.token_hex(8))
        self._in_series = True
        last = max(edition.number for edition in (own, stored, current and current.edition) if edition)
        return Edition(own.series, last + 1)
