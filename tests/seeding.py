"""Filling an MLflow store with many versions in a second: rows of MLflow's own tables, written in bulk."""

import os
import time
from pathlib import Path

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import sqlalchemy as sa
from mlflow.store.model_registry.dbmodels import models as registry
from mlflow.store.tracking.dbmodels import models as tracking

STAGES = ("Archived", "Staging", "Production")


def seed(store: Path, models: int, versions: int = 3) -> int:
    """Add models `seed-00000` and on, of so many versions each; how many versions were made."""
    now = int(time.time() * 1000) - 86_400_000
    rows: dict[sa.Table, list[dict[str, object]]] = {}

    def add(table: type, **row: object) -> None:
        rows.setdefault(table.__table__, []).append(row)  # type: ignore[attr-defined]

    for m in range(models):
        name = f"seed-{m:05d}"
        add(registry.SqlRegisteredModel, workspace="default", name=name, creation_time=now, last_updated_time=now)
        for v in range(1, versions + 1):
            run = f"{m:016x}{v:016x}"
            add(
                tracking.SqlRun, run_uuid=run, name=run, source_type="UNKNOWN", source_name="", entry_point_name="",
                user_id="seed", status="FINISHED", start_time=now, end_time=now, source_version="",
                lifecycle_stage="active", artifact_uri="mem:/", experiment_id=0,
            )  # fmt: skip
            point = {"run_uuid": run, "key": "accuracy", "value": 0.5 + v / 10, "timestamp": now, "step": 0}
            add(tracking.SqlMetric, **point, is_nan=False)
            add(tracking.SqlLatestMetric, **point, is_nan=False)
            add(
                registry.SqlModelVersion, workspace="default", name=name, version=v, creation_time=now,
                last_updated_time=now, current_stage=STAGES[(v - 1) % 3], source="mem:/", run_id=run, status="READY",
            )  # fmt: skip
        add(registry.SqlRegisteredModelAlias, workspace="default", name=name, alias="champion", version=versions)
    engine = sa.create_engine(f"sqlite:///{store}")
    with engine.begin() as connection:
        for table, found in rows.items():
            connection.execute(sa.insert(table), found)
    engine.dispose()
    return models * versions
