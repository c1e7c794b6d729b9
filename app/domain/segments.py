"""Reads a value that is stored in segments, few of which change at once."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar


class Segment(Protocol):
    """A part of a value. `digest` identifies its content and is empty if there is none."""

    @property
    def digest(self) -> str: ...


S = TypeVar("S", bound=Segment)


def segments_from(digests: Sequence[str], known: Sequence[S], decode: Callable[[int, S], S], empty: S) -> tuple[S, ...]:
    """The segments with these digests: empty ones, those that are known already, and others, which are decoded.

    `decode` gets the number of a segment, and the segment that is known in its place. Raises `ValueError` if there are
    more or fewer digests than known segments.
    """
    return tuple(
        held if held.digest == digest else decode(number, held) if digest else empty
        for number, (digest, held) in enumerate(zip(digests, known, strict=True))
    )
