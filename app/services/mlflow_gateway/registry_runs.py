"""The runs that hold the history of the registry, in an experiment of its own: other searches need not read them."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.domain.registry_history.tags import PREFIX, RecordRun
from app.domain.times import rfc3339
from app.services.mlflow_gateway import rows
from app.services.mlflow_gateway.own_experiment import ALL, OwnExperiment


class RegistryRuns(OwnExperiment):
    """Runs whose tags are changes of the registry. They are ended at once, and go on taking tags."""

    def read(self, newest: int | None) -> Sequence[RecordRun]:
        """The newest runs, or all, the newest first. Runs that somebody deleted, and not for good, count as well."""
        experiment = self._experiment()
        if experiment is None:
            return []
        if newest is None:
            found = list(self._runs(experiment.experiment_id, "", ALL))
        else:
            found = self._calls.call(
                self._connection.client().search_runs,
                experiment_ids=[experiment.experiment_id],
                run_view_type=ALL,
                max_results=newest,
                order_by=["attributes.start_time DESC"],
            )
        good, _ = rows.readable(_run, found, "run of the history")
        return sorted(good, key=lambda run: (run.started, run.run_id), reverse=True)

    def open(self, started: int) -> str:
        """Make a run for further changes, and return its id."""
        run_id = self._create(started, {}, f"registry since {rfc3339(started)}")
        self._calls.call(self._connection.client().set_terminated, run_id, end_time=started)
        return run_id


def _run(row: Any) -> RecordRun:
    tags: Mapping[str, str] = row.data.tags
    own = {key: text for key, text in tags.items() if key.startswith(PREFIX)}
    return RecordRun(rows.run_id(row), int(row.info.start_time or 0), row.info.lifecycle_stage != "active", own)
