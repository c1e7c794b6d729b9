"""The historian keeps the history of the registrations up to date, in the process that talks to MLflow."""

import logging
import math
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

from app.domain.errors import Busy, MlflowTooSlow, TowerError
from app.domain.messages import STILL_READING
from app.domain.monitoring.acts import Act
from app.domain.monitoring.corrections import Withdrawal
from app.domain.monitoring.monitor_history import MonitorHistory, completed, merged, run_history, state_of
from app.domain.monitoring.monitor_runs import MonitorState, Pause, Verdict, began_text, verdicts_from, verdicts_text
from app.domain.ports import Clock, Gateway
from app.domain.registry.models import Registration
from app.services.host.kept_in_parts import PATIENCE_SECONDS
from app.services.host.scheduler import RETRY_SECONDS
from app.services.mirror.snapshots import Snapshots
from app.services.monitoring.histories import HistoryStore

log = logging.getLogger(__name__)

_MISSING = "A change of a registration is missing from the history until the next reading"
# The runs of one call to MLflow, whose result is kept even where the next call takes too long.
_RUNS_AT_ONCE = 100


class Historian:
    """Notes at once what this tower writes to monitor runs, and reads what others write.

    All runs are read at the start and after each sweep, the open runs also with each round of checks. A reading never
    undoes what was noted after it began. `timeout` is the time for a reading of all runs, in seconds.
    """

    def __init__(
        self, gateway: Gateway, store: HistoryStore, snapshots: Snapshots, clock: Clock, timeout: float
    ) -> None:
        self._gateway = gateway
        self._store = store
        self._snapshots = snapshots
        self._clock = clock
        self._timeout = timeout
        self._reading = threading.Lock()
        # When the next reading is due at the latest, and the ticket of the sweep before the last reading.
        self._due_at = 0.0
        self._followed: int | None = None

    def tick(self) -> None:
        """The scheduler's tick: read all runs at the start, after each sweep, and soon after a failure."""
        if time.monotonic() >= self._due_at or self._last_sweep() != self._followed:
            self.read()

    def read(self) -> None:
        """Bring the history in line with MLflow. A failure is logged, and the reading is soon tried again."""
        self._due_at = time.monotonic() + RETRY_SECONDS
        self._followed = self._last_sweep()
        try:
            with self._gateway.within(self._timeout):
                with self._reading:
                    self._read_all()
                whole = self._complete()
            if whole:
                self._due_at = math.inf
        except TowerError as error:
            log.warning("The history of the registrations could not be read: %s", error.detail)
        except Exception:
            log.exception("The history of the registrations could not be read")

    def first(self) -> None:
        """Make sure that there is a history, within the time of one call to MLflow.

        Raises `MlflowUnavailable`, and `Busy` while the history is being read.
        """
        if not self._reading.acquire(timeout=min(PATIENCE_SECONDS, self._gateway.patience)):
            raise Busy(STILL_READING)
        try:
            if self._known().read_at is None:
                with self._gateway.within(self._gateway.patience):
                    self._read_all()
                    self._complete()
        finally:
            self._reading.release()

    def held(self, seal: str) -> dict[str, Any] | None:
        """The history of this process as JSON; None where it has this seal."""
        return None if self._known().seal == seal else self._store.value()

    def revision(self) -> int:
        """The number of changes to the history so far. What is read from now on is at least as new."""
        return self._known().revision

    def opened(self, made: Registration) -> None:
        """Note a registration that was just written to MLflow."""
        self._note(made.monitor_run_id, lambda _: MonitorState(made))

    def reopened(self, registration: Registration, pauses: Sequence[Pause]) -> None:
        """Note that a monitor run was opened again, which was just written to MLflow."""
        self._note(
            registration.monitor_run_id,
            lambda state: state and MonitorState(state.registration, state.verdicts, pauses=tuple(pauses)),
        )

    def renamed(self, registration: Registration) -> None:
        """Note the new name of a registered model, which was just written to a monitor run."""

        def change(state: MonitorState | None) -> MonitorState | None:
            return state and replace(state, registration=replace(state.registration, name=registration.name))

        self._note(registration.monitor_run_id, change)

    def judged(self, run_id: str, verdicts: Sequence[Verdict]) -> None:
        """Note the last of these verdicts, which was just written to MLflow."""
        # The verdicts as they will be read back from the run's tag.
        tagged = verdicts_from(verdicts_text(verdicts), began=began_text(verdicts))
        self._note(run_id, lambda state: state and MonitorState(state.registration, tagged))

    def acted(self, act: Act, registration: Registration) -> None:
        """Note what a person did, which was just written to MLflow."""
        run_id = registration.monitor_run_id
        self._note(run_id, lambda state: state and MonitorState(state.registration, state.verdicts, acts=(act,)))

    def withdrew(self, run_id: str, withdrawal: Withdrawal) -> None:
        """Note a withdrawal of observations, which was just written to MLflow."""
        self._note(
            run_id,
            lambda state: state and MonitorState(state.registration, state.verdicts, withdrawals=(withdrawal,)),
        )

    def ended(self, run_id: str, at: int, by: str, reason: str) -> None:
        """Note the end of a monitor run, which was just written to MLflow."""
        self._note(
            run_id,
            lambda state: state and MonitorState(state.registration, state.verdicts, {}, at, by, reason),
        )

    def saw_open(self, states: Sequence[MonitorState], began: int) -> None:
        """Note the open monitor runs that a round of checks read, and read those that are no longer open.

        `began` is the revision before the round's reading.
        """
        if self._known().read_at is None:
            return
        open_runs = {state.registration.monitor_run_id for state in states}
        closed = [
            run.run_id
            for run in self._known().runs()
            if not run.ended and run.revision <= began and run.run_id not in open_runs
        ]
        closed_states, gone = self._read_by_id(closed)
        self._take([*states, *closed_states], gone, began)
        self._complete()

    def _read_all(self) -> None:
        began, read_at = self.revision(), self._clock()
        states = self._gateway.monitor_runs(None)
        if states is None:
            # The experiment is gone, and the known history stays.
            self._take((), (), began, read_at)
            return
        listed = {state.registration.monitor_run_id for state in states}
        unlisted, gone = self._read_by_id([run.run_id for run in self._known().runs() if run.run_id not in listed])
        self._take([*states, *unlisted], gone, began, read_at)

    def _read_by_id(self, run_ids: Sequence[str]) -> tuple[Sequence[MonitorState], Sequence[str]]:
        """The states of these runs, and the ids of those that MLflow does not have."""
        states = self._gateway.monitor_runs(run_ids) if run_ids else None
        if states is None:
            return (), ()
        existing = {state.registration.monitor_run_id for state in states}
        return states, [run_id for run_id in run_ids if run_id not in existing]

    def _take(
        self, states: Iterable[MonitorState], gone: Iterable[str], began: int, read_at: int | None = None
    ) -> None:
        """Merge a reading into the history, except where a run changed after the revision `began`."""

        def make(history: MonitorHistory) -> MonitorHistory:
            changed = []
            for state in states:
                known = history.find(state.registration.monitor_run_id)
                if known is None or known.revision <= began:
                    run = merged(known, state, history.revision + 1)
                    if known is None or run.record != known.record:
                        changed.append(run)
            left = [run_id for run_id in gone if (held := history.find(run_id)) and held.revision <= began]
            if not changed and not left and read_at is None:
                return history
            return history.after(changed, left, history.read_at if read_at is None else read_at)

        self._store.change(make)

    def _complete(self) -> bool:
        """Read the verdicts of the runs whose tag may not hold all of them. Returns whether all could be read."""
        lacking = [run.run_id for run in self._known().runs() if not run.whole]
        failed = False
        for start in range(0, len(lacking), _RUNS_AT_ONCE):
            batch = lacking[start : start + _RUNS_AT_ONCE]
            try:
                points = self._gateway.verdict_changes(batch)
            except MlflowTooSlow as error:
                log.warning("Verdicts of %d registrations are still to be read: %s", len(lacking) - start, error.detail)
                return False
            except TowerError as error:
                failed = True
                log.warning("Old verdicts of %d registrations could not be read: %s", len(batch), error.detail)
                continue

            def make(history: MonitorHistory, batch: Collection[str] = batch, points: Any = points) -> MonitorHistory:
                known = [run for run_id in batch if (run := history.find(run_id))]
                changed = [completed(run, points.get(run.run_id, ()), history.revision + 1) for run in known]
                return history.after(changed, (), history.read_at)

            self._store.change(make)
        return not failed

    def _note(self, run_id: str, change: Callable[[MonitorState | None], MonitorState | None]) -> None:
        """Change the known state of a run. MLflow has the change already, so the next reading mends a failure here."""
        unknown = False

        def make(history: MonitorHistory) -> MonitorHistory:
            nonlocal unknown
            known = history.find(run_id)
            state = change(state_of(known) if known else None)
            unknown = state is None
            if state is None:
                return history
            revision = history.revision + 1
            run = merged(known, state, revision) if known else run_history(state, whole=True, revision=revision)
            return history.after([run], (), history.read_at)

        try:
            self._store.change(make)
            if unknown:
                # Another tower has just opened the run.
                began = self.revision()
                self._take(*self._read_by_id([run_id]), began)
        except TowerError as error:
            self._due_at = 0.0
            log.warning("%s: %s", _MISSING, error.detail)
        except Exception:
            self._due_at = 0.0
            log.exception(_MISSING)

    def _last_sweep(self) -> int | None:
        """The ticket of the last sweep of any process."""
        fleet = self._snapshots.newest()
        return fleet.ticket if fleet else None

    def _known(self) -> MonitorHistory:
        return self._store.newest() or MonitorHistory()
