"""Gathering: what arrives in bursts is worked off together, on a thread of its own."""

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from app.domain.registry.models import VersionKey

T = TypeVar("T", bound=str | VersionKey)

# What follows something so soon is worked off together with it.
_BURST_SECONDS = 0.05


class Gatherer(Generic[T]):
    """Hands what arrived, each thing once, to a function; again later where that says it did not go well."""

    def __init__(self, name: str, work: Callable[[list[T]], bool], tries_after: Sequence[float]) -> None:
        self._name = name
        self._work = work
        self._tries_after = tries_after
        self._arrived: set[T] = set()
        self._changed = threading.Condition()
        self._stopping = False

    def add(self, thing: T) -> None:
        with self._changed:
            self._arrived.add(thing)
            self._changed.notify()

    def start(self) -> None:
        threading.Thread(target=self._serve, name=self._name, daemon=True).start()

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._arrived or self._stopping)
                if not self._stopping:
                    self._changed.wait_for(lambda: self._stopping, _BURST_SECONDS)
                if self._stopping:
                    return
                things, self._arrived = sorted(self._arrived), set()
            self._try(things)

    def _try(self, things: list[T]) -> None:
        for seconds in self._tries_after:
            with self._changed:
                if self._changed.wait_for(lambda: self._stopping, seconds):
                    return
            if self._work(things):
                return
