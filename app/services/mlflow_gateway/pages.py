"""Reading long lists from MLflow in few, large pages, each row once, while the list changes.

MLflow's page tokens are offsets: a row that comes between two pages shifts the next one to the right, so that rows
come twice; one that goes shifts it to the left, so that rows would be missed. So each page begins a few rows before
the end of the one before: as long as it shows a row that was read already, nothing lies between the two.
"""

from collections.abc import Callable, Hashable, Iterator
from typing import Any

from app.domain.errors import MlflowTooSlow, MlflowUnavailable
from app.domain.registry.page_token import page_token_at, page_token_offset

# Measured against MLflow 3.17 with a time-out of 10 s a request.
MODELS, VERSIONS, RUNS, EXPERIMENTS = 1000, 10_000, 2000, 10_000
# How often a size is halved before the server counts as hanging rather than slow.
_HALVINGS = 3
# So many rows of a page are read again with the next one: a tenth of it, and no more than this.
_OVERLAP = 50
# How often one reading goes back to an earlier page. A list that loses whole pages again and again is read as it comes.
_MOST_RETURNS = 20
_ENDLESS = (
    "MLflow's pages do not come to an end: a page token leads back to where it was. Check what stands between "
    "this service and MLflow."
)

Search = Callable[..., Any]


def read_all(
    call: Callable[..., Any], search: Search, size: int, key: Callable[[Any], Hashable], **more: Any
) -> Iterator[Any]:
    """Every row of a paged search, one for each key. `call` makes the request; `more` as for `Pages`."""
    return Pages(call, search, size, key, **more).rows()


class Pages:
    """One reading of a paged search. A page that times out is asked for again at half its size."""

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
        # Offsets: where the page begins that is read next, the one before it, and the first.
        self._begin = self._before = self._first = (page_token_offset(token) or 0) if token else 0
        self._overlap = 0
        self._returns = 0
        self._tokens: set[str] = set()
        self.next_token: str | None = None

    def rows(self, most: int | None = None) -> Iterator[Any]:
        """The rows, at most so many; `next_token` then says where the list goes on.

        Of a row that comes again with the next page the later reading counts.
        """
        seen: set[Hashable] = set()
        held: dict[Hashable, Any] = {}
        while True:
            wanted = None if most is None else most - len(seen)
            page = self._read(wanted)
            read = {self._key(row): row for row in page}
            if self._overlap and seen.isdisjoint(read) and self._go_back():
                continue
            held.update((key, row) for key, row in read.items() if key in held)
            yield from held.values()
            fresh = [key for key in read if key not in seen]
            held = {key: read[key] for key in fresh[:wanted]}
            seen |= held.keys()
            self._go_on(_text(page.token), len(page), len(fresh) - len(held))
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

    def _go_on(self, token: str | None, length: int, surplus: int) -> None:
        """Take the place of the next page from the token that came with this one."""
        # The last token is '' in the registry and None in tracking.
        offset = page_token_offset(token) if token else None
        if token and offset is None:
            self._go_on_at(token)
            return
        end = offset or self._begin + length
        if token and end <= self._begin:
            raise MlflowUnavailable(_ENDLESS)
        sample = token or self._token or ""
        self.next_token = page_token_at(sample, end - surplus) if token or surplus else None
        # Of a page that shows less than it spans, rows are hidden from this user: none of the next may be known.
        whole = length == end - self._begin > 1
        self._overlap = min(_OVERLAP, max(1, length // 10)) if whole else 0
        self._before, self._begin = self._begin, end - self._overlap
        self._token = page_token_at(sample, self._begin)

    def _go_on_at(self, token: str) -> None:
        """Go on with a token that is no offset: the one page ends where the other begins."""
        if token in self._tokens:
            raise MlflowUnavailable(_ENDLESS)
        self._tokens.add(token)
        self._token = self.next_token = token
        self._overlap = 0

    def _go_back(self) -> bool:
        """Rows may lie between two pages: begin where the one before did, then at the start of the reading."""
        self._returns += 1
        if self._begin <= self._first or self._returns > _MOST_RETURNS:
            return False
        begin = self._before if self._before < self._begin else self._first
        self._overlap += self._begin - begin
        self._begin = begin
        self._token = page_token_at(self._token or "", begin)
        return True


def _text(token: str | bytes | None) -> str | None:
    """A page token as text: over HTTP it is, from a database it is bytes."""
    return token.decode() if isinstance(token, bytes) else token
