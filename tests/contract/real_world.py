"""A MemoryWorld's methods on a real MLflow, through MLflow's own client."""

import math
import time

import mlflow
import sqlalchemy as sa
from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException
from mlflow.store.model_registry.dbmodels.models import SqlModelVersion, SqlRegisteredModel

from app.domain.registry.webhook import EVENTS


class RealWorld:
    """What tests write to MLflow."""

    def __init__(self, uri: str, store: str = "") -> None:
        self.client = MlflowClient(uri, uri)
        self._store = store or uri

    def add_experiment(self, name: str) -> str:
        return str(self.client.create_experiment(name))

    def delete_experiment(self, name: str) -> None:
        self.client.delete_experiment(self.client.get_experiment_by_name(name).experiment_id)

    def add_run(
        self, metrics: dict[str, float | None] | None = None, tags: dict[str, str] | None = None, experiment: str = "0"
    ) -> str:
        run_id = str(self.client.create_run(experiment, tags=tags).info.run_id)
        for key, value in (metrics or {}).items():
            self.log_metric(run_id, key, value, int(time.time() * 1000))
        self.client.set_terminated(run_id)
        return run_id

    def log_metric(self, run_id: str, key: str, value: float | None, time: int, step: int = 0) -> None:
        self.client.log_batch(run_id, metrics=[Metric(key, math.nan if value is None else value, time, step)])

    def delete_run(self, run_id: str) -> None:
        self.client.delete_run(run_id)

    def add_model(self, name: str, tags: dict[str, str] | None = None, description: str | None = None) -> None:
        self.client.create_registered_model(name, tags=tags, description=description)

    def add_version(
        self,
        name: str,
        metrics: dict[str, float | None] | None = None,
        *,
        stage: str = "None",
        tags: dict[str, str] | None = None,
        run_tags: dict[str, str] | None = None,
        with_run: bool = True,
        description: str | None = None,
    ) -> int:
        try:
            self.add_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        run_id = self.add_run(metrics, run_tags) if with_run else None
        made = self.client.create_model_version(name, "mem:/model", run_id=run_id, tags=tags, description=description)
        if stage != "None":
            self.set_stage(name, int(made.version), stage)
        return int(made.version)

    def give_old_name(self, name: str, old: str) -> None:
        """Name a model as old versions of MLflow allowed it: with a colon."""
        engine = sa.create_engine(self._store, connect_args={"timeout": 30})
        with engine.begin() as connection:
            for entity in (SqlRegisteredModel, SqlModelVersion):
                table = sa.Table(entity.__tablename__, sa.MetaData(), autoload_with=connection)
                connection.execute(sa.update(table).where(table.c.name == name).values(name=old))
        engine.dispose()

    def add_version_of_logged_model(self, name: str) -> int:
        self.add_model(name)
        run_id = self.add_run()
        logged = self.client.create_logged_model("0", source_run_id=run_id)
        # MLflow's own store looks the logged model up at the address of the whole process.
        before = mlflow.get_tracking_uri()
        mlflow.set_tracking_uri(self.client.tracking_uri)
        try:
            made = self.client.create_model_version(
                name, f"models:/{logged.model_id}", run_id=run_id, model_id=logged.model_id
            )
        finally:
            mlflow.set_tracking_uri(before)
        return int(made.version)

    def log_to_model(self, name: str, version: int, run_id: str, key: str, value: float, time: int) -> None:
        model_id = str(self.client.get_model_version(name, str(version)).source).removeprefix("models:/")
        self.client.log_metric(run_id, key, value, time, 0, model_id=model_id)

    def run_of(self, name: str, version: int) -> str:
        return str(self.client.get_model_version(name, str(version)).run_id)

    def set_stage(self, name: str, version: int, stage: str) -> None:
        self.client.transition_model_version_stage(name, str(version), stage)

    def set_alias(self, name: str, alias: str, version: int) -> None:
        self.client.set_registered_model_alias(name, alias, str(version))

    def describe_version(self, name: str, version: int, text: str) -> None:
        self.client.update_model_version(name, str(version), text)

    def describe_model(self, name: str, text: str) -> None:
        self.client.update_registered_model(name, text)

    def rename(self, name: str, new: str) -> None:
        self.client.rename_registered_model(name, new)

    def created_at(self, name: str) -> int:
        """When a registered model was made, in milliseconds."""
        return int(self.client.get_registered_model(name).creation_timestamp)

    def tag_model(self, name: str, key: str, value: str) -> None:
        self.client.set_registered_model_tag(name, key, value)

    def delete_alias(self, name: str, alias: str) -> None:
        self.client.delete_registered_model_alias(name, alias)

    def delete_version(self, name: str, version: int) -> None:
        self.client.delete_model_version(name, str(version))

    def delete_model(self, name: str) -> None:
        self.client.delete_registered_model(name)

    def add_webhook(self, name: str, url: str, secret: str | None = None) -> str:
        return str(self.client.create_webhook(name, url, list(EVENTS), secret=secret).webhook_id)

    def disable_webhook(self, webhook_id: str) -> None:
        self.client.update_webhook(webhook_id, status="DISABLED")
