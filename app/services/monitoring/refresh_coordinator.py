"""The refresh coordinator updates the mirror, then the registrations, and later the count of runs."""

import logging
import threading

from app.domain.errors import MlflowDenied, TowerError
from app.domain.ports import Clock
from app.domain.registry.fleet import Fleet, Refreshed
from app.domain.registry.webhook import Deliveries
from app.domain.updates import REGISTRATIONS
from app.services.mirror.change_detector import ChangeDetector
from app.services.mirror.journal import JournalWriter
from app.services.mirror.run_counter import RunCounter
from app.services.mirror.snapshot_publisher import SnapshotPublisher
from app.services.monitoring.reconciler import Reconciler
from app.services.monitoring.watcher import Watcher

log = logging.getLogger(__name__)

_Outcome = tuple[str | None, bool]
"""Why the registrations could not be read, None where they were; and whether this user may not read them."""

_UNKNOWN: _Outcome = ("Internal error", False)


class RefreshCoordinator:
    """Does the work that the scheduler, requests to refresh and webhook deliveries start."""

    def __init__(
        self,
        publisher: SnapshotPublisher,
        detector: ChangeDetector | None,
        reconciler: Reconciler,
        watcher: Watcher,
        runs: RunCounter,
        journal: JournalWriter,
        clock: Clock,
        timeout: float,
    ) -> None:
        self._publisher = publisher
        self._detector = detector
        self._reconciler = reconciler
        self._watcher = watcher
        self._runs = runs
        self._journal = journal
        self._clock = clock
        self._timeout = timeout
        self._deliveries = Deliveries()
        # The ticket of the last sweep after which the registrations were reconciled, and how that went.
        self._reconciled = 0
        self._outcome = _UNKNOWN
        self._reconciling = threading.Lock()
        self._is_count_due = False

    def tick(self) -> None:
        """Refresh if a refresh is due. A failure is logged, and the next tick tries again."""
        try:
            fleet = self._publisher.sweep_if_due()
            if fleet is not None:
                self._follow_up(fleet)
        except TowerError as error:
            log.debug("The refresh that was due failed: %s", error.detail)

    def refresh(self) -> Refreshed:
        """Read everything now. Raises `MlflowUnavailable` if the registry cannot be read, and then the snapshot stays.

        If only the registrations cannot be read, the new snapshot stands, and the result says why.
        """
        fleet = self._publisher.sweep()
        error, denied = self._follow_up(fleet)
        return Refreshed(fleet.edition, error, denied)

    def count(self) -> None:
        """The scheduler's tick: count the runs, once for all refreshes since the last count."""
        if self._is_count_due:
            self._is_count_due = False
            self._runs.update(self._timeout)

    def pushed(self, name: str | None, delivery_id: str, sent_at: int) -> bool:
        """Take a delivery of an MLflow webhook; False where the same delivery was taken before.

        The registered model `name` is soon read again. `sent_at` is in milliseconds.
        """
        if not self._deliveries.is_new(delivery_id, sent_at, self._clock()):
            return False
        if name is not None and self._detector is not None:
            self._detector.pushed(name)
        return True

    def _follow_up(self, fleet: Fleet) -> _Outcome:
        """Reconcile the registrations once after each sweep, even where several requests share the sweep."""
        with self._reconciling:
            if self._reconciled < fleet.ticket:
                self._reconciled, self._outcome = fleet.ticket, _UNKNOWN
                self._outcome = self._reconcile(fleet)
                self._journal.note(REGISTRATIONS, error=self._outcome[0])
                self._is_count_due = True
            return self._outcome

    def _reconcile(self, fleet: Fleet) -> _Outcome:
        try:
            self._reconciler.reconcile(fleet)
            self._watcher.after_sweep()
        except MlflowDenied as error:
            # The log has said so already.
            return error.detail, True
        except TowerError as error:
            log.warning("The registrations could not be reconciled with MLflow: %s", error.detail)
            return error.detail, False
        return None, False
