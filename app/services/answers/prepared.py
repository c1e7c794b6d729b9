"""Prepared bodies: the bytes of an answer, plain and compressed, which are made once and kept."""

import gzip
import hashlib
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import orjson
import zstandard

from app.domain.exact import exact
from app.domain.registry.query import ListQuery, page_of, pagination

T = TypeVar("T")

# In order of preference for a client that accepts both alike.
CODINGS = ("zstd", "gzip")
# For shorter bodies, compression saves less than its headers take.
_LEAST_BYTES = 1024


class Prepared:
    """A body. `as_of` is the time of its data in milliseconds, None if unknown; `pagination` is that of a list."""

    def __init__(self, body: bytes, as_of: int | None, pagination: dict[str, int] | None = None) -> None:
        self.body = exact(body)
        self.as_of = as_of
        self.pagination = pagination
        self.digest = hashlib.blake2b(body, digest_size=12).hexdigest()
        self.tags = frozenset(self.tag(coding) for coding in (None, *CODINGS))
        # The headers that the sender made for this body, kept for the next request.
        self.heads: dict[Any, Any] = {}
        self._coded: dict[str, bytes] = {}
        self._making = threading.Lock()

    def coded(self, coding: str) -> bytes:
        """The body in one of `CODINGS`, compressed when it is first asked for."""
        coded = self._coded.get(coding)
        if coded is None:
            with self._making:
                coded = self._coded.get(coding)
                if coded is None:
                    coded = self._coded[coding] = _encoded(self.body, coding)
        return coded

    def tag(self, coding: str | None) -> str:
        """The ETag. Each coding has its own (RFC 9110, 8.8.3), so that no cache mixes them."""
        return f'"{self.digest}-{coding}"' if coding else f'"{self.digest}"'

    def is_long(self) -> bool:
        """Whether the body is worth compressing."""
        return len(self.body) >= _LEAST_BYTES

    def take_over(self, older: "Prepared") -> None:
        """Take over the compressed bodies of an older snapshot if its plain body is the same."""
        if older.digest == self.digest:
            self._coded = older._coded


def page_body(query: ListQuery, rows: Sequence[T], most: int, info: Callable[[T], Any]) -> tuple[bytes, dict[str, int]]:
    """The body of a page of these rows, of `most` at most, and its pagination. `info` makes JSON of a row."""
    page = page_of(query, len(rows), most)
    return orjson.dumps([info(row) for row in rows[page.rows]]), pagination(page)


class Answer(NamedTuple):
    """A body to be sent. `stale`: its data are too old; `mock`: they are of the sample fleet."""

    prepared: Prepared
    stale: bool = False
    mock: bool = False


def _encoded(body: bytes, coding: str) -> bytes:
    if coding == "gzip":
        # Without a time, so that the same ETag has the same bytes.
        return gzip.compress(body, compresslevel=6, mtime=0)
    return zstandard.ZstdCompressor(level=3).compress(body)
