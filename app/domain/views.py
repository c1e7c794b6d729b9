"""What a client sees of the things in the domain: JSON-shaped dictionaries."""

from collections.abc import Iterable
from typing import Any

from app.domain.models import Experiment, MetricPoint, Registration, Run, TrackedModel
from app.domain.query import effective_type
from app.domain.times import day_start, rfc3339

Json = dict[str, Any]


def version_info(model: TrackedModel, registration: Registration | None) -> Json:
    """One entry of `/model/{name}/versions`."""
    row = model.row
    return {
        "version": str(row.version),
        "stage": model.stage,
        "stage_source": model.stage_source,
        "aliases": list(model.aliases),
        "creation_timestamp": rfc3339(row.created),
        "last_updated_timestamp": rfc3339(row.updated),
        "description": row.description,
        "tags": dict(row.tags),
        "metrics": dict(row.metrics),
        "model_type": effective_type(model, registration),
        "run_id": row.run_id,
        "monitored": registration is not None,
    }


def model_info(model: TrackedModel, registration: Registration | None) -> Json:
    """ModelInfo: one entry of the model lists."""
    return {"name": model.row.name, **version_info(model, registration)}


def experiment_info(experiment: Experiment) -> Json:
    """One entry of `/experiments`."""
    return {
        "experiment_id": experiment.experiment_id,
        "name": experiment.name,
        "artifact_location": experiment.artifact_location,
        "lifecycle_stage": experiment.lifecycle_stage,
        "creation_time": rfc3339(experiment.created),
        "last_update_time": rfc3339(experiment.updated),
        "tags": dict(experiment.tags),
    }


def run_info(run: Run) -> Json:
    """One entry of `/runs/{experiment_id}`."""
    return {
        "run_id": run.run_id,
        "experiment_id": run.experiment_id,
        "status": run.status,
        "start_time": rfc3339(run.start_time),
        "end_time": rfc3339(run.end_time),
        "metrics": dict(run.metrics),
        "params": dict(run.params),
        "tags": dict(run.tags),
    }


def drift_info(model: TrackedModel, points: Iterable[MetricPoint], since: int, until: int) -> Json | None:
    """One entry of `/model/{name}/drift`: per UTC day the last value logged of each metric.

    Points before `since` or after `until` (milliseconds) are left out; None where none is left.
    """
    days: dict[int, dict[str, float | None]] = {}
    for point in sorted(points, key=lambda p: p.time):
        if since <= point.time <= until:
            days.setdefault(day_start(point.time), {})[point.metric] = point.value
    if not days:
        return None
    return {
        "version": str(model.row.version),
        "stage": model.stage,
        "metrics_over_time": [_day(day, values) for day, values in sorted(days.items())],
    }


def _day(day: int, values: dict[str, float | None]) -> Json:
    # A metric may be named `date`; the day's own field wins.
    return {"date": rfc3339(day), **{metric: value for metric, value in values.items() if metric != "date"}}
