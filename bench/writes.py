"""Writes: many observations at once, against bare calls to MLflow, on PostgreSQL."""

import importlib.util
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests
from mlflow import MlflowClient
from mlflow.entities import Metric

from app.services.monitoring.write_turns import MOST_AT_ONCE
from bench import world
from bench.report import Line
from tests.contract.real_world import RealWorld
from tests.servers import NO_POSTGRES, Tower, mlflow_server, postgres_commands, postgres_server, tower

AT_ONCE = 300


def missing() -> str | None:
    """What has to be installed before this can be measured, and how."""
    if postgres_commands() is None:
        return NO_POSTGRES
    if importlib.util.find_spec("psycopg") is None:
        return "psycopg is not there. Install it: .venv/bin/uv pip install -r pyproject.toml --extra postgresql"
    return None


def at_once(rounds: int) -> list[Line]:
    """300 observations at once, of one version and of 30, with ids and without, against as many bare `log_batch`."""
    lines = []
    with tempfile.TemporaryDirectory(prefix="bench-") as place, postgres_server(Path(place) / "postgres") as store:
        folder = Path(place)
        with mlflow_server(folder / "mlflow", store, "uvicorn") as mlflow:
            names = [f"rush-{number}" for number in range(30)]
            for name in names:
                RealWorld(mlflow).add_version(name)
            with tower(folder / "tower", mlflow, workers=4, CHECK_INTERVAL_MINUTES="0", **world.QUIET) as here:
                for name in names:
                    assert here.register(name).status_code == 201
                for chosen, with_ids in ((names[:1], False), (names, False), (names, True)):
                    lines.append(_compared(rounds, mlflow, here, chosen, with_ids))
    return lines


def _compared(rounds: int, mlflow: str, here: Tower, names: list[str], with_ids: bool) -> Line:
    ours, theirs, late = [], [], 0
    runs = [here.get(f"/models/{name}/1/monitor").json()["monitor_run_id"] for name in names]
    client = MlflowClient(mlflow, mlflow)
    for turn in range(rounds):
        metric = f"of {len(names)} {with_ids} {turn}"

        def bare(number: int, metric: str = metric) -> None:
            at = 1_700_000_000_000 + number
            client.log_batch(runs[number % len(runs)], [Metric(f"bare {metric}", number / 1000, at, at)])

        statuses: list[int] = []

        def send(number: int, turn: int = turn, metric: str = metric, statuses: list[int] = statuses) -> None:
            body = {"metrics": {metric: number / 1000}, **({"id": f"{turn}-{number}"} if with_ids else {})}
            path = f"{here.url}/models/{names[number % len(names)]}/1/observations"
            statuses.append(requests.post(path, json=body, timeout=120).status_code)

        theirs.append(_seconds(MOST_AT_ONCE, bare))
        ours.append(_seconds(AT_ONCE, send))
        assert set(statuses) <= {201, 503}
        late += statuses.count(503)
        written = sum(len(client.get_metric_history(run, metric)) for run in runs)
        assert written == statuses.count(201)
    kind = f"{AT_ONCE} observations at once of {len(names)} version{'s' if len(names) > 1 else ''} on PostgreSQL"
    return Line(
        f"{kind}{', with ids' if with_ids else ''}: time, of as many bare log_batch calls by {MOST_AT_ONCE} threads",
        1 if len(names) == 1 else None,
        [mine / bare for mine, bare in zip(ours, theirs, strict=True)],
        note=f"{min(ours):.2f} s and {min(theirs):.2f} s; {late} of {rounds * AT_ONCE} were a 503",
    )


def _seconds(threads: int, send: Callable[[int], object]) -> float:
    """How long 300 calls take, which so many threads make."""
    start = threading.Barrier(threads + 1)

    def work(first: int) -> None:
        start.wait()
        for number in range(first, AT_ONCE, threads):
            send(number)

    with ThreadPoolExecutor(threads) as pool:
        under_way = [pool.submit(work, first) for first in range(threads)]
        start.wait()
        began = time.perf_counter()
        for future in under_way:
            future.result()
        return time.perf_counter() - began
