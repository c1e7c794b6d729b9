"""The history of the registrations in the shared cache. The agent writes it, and all processes adopt it."""

import logging
import threading
from collections.abc import Callable
from typing import Any

from app.domain.monitoring.history_codec import INDEX, history_from, index_value, parts_value
from app.domain.monitoring.monitor_history import MonitorHistory
from app.domain.ports import Locks, SharedCache, WritableCache

log = logging.getLogger(__name__)

_PATIENCE_SECONDS = 5.0


class Histories:
    """This process's copy of the shared history. A new history replaces the old one; none is changed in place."""

    def __init__(self, cache: SharedCache, source: str) -> None:
        self._cache = cache
        self._source = source
        self._known: MonitorHistory | None = None
        # The history that is known to be stored; None where the disk took only a part of it.
        self._stored: MonitorHistory | None = None
        self._mark: object | None = None
        self._adopting = threading.Lock()

    def newest(self) -> MonitorHistory | None:
        """The newest history. A call takes microseconds where nothing changed."""
        mark = self._cache.mark(INDEX)
        if mark != self._mark:
            with self._adopting:
                self._adopt(mark)
        return self._known

    def is_shared(self) -> bool:
        """Whether the history of this process is also the one in the shared cache."""
        return self._stored is not None

    def keep(self, value: Any) -> None:
        """Adopt a history that came from the agent and not through the cache, in the form of `value`."""
        with self._adopting:
            history = history_from(value["index"], value["parts"].get, None, self._source)
            if history is not None:
                self._known = history

    def value(self) -> dict[str, Any]:
        """The history of this process, as JSON."""
        known = self._known or MonitorHistory()
        return {"index": index_value(known, self._source), "parts": parts_value(known, None, self._source)}

    def _adopt(self, mark: object) -> None:
        if mark == self._mark:
            return
        index = self._cache.get(INDEX)
        stored = history_from(index, self._cache.get, self._known, self._source) if index is not None else None
        if stored is not None:
            self._known = stored
        elif index is not None:
            log.warning("The stored history of the registrations is of another MLflow or not readable: ignored")
        self._stored = stored
        self._mark = mark


class HistoryStore(Histories):
    """The agent's history: it writes it."""

    def __init__(self, cache: WritableCache, locks: Locks, source: str) -> None:
        super().__init__(cache, source)
        self._writable = cache
        self._locks = locks

    def change(self, make: Callable[[MonitorHistory], MonitorHistory]) -> None:
        """Make a new history from the newest one, and share it. With a full disk only this process has it.

        Raises `LockTimeout` where others hold the lock for too long.
        """
        with self._locks.hold(INDEX, _PATIENCE_SECONDS):
            known = self.newest() or MonitorHistory()
            made = make(known)
            if made is not known:
                with self._adopting:
                    self._share(made)

    def _share(self, made: MonitorHistory) -> None:
        # The index is written last, so that it never names a part that is not stored.
        # Where the index is gone, its parts may be gone too.
        stored_before = self._stored if self._cache.token(INDEX) is not None else None
        parts = parts_value(made, stored_before, self._source)
        stored = all(self._writable.set(key, value) for key, value in parts.items())
        stored = stored and self._writable.set(INDEX, index_value(made, self._source))
        if not stored:
            # Other processes must not go on with an older history: without an index they ask this process.
            self._writable.delete(INDEX)
        self._known = made
        self._stored = made if stored else None
        self._mark = self._cache.mark(INDEX)
