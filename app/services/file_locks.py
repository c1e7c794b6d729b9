"""Locks between threads and processes of one host: filelock, which is flock and ends with its holder."""

import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

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
    """One holder's lock. Nothing is shared between two: flock then excludes threads too."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._identity: tuple[int, int] | None = None
        self._lock = FileLock(file, thread_local=False, on_acquired=self._remember)

    def acquire(self, timeout: float) -> None:
        try:
            self._lock.acquire(timeout=timeout, poll_interval=_POLL_SECONDS)
        except Timeout:
            raise LockTimeout("Another request is changing the same thing. Try again.") from None

    def release(self) -> None:
        self._lock.release()

    def remove(self) -> None:
        """Remove the file of a lock that nobody will need again; who waits for it makes another."""
        self._file.unlink(missing_ok=True)

    def stands(self) -> bool:
        """Whether it excludes others: its file is the one that they would lock."""
        try:
            found = self._file.lstat()
        except OSError:
            return False
        return self._identity == (found.st_dev, found.st_ino)

    def _remember(self, descriptor: int) -> None:
        found = os.fstat(descriptor)
        self._identity = found.st_dev, found.st_ino


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
