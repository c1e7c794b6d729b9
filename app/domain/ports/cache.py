"""The shared cache, and the locks."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from app.domain.held import News, Token


class SharedCache(Protocol):
    """The values that the processes of a host share, for reading. They are JSON-shaped; an unreadable one is a miss."""

    def get(self, key: str) -> Any: ...

    def token(self, key: str) -> Token | None:
        """Changes whenever the value is written; None if there is no value."""
        ...

    def mark(self, key: str) -> object:
        """As `token`, but cheap enough for every request: less than a microsecond.

        Changes by other programs than this service show only after the next `look`.
        """
        ...

    def look(self) -> None:
        """Notice what other programs did to the stored values; called once a second."""
        ...

    def catch_up(self) -> None:
        """Get the values that another process holds and could not store."""
        ...

    def facts(self, key: str) -> tuple[int, float] | None:
        """The size in bytes and the time of writing (seconds since 1970) of the stored value."""
        ...


class WritableCache(SharedCache, Protocol):
    """A `SharedCache` that can be written. Workers do not have it."""

    def set(self, key: str, value: Any) -> bool:
        """Whether the others can see the value: False, never an exception, where a disk is full or read-only."""
        ...

    def set_many(self, values: Mapping[str, Any]) -> bool:
        """Several values, stored in this order; where hosts share them, they count at once. As `set`."""
        ...

    def delete(self, key: str) -> bool: ...


class HeldLock(Protocol):
    """A lock that is held."""

    def stands(self) -> bool:
        """Whether it still excludes others; a long-time holder asks now and then."""
        ...

    def remove(self) -> None:
        """Remove what the lock stored, since nobody will need it again."""
        ...


class StoredCache(WritableCache, Protocol):
    """A `WritableCache` under other caches, which take its values as JSON."""

    def store(self, key: str, body: bytes) -> bool:
        """As `set`, of a value that is JSON already."""
        ...

    def body(self, key: str) -> bytes | None:
        """The stored value as JSON; None, a miss, also where it is damaged."""
        ...

    def announce(self, key: str) -> None:
        """Change the mark of a key in every process without storing anything."""
        ...


class ValueHolder(Protocol):
    """Holds, for all processes of a host, values that could not be stored. It is in this process or in the agent."""

    def within(self, seconds: float) -> AbstractContextManager[Any]:
        """Bound the time of all calls in the block together."""
        ...

    def news(self, holder: str, serial: int) -> News:
        """The keys that are held, and the values after a serial of this holder."""
        ...


class Locks(Protocol):
    """Locks between threads and processes."""

    def hold(self, name: str, timeout: float) -> AbstractContextManager[HeldLock]:
        """Hold a lock, or raise `LockTimeout` after so many seconds (0: do not wait)."""
        ...
