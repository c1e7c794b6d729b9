"""Refuses a cache directory that is in use by an instance whose locks are elsewhere, which would lose registrations.

Locks are files in the directory for temporary files, so instances exclude each other only where they share that. Each
instance holds a shared flock on a file in the cache directory, which names the place of its locks. The kernel releases
it however a process ends, so a killed instance is no obstacle.
"""

import fcntl
import logging
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)

_NAME = "holders.lock"
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_TRIES, _PAUSE_SECONDS = 50, 0.02
# Kept open until this process and its children end.
_held: list[int] = []


class CacheHeldElsewhere(Exception):
    """A running instance with another directory for temporary files uses the cache directory."""


def hold_cache_directory(directory: Path) -> None:
    """Hold the cache directory for this process and the processes that it forks. Raises `CacheHeldElsewhere`.

    Where the file cannot be made or locked, nothing is checked: the service also works without a cache on disk.
    """
    try:
        descriptor = os.open(directory / _NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        log.debug("Whether other instances use the cache directory is not known: %s", error)
        return
    try:
        _hold(descriptor, _place_of_locks())
    except OSError as error:
        log.debug("Whether other instances use the cache directory is not known: %s", error)
        os.close(descriptor)
    except CacheHeldElsewhere:
        os.close(descriptor)
        raise
    else:
        _held.append(descriptor)


def _hold(descriptor: int, place: bytes) -> None:
    """Lock the open file, shared by all who name the same place. The first of them writes the name."""
    for _ in range(_TRIES):
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, place, 0)
        with suppress(BlockingIOError):
            # A lock that was exclusive is released for a moment, in which another process may write its own name.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            if os.pread(descriptor, 4096, 0) != place:
                raise CacheHeldElsewhere
            return
        time.sleep(_PAUSE_SECONDS)
    raise BlockingIOError("its lock is held")


def _place_of_locks() -> bytes:
    """Identifies the directory for temporary files on this machine since it was started, and the user."""
    status = os.stat(tempfile.gettempdir())
    return f"{_BOOT.read_text().strip()} {status.st_dev}:{status.st_ino} {os.getuid()}".encode()
