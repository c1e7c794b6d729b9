"""Locks between threads and processes of one host, by flock: the kernel releases them when the holder ends."""

import fcntl
import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.domain.errors import LockTimeout
from app.domain.messages import BEING_CHANGED

_POLL_SECONDS = 0.02


class FileLocks:
    """Named locks in a directory that is never cleared. `scope` separates instances that share the directory.

    A lock whose file was removed or replaced no longer excludes others. `hold` therefore checks the file of an acquired
    lock and tries again where it is gone; a holder that keeps a lock for long checks it with `HeldLock.stands`.
    """

    def __init__(self, directory: Path, scope: str) -> None:
        self._directory = directory
        self._scope = scope

    @contextmanager
    def hold(self, name: str, timeout: float) -> Iterator["HeldFileLock"]:
        """Hold the lock, or raise `LockTimeout` after `timeout` seconds."""
        file = hashlib.sha256(f"{self._scope}\n{name}".encode()).hexdigest()[:24]
        held = self._acquired(self._directory / f"{file}.lock", time.monotonic() + timeout)
        try:
            yield held
        finally:
            held.release()

    def _acquired(self, file: Path, until: float) -> "HeldFileLock":
        while True:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            held = HeldFileLock(file)
            try:
                held.acquire(max(0.0, until - time.monotonic()))
            except FileNotFoundError:
                # The directory was removed after `mkdir`.
                if time.monotonic() > until:
                    raise
                continue
            if held.stands():
                return held
            held.release()


class HeldFileLock:
    """The lock of one holder. Each holder opens the file anew, so that flock excludes threads too."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._descriptor: int | None = None

    def acquire(self, timeout: float) -> None:
        """Lock the file, or raise `LockTimeout` after `timeout` seconds."""
        until = time.monotonic() + timeout
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while not _try_lock(descriptor):
                if time.monotonic() >= until:
                    raise LockTimeout(BEING_CHANGED)
                time.sleep(_POLL_SECONDS)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def remove(self) -> None:
        """Remove the file of a lock that is no longer needed. A process that waits for it makes a new file."""
        self._file.unlink(missing_ok=True)

    def stands(self) -> bool:
        """Whether the lock still excludes others: its file is the file that they would lock."""
        if self._descriptor is None:
            return False
        try:
            current, held = self._file.lstat(), os.fstat(self._descriptor)
        except OSError:
            return False
        return (current.st_dev, current.st_ino) == (held.st_dev, held.st_ino)


def _try_lock(descriptor: int) -> bool:
    """Lock an open file; False where another holder has locked it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock_directory(base: Path | None = None) -> Path:
    """This user's private directory for locks, shared by every instance of the service on this host.

    It is in `base`, by default the system's directory for temporary files. Raises OSError where its path is taken by
    a file or by a directory of somebody else's.
    """
    directory = (base or Path(tempfile.gettempdir())) / f"control-tower-{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    status = directory.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise OSError(f"{directory} is not a private directory of this user's: remove it")
    return directory
