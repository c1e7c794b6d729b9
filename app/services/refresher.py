"""One refresh of everything: the mirror, then the registrations, then the count of runs."""

import logging

from app.domain.errors import TowerError
from app.domain.fleet import Fleet
from app.domain.ports import Mirror, Register, RunCount

log = logging.getLogger(__name__)

# A request to refresh waits no longer than this for the count of runs; the scheduler takes its time.
_COUNT_SECONDS = 5.0


class Refresher:
    """What the scheduler's tick and a request to refresh do."""

    def __init__(self, mirror: Mirror, register: Register, runs: RunCount, timeout: float) -> None:
        self._mirror = mirror
        self._register = register
        self._runs = runs
        self._timeout = timeout

    def tick(self) -> None:
        """Refresh if one is due; a failure is logged, the next tick tries again."""
        try:
            fleet = self._mirror.refresh_if_due()
            if fleet is not None:
                self._follow_up(fleet, self._timeout)
        except TowerError as error:
            log.debug("Tick: %s", error.detail)

    def refresh(self) -> Fleet:
        """Refresh now. Raises `MlflowUnavailable`; the snapshot then stays."""
        fleet = self._mirror.refresh()
        self._follow_up(fleet, _COUNT_SECONDS)
        return fleet

    def _follow_up(self, fleet: Fleet, count_seconds: float) -> None:
        try:
            self._register.reconcile(fleet)
        except TowerError as error:
            log.warning("The registrations could not be reconciled with MLflow: %s", error.detail)
        self._runs.update(count_seconds)
