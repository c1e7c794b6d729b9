"""Values that could not be stored, as the processes of a host pass them to each other."""

from collections.abc import Mapping
from dataclasses import dataclass, field

Token = tuple[int, int, int]
"""Identifies one write of a stored value."""


@dataclass(frozen=True, slots=True)
class Held:
    """A value, as JSON, that could not be stored. `serial` grows with each.

    `over` is the token of the stored value that it supersedes, None if there is none.
    """

    body: bytes
    over: Token | None
    serial: int


@dataclass(frozen=True, slots=True)
class News:
    """What a holder holds: all keys, and the values with a serial above the one in the request."""

    holder: str = ""
    serial: int = 0
    keys: tuple[str, ...] = ()
    values: Mapping[str, Held] = field(default_factory=dict)
