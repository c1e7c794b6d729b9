"""Reading evidence: the metric points of model versions, in few calls whatever the number of versions.

One call reads a metric of a hundred runs, not of one; one call reads all the points of two hundred logged models.
"""

import json
import math
import re
from array import array
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.domain.evidence import EVALUATION_RUN, LOGGED_MODEL, MONITOR_RUN, SOURCE_RUN
from app.domain.models import MetricPoint, ModelVersion, Run
from app.domain.names import EVALUATES
from app.domain.ports import Clock
from app.services.mlflow_gateway import rows
from app.services.mlflow_gateway.calls import Calls
from app.services.mlflow_gateway.client import Connection
from app.services.mlflow_gateway.registry import Registry

Key = tuple[str, int]
Evidence = dict[Key, list[MetricPoint]]
LastLogged = Mapping[str, tuple[int, float | None]]

_RUNS_A_CALL = 100
# The most points of one run that the bulk read gives; beyond, it samples.
_POINTS_A_RUN = 2500
_PATH = "/api/2.0/mlflow/metrics/get-history-bulk-interval"
# Of so many models each is asked for its evaluation runs; of more, all evaluation runs are read.
_FEW_MODELS = 3
_LOGGED_MODEL = re.compile(r"models:/([0-9A-Za-z_-]{1,64})\Z", re.ASCII)
# What was read is kept while the last point of a metric stays the same, but no longer than an hour: a point
# that somebody logs into the past leaves the last one as it is.
_KEPT_MS = 3_600_000
_MOST_KEPT_POINTS = 2_000_000


@dataclass(frozen=True, slots=True)
class _Kept:
    last: tuple[int, float | None]
    read_at: int
    times: "array[int]"
    steps: "array[int]"
    values: "array[float]"


@dataclass(frozen=True, slots=True)
class _Owner:
    """A run that speaks of a version."""

    run: Run
    last: LastLogged
    key: Key
    source: str


class History:
    """Metric points of versions: of their source runs, logged models, evaluation runs and monitor runs."""

    def __init__(self, connection: Connection, calls: Calls, registry: Registry, clock: Clock) -> None:
        self._connection = connection
        self._calls = calls
        self._registry = registry
        self._clock = clock
        self._kept: dict[tuple[str, str], _Kept] = {}
        self._kept_points = 0

    def evidence(
        self,
        versions: Sequence[ModelVersion],
        monitor_runs: Mapping[Key, str],
        *,
        fresh: bool,
        metrics: Collection[str],
    ) -> Evidence:
        """Every point of each version, or those of some metrics.

        Unless `fresh`, histories whose last point is known are not read again.
        """
        found: Evidence = {(row.name, row.version): [] for row in versions}
        if not versions:
            return found
        experiments = self._registry.experiment_ids()
        owners = self._owners(versions, monitor_runs, experiments)
        for owner, points in self._histories(owners, fresh, metrics):
            found[owner.key] += points
        for key, points in self._of_logged_models(versions, owners, experiments).items():
            found[key] += [point for point in points if not metrics or point.metric in metrics]
        return found

    def points(self, run_ids: Sequence[str], metric: str) -> list[MetricPoint]:
        """The history of one metric of some runs."""
        found: list[MetricPoint] = []
        for start in range(0, len(run_ids), _RUNS_A_CALL):
            found += self._read(run_ids[start : start + _RUNS_A_CALL], metric)
        return found

    def _owners(
        self, versions: Sequence[ModelVersion], monitor_runs: Mapping[Key, str], experiments: Sequence[str]
    ) -> list[_Owner]:
        """Each run that speaks of a version, once for each version, with what it is to that version."""
        tagged = {f"models:/{row.name}/{row.version}": (row.name, row.version) for row in versions}
        names = {row.name for row in versions}
        owners: dict[tuple[str, Key], _Owner] = {}

        def add(found: tuple[Run, LastLogged], key: Key, source: str) -> None:
            owners.setdefault((found[0].run_id, key), _Owner(*found, key, source))

        wanted = {row.run_id for row in versions if row.run_id} | set(monitor_runs.values())
        by_id = self._registry.dated_runs(wanted, experiments)
        for row in versions:
            key = (row.name, row.version)
            for run_id, source in ((row.run_id, SOURCE_RUN), (monitor_runs.get(key), MONITOR_RUN)):
                if run_id in by_id:
                    add(by_id[run_id], key, source)
        for found in self._registry.evaluation_runs(names if len(names) <= _FEW_MODELS else None, experiments):
            key_tagged = tagged.get(found[0].tags.get(EVALUATES, ""))
            if key_tagged:
                add(found, key_tagged, EVALUATION_RUN)
        return list(owners.values())

    def _histories(
        self, owners: Sequence[_Owner], fresh: bool, wanted: Collection[str]
    ) -> Iterable[tuple[_Owner, list[MetricPoint]]]:
        runs = {owner.run.run_id: owner.last for owner in owners}
        points: dict[str, list[tuple[str, _Kept]]] = defaultdict(list)
        for metric in sorted({name for last in runs.values() for name in last if not wanted or name in wanted}):
            having = [run_id for run_id, last in runs.items() if metric in last]
            for run_id, kept in self._of_metric(having, metric, runs, fresh):
                points[run_id].append((metric, kept))
        for owner in owners:
            run_id, source = owner.run.run_id, owner.source
            yield (
                owner,
                [
                    MetricPoint(
                        run_id, metric, time, None if math.isnan(value) else value, source,
                        rows.own_step(step, time) if source == MONITOR_RUN else step,
                    )
                    for metric, kept in points[run_id]
                    for time, step, value in zip(kept.times, kept.steps, kept.values, strict=True)
                ],
            )  # fmt: skip

    def _of_metric(
        self, run_ids: Sequence[str], metric: str, runs: Mapping[str, LastLogged], fresh: bool
    ) -> Iterable[tuple[str, _Kept]]:
        now = self._clock()
        to_read = []
        for run_id in run_ids:
            kept = None if fresh else self._kept.get((run_id, metric))
            if kept and kept.last == runs[run_id][metric] and now - kept.read_at < _KEPT_MS:
                yield run_id, kept
            else:
                to_read.append(run_id)
        grouped: dict[str, list[MetricPoint]] = {run_id: [] for run_id in to_read}
        for point in self.points(to_read, metric):
            grouped[point.run_id].append(point)
        for run_id, points in grouped.items():
            values = array("d", [math.nan if point.value is None else point.value for point in points])
            times, steps = (array("q", found) for found in ([p.time for p in points], [p.step for p in points]))
            kept = _Kept(runs[run_id][metric], now, times, steps, values)
            if not fresh:
                self._keep((run_id, metric), kept)
            yield run_id, kept

    def _keep(self, key: tuple[str, str], kept: _Kept) -> None:
        before = self._kept.get(key)
        self._kept_points += len(kept.times) - (len(before.times) if before else 0)
        if self._kept_points > _MOST_KEPT_POINTS:
            self._kept.clear()
            self._kept_points = len(kept.times)
        self._kept[key] = kept

    def _of_logged_models(
        self, versions: Sequence[ModelVersion], owners: Sequence[_Owner], experiments: Sequence[str]
    ) -> Evidence:
        """What a logged model holds of its own: every point, with the run that logged it."""
        wanted = {
            match[1]: (row.name, row.version) for row in versions if (match := _LOGGED_MODEL.match(row.source or ""))
        }
        sources = {(owner.run.run_id, owner.key): owner.source for owner in owners}
        sources |= {(row.run_id, (row.name, row.version)): SOURCE_RUN for row in versions if row.run_id}
        found: Evidence = defaultdict(list)
        for logged in self._registry.logged_models(wanted, experiments) if wanted else ():
            key = wanted.get(logged.model_id)
            if key is not None:
                found[key] += _points(
                    (point.run_id, point, sources.get((point.run_id, key), LOGGED_MODEL))
                    for point in logged.metrics or ()
                )
        return found

    def _read(self, run_ids: Sequence[str], metric: str) -> list[MetricPoint]:
        read = self._read_http if self._connection.is_http else self._read_store
        points = _points((run_id, row, SOURCE_RUN) for run_id, row in self._calls.call(read, run_ids, metric))
        full = _sampled(points)
        if not full:
            return points
        # A longer history comes sampled: read it whole, run by run.
        points = [point for point in points if point.run_id not in full]
        for run_id in full:
            history = self._calls.call(self._connection.client().get_metric_history, run_id, metric)
            points += _points((run_id, row, SOURCE_RUN) for row in history)
        return points

    def _read_store(self, run_ids: Sequence[str], metric: str) -> list[tuple[str, Any]]:
        store = self._connection.store()
        found = store.get_metric_history_bulk_interval(list(run_ids), metric, _POINTS_A_RUN, None, None)
        return [(row.run_id, row) for row in found]

    def _read_http(self, run_ids: Sequence[str], metric: str) -> list[tuple[str, Any]]:
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
        self.step = int(row.get("step") or 0)


def _points(found: Iterable[tuple[str, Any, str]]) -> list[MetricPoint]:
    """Points of the run, as MLflow has them, and where they were found."""
    return rows.readable(lambda one: rows.metric_point(*one), found, "metric point")[0]


def _sampled(points: list[MetricPoint]) -> set[str]:
    counts: dict[str, int] = defaultdict(int)
    for point in points:
        counts[point.run_id] += 1
    return {run_id for run_id, count in counts.items() if count >= _POINTS_A_RUN}
