"""The teller sends notices to the receivers of alerts, each on a thread of its own, until they arrive."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from app.domain.errors import TowerError
from app.domain.monitoring.alerts import page_url
from app.domain.own_runs import OwnRun
from app.domain.ports import WritingGateway
from app.domain.promotion.notices import Notice, waiting_notice
from app.domain.promotion.promotions import Promotion
from app.domain.promotion.tags import is_notified, notified_tags
from app.services.alerts.outbox import Pace

log = logging.getLogger(__name__)

_MOST_NOTICES = 10_000


class NoticeReceiver(Protocol):
    """A receiver of alerts that also takes notices."""

    @property
    def id(self) -> str: ...

    @property
    def name(self) -> str: ...

    def tell(self, notice: Notice) -> None:
        """Send a notice in bounded time. Raises `DeliveryFailed`."""
        ...


class Teller:
    """What does not arrive is sent again with a later call of `tell`. MLflow holds what arrived, for all hosts.

    The pauses after failures are those of `pace`.
    """

    def __init__(
        self,
        receivers: Sequence[NoticeReceiver],
        gateway: WritingGateway,
        clock: Callable[[], int],
        public_url: str | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._public_url = public_url
        self._receivers = {receiver.id: receiver for receiver in receivers}
        self._gateway = gateway
        self._clock = clock
        self._pace = pace or Pace()
        self._busy = {receiver_id: threading.Lock() for receiver_id in self._receivers}
        # How often each receiver has failed in a row, and when it may be tried again.
        self._failures = dict.fromkeys(self._receivers, 0)
        self._again_at = dict.fromkeys(self._receivers, 0.0)
        # What this process has sent, since it may not be noted in MLflow yet.
        self._sent: dict[tuple[str, str, str], None] = {}

    def tell(self, notices: Sequence[Notice], is_sent: Callable[[Notice, str], bool]) -> None:
        """Send each receiver the notices that it lacks, and return at once. `is_sent` says what MLflow has of that."""
        for receiver in self._receivers.values():
            owed = [notice for notice in notices if not is_sent(notice, receiver.id)]
            is_due = bool(owed) and time.monotonic() >= self._again_at[receiver.id]
            if is_due and self._busy[receiver.id].acquire(blocking=False):
                name = f"notices-{receiver.id}"
                threading.Thread(target=self._send, args=(receiver, owed), name=name, daemon=True).start()

    def tell_waiting(self, waiting: Sequence[tuple[OwnRun, Promotion]]) -> None:
        """Notify receivers of proposals that wait, with their runs as MLflow has them."""
        runs = {run.run_id: run for run, _ in waiting}
        notices = [waiting_notice(one, page_url(self._public_url, one.proposal.model)) for _, one in waiting]
        self.tell(notices, lambda notice, receiver: is_notified(runs[notice.run_id], f"{notice.key}.{receiver}"))

    def _send(self, receiver: NoticeReceiver, owed: Sequence[Notice]) -> None:
        try:
            for notice in owed:
                key = (receiver.id, notice.run_id, notice.key)
                if key not in self._sent:
                    receiver.tell(notice)
                    self._sent[key] = None
                    log.info("Notified %s of %s", receiver.name, notice.event)
                self._gateway.write_promotion_tags(
                    notice.run_id, notified_tags(f"{notice.key}.{receiver.id}", self._clock())
                )
            while len(self._sent) > _MOST_NOTICES:
                del self._sent[next(iter(self._sent))]
            self._failures[receiver.id] = 0
        except TowerError as error:
            self._failed(receiver, error.detail)
        except Exception as error:  # noqa: BLE001 - whatever a library raises, whose text may hold a secret
            self._failed(receiver, type(error).__name__)
        finally:
            self._busy[receiver.id].release()

    def _failed(self, receiver: NoticeReceiver, why: str) -> None:
        self._failures[receiver.id] += 1
        pause = self._pace.retry(self._failures[receiver.id])
        self._again_at[receiver.id] = time.monotonic() + pause
        log.warning("Notifying %s of promotions failed: %s; next try after %.0f s", receiver.name, why, pause)
