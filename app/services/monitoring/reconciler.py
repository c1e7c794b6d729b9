"""The reconciler: after each sweep it brings the list of registrations in line with MLflow, and ends obsolete runs.

Obsolete are duplicate runs for a version, and runs of versions that no longer exist.
"""

import logging
from collections.abc import Callable, Iterable, Sequence

from app.domain.errors import TowerError
from app.domain.monitoring.monitored import Monitored
from app.domain.ports import Gateway
from app.domain.registry.fleet import Fleet
from app.domain.registry.models import Registration
from app.services.monitoring.monitor_run_writer import MonitorRunWriter
from app.services.monitoring.registration_list import RegistrationStore

log = logging.getLogger(__name__)

# How many vanished versions are looked up in MLflow after a sweep.
_CHECKED_AT_ONCE = 20


class Reconciler:
    """Looks up a version in MLflow before it ends the version's run, since a list may be incomplete."""

    def __init__(self, gateway: Gateway, registrations: RegistrationStore, writer: MonitorRunWriter) -> None:
        self._gateway = gateway
        self._registrations = registrations
        self._writer = writer
        self._turn = 0

    def reconcile(self, fleet: Fleet) -> None:
        """Bring the list in line with MLflow, and end duplicate runs and runs whose version is gone.

        A run that cannot be ended does not stop the others. Raises `MlflowUnavailable` where the list cannot be read,
        and `MlflowDenied` where this user may not read it.
        """
        kept, duplicates = self._registrations.read_again()
        self._each({registration.key: registration for registration in duplicates}.values(), self._end_duplicates)
        current = Monitored(kept).of(fleet)
        vanished = [registration for key, registration in kept.items() if key not in current]
        self._each(self._in_turn(vanished), self._end_if_gone)

    def _in_turn(self, vanished: Sequence[Registration]) -> Sequence[Registration]:
        """A few of them, and others the next time: versions that may not be read stay vanished for long."""
        start = self._turn % len(vanished) if vanished else 0
        self._turn += _CHECKED_AT_ONCE
        return [*vanished[start:], *vanished[:start]][:_CHECKED_AT_ONCE]

    def _each(self, registrations: Iterable[Registration], work: Callable[[Registration], None]) -> None:
        for registration in registrations:
            try:
                work(registration)
            except TowerError as error:
                log.warning("The registration of %s v%d stays as it is: %s", *registration.key, error.detail)

    def _end_duplicates(self, duplicate: Registration) -> None:
        first, *others = self._gateway.find_registrations(*duplicate.key) or [duplicate]
        for registration in others:
            if first.own is None and registration.own is not None:
                first = self._writer.adopt_own(first, registration.own)
            self._writer.end(registration, f"registered twice: run {first.monitor_run_id} counts")

    def _end_if_gone(self, registration: Registration) -> None:
        # The fleet may be older than the registration, so MLflow itself is asked.
        row = self._gateway.find_version(registration.name, registration.version)
        if row is None or not registration.is_of(row):
            self._writer.end(registration, "the model version no longer exists in MLflow")
            self._registrations.remove(registration.key, {registration.monitor_run_id})
