"""The runs that hold what was counted of data, in an experiment of their own: other searches need not read them."""

from collections.abc import Mapping, Sequence

from app.domain.data_drift.series import KEY, PREFIX
from app.domain.own_runs import OwnRun
from app.domain.registry.names import LONGEST_NAME, registration_key
from app.services.mlflow_gateway import rows
from app.services.mlflow_gateway.own_experiment import OwnExperiment


class DataRuns(OwnExperiment):
    """A run for each version and reference. It is open as long as batches are counted by that reference."""

    def of(self, name: str, version: int) -> Sequence[OwnRun]:
        """All runs of a version, the newest first."""
        return self._read(f"tags.`{KEY}` = '{registration_key(name, version)}'")

    def all_open(self) -> Sequence[OwnRun]:
        return self._read(rows.IS_OPEN)

    def open(self, name: str, version: int, tags: Mapping[str, str], started: int) -> str:
        """Make a run, and return its id."""
        title = f"data of {name}"[: LONGEST_NAME - 20] + f" v{version}"
        return self._create(started, {KEY: registration_key(name, version), **tags}, title)

    def end(self, run_id: str, ended_at: int) -> None:
        self._calls.call(self._connection.client().set_terminated, run_id, end_time=ended_at)

    def _read(self, condition: str) -> Sequence[OwnRun]:
        experiment = self._experiment()
        if experiment is None:
            return []
        return self._own(self._runs(experiment.experiment_id, condition), PREFIX, "run of counted data")
