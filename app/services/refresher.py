"""Refreshing: the mirror, then the registrations, then the count of runs; in the process that talks to MLflow."""

import logging
from typing import Protocol

from app.domain.errors import TowerError
from app.domain.fleet import Fleet
from app.domain.ports import Clock, Register, RunCount
from app.domain.webhook import Deliveries

log = logging.getLogger(__name__)

# A request to refresh waits no longer than this for the count of runs; the scheduler takes its time.
_COUNT_SECONDS = 5.0


class Sweeps(Protocol):
    """Reads all of MLflow."""

    def sweep(self) -> Fleet: ...

    def sweep_if_due(self) -> Fleet | None: ...


class Pushes(Protocol):
    """Has what a delivery named read."""

    def pushed(self, name: str) -> None: ...


class Refresher:
    """What the scheduler, a request to refresh and a delivery set going."""

    def __init__(
        self, sweeps: Sweeps, pushes: Pushes | None, register: Register, runs: RunCount, clock: Clock, timeout: float
    ) -> None:
        self._sweeps = sweeps
        self._pushes = pushes
        self._register = register
        self._runs = runs
        self._clock = clock
        self._timeout = timeout
        self._deliveries = Deliveries()

    def tick(self) -> None:
        """Refresh if one is due; a failure is logged, the next tick tries again."""
        try:
            fleet = self._sweeps.sweep_if_due()
            if fleet is not None:
                self._follow_up(fleet, self._timeout)
        except TowerError as error:
            log.debug("Tick: %s", error.detail)

    def refresh(self) -> int:
        """Read everything now, and give the new `as_of`. Raises `MlflowUnavailable`; the snapshot then stays."""
        fleet = self._sweeps.sweep()
        self._follow_up(fleet, _COUNT_SECONDS)
        return fleet.as_of

    def pushed(self, name: str | None, delivery_id: str, sent_at: int) -> bool:
        """Take a delivery of MLflow's webhooks; False where it was taken before.

        The registered model named is read anew soon. `sent_at` in milliseconds.
        """
        if not self._deliveries.is_new(delivery_id, sent_at, self._clock()):
            return False
        if name is not None and self._pushes is not None:
            self._pushes.pushed(name)
        return True

    def _follow_up(self, fleet: Fleet, count_seconds: float) -> None:
        try:
            self._register.reconcile(fleet)
        except TowerError as error:
            log.warning("The registrations could not be reconciled with MLflow: %s", error.detail)
        self._runs.update(count_seconds)
