"""The announcer: sees to it that each receiver is told of each change, in few messages, whatever another one does."""

import logging
import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.domain.alerts import VerdictChange
from app.domain.errors import TowerError
from app.services.alerts.receivers import NotDelivered, Receiver

log = logging.getLogger(__name__)

Delivered = Callable[[str, Sequence[VerdictChange]], None]
# Of a receiver that is away for long, only the newest are kept here; MLflow knows of all.
_MOST_OWED = 1000
_MOST_REMEMBERED = 20_000


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds: what follows within `gather` goes into the same message, the next leaves not before `pause`.

    After a failure the next try comes after `retry`, twice as long each time, at most `longest`.
    """

    gather: float = 1.0
    pause: float = 10.0
    retry: float = 5.0
    longest: float = 600.0


class Announcer:
    """A thread for each receiver."""

    def __init__(self, receivers: Sequence[Receiver], delivered: Delivered, pace: Pace = Pace()) -> None:
        self._lines = {receiver.id: _Line(receiver, delivered, pace) for receiver in receivers}

    @property
    def receivers(self) -> Sequence[str]:
        """The receivers' ids."""
        return tuple(self._lines)

    def owe(self, receiver_id: str, changes: Sequence[VerdictChange]) -> None:
        """Have a receiver told. What is owed already, or was told by this process, is not told again."""
        self._lines[receiver_id].owe(changes)

    def start(self) -> None:
        for line in self._lines.values():
            line.start()

    def stop(self) -> None:
        for line in self._lines.values():
            line.stop()


class _Line:
    """One receiver: what it is owed, and what it was told but MLflow does not know yet."""

    def __init__(self, receiver: Receiver, delivered: Delivered, pace: Pace) -> None:
        self._receiver = receiver
        self._delivered = delivered
        self._pace = pace
        self._owed: OrderedDict[tuple[str, int], VerdictChange] = OrderedDict()
        self._unnoted: list[VerdictChange] = []
        self._known: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._changed = threading.Condition()
        self._stopping = False

    def owe(self, changes: Sequence[VerdictChange]) -> None:
        with self._changed:
            for change in changes:
                if change.key not in self._known:
                    self._known[change.key] = None
                    self._owed[change.key] = change
            while len(self._owed) > _MOST_OWED:
                self._owed.popitem(last=False)
                log.warning("%s is not told of the oldest of more than %d changes", self._receiver.name, _MOST_OWED)
            while len(self._known) > _MOST_REMEMBERED:
                self._known.popitem(last=False)
            self._changed.notify()

    def start(self) -> None:
        threading.Thread(target=self._serve, name=f"alerts-{self._receiver.id}", daemon=True).start()

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def _serve(self) -> None:
        failures = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._owed or self._unnoted or self._stopping)
            if self._stopped(self._pace.gather):
                return
            went_well = self._tell() and self._note()
            failures = 0 if went_well else failures + 1
            if self._stopped(self._pace.pause if went_well else self._backoff(failures)):
                return

    def _stopped(self, seconds: float) -> bool:
        """Wait, and say whether it is over."""
        until = time.monotonic() + seconds
        with self._changed:
            while not self._stopping and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
            return self._stopping

    def _backoff(self, failures: int) -> float:
        # Not in step with other instances that failed at the same moment.
        return min(self._pace.retry * 2.0 ** min(failures - 1, 20), self._pace.longest) * random.uniform(0.8, 1.2)  # noqa: S311

    def _tell(self) -> bool:
        with self._changed:
            changes = sorted(self._owed.values(), key=lambda change: change.at)
        if not changes:
            return True
        try:
            self._receiver.deliver(changes)
        except NotDelivered as error:
            log.warning("%s was not told of %d changes and will be: %s", self._receiver.name, len(changes), error)
            return False
        except Exception as error:  # noqa: BLE001 - whatever a library does, the thread goes on
            log.warning("%s was not told and will be: %s", self._receiver.name, type(error).__name__)
            return False
        log.info("%s was told of %d changes of verdict", self._receiver.name, len(changes))
        with self._changed:
            for change in changes:
                self._owed.pop(change.key, None)
            self._unnoted += changes
        return True

    def _note(self) -> bool:
        """Have MLflow know; until it does, this process does."""
        try:
            self._delivered(self._receiver.id, self._unnoted)
        except TowerError as error:
            log.warning("It is noted later that %s was told: %s", self._receiver.name, error.detail)
            return False
        except Exception:
            log.exception("It is noted later that %s was told", self._receiver.name)
            return False
        self._unnoted = []
        return True
