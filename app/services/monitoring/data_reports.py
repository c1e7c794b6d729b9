"""What is known of the data of each monitored version, in the shared cache: the agent writes it, workers read it."""

import logging
import threading
from collections.abc import Mapping
from typing import Any

from app.domain.errors import LockTimeout
from app.domain.ports import Locks, SharedCache, WritableCache
from app.domain.registry.models import Registration
from app.domain.registry.names import registration_key

log = logging.getLogger(__name__)

_INDEX = "data-drift"
_PATIENCE_SECONDS = 5.0
_NONE: Mapping[str, Any] = {}


class DataReports:
    """The reports, one value a version, and an index that has the summary of each. Lost ones are made again."""

    def __init__(self, cache: SharedCache, source: str) -> None:
        self._cache = cache
        self._source = source
        self._known: Mapping[str, Any] = _NONE
        self._mark: object | None = None
        self._adopting = threading.Lock()

    def of(self, name: str, version: int) -> dict[str, Any] | None:
        """The reference, the layout and the report of a version; None if nothing is known."""
        return self._own(self._cache.get(_key(name, version)))

    def summaries(self) -> Mapping[str, Any]:
        """The summaries by `registration_key`. The object stays the same until a summary changes."""
        mark = self._cache.mark(_INDEX)
        if mark != self._mark:
            with self._adopting:
                value = self._own(self._cache.get(_INDEX))
                self._known = value["versions"] if value else self._known
                self._mark = mark
        return self._known

    def summary(self, registration: Registration) -> Mapping[str, Any] | None:
        """What moved in the data of a version; None if nothing is known."""
        summary: Mapping[str, Any] | None = self.summaries().get(registration_key(*registration.key))
        return summary if summary and summary["created"] == registration.version_created else None

    def catch_up(self) -> None:
        """See what the agent holds and could not store."""
        self._cache.catch_up()

    def _own(self, value: Any) -> dict[str, Any] | None:
        return value if isinstance(value, dict) and value.get("source") == self._source else None


class DataReportStore(DataReports):
    """The agent's reports: it writes them."""

    def __init__(self, cache: WritableCache, locks: Locks, source: str) -> None:
        super().__init__(cache, source)
        self._writable = cache
        self._locks = locks

    def put(self, name: str, version: int, value: Mapping[str, Any], summary: Mapping[str, Any] | None) -> None:
        """Share a report, and then its summary."""
        self._writable.set(_key(name, version), {"source": self._source, **value})
        if summary is None and registration_key(name, version) not in self.summaries():
            return
        try:
            with self._locks.hold("data-drift-list", _PATIENCE_SECONDS):
                versions = {**self.summaries(), registration_key(name, version): summary}
                if versions != self._known:
                    self._writable.set(_INDEX, {"source": self._source, "versions": versions})
        except LockTimeout:
            log.warning("What moved is shared with the next report: another process writes and takes too long")


def _key(name: str, version: int) -> str:
    return f"data-drift-{registration_key(name, version)[:32]}"
