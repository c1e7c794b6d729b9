"""A value in the shared cache in many parts, few of which change at once. The agent writes it, all adopt it."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from app.domain.ports import Locks, SharedCache, WritableCache

log = logging.getLogger(__name__)
T = TypeVar("T")

# How long a process waits for another that changes the same shared value.
PATIENCE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Codec(Generic[T]):
    """How a value is stored: `index` is the key of its index and the name of its lock, `what` its name for people.

    `index_value` and `parts_value` encode it, and `decode` returns None for a value of another MLflow. `source` names
    the MLflow that it was read from.
    """

    index: str
    what: str
    source: str
    empty: Callable[[], T]
    index_value: Callable[[T, str], dict[str, Any]]
    parts_value: Callable[[T, T | None, str], dict[str, Any]]
    decode: Callable[[Any, Callable[[str], Any], T | None, str], T | None]


class KeptInParts(Generic[T]):
    """This process's copy of the shared value. A new value replaces the old one; none is changed in place."""

    def __init__(self, cache: SharedCache, codec: Codec[T]) -> None:
        self._cache = cache
        self._codec = codec
        self._known: T | None = None
        # The value that is known to be stored; None where the disk took only a part of it.
        self._stored: T | None = None
        self._mark: object | None = None
        self._adopting = threading.Lock()

    def newest(self) -> T | None:
        """The newest value. A call takes microseconds where nothing changed."""
        mark = self._cache.mark(self._codec.index)
        if mark != self._mark:
            with self._adopting:
                self._adopt(mark)
        return self._known

    def is_shared(self) -> bool:
        """Whether the value of this process is also the one in the shared cache."""
        return self._stored is not None

    def keep(self, value: Any) -> None:
        """Adopt a value that came from the agent and not through the cache, in the form of `value`."""
        with self._adopting:
            decoded = self._codec.decode(value["index"], value["parts"].get, None, self._codec.source)
            if decoded is not None:
                self._known = decoded

    def value(self) -> dict[str, Any]:
        """The value of this process, as JSON."""
        codec, known = self._codec, self._known or self._codec.empty()
        return {
            "index": codec.index_value(known, codec.source),
            "parts": codec.parts_value(known, None, codec.source),
        }

    def _adopt(self, mark: object) -> None:
        if mark == self._mark:
            return
        index = self._cache.get(self._codec.index)
        stored = None
        if index is not None:
            stored = self._codec.decode(index, self._cache.get, self._known, self._codec.source)
        if stored is not None:
            self._known = stored
        elif index is not None:
            log.warning("The stored %s is of another MLflow or not readable: ignored", self._codec.what)
        self._stored = stored
        self._mark = mark


class StoreInParts(KeptInParts[T]):
    """The agent's value: it writes it."""

    def __init__(self, cache: WritableCache, locks: Locks, codec: Codec[T]) -> None:
        super().__init__(cache, codec)
        self._writable = cache
        self._locks = locks

    def change(self, make: Callable[[T], T]) -> None:
        """Make a new value from the newest one, and share it. With a full disk only this process has it.

        Raises `LockTimeout` where others hold the lock for too long.
        """
        with self._locks.hold(self._codec.index, PATIENCE_SECONDS):
            known = self.newest() or self._codec.empty()
            made = make(known)
            if made is not known:
                with self._adopting:
                    self._share(made)

    def _share(self, made: T) -> None:
        # The index is written last, so that it never names a part that is not stored.
        # Where the index is gone, its parts may be gone too.
        codec = self._codec
        stored_before = self._stored if self._cache.token(codec.index) is not None else None
        parts = codec.parts_value(made, stored_before, codec.source)
        stored = all(self._writable.set(key, value) for key, value in parts.items())
        stored = stored and self._writable.set(codec.index, codec.index_value(made, codec.source))
        if not stored:
            # Other processes must not go on with an older value: without an index they ask this process.
            self._writable.delete(codec.index)
        self._known = made
        self._stored = made if stored else None
        self._mark = self._cache.mark(codec.index)
