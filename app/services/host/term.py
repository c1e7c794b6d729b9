"""A term: the time for which this process may do what one process of all hosts does at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from app.domain.errors import Busy


class Term(Protocol):
    """Somebody's time in office."""

    def stands(self) -> bool:
        """Whether it has not ended; who works in it for long asks now and then."""
        ...


_term: ContextVar[Term | None] = ContextVar("term", default=None)


@contextmanager
def working_in(term: Term) -> Iterator[None]:
    """Do the work in the block in a term: calls to MLflow in it fail once the term has ended."""
    token = _term.set(term)
    try:
        yield
    finally:
        _term.reset(token)


def is_term_limited() -> bool:
    """Whether this work is done in a term."""
    return _term.get() is not None


def check_term() -> None:
    """Raise `Busy` where this work is done in a term that has ended."""
    term = _term.get()
    if term is not None and not term.stands():
        raise Busy("Another host leads now, and does this work.")
