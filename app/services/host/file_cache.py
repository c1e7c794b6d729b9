"""The shared cache on one host: cachelib's FileSystemCache with JSON that is checked when it is read."""

import hashlib
import logging
import os
import stat
import struct
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import orjson
from cachelib import FileSystemCache

from app.domain.held import Token
from app.services.host.checked import packed, unpacked
from app.services.host.marks import Marks

log = logging.getLogger(__name__)

# cachelib begins each file with its time of expiry.
_NEVER_EXPIRES = struct.pack("I", 0)
# cachelib leaves these behind when a process dies while writing.
_UNFINISHED = "*.__wz_cache"
_ABANDONED_SECONDS = 60


class CheckedJson:
    """A serializer that replaces cachelib's pickle, which would execute a planted file.

    A file holds the format's name, a checksum and JSON. Anything else reads as None, a miss.
    """

    def dump(self, body: bytes, file: IO[bytes]) -> None:
        """Write JSON."""
        file.write(packed(body))

    def load(self, file: IO[bytes]) -> Any:
        body = unpacked(file.read(), "A file in the cache directory")
        if body is None:
            return None
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            log.warning("A file in the cache directory holds no JSON: ignored")
            return None


class FileCache(FileSystemCache):
    """Keeps every key until it is deleted. A failure of the disk raises no error."""

    serializer = CheckedJson()  # type: ignore[assignment]  # cachelib names its own class

    def __init__(self, directory: Path, marks: Marks | None = None) -> None:
        self._directory = directory
        self._paths: dict[str, str] = {}
        self._marks = marks
        # By key: the token of the file last seen, and how often other programs replaced that file.
        self._seen: dict[str, tuple[object | None, int]] = {}
        self._is_failing = False
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            _sweep(directory)
            # No threshold: cachelib evicts live entries first, those that never expire before the others.
            super().__init__(str(directory), threshold=0, default_timeout=0, mode=0o600)
        except OSError as error:
            log.warning("The cache directory %s cannot be used (%s): nothing is kept", directory, error)
            self._path, self._threshold, self._hash_method = str(directory), 0, hashlib.sha256
            self._mode, self.default_timeout, self.ignore_delete_many_errors = 0o600, 0, True

    def _get_filename(self, key: str) -> str:
        # cachelib hashes the key at each call, and each request looks at two keys.
        path = self._paths.get(key)
        if path is None:
            path = self._paths[key] = str(super()._get_filename(key))
        return path

    def get(self, key: str) -> Any:
        path = self._get_filename(key)
        # cachelib retries for 16 s to open a file that it may not read.
        if not os.access(path, os.R_OK):
            if os.path.exists(path):
                log.warning("A file in the cache directory may not be read: ignored")
            return None
        return super().get(key)

    def set(self, key: str, value: Any, timeout: Any = 0, mgmt_element: bool = False) -> bool:  # noqa: ARG002 - cachelib's
        try:
            body = orjson.dumps(value)
        except TypeError as error:
            log.warning("A value for the cache is no JSON, and is not kept: %s", error)
            return False
        return self.store(key, body)

    def set_many(self, values: Mapping[str, Any], timeout: Any = 0) -> bool:  # type: ignore[override]  # noqa: ARG002 - cachelib's
        """Whether all of them are kept; they are stored in this order, up to the first that cannot be."""
        return all(self.set(key, value) for key, value in values.items())

    def store(self, key: str, body: bytes) -> bool:
        """Keep JSON for good. cachelib's own way leaves a piece of the file on a full disk, which keeps it full."""
        try:
            # The directory may have been removed while the service runs.
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor, new = tempfile.mkstemp(suffix=self._fs_transaction_suffix, dir=self._directory)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(_NEVER_EXPIRES)
                    self.serializer.dump(body, file)
                os.replace(new, self._get_filename(key))
            except BaseException:
                os.unlink(new)
                raise
        except OSError as error:
            # The write is tried again every second; only the first failure is a warning.
            level = logging.DEBUG if self._is_failing else logging.WARNING
            log.log(level, "The cache directory %s cannot be written, nothing is kept: %s", self._directory, error)
            self._is_failing = True
            return False
        if self._is_failing:
            log.info("The cache directory %s can be written again", self._directory)
            self._is_failing = False
        self._changed(key)
        return True

    def body(self, key: str) -> bytes | None:
        """The stored value as JSON; None, a miss, also where it is damaged."""
        try:
            with open(self._get_filename(key), "rb") as file:
                content = file.read()
        except OSError:
            return None
        return unpacked(content[len(_NEVER_EXPIRES) :], "A file in the cache directory")

    def delete(self, key: str, mgmt_element: bool = False) -> bool:  # noqa: ARG002 - cachelib's
        """Whether there is no such file any more. cachelib's own way logs a traceback each time that it fails."""
        deleted = True
        try:
            os.unlink(self._get_filename(key))
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            deleted = False
            level = logging.DEBUG if self._is_failing else logging.WARNING
            log.log(level, "A file in the cache directory %s cannot be removed: %s", self._directory, error)
        self._changed(key)
        return deleted

    def token(self, key: str) -> Token | None:
        """The identity of the stored value. Each write makes a new file, so inode, time and size identify it."""
        try:
            status = os.stat(self._get_filename(key))
        except OSError:
            return None
        return (status.st_ino, status.st_mtime_ns, status.st_size)

    def mark(self, key: str) -> object:
        if self._marks is None:
            return self.token(key)
        seen = self._seen.get(key)
        if seen is None:
            seen = self._seen[key] = (self.token(key), 0)
        return self._marks.of(key), seen[1]

    def announce(self, key: str) -> None:
        self._changed(key)

    def catch_up(self) -> None:
        """Nothing: all values are in the files."""

    def look(self) -> None:
        if self._marks is None:
            return
        for key, (token, times) in list(self._seen.items()):
            token_now = self.token(key)
            by_others = token_now != token and not self._marks.is_last_change(key, token_now)
            self._seen[key] = (token_now, times + by_others)

    def _changed(self, key: str) -> None:
        if self._marks is not None:
            self._marks.change(key, self.token(key))

    def facts(self, key: str) -> tuple[int, float] | None:
        try:
            status = os.stat(self._get_filename(key))
        except OSError:
            return None
        return (status.st_size, status.st_mtime) if stat.S_ISREG(status.st_mode) else None


def _sweep(directory: Path) -> None:
    """Remove unfinished files, except recent ones: another process may still be writing them."""
    for path in directory.glob(_UNFINISHED):
        try:
            if abs(time.time() - path.stat().st_mtime) > _ABANDONED_SECONDS:
                path.unlink()
        except OSError:
            continue
