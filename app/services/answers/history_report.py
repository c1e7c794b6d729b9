"""Answers from the history of the registrations. The cost of a page does not grow with the number of events."""

import orjson

from app.domain.monitoring.history_index import HistoryIndex
from app.domain.monitoring.monitor_history import MonitorHistory, run_history
from app.domain.ports import Clock, Gateway, HistorySource
from app.domain.registry.names import version_number
from app.domain.registry.query import ListQuery, page_of, pagination
from app.services.answers.indexed_copy import IndexedCopy
from app.services.answers.prepared import Answer, Prepared
from app.services.mirror.model_tracker import ModelTracker
from app.services.monitoring.histories import Histories


class HistoryReport:
    """The events of current and past registrations, from this process's copy of the history.

    `most` is the limit of rows in an answer; `max_age` the age at which a history is stale, in milliseconds.
    """

    def __init__(
        self,
        gateway: Gateway,
        mirror: ModelTracker,
        store: Histories,
        history_source: HistorySource,
        clock: Clock,
        most: int,
        max_age: int,
    ) -> None:
        self._gateway = gateway
        self._mirror = mirror
        self._copy = IndexedCopy(gateway, store, history_source, _is_read, _indexed)
        self._clock = clock
        self._most = most
        self._max_age = max_age

    def listed(self, query: ListQuery, name: str | None, version: str | None) -> Answer:
        """A page of the registrations, changes of verdict and removals, newest first. The sample fleet has none."""
        if self._mirror.shows_mock():
            return Answer(self._nothing(query), mock=True)
        number = version_number(version) if version is not None else None
        if version is not None and number is None:
            return Answer(self._nothing(query))
        if not self._mirror.cached:
            return Answer(self._page(self._read(name, number), query, name, number))
        index, pages = self._copy.indexed(self.newest())
        prepared = pages.get((query, name, number), lambda: self._page(index, query, name, number))
        return Answer(prepared, self._is_stale(index.history))

    def catch_up(self) -> None:
        """The scheduler's tick in a worker: index new events before a request needs them.

        A worker that starts reads the snapshot first, since it is not ready without that.
        """
        self._copy.catch_up(lambda: self._mirror.cached and self._mirror.peek() is not None)

    def newest(self) -> MonitorHistory:
        """All that is known, or, where the cache is disabled, all that MLflow has. Raises `MlflowUnavailable`."""
        if not self._mirror.cached:
            return self._read(None, None).history
        return self._copy.newest()

    def _read(self, name: str | None, version: int | None) -> HistoryIndex:
        """The history as MLflow has it now."""
        read_at = self._clock()
        with self._gateway.within(self._gateway.patience):
            states = self._gateway.monitor_history(name, version)
        runs = [run_history(state, whole=True, revision=1) for state in states]
        return HistoryIndex(MonitorHistory().after(runs, (), read_at))

    def _page(self, index: HistoryIndex, query: ListQuery, name: str | None, version: int | None) -> Prepared:
        events = index.find(name, version)
        page = page_of(query, len(events), self._most)
        return Prepared(orjson.dumps(index.rows(events[page.rows])), index.history.read_at or 0, pagination(page))

    def _nothing(self, query: ListQuery) -> Prepared:
        return Prepared(b"[]", self._clock(), pagination(page_of(query, 0, self._most)))

    def _is_stale(self, history: MonitorHistory) -> bool:
        age = self._clock() - (history.read_at or 0)
        return age > self._max_age or not history.whole


def _is_read(history: MonitorHistory) -> bool:
    return history.read_at is not None


def _indexed(history: MonitorHistory, before: HistoryIndex | None) -> HistoryIndex:
    return before.after(history) if before else HistoryIndex(history)
