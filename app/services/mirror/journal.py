"""The journal: when each kind of update last ran, in any process, and what came of it."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from app.domain.errors import TowerError
from app.domain.ports import Clock, SharedCache, Telemetry
from app.domain.times import age_ms
from app.domain.updates import SWEEP

_TIMES = ("started_at", "finished_at", "succeeded_at", "failed_at")


class Journal:
    """One entry a kind, shared. It reports, and decides nothing."""

    def __init__(self, cache: SharedCache, clock: Clock, timeout: float, telemetry: Telemetry | None = None) -> None:
        self._cache = cache
        self._clock = clock
        self._timeout_ms = timeout * 1000
        self._telemetry = telemetry

    @contextmanager
    def entry(self, kind: str) -> Iterator[dict[str, Any]]:
        """Note the start, the end and the failure of what happens in the block, and what it adds to the entry."""
        entry = {**self.last(kind), "started_at": self._clock(), "process": f"{socket.gethostname()}:{os.getpid()}"}
        if kind == SWEEP:
            # The others are over before anybody could read that they run.
            self._cache.set(_key(kind), {**entry, "is_running": True})
        began = time.monotonic()
        told: dict[str, Any] = {}
        try:
            yield told
        except Exception as error:
            self._time(kind, began, failed=True)
            detail = error.detail if isinstance(error, TowerError) else "Internal error"
            self._cache.set(_key(kind), {**entry, **self._ended("failed_at"), "error": detail})
            raise
        told["duration_seconds"] = round(time.monotonic() - began, 3)
        self._time(kind, began, failed=False)
        self._cache.set(_key(kind), {**entry, **told, **self._ended("succeeded_at")})

    def last(self, kind: str) -> dict[str, Any]:
        """The last entry; times in milliseconds, None where a clock was wrong and they lie ahead."""
        found, now = self._cache.get(_key(kind)), self._clock()
        entry: dict[str, Any] = found if isinstance(found, dict) else {}
        ahead = [name for name in _TIMES if entry.get(name) and age_ms(entry[name], now) is None]
        return {**entry, **dict.fromkeys(ahead)}

    def is_refreshing(self) -> bool:
        """Whether a sweep is under way."""
        entry = self.last(SWEEP)
        age = age_ms(entry.get("started_at"), self._clock())
        # A holder that was killed leaves its mark; no refresh lasts longer than its time-out.
        return bool(entry.get("is_running")) and age is not None and age < self._timeout_ms

    def _time(self, kind: str, began: float, *, failed: bool) -> None:
        if self._telemetry is not None:
            self._telemetry.refreshed(kind, time.monotonic() - began, failed)

    def _ended(self, how: str) -> dict[str, int | bool]:
        now = self._clock()
        return {"is_running": False, "finished_at": now, how: now}


def _key(kind: str) -> str:
    return f"last-{kind}"
