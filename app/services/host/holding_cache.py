"""The shared cache, also where nothing can be stored: what a write could not put there is held in memory.

The agent holds it for all workers. A worker asks it at the first request after the agent held something new, before it
changes something, and before it says that something is not there; where there are no marks, once a second.
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
# Its mark changes whenever the agent holds something else. Nothing is stored under it.
_HELD = "held"


class HoldingCache:
    """A `SharedCache` over another. `holder` is who holds for this process; None where it does so itself."""

    def __init__(self, store: StoredCache, holder: Holder | None = None) -> None:
        self._store = store
        self._holder = holder
        self._id = secrets.token_hex(8)
        self._serial = 0
        self._held: dict[str, Held] = {}
        # What this worker knows of its holder.
        self._known = News()
        self._changing = threading.RLock()
        self._asking = threading.Lock()
        # The mark of what is held that this worker has asked for.
        self._heard = store.mark(_HELD)
        self._hearing = threading.Lock()

    def get(self, key: str) -> Any:
        held = self._current(key)
        return self._store.get(key) if held is None else orjson.loads(held.body)

    def set(self, key: str, value: Any) -> bool:
        """Whether the other processes can see it: stored, or held by who holds for all."""
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
            log.warning("This worker alone has what it could not store: %s", error.detail)
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
        if self._holder is not None and self._store.mark(_HELD) != self._heard:
            self._hear()
        held = self._current(key) if key in self._held else None
        return self._store.mark(key) if held is None else (self._known.holder, held.serial)

    def look(self) -> None:
        """Once a second: see what others stored, have what the agent holds, or store it, if that goes again."""
        self._store.look()
        self.catch_up()
        if self._holder is None:
            for key in list(self._held):
                if not self._stored(key):
                    break

    def facts(self, key: str) -> tuple[int, float] | None:
        return self._store.facts(key)

    def catch_up(self) -> None:
        """In a worker: have what the agent holds."""
        holder = self._holder
        if holder is None:
            return
        # One at a time, so that no older answer comes after a newer one.
        with self._asking:
            try:
                with holder.within(_ASK_SECONDS):
                    news = holder.news(self._known.holder, self._known.serial)
            except TowerError as error:
                log.debug("What the agent holds is not known: %s", error.detail)
                return
            with self._changing:
                same = news.holder == self._known.holder
                kept = {key: held for key, held in self._held.items() if same and key in news.keys}
                self._held = {**kept, **news.values}
                self._known = news

    def _hear(self) -> None:
        """Have what the agent has announced. Who comes meanwhile waits: it would answer from what was before."""
        with self._hearing:
            mark = self._store.mark(_HELD)
            if mark != self._heard:
                self.catch_up()
                # Also where that failed: the next look asks again, and no request waits for it twice.
                self._heard = mark

    def news(self, holder: str, serial: int) -> News:
        """In the agent: what it holds, and the values after a serial of its own."""
        since = serial if holder == self._id else 0
        with self._changing:
            held = {key: one for key in list(self._held) if (one := self._current(key))}
            return News(
                self._id, self._serial, tuple(held), {key: one for key, one in held.items() if one.serial > since}
            )

    @contextmanager
    def within(self, _: float) -> Iterator[None]:
        """As the agent's cache is asked; here it takes no time."""
        yield

    def put(self, key: str, body: bytes) -> None:
        """In the agent: store or hold what a worker could not store."""
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
            # Put last, also where it is held already: what is stored again later is stored in this order.
            self._held.pop(key, None)
            self._held[key] = Held(body, self._store.token(key), self._serial)
        if self._holder is None:
            self._store.announce(_HELD)

    def _current(self, key: str) -> Held | None:
        """What is held of a key, unless somebody stored it since."""
        held = self._held.get(key)
        if held is None:
            return None
        token = self._store.token(key)
        # What was not there and is again was put back from elsewhere: it is older.
        if held.over is not None and token is not None and token != held.over:
            with self._changing:
                if self._held.get(key) is held:
                    del self._held[key]
            return None
        return held
