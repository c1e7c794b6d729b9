"""A term: the time for which this process may do work that one host at a time does."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from app.domain.errors import Busy


class Term(Protocol):
    """The time for which this host leads."""

    def stands(self) -> bool:
        """Whether the term has not ended."""
        ...


_term: ContextVar[Term | None] = ContextVar("term", default=None)


@contextmanager
def working_in(term: Term) -> Iterator[None]:
    """Do the work in the block in a term: its calls to MLflow raise `Busy` once the term has ended."""
    token = _term.set(term)
    try:
        yield
    finally:
        _term.reset(token)


def is_term_limited() -> bool:
    """Whether the present work is done in a term."""
    return _term.get() is not None


def check_term() -> None:
    """Raise `Busy` where the present work is done in a term that has ended."""
    term = _term.get()
    if term is not None and not term.stands():
        raise Busy("Another host leads now, and does this work.")
