"""The shared cache that works even where nothing can be stored: values that the disk refuses are held in memory.

The agent holds these values for all workers. A worker asks the agent for them at the first request after the agent took
a new one, before it changes the list of registrations, before it reports that something does not exist, and once a
second.
"""

import logging
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from app.domain.errors import TowerError
from app.domain.held import Held, News, Token
from app.domain.ports import Holder, StoredCache

log = logging.getLogger(__name__)

_ASK_SECONDS = 1.0
# The mark of this key changes whenever the values change that the agent holds. Nothing is stored under the key.
_HELD = "held"


class HoldingCache:
    """A `SharedCache` over a store. A worker passes the agent's cache as `holder`; in the agent, it is None."""

    def __init__(self, store: StoredCache, holder: Holder | None = None) -> None:
        self._store = store
        self._holder = holder
        self._id = secrets.token_hex(8)
        self._serial = 0
        self._held: dict[str, Held] = {}
        # The last answer of the holder.
        self._known = News()
        self._changing = threading.RLock()
        self._asking = threading.Lock()
        # The mark of `_HELD` at the last request to the holder that it caused.
        self._mark_asked_for = store.mark(_HELD)
        self._following = threading.Lock()

    def get(self, key: str) -> Any:
        held = self._current(key)
        return self._store.get(key) if held is None else orjson.loads(held.body)

    def set(self, key: str, value: Any) -> bool:
        """Whether the other processes can see the value, because it is stored or because the agent holds it."""
        holder = self._holder
        if holder is None:
            self._put(key, value)
            return True
        if self._current(key) is None and self._store.set(key, value):
            return True
        body = orjson.dumps(value)
        try:
            with holder.within(_ASK_SECONDS):
                holder.put(key, body)
        except TowerError as error:
            log.warning("A value could not be stored, and only this worker has it: %s", error.detail)
            self._hold(key, body)
            return False
        self.catch_up()
        return True

    def delete(self, key: str) -> bool:
        holder = self._holder
        was_held = self._current(key) is not None
        if holder is not None and was_held:
            with holder.within(_ASK_SECONDS):
                holder.delete(key)
        with self._changing:
            self._held.pop(key, None)
            deleted = self._store.delete(key)
        if holder is None and was_held:
            self._store.announce(_HELD)
        return deleted or (was_held and self._store.token(key) is None)

    def token(self, key: str) -> Token | None:
        held = self._current(key)
        return self._store.token(key) if held is None else (-1, -1, held.serial)

    def mark(self, key: str) -> object:
        if self._holder is not None and self._store.mark(_HELD) != self._mark_asked_for:
            self._follow_holder()
        held = self._current(key) if key in self._held else None
        return self._store.mark(key) if held is None else (self._known.holder, held.serial)

    def look(self) -> None:
        """Notice what other programs did to the files. Then a worker asks the agent; the agent tries to store again."""
        self._store.look()
        self.catch_up()
        if self._holder is None:
            for key in list(self._held):
                if not self._stored(key):
                    break

    def facts(self, key: str) -> tuple[int, float] | None:
        return self._store.facts(key)

    def catch_up(self) -> None:
        """In a worker: get the values that the agent holds."""
        holder = self._holder
        if holder is None:
            return
        # One request at a time, so that no older answer arrives after a newer one.
        with self._asking:
            try:
                with holder.within(_ASK_SECONDS):
                    news = holder.news(self._known.holder, self._known.serial)
            except TowerError as error:
                log.debug("The agent could not be asked for the values that it holds: %s", error.detail)
                return
            with self._changing:
                same = news.holder == self._known.holder
                kept = {key: held for key, held in self._held.items() if same and key in news.keys}
                self._held = {**kept, **news.values}
                self._known = news

    def _follow_holder(self) -> None:
        """Get what the agent has announced. Other requests wait for it, since they would answer from older values."""
        with self._following:
            mark = self._store.mark(_HELD)
            if mark != self._mark_asked_for:
                self.catch_up()
                # This also follows a failure: the next `look` asks again, and no request waits twice.
                self._mark_asked_for = mark

    def news(self, holder: str, serial: int) -> News:
        """In the agent: all keys that it holds, and the values held since its serial number `serial`."""
        since = serial if holder == self._id else 0
        with self._changing:
            held = {key: value for key in list(self._held) if (value := self._current(key))}
            new = {key: value for key, value in held.items() if value.serial > since}
            return News(self._id, self._serial, tuple(held), new)

    @contextmanager
    def within(self, _: float) -> Iterator[None]:
        """The time bound of `Holder`. In this process a call takes no time."""
        yield

    def put(self, key: str, body: bytes) -> None:
        """In the agent: store or hold a value that a worker could not store."""
        self._put(key, orjson.loads(body))

    def _put(self, key: str, value: Any) -> None:
        with self._changing:
            if self._store.set(key, value):
                self._held.pop(key, None)
            else:
                self._hold(key, orjson.dumps(value))

    def _stored(self, key: str) -> bool:
        with self._changing:
            held = self._current(key)
            if held is None or not self._store.set(key, orjson.loads(held.body)):
                return held is None
            del self._held[key]
            return True

    def _hold(self, key: str, body: bytes) -> None:
        with self._changing:
            self._serial += 1
            # The key moves to the end: held values are stored later in the order in which they came.
            self._held.pop(key, None)
            self._held[key] = Held(body, self._store.token(key), self._serial)
        if self._holder is None:
            self._store.announce(_HELD)

    def _current(self, key: str) -> Held | None:
        """The held value of a key; None where another process has stored a newer value since."""
        held = self._held.get(key)
        if held is None:
            return None
        token = self._store.token(key)
        # A file that appears where there was none was restored from elsewhere, so it is older than the held value.
        if held.over is not None and token is not None and token != held.over:
            with self._changing:
                if self._held.get(key) is held:
                    del self._held[key]
            return None
        return held
