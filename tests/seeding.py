"""Filling an MLflow store with many versions in a second: rows of MLflow's own tables, written in bulk."""

import os
import random
import time
from collections.abc import Mapping
from pathlib import Path

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import numpy as np
import sqlalchemy as sa
from mlflow.store.model_registry.dbmodels import models as registry
from mlflow.store.tracking.dbmodels import models as tracking

from app.domain.data_drift.batch import Batch
from app.domain.data_drift.batch_json import batch_value
from app.domain.data_drift.binning import counted, numeric_bins
from app.domain.data_drift.counts import ColumnCounts, RowCounts
from app.domain.data_drift.layout import Layout
from app.domain.data_drift.layout_json import layout_value
from app.domain.data_drift.series import (
    KEY,
    About,
    StoredBatch,
    batch_tags,
    compressed,
    content_of,
    data_drift_experiment,
    series_tags,
)
from app.domain.monitoring.monitor_runs import CODES, VERDICT_METRIC, Verdict
from app.domain.monitoring.verdicts import VERDICTS
from app.domain.registry.models import Registration
from app.domain.registry.names import registration_key
from app.domain.registry_history.change import Change, of_alias
from app.domain.registry_history.lineage import FirstLook
from app.domain.registry_history.looking import Looked
from app.domain.registry_history.record import Additions
from app.domain.registry_history.tags import MOST_IN_A_RUN, MOST_TAGS, batches_of
from app.services.mlflow_gateway.rows import registration_tags, verdict_tags

_WHY = "at least 0.898 was expected from its first 20 days (0.940 ± 0.012). Below at 4 of the last 5 points."
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
    _insert(store, rows)
    return models * versions


def seed_monitored(store: Path, versions: int, metrics: int = 5, points: int = 100) -> None:
    """Register version 1 of so many seeded models for monitoring, each with hourly observations that do not drift."""
    now = int(time.time() * 1000)
    rng = random.Random(1)
    rows: dict[sa.Table, list[dict[str, object]]] = {}

    def add(table: type, **row: object) -> None:
        rows.setdefault(table.__table__, []).append(row)  # type: ignore[attr-defined]

    experiment = 1_000_000
    add(
        tracking.SqlExperiment, experiment_id=experiment, name="control-tower", artifact_location="mem:/",
        lifecycle_stage="active", creation_time=now, last_update_time=now, workspace="default",
    )  # fmt: skip
    engine = sa.create_engine(f"sqlite:///{store}")
    with engine.begin() as connection:
        found = connection.execute(sa.select(registry.SqlModelVersion.__table__))  # type: ignore[attr-defined]
        created = {row.name: row.creation_time for row in found if row.version == 1}
    engine.dispose()
    for number, name in enumerate(sorted(created)[:versions]):
        run = f"a{number:031x}"
        wanted = Registration(name, 1, "classifier", "seed", now, run, created[name])
        add(
            tracking.SqlRun, run_uuid=run, name=run, source_type="UNKNOWN", source_name="", entry_point_name="",
            user_id="seed", status="RUNNING", start_time=now - points * 3_600_000, end_time=None, source_version="",
            lifecycle_stage="active", artifact_uri="mem:/", experiment_id=experiment,
        )  # fmt: skip
        for key, value in registration_tags(wanted).items():
            add(tracking.SqlTag, run_uuid=run, key=key, value=value)
        for metric in range(metrics):
            for back in range(points, 0, -1):
                point = {
                    "run_uuid": run, "key": f"metric_{metric}", "value": rng.gauss(0.9, 0.01), "step": 0,
                    "timestamp": now - back * 3_600_000, "is_nan": False,
                }  # fmt: skip
                add(tracking.SqlMetric, **point)
            add(tracking.SqlLatestMetric, **point)
    _insert(store, rows)


def seed_data(store: Path, versions: int, windows: int, columns: int) -> None:
    """Give so many monitored versions a reference, and daily windows of 5000 rows whose columns vary from day to day.

    Ten versions have data of their own; the others have the same.
    """
    day = 86_400_000
    began = int(time.time() * 1000) // day * day - (windows - 1) * day
    engine = sa.create_engine(f"sqlite:///{store}")
    with engine.begin() as connection:
        found = connection.execute(sa.select(registry.SqlModelVersion.__table__))  # type: ignore[attr-defined]
        created = {row.name: row.creation_time for row in found if row.version == 1}
    engine.dispose()
    drawn = [_drawn(seed, windows, columns) for seed in range(min(versions, 10))]
    runs, tags = [], []
    for number, name in enumerate(sorted(created)[:versions]):
        layout, reference, bodies = drawn[number % len(drawn)]
        run = f"d{number:031x}"
        runs.append({
            "run_uuid": run, "name": run, "source_type": "UNKNOWN", "source_name": "", "entry_point_name": "",
            "user_id": "seed", "status": "RUNNING", "start_time": began, "end_time": None, "source_version": "",
            "lifecycle_stage": "active", "artifact_uri": "mem:/", "experiment_id": 1_000_002,
        })  # fmt: skip
        about = About(name, 1, created[name], began, "seed", is_sent=True)
        written = {KEY: registration_key(name, 1), **series_tags(about, layout, reference)}
        for place, (body, rows) in enumerate(bodies):
            start, end = began + place * day, began + (place + 1) * day
            written |= batch_tags(StoredBatch(f"{place}", start, end, rows, end, content_of(body, start, end), body))
        tags += [{"run_uuid": run, "key": key, "value": value} for key, value in written.items()]
    experiment = {"artifact_location": "mem:/", "lifecycle_stage": "active", "workspace": "default"}
    experiment |= {"experiment_id": 1_000_002, "creation_time": began, "last_update_time": began}
    experiment |= {"name": data_drift_experiment("control-tower")}
    rows_of_all = {tracking.SqlExperiment: [experiment], tracking.SqlRun: runs, tracking.SqlTag: tags}
    _insert(store, {table.__table__: rows for table, rows in rows_of_all.items()})  # type: ignore[attr-defined]


def _drawn(seed: int, windows: int, columns: int) -> tuple[bytes, bytes, list[tuple[bytes, int]]]:
    """A layout of numeric columns, a reference, and windows with their rows; all but the rows as they are kept."""
    rng = np.random.default_rng(seed)
    bins = numeric_bins(rng.normal(size=20_000))
    names = [f"feature_{number}" for number in range(columns)]

    def counts(rows: int, noise: float) -> bytes:
        each = {name: ColumnCounts(counted(bins, rng.normal(rng.normal(0, noise), 1, rows))) for name in names}
        return compressed(batch_value(Batch(RowCounts(rows, each))))

    layout = compressed(layout_value(Layout(dict.fromkeys(names, bins))))
    return layout, counts(20_000, 0), [(counts(5000, 0.05), 5000) for _ in range(windows)]


def seed_history(store: Path, changes: int) -> int:
    """Register every seeded version for monitoring, each with so many changes of verdict; the number of events."""
    hour = 3_600_000
    began = int(time.time() * 1000) - (changes + 1) * hour
    experiment = 1_000_000
    row = {"artifact_location": "mem:/", "lifecycle_stage": "active", "workspace": "default"}
    row |= {"experiment_id": experiment, "name": "control-tower", "creation_time": began, "last_update_time": began}
    rows: dict[sa.Table, list[dict[str, object]]] = {tracking.SqlExperiment.__table__: [row]}  # type: ignore[attr-defined]

    def add(table: type, **row: object) -> None:
        rows.setdefault(table.__table__, []).append(row)  # type: ignore[attr-defined]

    engine = sa.create_engine(f"sqlite:///{store}")
    with engine.begin() as connection:
        versions = list(connection.execute(sa.select(registry.SqlModelVersion.__table__)))  # type: ignore[attr-defined]
    engine.dispose()
    for number, version in enumerate(versions):
        run = f"b{number:031x}"
        add(
            tracking.SqlRun, run_uuid=run, name=run, source_type="UNKNOWN", source_name="", entry_point_name="",
            user_id="seed", status="RUNNING", start_time=began + number, end_time=None, source_version="",
            lifecycle_stage="active", artifact_uri="mem:/", experiment_id=experiment,
        )  # fmt: skip
        wanted = Registration(version.name, version.version, "classifier", "seed", began, run, version.creation_time)
        found = [
            Verdict(
                began + (place + 1) * hour + number,
                VERDICTS[place % 3],
                (f"accuracy fell to 0.{871 + place} on 3 December; {_WHY}",),
            )
            for place in range(changes)
        ]
        for key, value in {**registration_tags(wanted), **verdict_tags(found, {})}.items():
            add(tracking.SqlTag, run_uuid=run, key=key, value=value)
        for one in found:
            point = {"run_uuid": run, "key": VERDICT_METRIC, "value": CODES[one.verdict], "timestamp": one.at}
            add(tracking.SqlMetric, **point, step=one.at // 1000, is_nan=False)
        add(tracking.SqlLatestMetric, **point, step=found[-1].at // 1000, is_nan=False)
    _insert(store, rows)
    return len(versions) * (changes + 1)


def seed_registry_history(store: Path, experiment: str, of_first: int, of_others: int) -> int:
    """Record so many moves of the alias `challenger` of the first seeded model, and of each other; how many in all.

    Both numbers must be even: the alias comes and goes.
    """
    engine = sa.create_engine(f"sqlite:///{store}")
    with engine.begin() as connection:
        models = {row.name: row for row in connection.execute(sa.select(registry.SqlRegisteredModel.__table__))}  # type: ignore[attr-defined]
        versions = list(connection.execute(sa.select(registry.SqlModelVersion.__table__)))  # type: ignore[attr-defined]
    engine.dispose()
    began = max(row.creation_time for row in models.values()) + 1000
    held: dict[str, list[tuple[int, int, str]]] = {name: [] for name in models}
    for row in versions:
        held[row.name].append((row.version, row.creation_time, row.current_stage))
    first, changes = [], []
    for number, (name, row) in enumerate(sorted(models.items())):
        champion = (("champion", max(version for version, *_ in held[name])),)
        look = FirstLook(name, row.creation_time, tuple(sorted(held[name])), champion, began, began + 500)
        first.append(look)
        previous = look.lineage
        for turn in range(of_others if number else of_first):
            at = began + 1000 + turn * 5000
            old, new = (1, None) if turn % 2 else (None, 1)
            change = Change(look.lineage, previous, name, of_alias("challenger"), old, new, at, at + 900, None, "poll")
            previous = change.key
            changes.append(change)
    ended = max(change.not_after for change in changes)
    more = Additions(tuple(first), tuple(changes), looked=Looked(ended, ended), begun=began + 500)
    _insert(store, _history_rows(experiment, began, [batch.tags for batch in batches_of(more)]))
    return len(changes)


def _history_rows(name: str, began: int, batches: list[Mapping[str, str]]) -> dict[sa.Table, list[dict[str, object]]]:
    experiment = 1_000_001
    row = {"artifact_location": "mem:/", "lifecycle_stage": "active", "workspace": "default"}
    row |= {"experiment_id": experiment, "name": name, "creation_time": began, "last_update_time": began}
    runs, tags = [], []
    for start in range(0, len(batches), MOST_IN_A_RUN // MOST_TAGS):
        run = f"c{start:031x}"
        runs.append({
            "run_uuid": run, "name": run, "source_type": "UNKNOWN", "source_name": "", "entry_point_name": "",
            "user_id": "seed", "status": "FINISHED", "start_time": began + start, "end_time": began + start,
            "source_version": "", "lifecycle_stage": "active", "artifact_uri": "mem:/", "experiment_id": experiment,
        })  # fmt: skip
        for batch in batches[start : start + MOST_IN_A_RUN // MOST_TAGS]:
            tags += [{"run_uuid": run, "key": key, "value": value} for key, value in batch.items()]
    return {
        tracking.SqlExperiment.__table__: [row],  # type: ignore[attr-defined]
        tracking.SqlRun.__table__: runs,  # type: ignore[attr-defined]
        tracking.SqlTag.__table__: tags,  # type: ignore[attr-defined]
    }


def _insert(store: Path, rows: dict[sa.Table, list[dict[str, object]]]) -> None:
    engine = sa.create_engine(f"sqlite:///{store}")
    with engine.begin() as connection:
        for table, found in rows.items():
            connection.execute(sa.insert(table), found)
    engine.dispose()
