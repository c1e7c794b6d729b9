"""Locks between threads and processes of one host: flock, which ends with its holder, also by kill -9."""

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

_POLL_SECONDS = 0.02


class FileLocks:
    """Named locks in a directory that no cache may clear; `scope` keeps instances apart that share it.

    A file that was removed or replaced excludes nobody who comes later: who acquires such a lock tries again, and who
    holds one for long asks whether it still stands.
    """

    def __init__(self, directory: Path, scope: str) -> None:
        self._directory = directory
        self._scope = scope

    @contextmanager
    def hold(self, name: str, timeout: float) -> Iterator["HeldLock"]:
        """Hold the lock, or raise `LockTimeout` after `timeout` seconds."""
        file = hashlib.sha256(f"{self._scope}\n{name}".encode()).hexdigest()[:24]
        held = self._acquired(self._directory / f"{file}.lock", time.monotonic() + timeout)
        try:
            yield held
        finally:
            held.release()

    def _acquired(self, file: Path, until: float) -> "HeldLock":
        while True:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            held = HeldLock(file)
            try:
                held.acquire(max(0.0, until - time.monotonic()))
            except FileNotFoundError:
                # The directory was removed between the two.
                if time.monotonic() > until:
                    raise
                continue
            if held.stands():
                return held
            held.release()


class HeldLock:
    """One holder's lock. Each opens the file for itself, so that flock excludes threads too."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._descriptor: int | None = None

    def acquire(self, timeout: float) -> None:
        """Lock the file, or raise `LockTimeout` after so many seconds."""
        until = time.monotonic() + timeout
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while not _locks(descriptor):
                if time.monotonic() >= until:
                    raise LockTimeout("Another request is changing the same thing. Try again.")
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
        """Remove the file of a lock that nobody will need again; who waits for it makes another."""
        self._file.unlink(missing_ok=True)

    def stands(self) -> bool:
        """Whether it excludes others: its file is the one that they would lock."""
        if self._descriptor is None:
            return False
        try:
            found, held = self._file.lstat(), os.fstat(self._descriptor)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (held.st_dev, held.st_ino)


def _locks(descriptor: int) -> bool:
    """Lock an open file, if nobody else does."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock_directory(base: Path | None = None) -> Path:
    """A directory of this user's own for locks, shared by every instance of the service on this host.

    In `base`, by default the system's directory for temporary files.

    Raises OSError when somebody else has put something in its place.
    """
    directory = (base or Path(tempfile.gettempdir())) / f"control-tower-{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise OSError(f"{directory} is not a private directory of this user's: remove it")
    return directory
