"""The journal: when each kind of update last ran in any process, and how it went."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypedDict

from app.domain.errors import TowerError
from app.domain.ports import Clock, SharedCache, Telemetry, WritableCache
from app.domain.shapes import has_shape
from app.domain.times import age_ms
from app.domain.updates import SWEEP

_TIMES = ("started_at", "finished_at", "succeeded_at", "failed_at")


class _Entry(TypedDict, total=False):
    started_at: int | None
    finished_at: int | None
    succeeded_at: int | None
    failed_at: int | None
    is_running: bool
    duration_seconds: float
    requests: int
    changed: int
    process: str
    error: str | None


class Journal:
    """A shared entry for each kind of update. The journal only reports: no update depends on it."""

    def __init__(self, cache: SharedCache, clock: Clock, timeout: float) -> None:
        self._cache = cache
        self._clock = clock
        self._timeout_ms = timeout * 1000

    def last(self, kind: str) -> dict[str, Any]:
        """The last entry. Its times are in milliseconds; a time in the future, of a wrong clock, is None."""
        stored, now = self._cache.get(_key(kind)), self._clock()
        entry: dict[str, Any] = stored if has_shape(stored, _Entry) else {}
        ahead = [name for name in _TIMES if entry.get(name) and age_ms(entry[name], now) is None]
        return {**entry, **dict.fromkeys(ahead)}

    def is_refreshing(self) -> bool:
        """Whether a sweep is under way."""
        entry = self.last(SWEEP)
        age = age_ms(entry.get("started_at"), self._clock())
        # A killed process leaves its entry behind, but no refresh lasts longer than its time-out.
        return bool(entry.get("is_running")) and age is not None and age < self._timeout_ms


class JournalWriter(Journal):
    """The agent's journal: it writes the entries."""

    def __init__(self, cache: WritableCache, clock: Clock, timeout: float, telemetry: Telemetry | None = None) -> None:
        super().__init__(cache, clock, timeout)
        self._writable = cache
        self._telemetry = telemetry

    @contextmanager
    def entry(self, kind: str) -> Iterator[dict[str, Any]]:
        """Note the start and the end or failure of the block, with the fields that it adds to the dictionary."""
        entry = {**self.last(kind), "started_at": self._clock(), "process": f"{socket.gethostname()}:{os.getpid()}"}
        if kind == SWEEP:
            # The other kinds are too short for anybody to see them running.
            self._writable.set(_key(kind), {**entry, "is_running": True})
        began = time.monotonic()
        added: dict[str, Any] = {}
        try:
            yield added
        except Exception as error:
            self._time(kind, began, failed=True)
            detail = error.detail if isinstance(error, TowerError) else "Internal error"
            self._writable.set(_key(kind), {**entry, **self._ended("failed_at"), "error": detail})
            raise
        added["duration_seconds"] = round(time.monotonic() - began, 3)
        self._time(kind, began, failed=False)
        self._writable.set(_key(kind), {**entry, **added, **self._ended("succeeded_at")})

    def note(self, kind: str, **fields: Any) -> None:
        """Replace the entry by these fields."""
        self._writable.set(_key(kind), fields)

    def _time(self, kind: str, began: float, *, failed: bool) -> None:
        if self._telemetry is not None:
            self._telemetry.refreshed(kind, time.monotonic() - began, failed)

    def _ended(self, how: str) -> dict[str, int | bool]:
        now = self._clock()
        return {"is_running": False, "finished_at": now, how: now}


def _key(kind: str) -> str:
    return f"last-{kind}"
