"""The outbox of a receiver: the changes that it is owed, and the thread that sends them."""

import logging
import random
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from app.domain.errors import TowerError
from app.domain.monitoring.alerts import ChangeKey, VerdictChange
from app.domain.promotion.notices import Notice

log = logging.getLogger(__name__)

# How many changes are kept for a receiver that takes none. The older ones are still owed in MLflow.
MOST_OWED = 1000
_MOST_CHANGES = 10_000


class Receiver(Protocol):
    """A receiver of changes of verdict.

    `id` is written to MLflow and `name` to the log, so neither may hold a secret.
    """

    @property
    def id(self) -> str: ...

    @property
    def name(self) -> str: ...

    def deliver(self, changes: Sequence[VerdictChange]) -> None:
        """Send the changes in bounded time. Raises `DeliveryFailed` with a text that holds no secret."""
        ...

    def tell(self, notice: Notice) -> None:
        """Send a notice about a promotion. As `deliver`."""
        ...


class Notifications(Protocol):
    """Which changes each receiver was notified of, as MLflow holds it for all hosts."""

    def still_owed(self, receiver_id: str, changes: Sequence[VerdictChange]) -> Collection[VerdictChange]:
        """Those of the changes that no process has delivered to the receiver."""
        ...

    def mark_notified(self, receiver_id: str, changes: Sequence[VerdictChange]) -> None:
        """Note that these changes arrived at the receiver."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """In seconds: the time to gather changes before a message, between messages, and before the next try."""

    gather: float = 1.0
    between: float = 10.0
    first_retry: float = 5.0
    last_retry: float = 600.0

    def retry(self, failures: int) -> float:
        """The pause after this many failures in a row, with jitter, so that not all receivers retry at once."""
        return self.last_of(failures) * random.uniform(0.8, 1.2)  # noqa: S311 - it decides nothing secret

    def last_of(self, failures: int) -> float:
        """The pause after this many failures in a row, without jitter. It doubles with each failure."""
        # From 2^30 on the pause is the longest in any case, and larger powers would overflow a float.
        return float(min(self.first_retry * 2 ** min(failures - 1, 30), self.last_retry))


class Outbox:
    """Sends all owed changes as a single message. Then it notes that in MLflow, until that succeeds."""

    def __init__(
        self, receiver: Receiver, notifications: Notifications, pace: Pace, may_send: Callable[[], bool]
    ) -> None:
        self._receiver = receiver
        self._notifications = notifications
        self._may_send = may_send
        self._pace = pace
        self._changed = threading.Condition()
        self._stopping = False
        self._owed: dict[ChangeKey, VerdictChange] = {}
        self._unconfirmed: dict[ChangeKey, VerdictChange] = {}
        # The changes that this process delivered, since MLflow may be read before it has the note of that.
        self._arrived: dict[ChangeKey, VerdictChange] = {}
        self._send_at = self._confirm_at = 0.0
        self._failures = self._unheard = 0
        self._overflowed = False

    def owe(self, changes: Sequence[VerdictChange]) -> None:
        """Queue these changes, except those that are queued already, or were delivered by this process."""
        with self._changed:
            self._note_again(changes)
            fresh = {
                change.key: change
                for change in sorted(changes, key=lambda change: change.at)
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
        """Start no further step. Changes that were not delivered are still owed in MLflow."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def _serve(self) -> None:
        while (step := self._next_step()) is not None:
            step()

    def _next_step(self) -> Callable[[], None] | None:
        """Wait until a step is due, and return it; None at the end."""
        with self._changed:
            while not self._stopping:
                steps = []
                if self._owed:
                    steps.append((self._send_at, self._send))
                if self._unconfirmed:
                    steps.append((self._confirm_at, self._confirm))
                at, step = min(steps, key=lambda due: due[0], default=(None, None))
                left = None if at is None else at - time.monotonic()
                if left is not None and left <= 0:
                    return step
                self._changed.wait(left)
        return None

    def _note_again(self, changes: Sequence[VerdictChange]) -> None:
        """Note a delivered change again that another host, which found it too, has written with a later time."""
        for change in changes:
            arrived = self._arrived.get(change.key)
            if arrived and arrived.at < change.at:
                self._arrived[change.key] = self._unconfirmed[change.key] = change
                self._changed.notify()

    def _send(self) -> None:
        self._drop_delivered()
        with self._changed:
            if not self._may_send():
                # The host that leads now has read from MLflow what is owed.
                self._owed.clear()
                return
            changes = list(self._owed.values())
        if not changes:
            return
        failure = _failure_of(lambda: self._receiver.deliver(changes))
        if failure is None:
            self._note_arrival(changes)
            self._confirm()
        else:
            self._failures += 1
            pause = self._pace.retry(self._failures)
            self._send_at = time.monotonic() + pause
            log.warning(
                "Notifying %s of %s failed: %s; next try in %.0f s",
                self._receiver.name,
                _count(changes),
                failure,
                pause,
            )

    def _drop_delivered(self) -> None:
        """Drop the changes that another process, perhaps of another host, has delivered meanwhile."""
        with self._changed:
            changes = list(self._owed.values())
        try:
            owed = self._notifications.still_owed(self._receiver.id, changes)
        except Exception as error:  # noqa: BLE001 - a message that comes twice is better than one that never comes
            log.debug("Who was notified could not be read: %s", type(error).__name__)
            return
        delivered = {change.key for change in changes} - {change.key for change in owed}
        with self._changed:
            for key in delivered:
                self._owed.pop(key, None)

    def _note_arrival(self, changes: Sequence[VerdictChange]) -> None:
        log.info("Notified %s of %s", self._receiver.name, _count(changes))
        with self._changed:
            self._failures, self._overflowed = 0, False
            self._send_at = time.monotonic() + self._pace.between
            for change in changes:
                self._owed.pop(change.key, None)
                self._arrived[change.key] = change
                self._unconfirmed[change.key] = change
            _cut(self._arrived, _MOST_CHANGES)
            _cut(self._unconfirmed, _MOST_CHANGES)

    def _confirm(self) -> None:
        with self._changed:
            changes = list(self._unconfirmed.values())
        failure = _failure_of(lambda: self._notifications.mark_notified(self._receiver.id, changes))
        if failure is None:
            with self._changed:
                self._unheard = 0
                self._unconfirmed.clear()
            return
        self._unheard += 1
        pause = self._pace.retry(self._unheard)
        self._confirm_at = time.monotonic() + pause
        log.warning(
            "Recording that %s was notified of %s failed: %s; next try in %.0f s",
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
    """Remove the oldest entries beyond `most`. Returns whether there were any."""
    beyond = list(islice(kept, max(len(kept) - most, 0)))
    for key in beyond:
        del kept[key]
    return bool(beyond)


def _failure_of(work: Callable[[], None]) -> str | None:
    """Do the work. Returns None, or why it failed, without the texts of libraries, which may repeat tokens."""
    try:
        work()
    except TowerError as error:
        return error.detail
    except BaseException as error:  # noqa: BLE001 - whatever a receiver raises, the next try follows
        return type(error).__name__
    return None


def _count(changes: Sequence[VerdictChange]) -> str:
    return f"{len(changes)} change{'' if len(changes) == 1 else 's'} of verdict"
