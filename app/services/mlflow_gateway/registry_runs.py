"""The runs that hold the history of the registry, in an experiment of its own: other searches need not read them."""

from collections.abc import Sequence

from app.domain.own_runs import OwnRun
from app.domain.registry_history.tags import PREFIX
from app.domain.times import rfc3339
from app.services.mlflow_gateway.own_experiment import ALL, OwnExperiment


class RegistryRuns(OwnExperiment):
    """Runs whose tags are changes of the registry. They are ended at once, and go on taking tags."""

    def read(self, newest: int | None) -> Sequence[OwnRun]:
        """The newest runs, or all, the newest first. Runs that somebody deleted, and not for good, count as well."""
        experiment = self._experiment()
        if experiment is None:
            return []
        if newest is None:
            listed = list(self._runs(experiment.experiment_id, "", ALL))
        else:
            listed = self._calls.call(
                self._connection.client().search_runs,
                experiment_ids=[experiment.experiment_id],
                run_view_type=ALL,
                max_results=newest,
                order_by=["attributes.start_time DESC"],
            )
        return self._own(listed, PREFIX, "run of the history")

    def open(self, started: int) -> str:
        """Make a run for further changes, and return its id."""
        run_id = self._create(started, {}, f"registry since {rfc3339(started)}")
        self._calls.call(self._connection.client().set_terminated, run_id, end_time=started)
        return run_id
