"""Turns for writing to MLflow: several writes at once, fewer when MLflow is overloaded, and no wait that is in vain."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.domain.errors import Busy, MlflowOverloaded, MlflowTooSlow
from app.domain.messages import TOO_MANY_WRITES
from app.domain.ports import Monotonic

# MLflow's `log_batch` takes two of the 15 connections to the database that a server process has. Sixteen and more at
# once can wait for each other, so three hosts with four each, and other clients, must have room.
MOST_AT_ONCE = 4
_FIRST_AT_ONCE = 2


class WriteTurns:
    """Bounds the writes to MLflow that this process has under way; those that wait are served in their order.

    The bound follows MLflow's answers: additive increase, multiplicative decrease. A write that MLflow takes raises it
    by a fraction, a write that MLflow is too busy for halves it. Nobody waits longer than `longest_wait` seconds.
    `note` is called with how many wait and how many may go at once, when either changes.
    """

    def __init__(
        self, longest_wait: float, monotonic: Monotonic = time.monotonic, note: Callable[[int, int], None] | None = None
    ) -> None:
        self._longest_wait = longest_wait
        self._monotonic = monotonic
        self._changing = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._under_way = 0
        self._at_once = float(_FIRST_AT_ONCE)
        # How often the bound was halved. Of the writes that were under way then, no other halves it again.
        self._halved = 0
        # How long a write takes, in seconds.
        self._seconds = 0.0
        self._note = note
        self._say()

    @contextmanager
    def turn(self, longest_wait: float | None = None) -> Iterator[None]:
        """Wait for a turn, and have it for the block, which writes to MLflow.

        Raises `Busy` at once where the wait would be too long, before anything is written, and where MLflow is too busy
        for what the block writes.
        """
        self._wait(self._longest_wait if longest_wait is None else min(longest_wait, self._longest_wait))
        halved, began, is_taken, is_too_much = self._halved, self._monotonic(), False, False
        try:
            yield
            is_taken = True
        except MlflowOverloaded:
            is_too_much = True
            raise Busy(TOO_MANY_WRITES, self._retry_after()) from None
        except MlflowTooSlow:
            is_too_much = True
            raise
        finally:
            with self._changing:
                self._under_way -= 1
                # The newest write counts as much as all before it, so a recovered MLflow is soon noticed.
                self._seconds = (self._seconds + self._monotonic() - began) / 2
                if is_taken:
                    self._at_once = min(MOST_AT_ONCE, self._at_once + 1 / self._at_once)
                elif is_too_much and halved == self._halved:
                    self._at_once = max(1.0, self._at_once / 2)
                    self._halved += 1
                self._admit()

    def _wait(self, longest_wait: float) -> None:
        mine = threading.Event()
        with self._changing:
            self._waiting.append(mine)
            self._admit()
            if not mine.is_set() and self._expected() > longest_wait:
                self._waiting.remove(mine)
                self._say()
                raise Busy(TOO_MANY_WRITES, self._retry_after())
        if mine.wait(longest_wait):
            return
        with self._changing:
            if not mine.is_set():
                self._waiting.remove(mine)
                self._say()
                raise Busy(TOO_MANY_WRITES, self._retry_after())

    def _admit(self) -> None:
        while self._waiting and self._under_way < int(self._at_once):
            self._under_way += 1
            self._waiting.popleft().set()
        self._say()

    def _say(self) -> None:
        if self._note is not None:
            self._note(len(self._waiting), int(self._at_once))

    def _expected(self) -> float:
        """How long the last of those that wait will wait, in seconds, by how long a write takes."""
        return len(self._waiting) * self._seconds / int(self._at_once)

    def _retry_after(self) -> int:
        return max(1, math.ceil(self._expected()))
