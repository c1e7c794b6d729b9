"""What is known of the data of each monitored version, in the shared cache: the agent writes it, workers read it."""

import logging
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from app.domain.data_drift.report_shapes import StoredReport, StoredSummary
from app.domain.data_drift.sentence import Summary, summary_of
from app.domain.errors import LockTimeout
from app.domain.ports import Locks, SharedCache, WritableCache
from app.domain.registry.models import Registration, VersionKey
from app.domain.registry.names import registration_key
from app.domain.shapes import has_shape
from app.services.host.kept_in_parts import PATIENCE_SECONDS

log = logging.getLogger(__name__)

_INDEX = "data-drift"
_JUDGE_PATIENCE_SECONDS = 20.0
# Locks are files, so there are not as many as versions.
_STRIPES = 64
_NONE: Mapping[str, Any] = {}


class DataReports:
    """The reports, one value a version, and an index that has the summary of each. Lost ones are made again."""

    def __init__(self, cache: SharedCache, source: str) -> None:
        self._cache = cache
        self._source = source
        self._index: Mapping[str, Any] = _NONE
        self._summaries: Mapping[VersionKey, Summary] = {}
        self._unreferenced: frozenset[tuple[VersionKey, int]] = frozenset()
        self._mark: object | None = None
        self._adopting = threading.Lock()

    def of(self, name: str, version: int) -> dict[str, Any] | None:
        """The reference, the layout and the report of a version; None if nothing is known."""
        value = self._own(self._cache.get(_key(name, version)))
        return value if has_shape(value, StoredReport) else None

    def mark(self, name: str, version: int) -> object:
        """Changes whenever what is known of a version does."""
        return self._cache.mark(_key(name, version))

    def summaries(self) -> Mapping[VersionKey, Summary]:
        """The summaries by version. The object stays the same until a summary changes."""
        self._adopt()
        return self._summaries

    def summary(self, registration: Registration) -> Summary | None:
        """What moved in the data of a version; None if nothing is known."""
        return summary_of(registration, self.summaries())

    def unreferenced(self) -> frozenset[tuple[VersionKey, int]]:
        """The versions, with the time at which each was created, whose data is counted without a reference.

        The object stays the same until these change, however often what moved does.
        """
        self._adopt()
        return self._unreferenced

    def catch_up(self) -> None:
        """See what the agent holds and could not store."""
        self._cache.catch_up()

    def _adopt(self) -> None:
        mark = self._cache.mark(_INDEX)
        if mark == self._mark:
            return
        with self._adopting:
            value = self._own(self._cache.get(_INDEX))
            if value and has_shape(value.get("versions"), dict[str, StoredSummary | None]):
                self._index = value["versions"]
                summaries = [summary for summary in self._index.values() if summary]
                self._summaries = {(one["name"], one["version"]): one for one in summaries}
                without = frozenset(
                    ((one["name"], one["version"]), one["created"]) for one in summaries if not one["is_sent"]
                )
                if without != self._unreferenced:
                    self._unreferenced = without
            self._mark = mark

    def _own(self, value: Any) -> dict[str, Any] | None:
        return value if isinstance(value, dict) and value.get("source") == self._source else None


class DataReportStore(DataReports):
    """The agent's reports: it writes them."""

    def __init__(self, cache: WritableCache, locks: Locks, source: str) -> None:
        super().__init__(cache, source)
        self._writable = cache
        self._locks = locks

    def one_at_a_time(self, name: str, version: int) -> AbstractContextManager[object]:
        """Exclude others that judge a version. Raises `LockTimeout`."""
        stripe = int(registration_key(name, version)[:8], 16) % _STRIPES
        return self._locks.hold(f"judge-{stripe}", _JUDGE_PATIENCE_SECONDS)

    def put(self, name: str, version: int, value: Mapping[str, Any], summary: Mapping[str, Any] | None) -> None:
        """Share a report, and then its summary."""
        self._writable.set(_key(name, version), {"source": self._source, **value})
        if summary is None and (name, version) not in self.summaries():
            return
        try:
            with self._locks.hold("data-drift-list", PATIENCE_SECONDS):
                self._adopt()
                versions = {**self._index, registration_key(name, version): summary}
                if versions != self._index:
                    self._writable.set(_INDEX, {"source": self._source, "versions": versions})
        except LockTimeout:
            log.warning("What moved is shared with the next report: another process writes and takes too long")


def _key(name: str, version: int) -> str:
    return f"data-drift-{registration_key(name, version)[:32]}"
