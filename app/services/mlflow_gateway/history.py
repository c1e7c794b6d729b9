"""Reads evidence: the metric points of model versions, in few calls whatever the number of versions.

All of it is read each time, since MLflow gives no sign of a new point. MLflow's last value of a metric is that of the
highest step, then of the latest time. It stays the same when a point comes without a step, or late.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from app.domain.errors import TowerError
from app.domain.monitoring.corrections import counting
from app.domain.monitoring.evidence import CASES, EVALUATION_RUN, LOGGED_MODEL, MONITOR_RUN, SOURCE_RUN, is_own
from app.domain.registry.models import MetricPoint, ModelVersion, Run, VersionKey
from app.domain.registry.names import EVALUATES
from app.services.mlflow_gateway import rows
from app.services.mlflow_gateway.batches import batches, read_each
from app.services.mlflow_gateway.calls import Calls
from app.services.mlflow_gateway.metric_points import MetricPoints, missing
from app.services.mlflow_gateway.registry import MODELS_A_CALL, Registry

Evidence = dict[VersionKey, list[MetricPoint]]
Unread = dict[VersionKey, TowerError]
LastLogged = Mapping[str, tuple[int, float | None]]

# Up to this many models are searched for their evaluation runs; for more, all evaluation runs are read.
_FEW_MODELS = 3
_LOGGED_MODEL = re.compile(r"models:/([0-9A-Za-z_-]{1,64})\Z", re.ASCII)
# In seconds: what a reading may take for each request beside the time of one call, and the most in all.
_A_REQUEST, _LONGEST = 0.25, 45.0


@dataclass(frozen=True, slots=True)
class _Owner:
    """A run whose metrics count for a version."""

    run: Run
    last: LastLogged
    key: VersionKey
    source: str


class History:
    """Reads the points of versions from their source runs, logged models, evaluation runs and monitor runs."""

    def __init__(self, calls: Calls, registry: Registry, points: MetricPoints) -> None:
        self._calls = calls
        self._registry = registry
        self._points = points

    def evidence(
        self, versions: Sequence[ModelVersion], monitor_runs: Mapping[VersionKey, str], metrics: Collection[str]
    ) -> tuple[Evidence, Unread]:
        """The points of each version, of all metrics or of `metrics`; and the versions not completely read."""
        evidence: Evidence = {(row.name, row.version): [] for row in versions}
        unread: Unread = {}
        if not versions:
            return evidence, unread
        with self._calls.within(max(_LONGEST, self._calls.patience)):
            experiments = self._registry.experiment_ids()
            owners = self._owners(versions, monitor_runs, experiments)
            for owner, points, failure in self._histories(owners, metrics):
                evidence[owner.key] += points
                if failure:
                    unread[owner.key] = failure
            more, failures = self._of_logged_models(versions, owners, experiments)
            for key, points in more.items():
                evidence[key] += [point for point in points if not metrics or point.metric in metrics]
        unread |= failures
        withdrawn = {owner.key: rows.withdrawals(owner.run.tags) for owner in owners if owner.source == MONITOR_RUN}
        read = {key: counting(points, withdrawn.get(key, ())) for key, points in evidence.items() if key not in unread}
        return read, unread

    def points(self, run_ids: Sequence[str], metric: str) -> list[MetricPoint]:
        """The history of a metric of some runs."""
        by_run, failures = self._points.read({metric: run_ids})
        for failure in failures.values():
            raise failure
        return [
            MetricPoint(run_id, metric, time, value, SOURCE_RUN, step)
            for run_id, read in by_run.items()
            for time, step, value in read[metric]
        ]

    def _owners(
        self, versions: Sequence[ModelVersion], monitor_runs: Mapping[VersionKey, str], experiments: Sequence[str]
    ) -> list[_Owner]:
        """Each run whose metrics count for a version, once for each such version, with its relation to it."""
        tagged = {f"models:/{row.name}/{row.version}": (row.name, row.version) for row in versions}
        names = {row.name for row in versions}
        owners: dict[tuple[str, VersionKey], _Owner] = {}

        def add(dated: tuple[Run, LastLogged], key: VersionKey, source: str) -> None:
            owners.setdefault((dated[0].run_id, key), _Owner(*dated, key, source))

        wanted = {row.run_id for row in versions if row.run_id} | set(monitor_runs.values())
        by_id = self._registry.dated_runs(wanted, experiments)
        for row in versions:
            key = (row.name, row.version)
            for run_id, source in ((row.run_id, SOURCE_RUN), (monitor_runs.get(key), MONITOR_RUN)):
                if run_id in by_id:
                    add(by_id[run_id], key, source)
        for dated in self._registry.evaluation_runs(names if len(names) <= _FEW_MODELS else None, experiments):
            key_tagged = tagged.get(dated[0].tags.get(EVALUATES, ""))
            if key_tagged:
                add(dated, key_tagged, EVALUATION_RUN)
        return list(owners.values())

    def _histories(
        self, owners: Sequence[_Owner], wanted: Collection[str]
    ) -> Iterable[tuple[_Owner, list[MetricPoint], TowerError | None]]:
        having: dict[str, dict[str, None]] = defaultdict(dict)
        for owner in owners:
            for metric in owner.last:
                if _is_read(metric, owner.source, wanted):
                    having[metric][owner.run.run_id] = None
        to_read = {metric: list(run_ids) for metric, run_ids in sorted(having.items())}
        with self._calls.within(self._calls.patience + self._points.requests(to_read) * _A_REQUEST, _LONGEST):
            by_run, failures = self._points.read(to_read)
        for owner in owners:
            run_id = owner.run.run_id
            read = by_run.get(run_id, {})
            failure = failures.get(run_id)
            if failure is None and any(run_id in having[metric] and metric not in read for metric in owner.last):
                failure = missing(run_id)
            yield owner, _points_of(owner, read), failure

    def _of_logged_models(
        self, versions: Sequence[ModelVersion], owners: Sequence[_Owner], experiments: Sequence[str]
    ) -> tuple[Evidence, Unread]:
        """The points that logged models hold, each with the run that logged it."""
        wanted: dict[str, list[VersionKey]] = defaultdict(list)
        for row in versions:
            if match := _LOGGED_MODEL.match(row.source or ""):
                wanted[match[1]].append((row.name, row.version))
        sources = {(owner.run.run_id, owner.key): owner.source for owner in owners}
        sources |= {(row.run_id, (row.name, row.version)): SOURCE_RUN for row in versions if row.run_id}
        evidence: Evidence = defaultdict(list)
        answers, failures = read_each(
            self._calls,
            [
                (lambda ids: list(self._registry.logged_models(ids, experiments)), batch)
                for batch in batches(sorted(wanted), MODELS_A_CALL, MODELS_A_CALL, lambda _: 1)
            ],
        )
        for logged in (logged_model for answer in answers for logged_model in answer):
            for key in wanted[logged.model_id]:
                for point in logged.metrics or ():
                    source = sources.get((point.run_id, key), LOGGED_MODEL)
                    evidence[key].append(rows.metric_point(point.run_id, point, source))
        return evidence, {key: error for model_id, error in failures.items() for key in wanted[model_id]}


def _points_of(owner: _Owner, read: Mapping[str, Sequence[tuple[int, int, float | None]]]) -> list[MetricPoint]:
    run_id, source = owner.run.run_id, owner.source
    evidence = []
    for metric, points in read.items():
        if is_own(metric):
            continue
        cases = {(time, step): value for time, step, value in sorted(read.get(f"{CASES}{metric}", ()), key=str)}
        for time, step, value in points:
            order = rows.own_step(step, time) if source == MONITOR_RUN else step
            n = cases.get((time, step)) if source == MONITOR_RUN else None
            evidence.append(MetricPoint(run_id, metric, time, value, source, order, int(n) if n else None))
    return evidence


def _is_read(metric: str, source: str, wanted: Collection[str]) -> bool:
    """Whether the history of a metric is read, for its values or as the number of cases behind those of another."""
    if source == MONITOR_RUN:
        metric = metric.removeprefix(CASES)
    return metric in wanted if wanted else not is_own(metric)
