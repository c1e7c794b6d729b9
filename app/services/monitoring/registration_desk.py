"""The registration desk takes the changes that clients make. The version is judged soon after each change."""

from collections.abc import Callable, Sequence
from typing import Any

from app.domain.monitoring.acts import UNMUTED, Act, WantedAct
from app.domain.monitoring.corrections import Withdrawal
from app.domain.monitoring.observations import Observation
from app.domain.monitoring.sent_once import SentOnce
from app.domain.registry.models import Registration
from app.services.monitoring.monitor_run_writer import MonitorRunWriter
from app.services.monitoring.rule_desk import RuleDesk


class RegistrationDesk:
    """The agent's `RegistrationWrites`. `check_soon` has the version of that name and number judged.

    `settle` waits until the other hosts have what was changed, so that clients see their writes on every host.
    """

    def __init__(
        self,
        writer: MonitorRunWriter,
        rules: RuleDesk,
        check_soon: Callable[[str, int], None],
        settle: Callable[[], None],
    ) -> None:
        self._writer = writer
        self._rules = rules
        self._check_soon = check_soon
        self._settle = settle

    def register(self, name: str, version: str, model_type: str, registered_by: str, settings: Any) -> Registration:
        take_back = self._rules.take_back
        return self._judged(self._writer.register(name, version, model_type, registered_by, settings, take_back))

    def change_settings(self, name: str, version: str, patch: Any) -> Registration:
        return self._judged(self._writer.change_settings(name, version, patch))

    def observe(
        self, name: str, version: str, observations: Sequence[Observation], sent: SentOnce | None = None
    ) -> Registration:
        return self._judged(self._writer.observe(name, version, observations, sent))

    def withdraw(
        self, name: str, version: str, metric: str | None, since: int | None, until: int | None, by: str
    ) -> tuple[Registration, Withdrawal]:
        registration, withdrawal = self._writer.withdraw(name, version, metric, since, until, by)
        return self._judged(registration), withdrawal

    def act(self, name: str, version: str, wanted: WantedAct, by: str) -> tuple[Registration, Act]:
        registration, act = self._writer.act(name, version, wanted, by)
        if wanted.kind == UNMUTED:
            # The check sends the alert that has waited.
            self._check_soon(*registration.key)
        self._settle()
        return registration, act

    def remove(self, name: str, version: str, removed_by: str) -> int:
        removed_at = self._rules.remove_version(name, version, removed_by)
        self._settle()
        return removed_at

    def _judged(self, registration: Registration) -> Registration:
        self._check_soon(*registration.key)
        self._settle()
        return registration
