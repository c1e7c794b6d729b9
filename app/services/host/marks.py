"""Marks: numbers that change when a cache key is written, in memory shared by a gunicorn's master, workers and agent.

Looking at a file costs a system call, and with it the interpreter's lock, twice at every request: see the row "looks
at two files" in `bench/RESULTS.md`. Reading a mark costs neither.
"""

import fcntl
import logging
import mmap
import os
import random
import zlib
from functools import cache

log = logging.getLogger(__name__)

_SLOTS = 512
# More: when a worker last had a sign of life of MLflow's, until when workers may serve what this host has, until when
# this host leads, and how many writes to MLflow wait and may go at once.
_SIGN, _SERVE, _LEASE, _WAITING, _AT_ONCE = range(_SLOTS, _SLOTS + 5)
_BYTES = (_SLOTS + 5) * 8
_FOR_EVER = (1 << 64) - 1
_HASH = (1 << 32) - 1


@cache
def shared_marks() -> "Marks | None":
    """The marks of this process and of all that it forks from now on; None where the system lacks such memory."""
    try:
        return Marks(_sealed_memory())
    except (OSError, AttributeError) as error:
        log.warning("This system has no shared memory (%s): each request looks at the cache's files", error)
        return None


class Marks:
    """A number for each key, changed by whoever writes the key. Keys may share a number, and are then read too often.

    Half of a number is random, so that no two writes give the same number. The other half hashes the file's token.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._slots: dict[str, int] = {}
        self._numbers = memoryview(mmap.mmap(descriptor, _BYTES)).cast("Q")

    def of(self, key: str) -> int:
        slot = self._slots.get(key)
        if slot is None:
            slot = self._slots[key] = zlib.crc32(key.encode()) % _SLOTS
        return self._numbers[slot]

    def change(self, key: str, token: object) -> None:
        """Change the mark of a key after its file was written or removed. `token` identifies the file now there."""
        # Eight aligned bytes are written at once, and the number is new, so no lock is needed.
        self._numbers[zlib.crc32(key.encode()) % _SLOTS] = random.getrandbits(32) << 32 | _hash(token)

    def is_last_change(self, key: str, token: object) -> bool:
        """Whether the last change of the mark was for the file with this token."""
        return self.of(key) & _HASH == _hash(token)

    def note_sign(self, now: float) -> None:
        """A worker had a sign of life of MLflow's itself; `now` on the monotonic clock."""
        self._numbers[_SIGN] = int(now * 1000)

    def sign_at(self) -> float:
        """When a worker last had one, on the monotonic clock; 0 where none had."""
        return self._numbers[_SIGN] / 1000

    def serve_until(self, until: float | None) -> None:
        """Let workers serve until this time (monotonic seconds) without asking the agent; None: without an end."""
        self._numbers[_SERVE] = _FOR_EVER if until is None else int(until * 1000)

    def may_serve(self, now: float) -> bool:
        """Whether workers may serve at this time (monotonic seconds) without asking the agent."""
        return now * 1000 < self._numbers[_SERVE]

    def note_lease(self, until: float) -> None:
        """Note until when this host leads (monotonic seconds); a time in the past where another host leads."""
        self._numbers[_LEASE] = int(max(0.0, until) * 1000)

    def lease_seconds(self, now: float) -> float:
        """How long this host's lease lasts if nobody renews it; 0 where another host leads."""
        return max(0.0, self._numbers[_LEASE] / 1000 - now)

    def note_writes(self, waiting: int, at_once: int) -> None:
        """Note how many writes to MLflow wait for a turn, and how many may go at once."""
        self._numbers[_WAITING], self._numbers[_AT_ONCE] = waiting, at_once

    def writes(self) -> tuple[int, int]:
        """How many writes to MLflow wait for a turn, and how many may go at once; 0 and 0 before the agent's start."""
        return self._numbers[_WAITING], self._numbers[_AT_ONCE]

    def has_served(self) -> bool:
        """Whether the agent has let workers serve since this service started."""
        return self._numbers[_SERVE] > 0


def _hash(token: object) -> int:
    return zlib.crc32(repr(token).encode())


def _sealed_memory() -> int:
    """A file in memory without a path. It is sealed, since truncating it would kill the processes that read it."""
    descriptor = os.memfd_create("control-tower-marks", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        # Writing zeros fails here when memory is short; a hole would kill the process that writes to it later.
        os.pwrite(descriptor, bytes(_BYTES), 0)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
