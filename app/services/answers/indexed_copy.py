"""This process's copy of what the agent records, with its index and the pages that were asked for."""

import logging
import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from app.domain.errors import MlflowUnavailable, TowerError
from app.domain.messages import READING_LOST
from app.domain.ports import Gateway, HistorySource
from app.services.answers.generations import KeptAnswers
from app.services.host.kept_in_parts import KeptInParts

log = logging.getLogger(__name__)


class Sealed(Protocol):
    """What is copied: `seal` is a digest of its whole content."""

    @property
    def seal(self) -> str: ...


R = TypeVar("R", bound=Sealed)
IndexT = TypeVar("IndexT")


class IndexedCopy(Generic[R, IndexT]):
    """Shared by the threads of a worker.

    `is_whole` says whether a record was read from MLflow yet. `index_of` makes the index of a record from that of the
    record before, if there is one.
    """

    def __init__(
        self,
        gateway: Gateway,
        store: KeptInParts[R],
        source: HistorySource,
        is_whole: Callable[[R], bool],
        index_of: Callable[[R, IndexT | None], IndexT],
    ) -> None:
        self._gateway = gateway
        self._store = store
        self._source = source
        self._is_whole = is_whole
        self._index_of = index_of
        self._current: tuple[R, IndexT, KeptAnswers] | None = None
        self._indexing = threading.Lock()

    def newest(self) -> R:
        """All that is known. Raises `MlflowUnavailable`."""
        known = self._store.newest()
        if known is None or not self._is_whole(known):
            with self._gateway.within(self._gateway.patience):
                self._source.first()
            known = self._store.newest()
        if not self._store.is_shared():
            known = self._held(known)
        if known is None:
            raise MlflowUnavailable(READING_LOST)
        return known

    def indexed(self, record: R) -> tuple[IndexT, KeptAnswers]:
        """The index of a record, and the pages that were made from it."""
        current = self._current
        if current is None or current[0] is not record:
            with self._indexing:
                current = self._current
                if current is None or current[0] is not record:
                    index = self._index_of(record, current[1] if current else None)
                    current = self._current = record, index, KeptAnswers()
        return current[1], current[2]

    def catch_up(self, is_due: Callable[[], bool]) -> None:
        """Index what is new before a request needs it. A host that starts among several refuses until it is in step."""
        try:
            if not is_due():
                return
            newest = self._held(self._store.newest())
            if newest is not None:
                self.indexed(newest)
        except TowerError as error:
            log.debug("No newer history: %s", error.detail)

    def _held(self, known: R | None) -> R | None:
        """The record of the agent, where it could not be stored."""
        with self._gateway.within(self._gateway.patience):
            value = self._source.held(known.seal if known else "")
        if value is not None:
            self._store.keep(value)
        return self._store.newest()
