"""Marks: which writing of a key is the newest, in memory that a gunicorn's master, its workers and their agent share.

To look at a file costs a system call, and with it the interpreter's lock, twice at every request: see the row "looks
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
_BYTES = _SLOTS * 8
_HASH = (1 << 32) - 1


@cache
def shared_marks() -> "Marks | None":
    """The marks of this process and all that it forks from now on; None where the system has no such memory."""
    try:
        return Marks(_sealed_memory())
    except (OSError, AttributeError) as error:
        log.warning("There is no memory to share (%s): each request looks at the cache's files", error)
        return None


class Marks:
    """One number a key, changed by whoever writes the key. Two keys may share one, and are read once too often.

    Half of a number is random, so that no two writings have the same, the other half tells which file was written.
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
        """A file was written, or removed, and `token` tells which one is there now."""
        # Eight aligned bytes are written at once; a number nobody had needs no lock.
        self._numbers[zlib.crc32(key.encode()) % _SLOTS] = random.getrandbits(32) << 32 | _hash(token)

    def tells_of(self, key: str, token: object) -> bool:
        """Whether the last change told was about this file."""
        return self.of(key) & _HASH == _hash(token)


def _hash(token: object) -> int:
    return zlib.crc32(repr(token).encode())


def _sealed_memory() -> int:
    """A file in memory that has no path and that nobody can cut: who reads what was cut off is killed."""
    descriptor = os.memfd_create("control-tower-marks", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        # Written, not only made longer: where there is no memory this fails, and a hole would kill who writes to it.
        os.pwrite(descriptor, bytes(_BYTES), 0)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
