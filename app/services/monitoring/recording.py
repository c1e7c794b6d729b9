"""The gateway as the agent has it: what is written to monitor runs, and what is read of them, goes into the history."""

from collections.abc import Sequence
from typing import Any, Protocol, cast

from app.domain.monitoring.monitor_runs import MonitorState, Verdict
from app.domain.ports import OwnGateway
from app.domain.registry.models import Registration


class Notes(Protocol):
    """Where that is noted. Nothing of it raises."""

    def revision(self) -> int: ...

    def opened(self, made: Registration) -> None: ...

    def judged(self, run_id: str, verdicts: Sequence[Verdict]) -> None: ...

    def ended(self, run_id: str, at: int, by: str, reason: str) -> None: ...

    def saw_open(self, states: Sequence[MonitorState], began: int) -> None: ...


def recording(gateway: OwnGateway, notes: Notes) -> OwnGateway:
    """The same gateway; before a call that writes returns, every worker can see in the history what was written."""
    return cast(OwnGateway, _Recording(gateway, notes))


class _Recording:
    def __init__(self, gateway: OwnGateway, notes: Notes) -> None:
        self._gateway = gateway
        self._notes = notes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._gateway, name)

    def open_monitor_run(self, wanted: Registration) -> Registration:
        made = self._gateway.open_monitor_run(wanted)
        self._notes.opened(made)
        return made

    def end_monitor_run(self, run_id: str, by: str, reason: str) -> int:
        ended_at = self._gateway.end_monitor_run(run_id, by, reason)
        self._notes.ended(run_id, ended_at, by, reason)
        return ended_at

    def write_verdict(self, run_id: str, verdicts: Sequence[Verdict], told: Any) -> None:
        self._gateway.write_verdict(run_id, verdicts, told)
        self._notes.judged(run_id, verdicts)

    def monitor_states(self) -> Sequence[MonitorState] | None:
        began = self._notes.revision()
        states = self._gateway.monitor_states()
        if states is not None:
            self._notes.saw_open(states, began)
        return states
