"""Marks: which writing of a key is the newest, in memory that all processes of this host share.

To look at a file costs a system call, and with it the interpreter's lock, twice at every request: a tenth
of what a worker can answer. Reading a mark costs neither.
"""

import logging
import mmap
import os
import random
import zlib
from pathlib import Path

log = logging.getLogger(__name__)

_SLOTS = 512
_BYTES = _SLOTS * 8


def marks_at(path: Path) -> "Marks | None":
    """The marks in a file; None where there is no place for it, and the stored files tell what is new."""
    try:
        return Marks(path)
    except OSError as error:
        log.warning("There is no place for %s (%s): each request looks at the cache's files", path, error)
        return None


class Marks:
    """One number a key, changed by whoever writes the key. Two keys may share one, and are read once too often.

    Raises OSError where the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._slots: dict[str, int] = {}
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(descriptor).st_size < _BYTES:
                # Written, not only made longer: on a full disk this fails, where a hole would kill who writes to it.
                os.pwrite(descriptor, bytes(_BYTES), 0)
            # The file may be removed while it is used; all who have it go on sharing it.
            self._numbers = memoryview(mmap.mmap(descriptor, _BYTES)).cast("Q")
        finally:
            os.close(descriptor)

    def of(self, key: str) -> int:
        slot = self._slots.get(key)
        if slot is None:
            slot = self._slots[key] = zlib.crc32(key.encode()) % _SLOTS
        return self._numbers[slot]

    def change(self, key: str) -> None:
        # Eight aligned bytes are written at once; a number nobody had needs no lock.
        self._numbers[zlib.crc32(key.encode()) % _SLOTS] = random.getrandbits(64)
