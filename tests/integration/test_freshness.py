"""Freshness on the real thing: MLflow's own deliveries, the polls, and the process that does it killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.contract.real_world import RealWorld
from tests.servers import HANGS_AFTER_SECONDS, QUIET, ROOT, Proxy, Tower, clean_environment, tower, until

SECRET = "a secret of enough characters"
# No sweep comes in between: what shows was found by a poll or a push.
SETTINGS = {"CHANGE_POLL_SECONDS": "2", "ALIAS_POLL_SECONDS": "2", "CACHE_REFRESH_INTERVAL_MINUTES": "600"}
WORKERS_ASKED = 20
FIRST_OF_A_POLL = "registered-models/search"
WRITING_HISTORY = ("runs/search", "runs/log-batch")


def seen_by_all(running: Tower, name: str, holds: Callable[[list[dict[str, Any]]], bool]) -> bool:
    # No test that shares this MLflow has a model whose name contains this one.
    answers = [running.get(f"/models/all?name={name}").json() for _ in range(WORKERS_ASKED)]
    return all(holds(answer) for answer in answers)


@pytest.fixture(scope="module")
def polling(tmp_path_factory: pytest.TempPathFactory, mlflow_url: str) -> Iterator[Tower]:
    """A tower of four workers that polls every two seconds, and sweeps never again."""
    settings = SETTINGS | {"MONITORING_EXPERIMENT": "polling"}
    with tower(tmp_path_factory.mktemp("polling"), mlflow_url, 4, forked=True, **settings) as running:
        yield running


CHANGES: dict[str, tuple[Callable[[RealWorld], object], Callable[[list[dict[str, Any]]], bool]]] = {
    "a new version": (lambda w: w.add_version("polled", {"accuracy": 0.7}), lambda rows: len(rows) == 3),
    "its metrics": (lambda w: None, lambda rows: rows[0]["metrics"] == {"accuracy": 0.7}),
    "a stage": (lambda w: w.set_stage("polled", 1, "Staging"), lambda rows: rows[-1]["stage"] == "Staging"),
    "a description": (lambda w: w.describe_version("polled", 1, "x"), lambda rows: rows[-1]["description"] == "x"),
    "a deleted version": (lambda w: w.delete_version("polled", 2), lambda rows: len(rows) == 2),
    "an alias": (lambda w: w.set_alias("polled", "a", 1), lambda rows: rows[-1]["aliases"] == ["a"]),
    "an alias that is gone": (lambda w: w.delete_alias("polled", "a"), lambda rows: rows[-1]["aliases"] == []),
    "another name": (lambda w: w.rename("polled", "polled-2"), lambda rows: {r["name"] for r in rows} == {"polled-2"}),
    "a model that is gone": (lambda w: w.delete_model("polled-2"), lambda rows: rows == []),
}


def test_what_changes_in_mlflow_shows_on_every_worker_with_the_next_poll(polling: Tower, mlflow_url: str) -> None:
    world = RealWorld(mlflow_url)
    for _ in range(2):
        world.add_version("polled")
    until(lambda: seen_by_all(polling, "polled", lambda rows: len(rows) == 2))
    for what, (change, holds) in CHANGES.items():
        change(world)
        until(lambda holds=holds: seen_by_all(polling, "polled", holds), what=what)  # type: ignore[misc]


def test_when_the_process_that_talks_to_mlflow_is_killed_another_does_and_nothing_is_lost(
    polling: Tower, mlflow_url: str
) -> None:
    world = RealWorld(mlflow_url)
    world.add_version("survivor")
    until(lambda: seen_by_all(polling, "survivor", lambda rows: len(rows) == 1))
    pid = int(polling.get("/cache/info").json()["refresh"]["process"].rpartition(":")[2])
    with ThreadPoolExecutor(8) as pool:
        statuses = [pool.submit(lambda: polling.get("/models").status_code) for _ in range(200)]
        os.kill(pid, signal.SIGKILL)
        world.add_version("survivor")
        until(lambda: not Path(f"/proc/{pid}").exists() or Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z")
        # A write waits for the new process: 15 s, in which it starts but where a machine is very busy. 400: it is done.
        until(lambda: polling.register("survivor", 1).status_code in {201, 400}, "a registration")
        assert {status.result() for status in statuses} == {200}
    until(lambda: seen_by_all(polling, "survivor", lambda rows: len(rows) == 2))
    assert polling.get("/models/survivor/1/monitor/status").json()["is_monitored"]
    until(lambda: polling.get("/health").json()["status"] == "healthy")


def test_one_changed_version_costs_at_most_four_requests_whatever_the_size(tmp_path: Path, mlflow_url: str) -> None:
    settings = QUIET | {"CHANGE_POLL_SECONDS": "1"}
    with closing(Proxy(mlflow_url)) as proxy, tower(tmp_path, proxy.url, forked=True, **settings) as running:
        until(lambda: running.get("/dashboard/summary").json()["total_runs"] is not None)
        world = RealWorld(mlflow_url)
        experiment = world.add_experiment("another experiment")
        run = world.add_run({"accuracy": 0.25}, experiment=experiment)
        world.client.create_registered_model("counted")
        # The next poll sees the registered model. It has ended when another begins.
        before = len(polls_in(proxy))
        until(lambda: len(polls_in(proxy)) >= before + 2, "two polls")
        # A poll is held, so that whole polls are counted from there on.
        proxy.gate.clear()
        until(lambda: proxy.held, "a poll")
        world.client.create_model_version("counted", "mem:/x", run_id=run)
        first = polls_in(proxy)[-1]
        proxy.gate.set()
        until(lambda: seen_by_all(running, "counted", lambda rows: rows != []))
        polls = polls_in(proxy)
        until(lambda: len(polls_in(proxy)) > len(polls), "one more poll")
        # The registrations and the number of runs are read by jobs of their own, whatever changed.
        counted = [path for path in proxy.paths[first : polls_in(proxy)[len(polls)]] if "/experiments/" not in path]
        # So is the history of the registry written: a look at its newest run and one write for each poll that saw a
        # change, and for the poll before. The look of the last one may come here, and its write later.
        history = [path for path in counted if path.endswith(WRITING_HISTORY)]
        polled = sum(path.endswith(FIRST_OF_A_POLL) for path in counted)
        assert len(history) <= 2 * (polled + 1)
        assert len(counted) - len(history) - 2 * polled <= 4
        row = running.get("/models/all?name=counted").json()[0]
        assert row["metrics"] == {"accuracy": 0.25}


def polls_in(proxy: Proxy) -> list[int]:
    """Where polls begin among the requests."""
    return [place for place, path in enumerate(list(proxy.paths)) if path.endswith(FIRST_OF_A_POLL)]


def test_what_mlflow_delivers_shows_on_every_worker(tmp_path: Path, delivering_url: str) -> None:
    world = RealWorld(delivering_url)
    with tower(tmp_path, delivering_url, MLFLOW_WEBHOOK_SECRET=SECRET, forked=True, **QUIET) as running:
        commanded = flask(tmp_path, delivering_url, "webhooks", "register", "--url", f"{running.url}/webhooks/mlflow")
        assert commanded.returncode == 0, commanded.stderr
        world.add_model("pushed")
        for version in (1, 2, 3):
            world.client.create_model_version("pushed", "mem:/x")
            until(lambda v=version: seen_by_all(running, "pushed", lambda rows: len(rows) == v))  # type: ignore[misc]
        world.set_alias("pushed", "champion", 3)
        until(lambda: seen_by_all(running, "pushed", lambda rows: rows[0]["aliases"] == ["champion"]))
        push = running.get("/cache/info").json()["freshness"]["push"]
        assert (push["last_error"], push["mlflow_requests"]) == (None, 2)
        assert SECRET not in running.text()


def flask(folder: Path, mlflow: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = clean_environment(MLFLOW_TRACKING_URI=mlflow, MLFLOW_WEBHOOK_SECRET=SECRET, FLASK_APP="wsgi:app")
    command = [sys.executable, "-m", "flask", *arguments]
    return subprocess.run(
        command,
        cwd=folder,
        env=env | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=HANGS_AFTER_SECONDS,
        check=False,
    )
