"""The list of the watches, mirrored for reading. The truth is the open watches in MLflow."""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from app.domain.errors import TowerError
from app.domain.monitoring.watches import Watch, WatchKey, first_watches
from app.domain.ports import OwnGateway, SharedCache, WatchWrites, WritableCache

log = logging.getLogger(__name__)

_LIST = "watches"


class WatchList:
    """This process's view of the list that all processes share."""

    def __init__(self, cache: SharedCache, mlflow: str, cached: bool) -> None:
        self._cache = cache
        self._mlflow = mlflow
        self._cached = cached
        self._known: Sequence[Watch] | None = None
        self._mark: object | None = None
        self._adopting = threading.Lock()

    def known(self) -> Sequence[Watch] | None:
        """The watches as last known; None where they were never read. The object stays the same until they change."""
        mark = self._cache.mark(_LIST)
        if mark != self._mark:
            with self._adopting:
                stored = _watches_from(self._cache.get(_LIST), self._mlflow)
                self._known = self._known if stored is None else stored
                self._mark = mark
        return self._known

    def find(self, key: WatchKey) -> Watch | None:
        """A watch as the list has it."""
        return next((watch for watch in self.known() or () if watch.key == key), None)

    def find_anywhere(self, key: WatchKey, source: WatchWrites, seconds: float) -> Watch | None:
        """A watch. Where the list lacks it, `source` reads the list again, within so many seconds."""
        found = self.find(key)
        if found is None or not self._cached:
            try:
                with source.within(seconds):
                    source.look_up_watches()
            except TowerError as error:
                log.warning("Whether %s is watched is not known: %s", key[1], error.detail)
            # The list may be held by the agent where it could not be stored.
            self._cache.catch_up()
            found = self.find(key)
        return found


class WatchStore(WatchList):
    """The agent's list: it reads it from MLflow and writes it. Who changes it holds the lock on the watches."""

    def __init__(self, gateway: OwnGateway, cache: WritableCache, mlflow: str, cached: bool) -> None:
        super().__init__(cache, mlflow, cached)
        self._gateway = gateway
        self._writable = cache

    def read(self) -> tuple[Sequence[Watch], Sequence[Watch]]:
        """The watches as MLflow has them now, and the duplicates. The list stays where their experiment is gone."""
        listed = self._gateway.watches()
        if listed is None:
            return self.known() or (), ()
        kept, duplicates = first_watches(listed)
        if kept != list(self.known() or ()) or self.known() is None:
            self._share(kept)
        return kept, duplicates

    def put(self, watch: Watch) -> None:
        """Add a watch, or replace it."""
        self._change(lambda watches: [*(other for other in watches if other.key != watch.key), watch])

    def remove(self, watch: Watch) -> None:
        self._change(lambda watches: [other for other in watches if other.key != watch.key])

    def _change(self, change: Callable[[Iterable[Watch]], list[Watch]]) -> None:
        """Change the list. MLflow has the change already, so the next reading mends a failure here."""
        try:
            self._share(change(self.known() or ()))
        except TowerError as error:
            log.warning("The list of watches is behind until the next refresh: %s", error.detail)

    def _share(self, watches: list[Watch]) -> None:
        with self._adopting:
            if self._writable.set(_LIST, {"source": self._mlflow, "watches": watches}):
                self._mark = self._cache.mark(_LIST)
            self._known = watches


def _watches_from(value: Any, source: str) -> list[Watch] | None:
    """The stored list, or None if it is from another MLflow or unreadable."""
    try:
        return [Watch(**row) for row in value["watches"]] if value["source"] == source else None
    except (KeyError, TypeError, ValueError):
        return None
