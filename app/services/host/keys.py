"""Access keys: a file with one line per key, read again when it changes. Tokens are never stored."""

import hashlib
import hmac
import logging
import os
import re
import secrets
import stat
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

ROLES = ("read", "write", "approve", "admin")
_NAME = re.compile(r"[A-Za-z0-9_.@-]{1,64}\Z", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}\Z", re.ASCII)
_PREFIX = "ct_"
# A file that is rewritten in place is empty first, and then grows.
_BEING_WRITTEN_SECONDS = 2.0


class BadKeyFile(ValueError):
    """The key file cannot be used; the text says where and why."""


def with_weaker(role: str) -> tuple[str, ...]:
    """A role and all weaker roles."""
    return ROLES[: ROLES.index(role) + 1]


@dataclass(frozen=True, slots=True)
class AccessKey:
    """An access key: the name of its owner, its role, and the SHA-256 of its token."""

    name: str
    role: str
    digest: str

    @property
    def roles(self) -> tuple[str, ...]:
        """The role and all weaker roles: `write` includes `read`."""
        return with_weaker(self.role)


class KeyRing:
    """The keys of one file. A file that breaks while the service runs leaves the last good keys in force."""

    def __init__(self, path: Path, now: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._now = now
        self._keys: tuple[AccessKey, ...] = ()
        self._seen: object | None = None
        self._text, self._inode = "", 0
        self._changed_at = 0.0
        self._short_since: float | None = None
        self._warned: str | None = None
        self._lock = threading.Lock()

    def check(self) -> int:
        """The number of keys. Raises `BadKeyFile` when the file cannot be used."""
        count = len(read_keys(self._path))
        self._warn()
        return count

    def find(self, token: str) -> AccessKey | None:
        """The key of this token. All keys are compared, each in constant time."""
        self.look()
        digest = _digest(token)
        match = None
        for key in self._keys:
            if hmac.compare_digest(key.digest, digest):
                match = key
        return match

    def look(self) -> None:
        """Read the file again if it has changed. Called at every request, and every second in between."""
        now, seen = self._now(), _mark(self._path)
        # A second write within one tick of the file system's clock does not change the mark.
        if seen == self._seen and now - self._changed_at > _BEING_WRITTEN_SECONDS and self._short_since is None:
            return
        with self._lock:
            is_new = seen != self._seen
            if is_new:
                self._seen, self._changed_at = seen, now
                self._warn()
            try:
                text, inode = _text(self._path)
                keys = _keys(text)
            except BadKeyFile as error:
                self._short_since = None
                if is_new:
                    log.error("The last good keys stay in force: %s", error)
                return
            if not self._is_being_written(text, inode, now):
                self._keys, self._text, self._inode, self._short_since = keys, text, inode, None

    def add(self, name: str, role: str) -> str:
        """Write a new key into the file and return its token, which is not stored."""
        if not _NAME.match(name):
            raise BadKeyFile("A key's name is 1 to 64 letters, digits, or any of _ . @ -")
        if self._path.exists() and any(key.name == name for key in read_keys(self._path)):
            raise BadKeyFile(f"There is a key named {name} already. Remove its line to make it anew.")
        token = _PREFIX + secrets.token_urlsafe(32)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600), "r+") as file:
            content = file.read()
            file.write(("\n" if content and not content.endswith("\n") else "") + f"{name} {role} {_digest(token)}\n")
        return token

    def _is_being_written(self, text: str, inode: int, now: float) -> bool:
        """Whether the file was truncated a moment ago: it is empty, or holds the beginning of its former text."""
        is_cut = inode == self._inode and text != self._text and self._text.startswith(text)
        if not self._keys or (text.strip() and not is_cut):
            return False
        if self._short_since is None:
            self._short_since = now
        return now - self._short_since < _BEING_WRITTEN_SECONDS

    def _warn(self) -> None:
        """Warn that other users may write the file, once for each state of it."""
        open_to_others = _writable_by_others(self._path)
        if open_to_others and open_to_others != self._warned:
            log.warning("Others than the owner may write %s: who does makes keys of any role", open_to_others)
        self._warned = open_to_others


def read_keys(path: Path) -> tuple[AccessKey, ...]:
    """The keys in a file. A line is `name role sha256`; blank lines and lines that start with # are skipped."""
    return _keys(_text(path)[0])


def _text(path: Path) -> tuple[str, int]:
    """The file's text and its inode. A different inode means that the file was replaced as a whole."""
    try:
        with open(path, encoding="utf-8", opener=_without_waiting) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise BadKeyFile(f"{path} is not a regular file")
            return file.read(), status.st_ino
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise BadKeyFile(f"{path} cannot be read ({reason})") from None


def _without_waiting(path: str, flags: int) -> int:
    # A named pipe without a writer would hold up whoever opens it, and with it every request.
    return os.open(path, flags | os.O_NONBLOCK)


def _keys(text: str) -> tuple[AccessKey, ...]:
    lines = enumerate(text.splitlines(), 1)
    keys = tuple(_key(line, number) for number, line in lines if line.strip() and line.strip()[0] != "#")
    names = [key.name for key in keys]
    for name in names:
        if names.count(name) > 1:
            raise BadKeyFile(f"two keys are named {name}")
    return keys


def _mark(path: Path) -> object:
    """A value that changes whenever the file or its permissions change."""
    try:
        status = path.stat()
    except OSError:
        return "missing"
    return status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size


def _writable_by_others(path: Path) -> str | None:
    """The file, or the directory in which it could be replaced, with its mode; None where no other user may write."""
    try:
        real = path.resolve(strict=True)
        mode, directory = real.stat().st_mode, real.parent.stat().st_mode
    except OSError:
        return None
    others = stat.S_IWGRP | stat.S_IWOTH
    if mode & others:
        return f"{path} (mode {stat.S_IMODE(mode):04o}; chmod go-w {path})"
    # In a sticky directory, such as /tmp, nobody replaces the files of others.
    if directory & others and not directory & stat.S_ISVTX:
        where = real.parent
        return f"{where}, the directory of {path.name} (mode {stat.S_IMODE(directory):04o}; chmod go-w {where})"
    return None


def _key(line: str, number: int) -> AccessKey:
    parts = re.split(r"[\s,:]+", line.strip())
    if len(parts) != 3:  # noqa: PLR2004 - name, role, digest
        raise BadKeyFile(f"line {number}: needs a name, a role and the SHA-256 of the token")
    name, role, digest = parts[0], parts[1].lower(), parts[2].lower()
    if not _NAME.match(name) or role not in ROLES or not _DIGEST.match(digest):
        raise BadKeyFile(f"line {number}: needs a name, a role ({', '.join(ROLES)}) and 64 hexadecimal digits")
    return AccessKey(name, role, digest)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
