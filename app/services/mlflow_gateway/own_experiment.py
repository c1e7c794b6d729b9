"""An experiment of the tower's own in MLflow: found, made or restored where needed, with its runs."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from app.domain.errors import MlflowMissing, MlflowRefused, MlflowUnavailable
from app.domain.own_runs import OwnRun
from app.domain.registry.models import Experiment
from app.services.mlflow_gateway import pages, rows
from app.services.mlflow_gateway.calls import Calls
from app.services.mlflow_gateway.client import MlflowConnection

# mlflow.entities.ViewType.ACTIVE_ONLY and ALL.
ACTIVE, ALL = 1, 3


class OwnExperiment:
    """The runs of an experiment that only the tower writes to."""

    def __init__(self, connection: MlflowConnection, calls: Calls, experiment: str) -> None:
        self._connection = connection
        self._calls = calls
        self._name = experiment
        # The id that the experiment had when it was last read.
        self._experiment_id: str | None = None

    def tag(self, run_id: str, tags: Mapping[str, str]) -> None:
        self.log(run_id, [], tags)

    def log(self, run_id: str, points: Sequence[tuple[str, float, int, int]], tags: Mapping[str, str]) -> None:
        """Write metric values (name, value, time in milliseconds, order) and tags in one request, all or none."""
        client = self._connection.client()
        from mlflow.entities import Metric, RunTag  # noqa: PLC0415 - it loads mlflow

        metrics = [Metric(name, value, time, rows.step_of(time) + order) for name, value, time, order in points]
        self._calls.call(client.log_batch, run_id, metrics, tags=[RunTag(key, value) for key, value in tags.items()])

    def _create(self, start_time: int, tags: Mapping[str, str], name: str) -> str:
        """Make an open run in the tower's experiment, and return its id: in one request if the experiment is known."""

        def create(experiment_id: str) -> str:
            create_run = self._connection.client().create_run
            run = self._calls.call(create_run, experiment_id, start_time=start_time, tags=tags, run_name=name)
            return rows.only(rows.run_id, run, "new run")

        if self._experiment_id is not None:
            # MLflow refuses a run in an experiment that was deleted since.
            with suppress(MlflowRefused, MlflowMissing):
                return create(self._experiment_id)
        return create(self._writable_experiment())

    def _experiment(self) -> Experiment | None:
        row = self._calls.call(self._connection.client().get_experiment_by_name, self._name)
        experiment = None if row is None else rows.only(rows.experiment, row, "experiment")
        self._experiment_id = experiment.experiment_id if experiment else None
        return experiment

    def _writable_experiment(self) -> str:
        """The id of the tower's experiment, made or restored where needed."""
        client = self._connection.client()
        experiment = self._experiment()
        if experiment is None:
            try:
                made = self._calls.call(client.create_experiment, self._name)
                return rows.only(rows.identifier, made, "new experiment")
            except MlflowRefused:
                # Another process has just made the experiment.
                experiment = self._experiment()
        if experiment is None:
            raise MlflowUnavailable(f"MLflow does not take the experiment {self._name}. Check MONITORING_EXPERIMENT.")
        if experiment.lifecycle_stage != "active":
            self._calls.call(client.restore_experiment, experiment.experiment_id)
        return str(experiment.experiment_id)

    def _runs(self, experiment_id: str, condition: str, view: int = ACTIVE) -> Iterable[Any]:
        search = self._connection.client().search_runs
        return pages.read_all(
            self._calls.call,
            search,
            pages.RUNS,
            rows.RUN_KEY,
            experiment_ids=[experiment_id],
            filter_string=condition,
            run_view_type=view,
        )

    def _own(self, listed: Iterable[Any], prefix: str, what: str) -> Sequence[OwnRun]:
        """The runs that can be read, the newest first, with their tags that begin with the prefix."""
        good, _ = rows.readable(lambda row: own_run_from(row, prefix), listed, what)
        return sorted(good, key=lambda run: (run.started, run.run_id), reverse=True)


def own_run_from(row: Any, prefix: str) -> OwnRun:
    """A run of MLflow with its tags that begin with the prefix."""
    info, tags = row.info, row.data.tags
    own = {key: text for key, text in tags.items() if key.startswith(prefix)}
    started = int(info.start_time or 0)
    return OwnRun(rows.run_id(row), started, info.status == "RUNNING", own, info.lifecycle_stage != "active")
