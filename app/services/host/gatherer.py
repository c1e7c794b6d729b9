"""The gatherer: items that arrive in bursts are processed together, on a separate thread."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from app.domain.registry.models import VersionKey

T = TypeVar("T", bound=str | VersionKey)

# Items that arrive within this time of the first are processed with it.
_BURST_SECONDS = 0.05
# The pauses before each try: what failed is tried again, since nobody asks for it a second time.
TRIES_AFTER_SECONDS = (0, 2, 5)
_LONGEST_REST_SECONDS = 10.0


class Gatherer(Generic[T]):
    """Hands the distinct items of a burst, sorted, to `work`, which returns whether it succeeded.

    `tries_after` are the pauses before each try, in seconds. After the last try the items are dropped. After its work
    the thread rests for `rest` times as long as that took, at most ten seconds: so items that never cease to arrive do
    not keep the host busy.
    """

    def __init__(
        self, name: str, work: Callable[[list[T]], bool], tries_after: Sequence[float], rest: float = 0
    ) -> None:
        self._name = name
        self._work = work
        self._tries_after = tries_after
        self._rest = rest
        self._arrived: set[T] = set()
        self._changed = threading.Condition()
        self._stopping = False

    def add(self, item: T) -> None:
        with self._changed:
            self._arrived.add(item)
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
                items, self._arrived = sorted(self._arrived), set()
            began = time.monotonic()
            self._try(items)
            rest = min(self._rest * (time.monotonic() - began), _LONGEST_REST_SECONDS)
            with self._changed:
                self._changed.wait_for(lambda: self._stopping, rest)

    def _try(self, items: list[T]) -> None:
        for seconds in self._tries_after:
            with self._changed:
                if self._changed.wait_for(lambda: self._stopping, seconds):
                    return
            if self._work(items):
                return
