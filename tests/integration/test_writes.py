"""Many observations at once, and answers that are lost: on a real MLflow, whose database is SQLite."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests
from mlflow import MlflowClient

from tests.contract.real_world import RealWorld
from tests.exposition import figure, figures
from tests.servers import Proxy, Tower, agents, tower, until

AT_ONCE = 300


def points(mlflow: str, run_ids: set[str]) -> list[float]:
    """The values that MLflow has of these monitor runs."""
    client = MlflowClient(mlflow, mlflow)
    return sorted(point.value for run_id in run_ids for point in client.get_metric_history(run_id, "accuracy"))


def run_of(running: Tower, name: str) -> str:
    return str(running.get(f"/models/{name}/1/monitor").json()["monitor_run_id"])


def waiting_and_limit(running: Tower) -> tuple[float, float]:
    found = figures(running.get("/metrics").content)
    return figure(found, "writes_waiting"), figure(found, "writes_limit")


@pytest.mark.parametrize("models", [1, 30])
def test_of_300_observations_at_once_none_is_lost_and_none_fails_and_what_is_sent_again_counts_once(
    tmp_path: Path, mlflow_url: str, models: int
) -> None:
    world, names = RealWorld(mlflow_url), [f"rush-{models}-{number}" for number in range(models)]
    for name in names:
        world.add_version(name)
    with tower(
        tmp_path, mlflow_url, MONITORING_EXPERIMENT=f"rush-{models}", CHECK_INTERVAL_MINUTES="0", forked=True
    ) as running:
        assert {running.register(name).status_code for name in names} == {201}
        run_ids = {run_of(running, name) for name in names}

        def send(number: int) -> requests.Response:
            body = {"id": f"batch {number}", "metrics": {"accuracy": number / 1000}}
            return running.post(f"/models/{names[number % models]}/1/observations", json=body)

        with ThreadPoolExecutor(AT_ONCE) as pool:
            start = threading.Barrier(AT_ONCE)

            def send_with_all(number: int) -> requests.Response:
                start.wait()
                return send(number)

            left = dict(enumerate(pool.map(send_with_all, range(AT_ONCE))))
            while left:
                assert {answer.status_code for answer in left.values()} <= {201, 503}
                left = {number: answer for number, answer in left.items() if answer.status_code == 503}
                assert all(int(answer.headers["Retry-After"]) >= 1 for answer in left.values())
                left = dict(zip(left, pool.map(send, left), strict=True))
            expected = [number / 1000 for number in range(AT_ONCE)]
            assert points(mlflow_url, run_ids) == expected
            until(lambda: waiting_and_limit(running) in {(0, limit) for limit in (1, 2, 3, 4)}, "an empty queue")
            assert {send(number).status_code for number in range(0, AT_ONCE, 10)} == {201}
            assert points(mlflow_url, run_ids) == expected


def test_what_mlflow_took_before_the_agent_was_killed_counts_once_when_it_is_sent_again(
    tmp_path: Path, mlflow_url: str
) -> None:
    RealWorld(mlflow_url).add_version("cut")
    body: dict[str, Any] = {"id": "batch 1", "observations": [{"metrics": {"accuracy": n}} for n in range(3)]}
    with closing(Proxy(mlflow_url)) as between:
        settings = {"MONITORING_EXPERIMENT": "cutting", "CHECK_INTERVAL_MINUTES": "0"}
        with tower(tmp_path, between.url, workers=2, forked=True, **settings) as running, ThreadPoolExecutor(1) as pool:
            assert running.register("cut").status_code == 201
            run_ids = {run_of(running, "cut")}
            between.loses = b"accuracy"
            lost = pool.submit(running.post, "/models/cut/1/observations", json=body)
            until(lambda: between.held)
            for agent in agents(running):
                os.kill(agent, signal.SIGKILL)
            assert lost.result().status_code == 500
            assert points(mlflow_url, run_ids) == [0, 1, 2]
            between.loses = b""
            again = until(lambda: taken(running.post("/models/cut/1/observations", json=body)))
            assert again.json() == {"accepted": 3}
            assert points(mlflow_url, run_ids) == [0, 1, 2]
            other = running.post("/models/cut/1/observations", json={"id": "batch 1", "metrics": {"accuracy": 1}})
            assert other.status_code == 409


def taken(answer: requests.Response) -> requests.Response | None:
    return answer if answer.status_code == 201 else None
