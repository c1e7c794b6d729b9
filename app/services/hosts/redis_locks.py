"""Locks between all hosts. Each is a key with a time limit that its holder keeps renewing.

A holder that is stopped for longer than that loses its lock without noticing. So a lock alone excludes nobody: the
script that stores values checks whether the writer still holds its locks (`fences`).
"""

import random
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from app.domain.errors import Busy, LockTimeout
from app.domain.messages import BEING_CHANGED
from app.services.hosts.link import RedisLink

# The longest that a host that died can hold up others that wait for its lock.
LEASE_SECONDS = 5.0
_POLL_SECONDS = 0.02

Fence = tuple[str, str]
"""The key of a lock, and the token that its holder has put there."""

_ACQUIRE = """
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
-- A lock without an end, or with a later one, was not taken by a host.
local left = redis.call('PTTL', KEYS[1])
if left < 0 or left > tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
"""
RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
_RENEW = """
local kept = {}
for i, key in ipairs(KEYS) do
    local mine = redis.call('GET', key) == ARGV[i]
    if mine then redis.call('PEXPIRE', key, ARGV[#KEYS + 1]) end
    kept[i] = mine and 1 or 0
end
return kept
"""

_fences: ContextVar[tuple[Fence, ...]] = ContextVar("fences", default=())


def fences() -> tuple[Fence, ...]:
    """The locks that the present work holds; its writes count only while it still holds all of them."""
    return _fences.get()


@contextmanager
def fenced_by(fence: Fence) -> Iterator[None]:
    """Make writes in the block count only while this holder has the lock."""
    token = _fences.set((*_fences.get(), fence))
    try:
        yield
    finally:
        _fences.reset(token)


class RedisHeldLock:
    """A lock, as one holder has it."""

    def __init__(self, fence: Fence, until: float) -> None:
        self.fence = fence
        self._until = until

    def stands(self) -> bool:
        """Whether the lock still excludes others, as far as this host knows without asking Redis."""
        return time.monotonic() < self._until

    def renewed(self, until: float) -> None:
        """Record until when the lock is held (monotonic seconds); a time in the past if it was lost."""
        self._until = until

    def remove(self) -> None:
        """Do nothing: Redis removes the key by itself."""


class RedisLocks:
    """Named locks; locks of different `scope` are independent.

    `catch_up` is called with each lock that was acquired: who changes a thing must have seen what others made of it.
    """

    def __init__(self, link: RedisLink, host: str, scope: str, catch_up: Callable[[], object]) -> None:
        self._link = link
        self._host = host
        self._scope = scope
        self._catch_up = catch_up
        self._held: set[RedisHeldLock] = set()
        # Threads of this process wait for each other in memory, so that only one of them asks Redis.
        self._here: dict[str, threading.Lock] = defaultdict(threading.Lock)
        self._changing = threading.Lock()

    @contextmanager
    def hold(self, name: str, timeout: float) -> Iterator[RedisHeldLock]:
        """Hold the lock, or raise `LockTimeout` after `timeout` seconds. Raises `Busy` if Redis does not answer."""
        until = time.monotonic() + timeout
        with self._changing:
            here = self._here[name]
        if not here.acquire(timeout=max(0.0, timeout)):
            raise LockTimeout(BEING_CHANGED)
        try:
            held = self._acquired(self._link.common("lock", self._scope, name), until)
            self._held.add(held)
            try:
                self._catch_up()
                with fenced_by(held.fence):
                    yield held
            finally:
                self._held.discard(held)
                self._release(held)
        finally:
            here.release()

    def renew(self) -> None:
        """Renew the locks of this process; called more often than a lease lasts. Raises `Busy`."""
        held = list(self._held)
        if not held:
            return
        began = time.monotonic()
        keys, tokens = [lock.fence[0] for lock in held], [lock.fence[1] for lock in held]
        kept = self._link.run(_RENEW, keys, *tokens, int(LEASE_SECONDS * 1000))
        for lock, is_kept in zip(held, kept, strict=True):
            lock.renewed(began + LEASE_SECONDS if is_kept else 0.0)

    def _acquired(self, key: str, until: float) -> RedisHeldLock:
        fence = (key, f"{self._host}:{secrets.token_hex(8)}")
        while True:
            began = time.monotonic()
            if self._link.run(_ACQUIRE, [key], fence[1], int(LEASE_SECONDS * 1000)):
                return RedisHeldLock(fence, began + LEASE_SECONDS)
            if time.monotonic() >= until:
                raise LockTimeout(BEING_CHANGED)
            # Waiting hosts try again at different moments.
            time.sleep(random.uniform(0.5, 1.5) * _POLL_SECONDS)  # noqa: S311 - nothing secret

    def _release(self, held: RedisHeldLock) -> None:
        try:
            self._link.run(RELEASE, [held.fence[0]], held.fence[1])
        except Busy:
            # The key expires by itself.
            return
