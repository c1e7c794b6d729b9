"""The announcer: tells every receiver of the changes of verdict that it is owed."""

from collections.abc import Sequence

from app.domain.monitoring.alerts import VerdictChange
from app.services.alerts.outbox import Delivered, Outbox, Pace, Receiver


class Announcer:
    """One thread for each receiver, so that one that hangs or fails delays nobody else.

    `delivered` is called with a receiver's id and what arrived there, and again later where it fails. A message is
    tried until it arrives; after a restart it is for the caller to say again what is owed.
    """

    def __init__(self, receivers: Sequence[Receiver], delivered: Delivered, pace: Pace | None = None) -> None:
        # The same URL twice is one receiver.
        self._outboxes = {receiver.id: Outbox(receiver, delivered, pace or Pace()) for receiver in receivers}

    @property
    def receiver_ids(self) -> Sequence[str]:
        """Who is told, by the ids that stand in MLflow."""
        return tuple(self._outboxes)

    def owe(self, receiver_id: str, changes: Sequence[VerdictChange]) -> None:
        """Tell the receiver of these soon, each once; one that is not known any more is told nothing. Threads may."""
        outbox = self._outboxes.get(receiver_id)
        if outbox is not None:
            outbox.owe(changes)

    def start(self) -> None:
        """In the process that delivers, once."""
        for outbox in self._outboxes.values():
            outbox.start()

    def stop(self) -> None:
        for outbox in self._outboxes.values():
            outbox.stop()
