"""Access keys: a file with a line per key, read again when it changes. Tokens are never stored."""

import hashlib
import hmac
import logging
import os
import re
import secrets
import threading
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

ROLES = ("read", "write", "admin")
_NAME = re.compile(r"[A-Za-z0-9_.@-]{1,64}\Z", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}\Z", re.ASCII)
_PREFIX = "ct_"


class BadKeyFile(ValueError):
    """The file of keys cannot be used; the text says where and why."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key: whose it is and what it may do."""

    name: str
    role: str
    digest: str

    @property
    def roles(self) -> tuple[str, ...]:
        """The role with those before it: `write` may do all that `read` may."""
        return ROLES[: ROLES.index(self.role) + 1]


class KeyRing:
    """The keys of one file. A file that breaks while the service runs leaves the last good keys in force."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keys: tuple[Key, ...] = ()
        self._seen: object | None = None
        self._lock = threading.Lock()

    def check(self) -> int:
        """How many keys there are. Raises `BadKeyFile` when the file cannot be used."""
        return len(read_keys(self._path))

    def find(self, token: str) -> Key | None:
        """The key that this token is for. Every key is compared, in constant time."""
        self._reload()
        digest = _digest(token)
        found = None
        for key in self._keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found

    def add(self, name: str, role: str) -> str:
        """Write a new key into the file and give its token, which is kept nowhere."""
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

    def _reload(self) -> None:
        try:
            found = self._path.stat()
            seen: object = (found.st_ino, found.st_mtime_ns, found.st_size)
        except OSError:
            seen = "missing"
        if seen == self._seen:
            return
        with self._lock:
            try:
                self._keys = read_keys(self._path)
            except BadKeyFile as error:
                log.error("The last good keys stay in force: %s", error)
            self._seen = seen


def read_keys(path: Path) -> tuple[Key, ...]:
    """The keys in a file: `name role sha256` a line; blank lines and those that start with # do not count."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise BadKeyFile(f"{path} cannot be read ({reason})") from None
    keys = tuple(_key(line, number) for number, line in enumerate(lines, 1) if line.strip() and line.strip()[0] != "#")
    names = [key.name for key in keys]
    for name in names:
        if names.count(name) > 1:
            raise BadKeyFile(f"two keys are named {name}")
    return keys


def _key(line: str, number: int) -> Key:
    parts = re.split(r"[\s,:]+", line.strip())
    if len(parts) != 3:  # noqa: PLR2004 - name, role, digest
        raise BadKeyFile(f"line {number}: needs a name, a role and the SHA-256 of the token")
    name, role, digest = parts[0], parts[1].lower(), parts[2].lower()
    if not _NAME.match(name) or role not in ROLES or not _DIGEST.match(digest):
        raise BadKeyFile(f"line {number}: needs a name, a role ({', '.join(ROLES)}) and 64 hexadecimal digits")
    return Key(name, role, digest)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
