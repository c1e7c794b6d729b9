"""The registration desk takes the changes that clients make. The version is judged soon after each change."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from app.domain.errors import TowerError
from app.domain.monitoring.observations import Observation
from app.domain.ports import CheckTrigger
from app.domain.registry.models import Registration
from app.services.monitoring.monitor_run_writer import MonitorRunWriter
from app.services.monitoring.registration_list import RegistrationList

log = logging.getLogger(__name__)


class RegistrationDesk:
    """Writes a client's change and has the version judged. Raises the errors of `MonitorRunWriter`."""

    def __init__(self, registrations: RegistrationList, writer: MonitorRunWriter, check_trigger: CheckTrigger) -> None:
        self._writer = writer
        self._check_trigger = check_trigger
        self.is_monitored = registrations.is_monitored
        self.remove = writer.remove

    def register(
        self, name: str, version: str, model_type: str, registered_by: str, settings: Mapping[str, Any] | None
    ) -> Registration:
        return self._judged(self._writer.register(name, version, model_type, registered_by, settings))

    def change_settings(self, name: str, version: str, patch: Mapping[str, Any] | None) -> Registration:
        return self._judged(self._writer.change_settings(name, version, patch))

    def observe(self, name: str, version: str, observations: Sequence[Observation]) -> Registration:
        return self._judged(self._writer.observe(name, version, observations))

    def _judged(self, registration: Registration) -> Registration:
        try:
            self._check_trigger.check_soon(*registration.key)
        except TowerError as error:
            # The client's change is written, and the next round judges it.
            log.warning("A version is checked with the next round: %s", error.detail)
        return registration
