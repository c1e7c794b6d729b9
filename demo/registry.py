"""Writing the fleet into MLflow. Every step looks first whether it is done, so a build can be taken up again."""

import logging
import os
import warnings
from datetime import date, timedelta
from pathlib import Path
from typing import Any

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException

from app.domain.registry.models import Registration
from app.services.mlflow_gateway.gateway import MlflowGateway
from app.wiring.world import now_ms
from demo.counted import Data, midnight
from demo.data import TASKS, Task, batch
from demo.fleet import Model, Version
from demo.learn import score, train

EVALUATES = "control_tower.evaluates"
_KIND = "model_type"
_TRAINED_BEFORE_DAYS = 40


def quiet() -> None:
    """Stages are deprecated in MLflow, and it says so at every call."""
    warnings.filterwarnings("ignore", module="mlflow.*")
    warnings.filterwarnings("ignore", category=FutureWarning)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)


class Registry:
    """One MLflow store, and the fleet as far as it is in it."""

    def __init__(self, store: Path, monitoring_experiment: str) -> None:
        uri = f"sqlite:///{store}"
        self._gateway = MlflowGateway.connect(uri, monitoring_experiment=monitoring_experiment, clock=now_ms)
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        self._client = MlflowClient(uri, uri)
        self._artifacts = (store.parent / "artifacts").absolute()
        self._trained: dict[tuple[str, int], Any] = {}

    def build(self, model: Model, today: date) -> None:
        """Train and register the versions that are missing, and set stages and aliases."""
        task = TASKS[model.task]()
        try:
            self._client.create_registered_model(
                model.name, tags={"team": model.team, "owner": model.owner}, description=model.description
            )
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        there = {int(v.version) for v in self._client.search_model_versions(f"name = '{model.name}'")}
        for number, version in enumerate(model.versions, 1):
            if number not in there:
                self._register(model, task, number, version, today)
            self._client.transition_model_version_stage(model.name, str(number), version.stage)
            if version.alias:
                self._client.set_registered_model_alias(model.name, version.alias, str(number))

    def score(self, model: Model, days: list[date], drift_from: date) -> int:
        """Score every version on the days that it has no points of; how many points were logged.

        A day is scored once its labels are known.
        """
        task, logged = TASKS[model.task](), 0
        days = [day - timedelta(days=model.labels_late_days) for day in days]
        for number in range(1, len(model.versions) + 1):
            run_id = self._evaluation_run(model, number, days[0])
            done = self._scored_days(run_id, "rmse" if model.kind == "regressor" else "accuracy")
            missing = [day for day in days if midnight(day) not in done]
            estimator = self._estimator(model, number, task) if missing else None
            points = []
            for day in missing:
                drift_days = (day - drift_from).days + 1 if model.drifts else 0
                values = score(model, estimator, *batch(task, model.name, day, drift_days))
                points += [Metric(key, value, midnight(day), 0) for key, value in values.items()]
            if points:
                self._client.log_batch(run_id, metrics=points)
            logged += len(points)
        return logged

    def monitor(self, model: Model) -> None:
        """Register the version in Production for monitoring, unless it is."""
        number = model.champion
        version = self._gateway.find_version(model.name, number)
        if version is not None and not self._gateway.find_registrations(model.name, number):
            self._gateway.open_monitor_run(
                Registration(model.name, number, model.kind, model.owner, now_ms(), "", version.created)
            )

    def send_data(self, model: Model, days: list[date], drift_from: date) -> int:
        """Count what the version in Production saw and said on the days that are missing; how many days were.

        A version that is not monitored has no data.
        """
        registrations = self._gateway.find_registrations(model.name, model.champion)
        if not registrations:
            return 0
        task = TASKS[model.task]()
        estimator = self._estimator(model, model.champion, task)
        data = Data(self._gateway, registrations[0], model, task, estimator)
        return data.send(days, drift_from)

    def _estimator(self, model: Model, number: int, task: Task) -> Any:
        key = model.name, number
        if key not in self._trained:
            self._trained[key] = train(task, model.versions[number - 1])
        return self._trained[key]

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found:
            return str(found.experiment_id)
        return str(self._client.create_experiment(name, (self._artifacts / name).as_uri()))

    def _register(self, model: Model, task: Task, number: int, version: Version, today: date) -> None:
        started = midnight(today - timedelta(days=_TRAINED_BEFORE_DAYS - number))
        run_id = self._training_run(model, number, started)
        estimator = self._estimator(model, number, task)
        for key, value in {"estimator": version.estimator, **version.params}.items():
            self._client.log_param(run_id, key, value)
        values = score(model, estimator, task.x_held, task.y_held)
        seen = score(model, estimator, task.x_train, task.y_train)
        values |= {f"training_{key}": value for key, value in seen.items()}
        self._client.log_batch(run_id, metrics=[Metric(k, v, started, 0) for k, v in values.items()])
        with mlflow.start_run(run_id=run_id):
            logged: Any = mlflow.sklearn.log_model(
                estimator, name=model.name, pip_requirements=["scikit-learn"], serialization_format="cloudpickle"
            )
        self._client.set_terminated(run_id, end_time=started + 60_000)
        # Last, since a version that is there counts as done when a build is taken up again.
        self._client.create_model_version(
            model.name,
            logged.model_uri,
            run_id=run_id,
            tags={"estimator": version.estimator},
            description=version.description,
            model_id=logged.model_id,
        )

    def _training_run(self, model: Model, number: int, started: int) -> str:
        """A new run to train a version in; what an interrupted build left of one is deleted."""
        experiment, name = self._experiment(model.experiment), f"train {model.name} v{number}"
        for left in self._client.search_runs([experiment], f"attributes.run_name = '{name}'"):
            self._client.delete_run(left.info.run_id)
        tags = {"mlflow.user": model.owner} | ({_KIND: model.kind} if model.says_kind else {})
        return str(self._client.create_run(experiment, started, tags, name).info.run_id)

    def _evaluation_run(self, model: Model, number: int, first: date) -> str:
        """The one run that holds a version's daily scores: a point a day and metric, all at step 0."""
        tag = f"models:/{model.name}/{number}"
        experiment = self._experiment(f"{model.experiment}-evaluation")
        found = self._client.search_runs([experiment], f"tags.`{EVALUATES}` = '{tag}'")
        tags, name = {EVALUATES: tag, "mlflow.user": model.owner}, f"evaluate {model.name} v{number}"
        run = found[0] if found else self._client.create_run(experiment, midnight(first), tags, name)
        if run.info.status != "FINISHED":
            self._client.set_terminated(run.info.run_id)
        return str(run.info.run_id)

    def _scored_days(self, run_id: str, metric: str) -> set[int]:
        return {point.timestamp for point in self._client.get_metric_history(run_id, metric)}
