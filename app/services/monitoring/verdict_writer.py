"""Writes verdicts to monitor runs, and who was notified of them."""

import logging
from collections.abc import Mapping, Sequence

from app.domain.errors import MlflowMissing, MlflowRefused, TowerError
from app.domain.monitoring.alerts import VerdictChange, owed_changes
from app.domain.monitoring.monitor_runs import Verdict
from app.services.monitoring.writable_runs import WritableRuns

log = logging.getLogger(__name__)


class VerdictWriter(WritableRuns):
    """Writes verdicts, and up to when each receiver of alerts was notified."""

    def write_verdict(self, run_id: str, verdicts: Sequence[Verdict], notified: Mapping[str, int]) -> None:
        """Write these verdicts, of which the last is new, and up to when receivers were notified, in milliseconds."""
        with self._turns.turn():
            self._gateway.write_verdict(run_id, verdicts, notified)

    def still_owed(self, receiver_id: str, changes: Sequence[VerdictChange]) -> Sequence[VerdictChange]:
        """Those of the changes that the receiver was not notified of, and that are not muted, as MLflow has it now."""
        read = self._gateway.monitor_runs(sorted({change.monitor_run_id for change in changes})) or ()
        states = {state.registration.monitor_run_id: state for state in read}
        now = self._clock()

        def is_owed(change: VerdictChange) -> bool:
            state = states.get(change.monitor_run_id)
            if state is None:
                return True
            if state.registration.mutes and change.key not in {c.key for c in owed_changes(state, receiver_id, now)}:
                return False
            return change.at > state.notified.get(receiver_id, 0)

        return [change for change in changes if is_owed(change)]

    def mark_notified(self, receiver_id: str, changes: Sequence[VerdictChange]) -> None:
        """Note on the monitor runs that a receiver was notified of these changes.

        A deleted run is skipped. All other runs are tried before the last failure is raised.
        """
        newest: dict[str, int] = {}
        for change in changes:
            newest[change.monitor_run_id] = max(change.at, newest.get(change.monitor_run_id, 0))
        failure: TowerError | None = None
        for run_id, at in newest.items():
            try:
                with self._turns.turn():
                    self._gateway.mark_notified(run_id, {receiver_id: at})
            except (MlflowRefused, MlflowMissing):
                log.info("A monitor run is deleted, so it is not noted who was notified of its verdicts")
            except TowerError as error:
                failure = error
        if failure:
            raise failure
