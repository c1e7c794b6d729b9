"""Monitor runs: an open run in the tower's experiment is a registration. Removing the registration ends the run."""

import itertools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from app.domain.errors import MlflowDenied
from app.domain.monitoring.corrections import Ledger
from app.domain.monitoring.monitor_runs import MonitorState
from app.domain.monitoring.monitored import precedence
from app.domain.monitoring.monitoring_rules import MonitoringRule
from app.domain.monitoring.watches import Watch
from app.domain.registry.models import Experiment, Registration
from app.domain.registry.names import LONGEST_NAME, registration_key
from app.services.mlflow_gateway import pages, rows
from app.services.mlflow_gateway.own_experiment import ACTIVE, ALL, OwnExperiment

log = logging.getLogger(__name__)


class MonitorRuns(OwnExperiment):
    """The runs of the experiment that holds the registrations."""

    def may_be_read(self) -> bool:
        try:
            self._experiment()
        except MlflowDenied:
            return False
        return True

    def all_open(self) -> Sequence[MonitorState] | None:
        experiment = self._readable_experiment()
        if experiment is None or experiment.lifecycle_stage != "active":
            # A search for active runs in a deleted experiment would find nothing and raise no error.
            return None
        return self._search(experiment.experiment_id, rows.IS_OPEN)

    def ever(self, name: str | None, version: int | None) -> Sequence[MonitorState]:
        """Open and ended monitor runs: all, or those of a registered model or of a version."""
        experiment = self._readable_experiment()
        if experiment is None:
            return []
        condition = ""
        if name is not None and version is not None:
            condition = f"tags.`control_tower.key` = '{registration_key(name, version)}'"
        states = self._search(experiment.experiment_id, condition, ALL)
        return [
            state
            for state in states
            if name in (None, state.registration.name) and version in (None, state.registration.version)
        ]

    def named(self, run_ids: Sequence[str] | None) -> Sequence[MonitorState] | None:
        """Open and ended monitor runs: all, or those with these ids. None where the experiment does not exist."""
        experiment = self._readable_experiment()
        if experiment is None:
            return None
        if run_ids is None:
            return self._search(experiment.experiment_id, "", ALL)
        wanted = sorted({run_id for run_id in run_ids if rows.RUN_ID.match(run_id)})
        states: list[MonitorState] = []
        for start in range(0, len(wanted), pages.RUNS):
            listed = ",".join(f"'{run_id}'" for run_id in wanted[start : start + pages.RUNS])
            states += self._search(experiment.experiment_id, f"attributes.run_id IN ({listed})", ALL)
        return states

    def of(self, name: str, version: int) -> Sequence[Registration]:
        experiment = self._experiment()
        if experiment is None:
            return []
        if experiment.lifecycle_stage != "active":
            self._calls.call(self._connection.client().restore_experiment, experiment.experiment_id)
        key = registration_key(name, version)
        states = self._search(experiment.experiment_id, f"{rows.IS_OPEN} and tags.`control_tower.key` = '{key}'")
        open_runs = [state.registration for state in states if state.registration.key == (name, version)]
        return sorted(open_runs, key=precedence)

    def look_up(self, name: str, version: int | None) -> Sequence[Registration]:
        """Like `of`, or for all versions of a model; in one request once the experiment's id is known.

        The result is empty if the experiment is deleted, and the experiment is not restored.
        """
        experiment_id = self._known_id()
        if not experiment_id:
            return []
        if version is not None:
            condition = f" and tags.`control_tower.key` = '{registration_key(name, version)}'"
        elif "'" not in name and "\\" not in name:
            condition = f" and tags.`control_tower.model_name` = '{name}'"
        else:
            # MLflow's stores differ in how they quote such a name, so all open runs are read.
            condition = ""
        states = self._search(experiment_id, rows.IS_OPEN + condition)
        open_runs = [state.registration for state in states]
        wanted = [run for run in open_runs if run.name == name and version in (None, run.version)]
        return sorted(wanted, key=precedence)

    def past_and_present(self, name: str, version: int) -> Sequence[MonitorState]:
        """Open and ended monitor runs of a version; in one request once the experiment's id is known."""
        experiment_id = self._known_id()
        if not experiment_id:
            return []
        states = self._search(experiment_id, f"tags.`control_tower.key` = '{registration_key(name, version)}'")
        return [state for state in states if state.registration.key == (name, version)]

    def is_open(self, run_id: str) -> bool:
        run = self._calls.call(self._connection.client().get_run, run_id)
        rows.only(rows.run_id, run, "monitor run")
        return bool(run.info.status == "RUNNING" and run.info.lifecycle_stage == "active")

    def ledger(self, run_id: str) -> Ledger:
        run = self._calls.call(self._connection.client().get_run, run_id)
        return rows.only(rows.ledger, run, "monitor run")

    def open(self, wanted: Registration) -> Registration:
        name = _run_name(f"monitor {wanted.name}", f" v{wanted.version}")
        tags = {**rows.registration_tags(wanted), "mlflow.user": wanted.registered_by}
        return replace(wanted, monitor_run_id=self._create(wanted.registered_at, tags, name))

    def reopen(self, run_id: str, tags: Mapping[str, str]) -> None:
        # The tags are written first: an ended run with them stays ended, and whoever opens it writes them again.
        self.tag(run_id, tags)
        self._calls.call(self._connection.client().update_run, run_id, "RUNNING")

    def open_watches_and_rules(self) -> tuple[Sequence[Watch], Sequence[MonitoringRule]] | None:
        """None when the experiment is deleted or gone."""
        experiment = self._readable_experiment()
        if experiment is None or experiment.lifecycle_stage != "active":
            return None
        condition = f"{rows.IS_OPEN} and tags.`{rows.WATCH}` != ''"
        runs = list(filter(rows.is_watch, self._runs(experiment.experiment_id, condition)))
        watches, _ = rows.readable(rows.watch, itertools.filterfalse(rows.is_rule, runs), "watch")
        rules, _ = rows.readable(rows.rule, filter(rows.is_rule, runs), "monitoring rule")
        return sorted(watches, key=lambda watch: (watch.registered_at, watch.run_id)), rules

    def open_watch(self, wanted: Watch) -> Watch:
        name = _run_name(f"watch {wanted.model}", f" {wanted.label}")
        tags = {**rows.watch_tags(wanted), "mlflow.user": wanted.registered_by}
        return replace(wanted, run_id=self._create(wanted.registered_at, tags, name))

    def open_rule(self, wanted: MonitoringRule) -> MonitoringRule:
        tags = {**rows.rule_tags(wanted), "mlflow.user": wanted.registered_by}
        return replace(wanted, run_id=self._create(wanted.registered_at, tags, f"monitoring {wanted.label}"))

    def end(self, run_id: str, by: str, reason: str, ended_at: int) -> None:
        client = self._connection.client()
        # The reason is written first: an open run with a reason is still monitored; an ended run must have a reason.
        self.tag(run_id, rows.end_tags(by, reason))
        self._calls.call(client.set_terminated, run_id, end_time=ended_at)

    def _known_id(self) -> str | None:
        return self._experiment_id or (self._experiment() and self._experiment_id) or None

    def _readable_experiment(self) -> Experiment | None:
        """The experiment for reading; None also where this user may not read it, since the lists need not fail then."""
        try:
            return self._experiment()
        except MlflowDenied:
            log.warning("MLflow's user may not read the experiment %s: no registration is shown", self._name)
            return None

    def _search(self, experiment_id: str, condition: str, view: int = ACTIVE) -> list[MonitorState]:
        """Monitor runs, in the order in which they were opened."""
        runs = itertools.filterfalse(rows.is_watch, self._runs(experiment_id, condition, view))
        good, _ = rows.readable(rows.monitor_state, runs, "monitor run")
        return sorted(good, key=lambda state: (state.registration.registered_at, state.registration.monitor_run_id))


def _run_name(name: str, end: str) -> str:
    """The run's name in MLflow, shortened since PostgreSQL refuses longer ones. The tags have the whole name."""
    whole = f"{name}{end}"
    if len(whole) <= LONGEST_NAME:
        return whole
    end = end[: LONGEST_NAME // 2]
    return f"{name[: LONGEST_NAME - len(end) - 1]}…{end}"
