"""The registrations as clients change them: what is written is judged soon after."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from app.domain.errors import TowerError
from app.domain.monitoring.observations import Observation
from app.domain.ports import Observers
from app.domain.registry.models import Registration

log = logging.getLogger(__name__)


class Registrations(Protocol):
    """Writes registrations and observations to MLflow."""

    def is_monitored(self, name: str, version: str) -> bool: ...

    def register(
        self, name: str, version: str, model_type: str, registered_by: str, settings: Mapping[str, Any] | None = None
    ) -> Registration: ...

    def change_settings(self, name: str, version: str, patch: Mapping[str, Any] | None) -> Registration: ...

    def observe(self, name: str, version: str, found: Sequence[Observation]) -> Registration: ...

    def remove(self, name: str, version: str, removed_by: str) -> int: ...


class RegistrationDesk:
    """Takes what a client writes, and has the version judged. Errors are those of `MonitoringManager`."""

    def __init__(self, registrations: Registrations, observers: Observers) -> None:
        self._registrations = registrations
        self._observers = observers
        self.is_monitored = registrations.is_monitored
        self.remove = registrations.remove

    def register(
        self, name: str, version: str, model_type: str, registered_by: str, settings: Mapping[str, Any] | None
    ) -> Registration:
        return self._judged(self._registrations.register(name, version, model_type, registered_by, settings))

    def change_settings(self, name: str, version: str, patch: Mapping[str, Any] | None) -> Registration:
        return self._judged(self._registrations.change_settings(name, version, patch))

    def observe(self, name: str, version: str, found: Sequence[Observation]) -> Registration:
        return self._judged(self._registrations.observe(name, version, found))

    def _judged(self, registration: Registration) -> Registration:
        try:
            self._observers.observed(*registration.key)
        except TowerError as error:
            # What the client sent is written; the next round judges it.
            log.warning("A version is checked with the next round: %s", error.detail)
        return registration
