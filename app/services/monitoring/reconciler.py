"""The reconciler: after each sweep, the list of registrations as MLflow has it, and an end to runs that count no more.

That is of double runs for a version, and of versions that no longer exist.
"""

import logging
from collections.abc import Callable, Iterable, Sequence

from app.domain.errors import TowerError
from app.domain.monitoring.monitored import Monitored
from app.domain.ports import Gateway
from app.domain.registry.fleet import Fleet
from app.domain.registry.models import Registration
from app.services.monitoring.monitor_run_writer import MonitorRunWriter
from app.services.monitoring.registration_list import RegistrationList

log = logging.getLogger(__name__)

# How many vanished versions MLflow is asked about at once.
_CHECKED_AT_ONCE = 20


class Reconciler:
    """No list is taken at its word: before a run is ended, MLflow is asked about its version by itself."""

    def __init__(self, gateway: Gateway, registrations: RegistrationList, writer: MonitorRunWriter) -> None:
        self._gateway = gateway
        self._registrations = registrations
        self._writer = writer
        self._turn = 0

    def reconcile(self, fleet: Fleet) -> None:
        """Bring the list in line with MLflow, and end runs that are double or whose version is gone.

        A run that cannot be ended holds up no other. Raises `MlflowUnavailable` where the list cannot be read.
        """
        kept, double = self._registrations.read_again()
        self._each({registration.key: registration for registration in double}.values(), self._end_doubles)
        current = Monitored(kept).of(fleet)
        vanished = [registration for key, registration in kept.items() if key not in current]
        self._each(self._in_turn(vanished), self._end_if_gone)

    def _in_turn(self, vanished: Sequence[Registration]) -> Sequence[Registration]:
        """Some of them, others the next time: those whose versions may not be read are vanished for long."""
        start = self._turn % len(vanished) if vanished else 0
        self._turn += _CHECKED_AT_ONCE
        return [*vanished[start:], *vanished[:start]][:_CHECKED_AT_ONCE]

    def _each(self, registrations: Iterable[Registration], work: Callable[[Registration], None]) -> None:
        for registration in registrations:
            try:
                work(registration)
            except TowerError as error:
                log.warning("The registration of %s v%d stays as it is: %s", *registration.key, error.detail)

    def _end_doubles(self, double: Registration) -> None:
        first, *others = self._gateway.find_registrations(*double.key) or [double]
        for registration in others:
            self._writer.end(registration, f"registered twice: run {first.monitor_run_id} counts")

    def _end_if_gone(self, registration: Registration) -> None:
        # The fleet may be older than the registration: MLflow itself is asked.
        row = self._gateway.find_version(registration.name, registration.version)
        if row is None or row.created != registration.version_created:
            self._writer.end(registration, "the model version no longer exists in MLflow")
            self._registrations.remove(registration.key, {registration.monitor_run_id})
