"""The outbox of one receiver: what it is owed, told by a thread of its own."""

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from app.domain.errors import TowerError
from app.domain.monitoring.alerts import ChangeKey, VerdictChange

log = logging.getLogger(__name__)

Delivered = Callable[[str, Sequence[VerdictChange]], None]

# Of a receiver that takes nothing the newest changes are kept; what is let go is still owed in MLflow.
MOST_OWED = 1000
_MOST_REMEMBERED = 10_000


class Receiver(Protocol):
    """Somebody who is told of changes of verdict.

    `id` may stand in MLflow, `name` in the log: neither holds a secret.
    """

    @property
    def id(self) -> str: ...

    @property
    def name(self) -> str: ...

    def deliver(self, changes: Sequence[VerdictChange]) -> None:
        """Tell of them in bounded time. Raises `DeliveryFailed`, in words that hold no secret."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds: to gather changes before a message, between two messages, and before the next try after a failure."""

    gather: float = 1.0
    between: float = 10.0
    first_retry: float = 5.0
    last_retry: float = 600.0

    def retry(self, failures: int) -> float:
        """Twice as long after each failure, and not at the same moment as everybody else."""
        return self.last_of(failures) * random.uniform(0.8, 1.2)  # noqa: S311 - it decides nothing secret

    def last_of(self, failures: int) -> float:
        """The time to the next try after so many failures in a row, without jitter."""
        # Beyond 2^30 it is the longest pause in any case, and a float has an end.
        return float(min(self.first_retry * 2 ** min(failures - 1, 30), self.last_retry))


class Outbox:
    """All that is owed goes out as one message. What arrived is told to `delivered`, until that succeeds."""

    def __init__(self, receiver: Receiver, delivered: Delivered, pace: Pace) -> None:
        self._receiver = receiver
        self._delivered = delivered
        self._pace = pace
        self._changed = threading.Condition()
        self._stopping = False
        self._owed: dict[ChangeKey, VerdictChange] = {}
        self._unconfirmed: dict[ChangeKey, VerdictChange] = {}
        # By this process: MLflow may be read before it knows.
        self._arrived: dict[ChangeKey, None] = {}
        self._send_at = self._confirm_at = 0.0
        self._failures = self._unheard = 0
        self._overflowed = False

    def owe(self, changes: Sequence[VerdictChange]) -> None:
        """Have it told of these, but for those that it is about to be told of, or was told of by this process."""
        with self._changed:
            fresh = {
                change.key: change
                for change in sorted(changes, key=lambda one: one.at)
                if change.key not in self._owed and change.key not in self._arrived
            }
            if not fresh:
                return
            if not self._owed:
                self._send_at = max(self._send_at, time.monotonic() + self._pace.gather)
            self._owed |= fresh
            self._let_go()
            self._changed.notify()

    def start(self) -> None:
        threading.Thread(target=self._serve, name=f"alerts-{self._receiver.id}", daemon=True).start()

    def stop(self) -> None:
        """Begin nothing more. What is owed still is so in MLflow."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def _serve(self) -> None:
        while (step := self._next_step()) is not None:
            step()

    def _next_step(self) -> Callable[[], None] | None:
        """What is to be done, as soon as it is; None at the end."""
        with self._changed:
            while not self._stopping:
                steps = []
                if self._owed:
                    steps.append((self._send_at, self._send))
                if self._unconfirmed:
                    steps.append((self._confirm_at, self._confirm))
                at, step = min(steps, key=lambda one: one[0], default=(None, None))
                left = None if at is None else at - time.monotonic()
                if left is not None and left <= 0:
                    return step
                self._changed.wait(left)
        return None

    def _send(self) -> None:
        with self._changed:
            changes = list(self._owed.values())
        failure = _failure_of(lambda: self._receiver.deliver(changes))
        if failure is None:
            self._note_arrival(changes)
            self._confirm()
        else:
            self._failures += 1
            pause = self._pace.retry(self._failures)
            self._send_at = time.monotonic() + pause
            log.warning(
                "Telling %s of %s failed: %s; next try in %.0f s", self._receiver.name, _count(changes), failure, pause
            )

    def _note_arrival(self, changes: Sequence[VerdictChange]) -> None:
        log.info("Told %s of %s", self._receiver.name, _count(changes))
        with self._changed:
            self._failures, self._overflowed = 0, False
            self._send_at = time.monotonic() + self._pace.between
            for change in changes:
                self._owed.pop(change.key, None)
                self._arrived[change.key] = None
                self._unconfirmed[change.key] = change
            _cut(self._arrived, _MOST_REMEMBERED)
            _cut(self._unconfirmed, _MOST_REMEMBERED)

    def _confirm(self) -> None:
        with self._changed:
            changes = list(self._unconfirmed.values())
        failure = _failure_of(lambda: self._delivered(self._receiver.id, changes))
        if failure is None:
            with self._changed:
                self._unheard = 0
                self._unconfirmed.clear()
            return
        self._unheard += 1
        pause = self._pace.retry(self._unheard)
        self._confirm_at = time.monotonic() + pause
        log.warning(
            "That %s was told of %s could not be noted: %s; next try in %.0f s",
            self._receiver.name, _count(changes), failure, pause,
        )  # fmt: skip

    def _let_go(self) -> None:
        if _cut(self._owed, MOST_OWED) and not self._overflowed:
            self._overflowed = True
            log.warning(
                "%s is owed more than %d changes of verdict: the oldest wait until MLflow is asked again",
                self._receiver.name, MOST_OWED,
            )  # fmt: skip


def _cut(kept: dict[ChangeKey, Any], most: int) -> bool:
    """Take out the oldest beyond `most`; whether there were any."""
    beyond = list(islice(kept, max(len(kept) - most, 0)))
    for key in beyond:
        del kept[key]
    return bool(beyond)


def _failure_of(work: Callable[[], None]) -> str | None:
    """Do it; None, or why it failed, in words of ours: those of libraries repeat URLs with their tokens."""
    try:
        work()
    except TowerError as error:
        return error.detail
    except BaseException as error:  # noqa: BLE001 - whatever a receiver raises, the next try follows
        return type(error).__name__
    return None


def _count(changes: Sequence[VerdictChange]) -> str:
    return f"{len(changes)} change{'' if len(changes) == 1 else 's'} of verdict"
