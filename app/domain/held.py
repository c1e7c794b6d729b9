"""What could not be stored, as the processes of a host hand it to each other."""

from collections.abc import Mapping
from dataclasses import dataclass, field

Token = tuple[int, int, int]
"""Which writing of a stored value is meant."""


@dataclass(frozen=True, slots=True)
class Held:
    """A value, as JSON, that could not be stored over what `over` names; `serial` grows with each."""

    body: bytes
    over: Token | None
    serial: int


@dataclass(frozen=True, slots=True)
class News:
    """What a holder holds: all keys, and the values that came after the serial that it was asked about."""

    holder: str = ""
    serial: int = 0
    keys: tuple[str, ...] = ()
    values: Mapping[str, Held] = field(default_factory=dict)
