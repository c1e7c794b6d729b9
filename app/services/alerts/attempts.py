"""Attempts: work that may hang, with a time limit."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from app.domain.errors import DeliveryFailed

T = TypeVar("T")

# After this many attempts that still hang, a receiver makes no other.
_MOST_LEFT_BEHIND = 4


class Attempts:
    """Runs each attempt on a thread of its own, so that a time-out works whatever the socket does.

    Time-outs of HTTP libraries are per read: a server that drips bytes, or a name server that is silent, would
    hold the caller for ever. A thread left behind is a daemon and ends with its socket.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._left_behind: list[threading.Thread] = []

    def run(self, work: Callable[[], T], seconds: float) -> T:
        """Return or raise what the work returns or raises. Raises `DeliveryFailed` when the time is over."""
        self._left_behind = [thread for thread in self._left_behind if thread.is_alive()]
        if len(self._left_behind) >= _MOST_LEFT_BEHIND:
            raise DeliveryFailed("earlier attempts still hang")
        outcome: Future[T] = Future()
        thread = threading.Thread(target=_work, args=(work, outcome), name=self._name, daemon=True)
        thread.start()
        try:
            return outcome.result(seconds)
        except TimeoutError:
            if outcome.done():
                raise
            self._left_behind.append(thread)
            raise DeliveryFailed(f"no answer within {seconds:.3g} s") from None


def _work(work: Callable[[], T], outcome: Future[T]) -> None:
    try:
        outcome.set_result(work())
    except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
        outcome.set_exception(error)
