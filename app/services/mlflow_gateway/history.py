"""Reading metric histories: one call a metric for a hundred runs, not one a metric and run."""

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from app.domain.models import MetricPoint, ModelVersion, Run
from app.domain.names import EVALUATES
from app.services.mlflow_gateway import rows
from app.services.mlflow_gateway.calls import Calls
from app.services.mlflow_gateway.client import Connection
from app.services.mlflow_gateway.registry import Registry

_RUNS_A_CALL = 100
# The most points of one run that the bulk read gives; beyond, it samples.
_POINTS_A_RUN = 2500
_PATH = "/api/2.0/mlflow/metrics/get-history-bulk-interval"


class History:
    """Metric points of versions of one model: of their source runs and of their evaluation runs."""

    def __init__(self, connection: Connection, calls: Calls, registry: Registry) -> None:
        self._connection = connection
        self._calls = calls
        self._registry = registry

    def points(self, versions: Sequence[ModelVersion]) -> dict[int, list[MetricPoint]]:
        if not versions:
            return {}
        experiments = self._registry.experiment_ids()
        owners = self._owners(versions, experiments)
        runs = {run.run_id: run for run, _ in owners}
        found: dict[str, list[MetricPoint]] = defaultdict(list)
        for metric in sorted({key for run in runs.values() for key in run.metrics}):
            having = [run_id for run_id, run in runs.items() if metric in run.metrics]
            for start in range(0, len(having), _RUNS_A_CALL):
                for point in self._read(having[start : start + _RUNS_A_CALL], metric):
                    found[point.run_id].append(point)
        by_version: dict[int, list[MetricPoint]] = {row.version: [] for row in versions}
        for run, version in owners:
            by_version[version].extend(found[run.run_id])
        return by_version

    def _owners(self, versions: Sequence[ModelVersion], experiments: Sequence[str]) -> list[tuple[Run, int]]:
        """Each run that speaks of a version, with the number of that version."""
        name = versions[0].name
        tagged = {f"models:/{name}/{row.version}": row.version for row in versions}
        owners = [
            (run, tagged[run.tags[EVALUATES]])
            for run in self._registry.evaluation_runs(name, experiments)
            if run.tags.get(EVALUATES) in tagged
        ]
        sources, _ = self._registry.runs((row.run_id for row in versions if row.run_id), experiments)
        seen = {(run.run_id, version) for run, version in owners}
        for row in versions:
            run = sources.get(row.run_id or "")
            if run and (run.run_id, row.version) not in seen:
                owners.append((run, row.version))
        return owners

    def _read(self, run_ids: list[str], metric: str) -> list[MetricPoint]:
        read = self._read_http if self._connection.is_http else self._read_store
        points = [rows.metric_point(run_id, row) for run_id, row in self._calls.call(read, run_ids, metric)]
        full = _sampled(points)
        if not full:
            return points
        # A longer history comes sampled: read it whole, run by run.
        points = [point for point in points if point.run_id not in full]
        for run_id in full:
            history = self._calls.call(self._connection.client().get_metric_history, run_id, metric)
            points.extend(rows.metric_point(run_id, row) for row in history)
        return points

    def _read_store(self, run_ids: list[str], metric: str) -> list[tuple[str, Any]]:
        store = self._connection.store()
        found = store.get_metric_history_bulk_interval(run_ids, metric, _POINTS_A_RUN, None, None)
        return [(row.run_id, row) for row in found]

    def _read_http(self, run_ids: list[str], metric: str) -> list[tuple[str, Any]]:
        # MLflow's client has no call for this endpoint of its server's.
        from mlflow.utils.rest_utils import http_request, verify_rest_response  # noqa: PLC0415

        params = [("run_ids", run_id) for run_id in run_ids]
        params += [("metric_key", metric), ("max_results", str(_POINTS_A_RUN))]
        answer = http_request(  # type: ignore[no-untyped-call]
            self._connection.store().get_host_creds(), _PATH, "GET", params=params
        )
        body = json.loads(verify_rest_response(answer, _PATH).text)
        return [(row["run_id"], _Row(metric, row)) for row in body.get("metrics", [])]


class _Row:
    """A point as the endpoint writes it: numbers may come as text, NaN too; zeros are left out."""

    def __init__(self, metric: str, row: dict[str, Any]) -> None:
        self.key = metric
        self.timestamp = int(row.get("timestamp") or 0)
        self.value = float(row.get("value") or 0)


def _sampled(points: list[MetricPoint]) -> set[str]:
    counts: dict[str, int] = defaultdict(int)
    for point in points:
        counts[point.run_id] += 1
    return {run_id for run_id, count in counts.items() if count >= _POINTS_A_RUN}
