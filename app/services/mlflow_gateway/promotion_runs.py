"""The runs that hold the promotions, in an experiment of their own; and the two writes that move a version."""

from collections.abc import Mapping, Sequence

from app.domain.errors import MlflowMissing
from app.domain.own_runs import OwnRun
from app.domain.promotion.tags import MODEL, PREFIX, model_key
from app.services.mlflow_gateway import rows
from app.services.mlflow_gateway.own_experiment import OwnExperiment, own_run_from

_WHAT = "run of a promotion"


class PromotionRuns(OwnExperiment):
    """A promotion is an open run until it is decided and done. Each step is a tag."""

    def search(self, model: str | None, *, only_open: bool, since: int | None) -> Sequence[OwnRun]:
        """The runs of a registered model, or of all, that began since a time (milliseconds); the newest first."""
        experiment = self._experiment()
        if experiment is None:
            return []
        conditions = [rows.IS_OPEN] if only_open else []
        if since is not None:
            conditions.append(f"attributes.start_time >= {since}")
        if model is not None:
            conditions.append(f"tags.`{MODEL}` = '{model_key(model)}'")
        return self._own(self._runs(experiment.experiment_id, " and ".join(conditions)), PREFIX, _WHAT)

    def find(self, run_id: str) -> OwnRun | None:
        """A run of the promotions' experiment; None if there is none with this id."""
        if not rows.RUN_ID.match(run_id):
            return None
        experiment = self._experiment()
        try:
            row = self._calls.call(self._connection.client().get_run, run_id)
        except MlflowMissing:
            return None
        run = rows.only(lambda row: own_run_from(row, PREFIX), row, _WHAT)
        is_ours = experiment is not None and str(row.info.experiment_id) == experiment.experiment_id
        return run if is_ours and not run.is_deleted else None

    def open(self, started: int, tags: Mapping[str, str], name: str) -> str:
        return self._create(started, tags, name)

    def end(self, run_id: str, ended_at: int) -> None:
        self._calls.call(self._connection.client().set_terminated, run_id, end_time=ended_at)

    def set_alias(self, name: str, alias: str, version: int) -> None:
        client = self._connection.client()
        self._calls.call(client.set_registered_model_alias, name, alias, str(version))

    def move_to_stage(self, name: str, version: int, stage: str) -> None:
        """Move a version to a stage. MLflow archives the others there in the same transaction."""
        client = self._connection.client()
        self._calls.call(
            client.transition_model_version_stage, name, str(version), stage, archive_existing_versions=True
        )
