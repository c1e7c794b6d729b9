"""The runs that hold the promotions, in an experiment of their own; and the two writes that move a version."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.domain.errors import MlflowMissing
from app.domain.promotion.tags import MODEL, PREFIX, PromotionRun, model_key
from app.services.mlflow_gateway import rows
from app.services.mlflow_gateway.own_experiment import OwnExperiment


class PromotionRuns(OwnExperiment):
    """A promotion is an open run until it is decided and done. Each step is a tag."""

    def search(self, model: str | None, *, only_open: bool, since: int | None) -> Sequence[PromotionRun]:
        """The runs of a registered model, or of all, that began since a time (milliseconds); the newest first."""
        experiment = self._experiment()
        if experiment is None:
            return []
        conditions = ["attributes.status = 'RUNNING'"] if only_open else []
        if since is not None:
            conditions.append(f"attributes.start_time >= {since}")
        if model is not None:
            conditions.append(f"tags.`{MODEL}` = '{model_key(model)}'")
        found = self._runs(experiment.experiment_id, " and ".join(conditions))
        good, _ = rows.readable(_run, found, "run of a promotion")
        return sorted(good, key=lambda run: (run.started, run.run_id), reverse=True)

    def find(self, run_id: str) -> PromotionRun | None:
        """A run of the promotions' experiment; None if there is none with this id."""
        experiment = self._experiment()
        try:
            run = self._calls.call(self._connection.client().get_run, run_id)
        except MlflowMissing:
            return None
        found = rows.only(_run, run, "run of a promotion")
        is_ours = experiment is not None and str(run.info.experiment_id) == experiment.experiment_id
        return found if is_ours and run.info.lifecycle_stage == "active" else None

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


def _run(row: Any) -> PromotionRun:
    tags: Mapping[str, str] = row.data.tags
    own = {key: text for key, text in tags.items() if key.startswith(PREFIX)}
    return PromotionRun(rows.run_id(row), int(row.info.start_time or 0), row.info.status == "RUNNING", own)
