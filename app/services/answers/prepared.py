"""Prepared bodies: the bytes of an answer, plain and compressed, made once and kept."""

import gzip
import hashlib
import threading
from typing import Any, NamedTuple

import zstandard

from app.domain.exact import exact

# The better first: where a client takes both alike, it gets the first.
CODINGS = ("zstd", "gzip")
# Below, the headers weigh more than what is saved.
_LEAST_BYTES = 1024


class Prepared:
    """One body of one snapshot. `as_of` in milliseconds, None where it is not known.

    `pagination` where the body is a page of a list.
    """

    def __init__(self, body: bytes, as_of: int | None, pagination: dict[str, int] | None = None) -> None:
        self.body = exact(body)
        self.as_of = as_of
        self.pagination = pagination
        self.digest = hashlib.blake2b(body, digest_size=12).hexdigest()
        self.tags = frozenset(self.tag(coding) for coding in (None, *CODINGS))
        # What whoever sends it has made of it: its headers.
        self.heads: dict[Any, Any] = {}
        self._coded: dict[str, bytes] = {}
        self._making = threading.Lock()

    def coded(self, coding: str) -> bytes:
        """The body in one of `CODINGS`, compressed when it is first asked for."""
        found = self._coded.get(coding)
        if found is None:
            with self._making:
                found = self._coded.get(coding)
                if found is None:
                    found = self._coded[coding] = _encoded(self.body, coding)
        return found

    def tag(self, coding: str | None) -> str:
        """The ETag. Other bytes, another tag (RFC 9110, 8.8.3): a cache must not mix them."""
        return f'"{self.digest}-{coding}"' if coding else f'"{self.digest}"'

    def is_long(self) -> bool:
        """Whether it is worth to be compressed."""
        return len(self.body) >= _LEAST_BYTES

    def take_over(self, older: "Prepared") -> None:
        """Spare the compressing where an older snapshot had the same body."""
        if older.digest == self.digest:
            self._coded = older._coded


class Answer(NamedTuple):
    """A body ready to be sent. `stale`: it is older than it should be; `mock`: it is of the sample fleet."""

    prepared: Prepared
    stale: bool = False
    mock: bool = False


def _encoded(body: bytes, coding: str) -> bytes:
    if coding == "gzip":
        # Without the time of day: the same bytes for the same ETag.
        return gzip.compress(body, compresslevel=6, mtime=0)
    return zstandard.ZstdCompressor(level=3).compress(body)
