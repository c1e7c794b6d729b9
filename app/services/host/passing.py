"""Passing directories: those of one gunicorn, which go with it. Where it was killed, a later one removes them.

Whoever uses one holds a shared flock on the directory itself, handed down by fork and ended by the kernel, however a
process ends. One that nobody holds is left over. systemd-tmpfiles leaves alone what is held.
"""

import atexit
import fcntl
import logging
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)

_PREFIX = "control-tower-run-"
# The directories of this process, and the descriptors that hold them.
_held: dict[Path, int] = {}


def passing_directory() -> Path:
    """A new directory that goes when the process that made it ends, not when one of its workers does."""
    directory, maker = Path(tempfile.mkdtemp(prefix=_PREFIX)), os.getpid()
    while not _hold(directory):
        # Another start came before the lock, and took it for a leftover.
        directory = Path(tempfile.mkdtemp(prefix=_PREFIX))

    def remove() -> None:
        if os.getpid() == maker:
            shutil.rmtree(directory, ignore_errors=True)

    atexit.register(remove)
    return directory


def keep_held() -> None:
    """Hold again what a cleaner removed; it is to be called now and then."""
    for directory, descriptor in list(_held.items()):
        if not _is(directory, descriptor):
            with suppress(OSError):
                directory.mkdir(mode=0o700, exist_ok=True)
                _hold(directory)
                os.close(descriptor)


def remove_leftovers() -> None:
    """Remove the passing directories of this user's that no process uses."""
    for directory in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            descriptor = _opened(directory)
            try:
                if os.fstat(descriptor).st_uid == os.getuid():
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    log.info("Removing %s, which a killed process left behind", directory)
                    shutil.rmtree(directory, ignore_errors=True)
            finally:
                os.close(descriptor)


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
