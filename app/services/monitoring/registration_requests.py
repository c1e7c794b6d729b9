"""What a worker's views ask of the registrations: the agent writes, and this process sees what was written at once."""

from collections.abc import Sequence
from typing import Any

from app.domain.monitoring.corrections import Withdrawal
from app.domain.monitoring.observations import Observation
from app.domain.monitoring.sent_once import SentOnce
from app.domain.ports import RegistrationWrites
from app.domain.registry.models import Registration
from app.services.monitoring.registration_list import RegistrationList


class RegistrationRequests:
    """A worker's `RegistrationWrites`, and whether a version is monitored."""

    def __init__(self, writes: RegistrationWrites, registrations: RegistrationList) -> None:
        self._writes = writes
        self._registrations = registrations
        self.is_monitored = registrations.is_monitored

    def register(self, name: str, version: str, model_type: str, registered_by: str, settings: Any) -> Registration:
        made = self._writes.register(name, version, model_type, registered_by, settings)
        # The agent holds the list where it cannot be stored.
        self._registrations.catch_up()
        return made

    def change_settings(self, name: str, version: str, patch: Any) -> Registration:
        changed = self._writes.change_settings(name, version, patch)
        self._registrations.catch_up()
        return changed

    def observe(
        self, name: str, version: str, observations: Sequence[Observation], sent: SentOnce | None = None
    ) -> Registration:
        return self._writes.observe(name, version, observations, sent)

    def withdraw(
        self, name: str, version: str, metric: str | None, since: int | None, until: int | None, by: str
    ) -> Withdrawal:
        return self._writes.withdraw(name, version, metric, since, until, by)

    def remove(self, name: str, version: str, removed_by: str) -> int:
        removed_at = self._writes.remove(name, version, removed_by)
        self._registrations.catch_up()
        return removed_at
