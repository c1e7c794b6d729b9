"""The shared cache that works even where nothing can be stored: values that the disk refuses are held in memory.

The agent writes all values, and holds these for all workers. A worker asks the agent for them at the first request
after the agent took a new one, before it reports that something does not exist, and once a second.
"""

import logging
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import orjson

from app.domain.errors import TowerError
from app.domain.held import Held, News, Token
from app.domain.ports import StoredCache, ValueHolder

log = logging.getLogger(__name__)

_ASK_SECONDS = 1.0
# The mark of this key changes whenever the values change that the agent holds. Nothing is stored under the key.
_HELD = "held"


class HeldCache:
    """A `SharedCache` over a store, and over values that are held in memory."""

    def __init__(self, store: StoredCache) -> None:
        self._store = store
        self._held: dict[str, Held] = {}
        self._changing = threading.RLock()

    def get(self, key: str) -> Any:
        held = self._current(key)
        return self._store.get(key) if held is None else orjson.loads(held.body)

    def token(self, key: str) -> Token | None:
        held = self._current(key)
        return self._store.token(key) if held is None else (-1, -1, held.serial)

    def mark(self, key: str) -> object:
        held = self._current(key) if key in self._held else None
        return self._store.mark(key) if held is None else (self._holder_id(), held.serial)

    def look(self) -> None:
        """Notice what other programs did to the files."""
        self._store.look()

    def catch_up(self) -> None:
        """Get the values that another process holds."""

    def facts(self, key: str) -> tuple[int, float] | None:
        return self._store.facts(key)

    def _holder_id(self) -> str:
        raise NotImplementedError

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


class ReadingCache(HeldCache):
    """A worker's view of the shared cache: it reads, and asks the agent for what could not be stored.

    `ensure` is called before each look: it sees to it that this host has what the other hosts have.
    """

    def __init__(self, store: StoredCache, holder: ValueHolder, ensure: Callable[[], None] | None = None) -> None:
        super().__init__(store)
        self._holder = holder
        self._ensure = ensure
        # The last answer of the holder.
        self._known = News()
        self._asking = threading.Lock()
        # The mark of `_HELD` at the last request to the holder that it caused.
        self._mark_asked_for = store.mark(_HELD)
        self._following = threading.Lock()

    def mark(self, key: str) -> object:
        if self._ensure is not None:
            self._ensure()
        if self._store.mark(_HELD) != self._mark_asked_for:
            self._follow_holder()
        return super().mark(key)

    def look(self) -> None:
        """Notice what other programs did to the files, and ask the agent."""
        super().look()
        self.catch_up()

    def catch_up(self) -> None:
        """Get the values that the agent holds."""
        holder = self._holder
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

    def _holder_id(self) -> str:
        return self._known.holder


class HoldingCache(HeldCache):
    """The agent's shared cache: it writes, and holds what could not be stored."""

    def __init__(self, store: StoredCache) -> None:
        super().__init__(store)
        self._id = secrets.token_hex(8)
        self._serial = 0

    def set(self, key: str, value: Any) -> bool:
        """The other processes can see the value in any case: it is stored, or it is held for them."""
        return self.store(key, orjson.dumps(value))

    def set_many(self, values: Mapping[str, Any]) -> bool:
        return all(self.set(key, value) for key, value in values.items())

    def store(self, key: str, body: bytes) -> bool:
        with self._changing:
            if self._store.store(key, body):
                self._held.pop(key, None)
            else:
                self._hold(key, body)
        return True

    def body(self, key: str) -> bytes | None:
        held = self._current(key)
        return self._store.body(key) if held is None else held.body

    def announce(self, key: str) -> None:
        self._store.announce(key)

    def delete(self, key: str) -> bool:
        """Delete a value; returns whether there was one and it is gone."""
        was_held = self._current(key) is not None
        with self._changing:
            self._held.pop(key, None)
            deleted = self._store.delete(key)
        if was_held:
            self._store.announce(_HELD)
        return deleted or (was_held and self._store.token(key) is None)

    def look(self) -> None:
        """Notice what other programs did to the files, and try to store again what is held."""
        super().look()
        for key in list(self._held):
            if not self._stored(key):
                break

    def news(self, holder: str, serial: int) -> News:
        """All keys that it holds, and the values held since its serial number `serial`."""
        since = serial if holder == self._id else 0
        with self._changing:
            held = {key: value for key in list(self._held) if (value := self._current(key))}
            new = {key: value for key, value in held.items() if value.serial > since}
            return News(self._id, self._serial, tuple(held), new)

    @contextmanager
    def within(self, _: float) -> Iterator[None]:
        """The time bound of `ValueHolder`. In this process a call takes no time."""
        yield

    def _stored(self, key: str) -> bool:
        with self._changing:
            held = self._current(key)
            if held is None or not self._store.store(key, held.body):
                return held is None
            del self._held[key]
            return True

    def _hold(self, key: str, body: bytes) -> None:
        with self._changing:
            self._serial += 1
            # The key moves to the end: held values are stored later in the order in which they came.
            self._held.pop(key, None)
            self._held[key] = Held(body, self._store.token(key), self._serial)
        self._store.announce(_HELD)

    def _holder_id(self) -> str:
        return self._id
