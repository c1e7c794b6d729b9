"""The verdict record writes verdicts that changed. Of two judgements of a version, the later evidence decides."""

import logging
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from app.domain.monitoring.alerts import is_held_back
from app.domain.monitoring.monitor_runs import MonitorState
from app.domain.monitoring.verdicts import VersionVerdict
from app.services.monitoring.registration_list import RegistrationList
from app.services.monitoring.verdict_writer import VerdictWriter

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdict on a registration. `ticket` is the number of the reading of its evidence.

    `decided_at` returns the time of the point that decided, in milliseconds. It is called where the verdict changed.
    """

    state: MonitorState
    verdict: VersionVerdict
    ticket: int
    decided_at: Callable[[], int]


class VerdictRecord:
    """The states of the monitor runs that this process judged, as it wrote them. Thread-safe."""

    def __init__(self, writer: VerdictWriter, registrations: RegistrationList, receiver_ids: Collection[str]) -> None:
        self._writer = writer
        self._registrations = registrations
        self._receiver_ids = receiver_ids
        # By monitor run: the newest state, and the ticket of the evidence for it.
        self._newest: dict[str, tuple[MonitorState, int]] = {}
        self._recording = threading.Lock()

    def run_ids(self) -> Sequence[str]:
        """The monitor runs that this process judged."""
        return list(self._newest)

    def forget(self, run_id: str) -> None:
        """Forget a run that is no longer open."""
        self._newest.pop(run_id, None)

    def add(self, judged: Judged, now: int) -> tuple[MonitorState | None, bool]:
        """Write a verdict that changed.

        Returns the new state, or None where a later reading was judged already; and whether the verdict changed. Raises
        the errors of `VerdictWriter.write_verdict`, and then the last verdict stands.
        """
        run_id = judged.state.registration.monitor_run_id
        with self._recording:
            state, ticket = self._newest.get(run_id, (judged.state, 0))
            if ticket > judged.ticket:
                return None, False
            if judged.state.since >= state.since:
                state = judged.state
            is_news = judged.verdict.verdict != state.verdict and self._is_open(state)
            if is_news:
                state = self._write(state, judged, now)
            elif is_held_back(state, now) and (joined := state.joined(judged.verdict)) and self._is_open(state):
                # Otherwise a metric that is not muted would send no alert, since the verdict is as bad already.
                state = replace(state, verdicts=(*state.verdicts[:-1], joined))
                self._writer.write_verdict(run_id, state.verdicts, {})
            self._newest[run_id] = (state, judged.ticket)
        return state, is_news

    def _is_open(self, state: MonitorState) -> bool:
        """Whether the registration is still in the list, and was not removed since the monitor runs were read."""
        known = self._registrations.peek()
        current = known.by_key.get(state.registration.key)
        return known.stale or (current is not None and current.monitor_run_id == state.registration.monitor_run_id)

    def _write(self, state: MonitorState, judged: Judged, now: int) -> MonitorState:
        # A receiver that was never notified of this version is notified from this change on.
        notified = {receiver_id: state.since for receiver_id in self._receiver_ids if receiver_id not in state.notified}
        verdicts = (*state.verdicts, state.changed(now, judged.verdict, judged.decided_at()))
        registration = state.registration
        self._writer.write_verdict(registration.monitor_run_id, verdicts, notified)
        log.info("%s v%d is %s, was %s", *registration.key, judged.verdict.verdict, state.verdict)
        return replace(state, verdicts=verdicts, notified={**state.notified, **notified})
