"""Temporary directories of one gunicorn, removed when it ends. After a kill, a later gunicorn removes them.

The master does not wait for the agent, which may make a directory again: `end_without_leftovers` removes it.

All processes that use such a directory hold a shared flock on it. Forked processes inherit the lock, and the kernel
releases it however a process ends. A directory without a lock is a leftover. systemd-tmpfiles spares locked ones.
"""

import atexit
import fcntl
import logging
import os
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

log = logging.getLogger(__name__)

_PREFIX = "control-tower-run-"
# The directories of this process, and the descriptors that hold them.
_held: dict[Path, int] = {}


def temporary_directory() -> Path:
    """Make a directory that is removed when this process ends, and not when one of its workers ends."""
    directory, maker = Path(tempfile.mkdtemp(prefix=_PREFIX)), os.getpid()
    while not _hold(directory):
        # Another gunicorn removed the directory as a leftover before it was locked.
        directory = Path(tempfile.mkdtemp(prefix=_PREFIX))

    def remove() -> None:
        if os.getpid() == maker:
            # Without the lock first: an agent that writes meanwhile makes this removal fail, and then removes all.
            with suppress(OSError):
                fcntl.flock(_held[directory], fcntl.LOCK_UN)
            shutil.rmtree(directory, ignore_errors=True)

    atexit.register(remove)
    return directory


def keep_directories() -> None:
    """Make and lock again each directory that a cleaner of temporary files removed. Called every second."""
    for directory, descriptor in list(_held.items()):
        if not _is(directory, descriptor):
            with suppress(OSError):
                directory.mkdir(mode=0o700, exist_ok=True)
                _hold(directory)
                os.close(descriptor)


def remove_leftovers() -> None:
    """Remove this user's temporary directories that no process uses."""
    for directory in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            descriptor = _opened(directory)
            try:
                if os.fstat(descriptor).st_uid == os.getuid():
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    log.info("Removing %s, which no process uses any more", directory)
                    shutil.rmtree(directory, ignore_errors=True)
            finally:
                os.close(descriptor)


def end_without_leftovers() -> NoReturn:
    """End this process at once, whatever its threads wait for, and then remove the directories that no process uses.

    A thread could write between a removal and the end. None is left in the program that replaces this one.
    """
    try:
        os.execv(sys.executable, [sys.executable, "-IS", __file__])  # noqa: S606 - both paths are this program's own
    except OSError:
        remove_leftovers()
        os._exit(0)


def _hold(directory: Path) -> bool:
    try:
        descriptor = _opened(directory)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    if not _is(directory, descriptor):
        os.close(descriptor)
        return False
    _held[directory] = descriptor
    return True


def _opened(directory: Path) -> int:
    return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _is(directory: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(directory, follow_symlinks=False), os.fstat(descriptor))
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    remove_leftovers()
