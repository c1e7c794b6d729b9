"""Locks between threads and processes of one host: filelock, which is flock and ends with its holder."""

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from app.domain.errors import LockTimeout


class FileLocks:
    """Named locks in a directory that no cache may clear; `scope` keeps instances apart that share it."""

    def __init__(self, directory: Path, scope: str) -> None:
        self._directory = directory
        self._scope = scope

    @contextmanager
    def hold(self, name: str, timeout: float) -> Iterator[None]:
        """Hold the lock, or raise `LockTimeout` after `timeout` seconds."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = hashlib.sha256(f"{self._scope}\n{name}".encode()).hexdigest()[:24]
        # One object a holder: flock then excludes threads too, and nothing is inherited over a fork.
        lock = FileLock(self._directory / f"{file}.lock", thread_local=False)
        try:
            lock.acquire(timeout=timeout, poll_interval=0.02)
        except Timeout:
            raise LockTimeout("Another request is changing the same thing. Try again.") from None
        try:
            yield
        finally:
            lock.release()


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
