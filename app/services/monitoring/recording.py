"""The agent's gateway: what it writes to monitor runs, and what it reads from them, also goes into the history."""

from collections.abc import Sequence
from typing import Any, cast

from app.domain.monitoring.acts import Act
from app.domain.monitoring.corrections import Withdrawal
from app.domain.monitoring.monitor_runs import MonitorState, Pause, Verdict
from app.domain.ports import OwnGateway
from app.domain.registry.models import Registration
from app.services.monitoring.historian import Historian


def recording(gateway: OwnGateway, historian: Historian) -> OwnGateway:
    """The same gateway, except that every worker can see a write in the history before the writing call returns."""
    return cast(OwnGateway, _Recording(gateway, historian))


class _Recording:
    def __init__(self, gateway: OwnGateway, historian: Historian) -> None:
        self._gateway = gateway
        self._historian = historian

    def __getattr__(self, name: str) -> Any:
        return getattr(self._gateway, name)

    def open_monitor_run(self, wanted: Registration) -> Registration:
        made = self._gateway.open_monitor_run(wanted)
        self._historian.opened(made)
        return made

    def reopen_monitor_run(self, registration: Registration, pauses: Sequence[Pause]) -> None:
        self._gateway.reopen_monitor_run(registration, pauses)
        self._historian.reopened(registration, pauses)

    def rename_monitor_run(self, registration: Registration) -> None:
        self._gateway.rename_monitor_run(registration)
        self._historian.renamed(registration)

    def end_monitor_run(self, run_id: str, by: str, reason: str, after: int = 0) -> int:
        ended_at = self._gateway.end_monitor_run(run_id, by, reason, after)
        self._historian.ended(run_id, ended_at, by, reason)
        return ended_at

    def note_act(self, act: Act, registration: Registration) -> None:
        self._gateway.note_act(act, registration)
        self._historian.acted(act, registration)

    def withdraw(self, run_id: str, withdrawal: Withdrawal) -> None:
        self._gateway.withdraw(run_id, withdrawal)
        self._historian.withdrew(run_id, withdrawal)

    def write_verdict(self, run_id: str, verdicts: Sequence[Verdict], notified: Any) -> None:
        self._gateway.write_verdict(run_id, verdicts, notified)
        self._historian.judged(run_id, verdicts)

    def monitor_states(self) -> Sequence[MonitorState] | None:
        began = self._historian.revision()
        states = self._gateway.monitor_states()
        if states is not None:
            self._historian.saw_open(states, began)
        return states
