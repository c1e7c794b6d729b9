"""Reads long lists from MLflow in few, large pages, each row once, even while the list changes.

MLflow's page tokens are offsets. A row that is added between two readings shifts later rows to the right, so that rows
come twice. A row that is removed shifts them to the left, so that rows would be missed. Therefore each page begins a
few rows before the end of the page before: if it shows a row that was read already, no row was missed between them.

A row that comes again also shows how far the list has shifted, so the next page begins where the unread rows are by
now. So a reading comes to its end even if more rows are added between two pages than a page has.
"""

import logging
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from typing import Any

from app.domain.errors import MlflowTooSlow, MlflowUnavailable
from app.domain.registry.page_token import page_token_at, page_token_offset

log = logging.getLogger(__name__)

# Measured against MLflow 3.17 with a time-out of 10 s a request.
MODELS, VERSIONS, RUNS, EXPERIMENTS = 1000, 10_000, 2000, 10_000
# How often a size is halved before the server counts as hanging rather than slow.
_HALVINGS = 3
# The most rows that two pages overlap by; the overlap is a tenth of a page, but no more than this.
_OVERLAP = 50
# How often a reading goes back to an earlier page. After that, the pages are taken as they come.
_MOST_RETURNS = 20
# How many pages may bring the reading no further: some, and a few more for each page that does. Then the reading ends
# with the rows that it has; MLflow is asked about a row by itself before the row counts as gone.
_MOST_WASTED, _WASTED_FOR_EACH = 40, 4
_ENDLESS = (
    "MLflow's pages do not come to an end: a page token leads back to where it was. Check what stands between "
    "this service and MLflow."
)

Search = Callable[..., Any]


def read_all(
    call: Callable[..., Any], search: Search, size: int, key: Callable[[Any], Hashable], **more: Any
) -> Iterator[Any]:
    """Every row of a paged search, once for each key. `call` makes the request; `more` is passed to `Pages`."""
    return Pages(call, search, size, key, **more).rows()


class Pages:
    """A reading of a paged search. A page that times out is requested again at half its size."""

    def __init__(
        self,
        call: Callable[..., Any],
        search: Search,
        size: int,
        key: Callable[[Any], Hashable],
        *,
        token: str | None = None,
        shrink: bool = True,
        **arguments: Any,
    ) -> None:
        self._call = call
        self._search = search
        self._size = size
        self._smallest = size >> _HALVINGS if shrink else size
        self._key = key
        self._arguments = arguments
        self._token = token
        # The offsets at which the next page, the page before it and the first page begin.
        self._begin = self._before = self._first = (page_token_offset(token) or 0) if token else 0
        # The rows that were read. The offset of each, and where the unread rows begin, are given as if the list had not
        # shifted since the first page; None where rows are hidden, so that offsets say nothing.
        self._places: dict[Hashable, int | None] = {}
        self._unread = self._first
        # Whether rows that were read may be skipped; not after a page was missed, which shows that offsets mislead.
        self._skips = True
        # How many pages brought the reading further, and how many did not.
        self._useful = self._wasted = 0
        # How far the list has shifted to the right since the first page, and how far before each of the last two pages.
        self._shift = 0
        self._shifts = (0, 0)
        self._overlap = 0
        self._returns = 0
        self._tokens: set[str] = set()
        self.next_token: str | None = None

    def rows(self, most: int | None = None) -> Iterator[Any]:
        """The rows, at most `most` of them. Afterwards `next_token` says where the list goes on.

        If the next page repeats a row, its later reading counts.
        """
        seen = self._places
        held: dict[Hashable, Any] = {}
        while True:
            wanted = None if most is None else most - len(seen)
            page = self._read(wanted)
            read = {self._key(row): row for row in page}
            is_astray = self._overlap > 0 and seen.keys().isdisjoint(read)
            if is_astray and self._go_back():
                continue
            held.update((key, row) for key, row in read.items() if key in held)
            yield from held.values()
            fresh = [key for key in read if key not in seen]
            held = {key: read[key] for key in fresh[:wanted]}
            keys = [self._key(row) for row in page]
            self._go_on(_text(page.token), keys, held.keys(), len(fresh) - len(held))
            self._count(is_wasted=is_astray or (bool(keys) and fresh[-1:] != keys[-1:]))
            if self.next_token is None or len(seen) == most:
                break
        yield from held.values()

    def _read(self, wanted: int | None) -> Any:
        while True:
            size = self._size if wanted is None else min(self._size, wanted + self._overlap)
            try:
                return self._call(self._search, max_results=size, page_token=self._token, **self._arguments)
            except MlflowTooSlow:
                if self._size <= self._smallest:
                    raise
                self._size //= 2

    def _go_on(self, token: str | None, keys: Sequence[Hashable], new: Collection[Hashable], surplus: int) -> None:
        """Note the rows of this page, of which some are `new`, and set the place of the next page.

        The last `surplus` rows are left for a later reading.
        """
        # The last token is '' in the registry and None in tracking.
        offset = page_token_offset(token) if token else None
        if token and offset is None:
            self._places.update(dict.fromkeys(new))
            self._go_on_at(token)
            return
        end = offset or self._begin + len(keys)
        if token and end <= self._begin:
            raise MlflowUnavailable(_ENDLESS)
        # A page with fewer rows than it spans hides rows from this user, so the next page may repeat none.
        whole = len(keys) == end - self._begin > 1
        self._note(keys, new, whole)
        end -= surplus
        if self._skips and keys and keys[-1] not in new and not surplus:
            end = max(end, self._unread + self._shift)
        self._unread = end - self._shift
        sample = token or self._token or ""
        self.next_token = page_token_at(sample, end) if token or surplus else None
        self._overlap = min(_OVERLAP, max(1, len(keys) // 10)) if whole else 0
        self._before, self._begin = self._begin, end - self._overlap + max(0, min(self._shifts))
        self._token = page_token_at(sample, self._begin)

    def _note(self, keys: Sequence[Hashable], new: Collection[Hashable], whole: bool) -> None:
        """Note the rows of the page at `_begin`, and how far the list has shifted, by the last row known before."""
        places = enumerate(keys, self._begin)
        shifts = [place - known for place, key in places if (known := self._places.get(key)) is not None]
        before, self._shift = self._shift, shifts[-1] if whole and shifts else self._shift
        self._shifts = self._shifts[1], self._shift - before
        for place, key in enumerate(keys, self._begin):
            if key in new or key in self._places:
                self._places[key] = place - self._shift if whole else None

    def _count(self, *, is_wasted: bool) -> None:
        """Count a page, and end the reading after too many that brought it no further."""
        if is_wasted:
            self._wasted += 1
        else:
            self._useful += 1
        if self.next_token is not None and self._wasted > _MOST_WASTED + _WASTED_FOR_EACH * self._useful:
            log.warning("A list of MLflow's changes faster than it can be read: %d rows were read", len(self._places))
            self.next_token = None

    def _go_on_at(self, token: str) -> None:
        """Go on with a token that is no offset: the next page begins where this page ends, without an overlap."""
        if token in self._tokens:
            raise MlflowUnavailable(_ENDLESS)
        self._tokens.add(token)
        self._token = self.next_token = token
        self._overlap = 0

    def _go_back(self) -> bool:
        """Rows may have been missed: read again from the page before, and after that from the first page."""
        self._returns += 1
        self._skips, self._shifts = False, (0, 0)
        if self._begin <= self._first or self._returns > _MOST_RETURNS:
            return False
        begin = self._before if self._before < self._begin else self._first
        self._overlap += self._begin - begin
        self._begin = begin
        self._token = page_token_at(self._token or "", begin)
        return True


def _text(token: str | bytes | None) -> str | None:
    """A page token as text. It is text over HTTP, and bytes from a database."""
    return token.decode() if isinstance(token, bytes) else token
