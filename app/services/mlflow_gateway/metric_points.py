"""Reading metric points: every point of some metrics of some runs.

MLflow has two calls that read a metric of a hundred runs. The one of its pages, under /ajax-api, is one query to the
database; the documented one, under /api, is two for each run and takes up to thirty times as long (docs/decisions).
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote_plus

from app.domain.errors import MlflowUnavailable, TowerError
from app.services.mlflow_gateway import rows
from app.services.mlflow_gateway.batches import batches, read_each, room_for
from app.services.mlflow_gateway.calls import Calls
from app.services.mlflow_gateway.client import Connection

# Time in milliseconds, step, value.
Point = tuple[int, int, float | None]
Answer = tuple[str, list[tuple[str, Point]]]

_RUNS_A_CALL = 100
_PATH = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
# The most points that it gives: there may be more.
_POINTS_A_CALL = 25_000
# Where a proxy lets only /api through. Of a run it gives so many points at most; beyond, a sample.
_API_PATH = "/api/2.0/mlflow/metrics/get-history-bulk-interval"
_POINTS_A_RUN = 2500


class MetricPoints:
    """The points of metrics, by run and metric."""

    def __init__(self, connection: Connection, calls: Calls) -> None:
        self._connection = connection
        self._calls = calls
        self._only_api = False

    def requests(self, wanted: Mapping[str, Sequence[str]]) -> int:
        """How many requests a reading takes, where no history is very long."""
        return len(self._work(wanted))

    def read(
        self, wanted: Mapping[str, Sequence[str]]
    ) -> tuple[dict[str, dict[str, list[Point]]], dict[str, TowerError]]:
        """The points of each wanted metric of some runs, and which runs could not be read, with the reason."""
        answers, failures = read_each(self._calls, self._work(wanted))
        found: dict[str, dict[str, list[Point]]] = defaultdict(lambda: defaultdict(list))
        for metric, points in answers:
            for run_id, point in points:
                found[run_id][metric].append(point)
        return found, failures

    def _work(self, wanted: Mapping[str, Sequence[str]]) -> list[Any]:
        return [
            (partial(self._of_runs, metric), batch)
            for metric, run_ids in wanted.items()
            for batch in batches(run_ids, _RUNS_A_CALL, self._room(metric), _bytes)
        ]

    def _room(self, metric: str) -> int:
        fixed = [("metric_key", metric), ("max_results", str(_POINTS_A_CALL))]
        return room_for(self._connection.uri, max(_PATH, _API_PATH, key=len), fixed)

    def _of_runs(self, metric: str, run_ids: Sequence[str]) -> Answer:
        read = self._read_http if self._connection.is_http else self._read_store
        found, cut = self._calls.call(read, run_ids, metric)
        if not cut:
            return metric, found
        if len(run_ids) == 1:
            return metric, self._whole(run_ids[0], metric)
        # Of the runs that came whole nothing is read again.
        found = [(run_id, point) for run_id, point in found if run_id not in cut]
        rest = [run_id for run_id in run_ids if run_id in cut]
        for some in (rest[:1], rest[1:]):
            found += self._of_runs(metric, some)[1] if some else []
        return metric, found

    def _whole(self, run_id: str, metric: str) -> list[tuple[str, Point]]:
        history = self._calls.call(self._connection.client().get_metric_history, run_id, metric)
        return [(run_id, (row.timestamp, row.step, rows.number(row.value))) for row in history]

    def _read_store(self, run_ids: Sequence[str], metric: str) -> tuple[list[tuple[str, Point]], set[str]]:
        found = [
            (row.run_id, (row.timestamp, row.step, rows.number(row.value)))
            for row in self._connection.store().get_metric_history_bulk(list(run_ids), metric, _POINTS_A_CALL)
        ]
        return found, _cut(run_ids, found)

    def _read_http(self, run_ids: Sequence[str], metric: str) -> tuple[list[tuple[str, Point]], set[str]]:
        # MLflow's client has no call for these endpoints of its server's.
        from mlflow.utils.rest_utils import http_request, verify_rest_response  # noqa: PLC0415

        def ask(path: str, name: str, most: int) -> Any:
            params = [(name, run_id) for run_id in run_ids]
            params += [("metric_key", metric), ("max_results", str(most))]
            creds = self._connection.store().get_host_creds()
            return http_request(creds, path, "GET", params=params)  # type: ignore[no-untyped-call]

        if not self._only_api:
            answer = ask(_PATH, "run_id", _POINTS_A_CALL)
            if not _is_not_there(answer):
                found = _points(json.loads(verify_rest_response(answer, _PATH).text)["metrics"])
                return found, _cut(run_ids, found)
            self._only_api = True
        body = json.loads(verify_rest_response(ask(_API_PATH, "run_ids", _POINTS_A_RUN), _API_PATH).text)
        found = _points(body.get("metrics", []))
        return found, _sampled(found)


def _bytes(run_id: str) -> int:
    return len("run_ids=&") + len(quote_plus(run_id))


def _points(found: Sequence[Mapping[str, Any]]) -> list[tuple[str, Point]]:
    """Points as the endpoints write them: numbers may come as text, NaN too; zeros may be left out."""
    return [
        (
            row["run_id"],
            (int(row.get("timestamp") or 0), int(row.get("step") or 0), rows.number(row.get("value") or 0)),
        )
        for row in found
    ]


def _cut(run_ids: Sequence[str], found: Sequence[tuple[str, Point]]) -> set[str]:
    """The runs that an answer may hold no points of, or not all: it comes by run and ends at its longest."""
    if len(found) < _POINTS_A_CALL:
        return set()
    return set(run_ids) - {run_id for run_id, _ in found} | {found[-1][0]}


def _sampled(found: Sequence[tuple[str, Point]]) -> set[str]:
    counts: dict[str, int] = defaultdict(int)
    for run_id, _ in found:
        counts[run_id] += 1
    return {run_id for run_id, count in counts.items() if count >= _POINTS_A_RUN}


def _is_not_there(answer: Any) -> bool:
    if answer.status_code == 404:  # noqa: PLR2004 - HTTP's
        return "RESOURCE_DOES_NOT_EXIST" not in answer.text
    return answer.status_code == 200 and not answer.text.lstrip().startswith("{")  # noqa: PLR2004 - HTTP's


def missing(run_id: str) -> TowerError:
    """Of a run that is listed with a last value, and of which MLflow gives no point."""
    return MlflowUnavailable(f"MLflow lists metrics of the run {run_id} and gives no points of it. Try again later.")
