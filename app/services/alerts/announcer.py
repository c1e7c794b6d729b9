"""The announcer notifies every receiver of the changes of verdict that it has not yet received."""

from collections.abc import Callable, Sequence

from app.domain.monitoring.alerts import VerdictChange
from app.services.alerts.outbox import Notifications, Outbox, Pace, Receiver


class Announcer:
    """A thread for each receiver, so that a receiver that hangs or fails does not delay the others.

    `notifications` is asked before each message, and gets the changes that arrived, again after a failure. A message is
    tried until it arrives, or until `may_send` says that another host sends it. After a restart the caller must call
    `owe` again.
    """

    def __init__(
        self,
        receivers: Sequence[Receiver],
        notifications: Notifications,
        pace: Pace | None = None,
        may_send: Callable[[], bool] = lambda: True,
    ) -> None:
        # A URL that is given twice is a single receiver.
        self._outboxes = {
            receiver.id: Outbox(receiver, notifications, pace or Pace(), may_send) for receiver in receivers
        }

    @property
    def receiver_ids(self) -> Sequence[str]:
        """The ids of the receivers, as they are written to MLflow."""
        return tuple(self._outboxes)

    def owe(self, receiver_id: str, changes: Sequence[VerdictChange]) -> None:
        """Notify a receiver of these changes soon, once of each. An unknown receiver is ignored. Thread-safe."""
        outbox = self._outboxes.get(receiver_id)
        if outbox is not None:
            outbox.owe(changes)

    def start(self) -> None:
        """Start to deliver. Called once, and only in the agent."""
        for outbox in self._outboxes.values():
            outbox.start()

    def stop(self) -> None:
        for outbox in self._outboxes.values():
            outbox.stop()
