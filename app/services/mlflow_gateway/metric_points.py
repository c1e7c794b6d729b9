"""Reads metric points: every point of some metrics of some runs.

MLflow has two endpoints that read a metric of a hundred runs. The endpoint of its pages, under /ajax-api, makes a
single query to the database. The documented endpoint, under /api, makes two for each run and takes up to thirty times
as long (docs/decisions).
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
from app.services.mlflow_gateway.client import MlflowConnection
from app.services.mlflow_gateway.pages import read_all

# A point: time in milliseconds, step, value.
Point = tuple[int, int, float | None]
Answer = tuple[str, list[tuple[str, Point]]]

_RUNS_A_CALL = 100
_PATH = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
# The most points in an answer. An answer of this length may be incomplete.
_POINTS_A_CALL = 25_000
# How much longer a reading may take for each page of a history that is longer than that.
_A_PAGE_SECONDS = 6.0
# For proxies that let only /api through. Of a run with more points than this, the endpoint gives a sample.
_API_PATH = "/api/2.0/mlflow/metrics/get-history-bulk-interval"
_POINTS_A_RUN = 2500


class MetricPoints:
    """Reads the points of metrics, by run and metric."""

    def __init__(self, connection: MlflowConnection, calls: Calls) -> None:
        self._connection = connection
        self._calls = calls
        self._only_api = False

    def requests(self, wanted: Mapping[str, Sequence[str]]) -> int:
        """The number of requests that a reading takes, if no history is very long."""
        return len(self._work(wanted))

    def read(
        self, wanted: Mapping[str, Sequence[str]]
    ) -> tuple[dict[str, dict[str, list[Point]]], dict[str, TowerError]]:
        """The points by run and metric, and the runs that could not be read. `wanted` names the runs by metric."""
        answers, failures = read_each(self._calls, self._work(wanted))
        by_run: dict[str, dict[str, list[Point]]] = defaultdict(lambda: defaultdict(list))
        for metric, points in answers:
            for run_id, point in points:
                by_run[run_id][metric].append(point)
        return by_run, failures

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
        points, cut = self._calls.call(read, run_ids, metric)
        if not cut:
            return metric, points
        if len(run_ids) == 1:
            return metric, self._whole(run_ids[0], metric)
        # Runs whose points are complete are not read again.
        points = [(run_id, point) for run_id, point in points if run_id not in cut]
        rest = [run_id for run_id in run_ids if run_id in cut]
        for part in (rest[:1], rest[1:]):
            points += self._of_runs(metric, part)[1] if part else []
        return metric, points

    def _whole(self, run_id: str, metric: str) -> list[tuple[str, Point]]:
        """A long history, page by page: MLflow takes seconds for a page, so each has a call's time of its own."""

        def page(max_results: int, page_token: str | None) -> Any:
            self._calls.prolong(_A_PAGE_SECONDS)
            store = self._connection.store()
            return self._calls.call(
                store.get_metric_history, run_id, metric, max_results=max_results, page_token=page_token
            )

        history = read_all(lambda search, **size: search(**size), page, _POINTS_A_CALL, _place)
        return [(run_id, (row.timestamp, row.step, rows.number(row.value))) for row in history]

    def _read_store(self, run_ids: Sequence[str], metric: str) -> tuple[list[tuple[str, Point]], set[str]]:
        points = [
            (row.run_id, (row.timestamp, row.step, rows.number(row.value)))
            for row in self._connection.store().get_metric_history_bulk(list(run_ids), metric, _POINTS_A_CALL)
        ]
        return points, _cut(run_ids, points)

    def _read_http(self, run_ids: Sequence[str], metric: str) -> tuple[list[tuple[str, Point]], set[str]]:
        # MLflow's client has no method for these endpoints of its server.
        from mlflow.utils.rest_utils import http_request, verify_rest_response  # noqa: PLC0415 - it loads mlflow

        def ask(path: str, name: str, most: int) -> Any:
            params = [(name, run_id) for run_id in run_ids]
            params += [("metric_key", metric), ("max_results", str(most))]
            creds = self._connection.store().get_host_creds()
            return http_request(creds, path, "GET", params=params)  # type: ignore[no-untyped-call]  # of mlflow

        if not self._only_api:
            answer = ask(_PATH, "run_id", _POINTS_A_CALL)
            if not _is_not_there(answer):
                points = _points(json.loads(verify_rest_response(answer, _PATH).text)["metrics"])
                return points, _cut(run_ids, points)
            self._only_api = True
        body = json.loads(verify_rest_response(ask(_API_PATH, "run_ids", _POINTS_A_RUN), _API_PATH).text)
        points = _points(body.get("metrics", []))
        return points, _sampled(points)


def _bytes(run_id: str) -> int:
    return len("run_ids=&") + len(quote_plus(run_id))


def _points(metrics: Sequence[Mapping[str, Any]]) -> list[tuple[str, Point]]:
    """The points of an answer. Numbers and NaN may be written as text, and zeros may be left out."""
    return [
        (
            row["run_id"],
            (int(row.get("timestamp") or 0), int(row.get("step") or 0), rows.number(row.get("value") or 0)),
        )
        for row in metrics
    ]


def _cut(run_ids: Sequence[str], points: Sequence[tuple[str, Point]]) -> set[str]:
    """The runs whose points may be missing from an answer, which is sorted by run and cut at a maximum length."""
    if len(points) < _POINTS_A_CALL:
        return set()
    return set(run_ids) - {run_id for run_id, _ in points} | {points[-1][0]}


def _place(row: Any) -> tuple[int, int, str]:
    return row.timestamp, row.step, repr(row.value)


def _sampled(points: Sequence[tuple[str, Point]]) -> set[str]:
    counts: dict[str, int] = defaultdict(int)
    for run_id, _ in points:
        counts[run_id] += 1
    return {run_id for run_id, count in counts.items() if count >= _POINTS_A_RUN}


def _is_not_there(answer: Any) -> bool:
    if answer.status_code == 404:  # noqa: PLR2004 - HTTP's
        return "RESOURCE_DOES_NOT_EXIST" not in answer.text
    return answer.status_code == 200 and not answer.text.lstrip().startswith("{")  # noqa: PLR2004 - HTTP's


def missing(run_id: str) -> TowerError:
    """The error for a run that is listed with a last value, but for which MLflow gives no points."""
    return MlflowUnavailable(f"MLflow lists metrics of the run {run_id} and gives no points of it. Try again later.")
