"""Freshness: how soon every worker shows a change in MLflow, and what reading MLflow costs."""

import base64
import hashlib
import hmac
import json
import statistics
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise

from mlflow import MlflowClient

from bench import world
from bench.report import Line
from tests.servers import Proxy, Tower, tower, until

SECRET = "a secret for the measurement"
POLLS = {"CHANGE_POLL_SECONDS": "3", "ALIAS_POLL_SECONDS": "5", "CACHE_REFRESH_INTERVAL_MINUTES": "600"}
# A row that every one of so many requests in a row shows is on every worker.
ASKED = 24


def deliver(here: Tower, name: str) -> int:
    """A delivery as MLflow makes it; the status of the answer."""
    body = json.dumps({"entity": "model_version", "action": "created", "data": {"name": name}}).encode()
    delivery, seconds = uuid.uuid4().hex, str(int(time.time()))
    digest = hmac.new(SECRET.encode(), f"{delivery}.{seconds}.".encode() + body, hashlib.sha256).digest()
    headers = {
        "X-MLflow-Delivery-Id": delivery, "X-MLflow-Timestamp": seconds, "Content-Type": "application/json",
        "X-MLflow-Signature": "v1," + base64.b64encode(digest).decode(),
    }  # fmt: skip
    return here.post("/webhooks/mlflow", data=body, headers=headers).status_code


def until_shown(here: Tower, name: str, holds: Callable[[list[dict[str, object]]], bool]) -> float:
    """Seconds until every worker shows it."""
    began = time.perf_counter()
    until(lambda: all(holds(here.get(f"/models/all?name={name}").json()) for _ in range(ASKED)), name)
    return time.perf_counter() - began


def push(rounds: int, models: int) -> list[Line]:
    """From a delivery to every worker, and what a burst of them costs."""
    with world.mlflow_with(models) as (mlflow, folder), closing(Proxy(mlflow)) as proxy:
        settings = {**world.QUIET, **world.PATIENT, "MLFLOW_WEBHOOK_SECRET": SECRET}
        with tower(folder / "tower", proxy.url, workers=4, **settings) as here:
            until(lambda: here.get("/dashboard/summary").json()["total_runs"] is not None)
            client = MlflowClient(mlflow, mlflow)
            found, costs = [], []
            for number in range(4, 4 + rounds):
                client.create_model_version("seed-00007", "mem:/x")
                before = len(proxy.paths)
                assert deliver(here, "seed-00007") == 202
                found.append(until_shown(here, "seed-00007", lambda rows, n=number: len(rows) == n))
                costs.append(float(len(proxy.paths) - before))
            before = len(proxy.paths)
            with ThreadPoolExecutor(16) as pool:
                statuses = set(pool.map(lambda n: deliver(here, f"seed-{n % 200:05d}"), range(1000)))
            assert statuses == {202}
            client.create_model_version("seed-00008", "mem:/x")
            deliver(here, "seed-00008")
            until_shown(here, "seed-00008", lambda rows: len(rows) == 4)
            burst = float(len(proxy.paths) - before)
    size = f"{models * 3} versions"
    return [
        Line(f"{size}: on every worker after a delivery", 1, found, "s"),
        Line(f"{size}: MLflow requests for one changed version", 4, costs, ""),
        Line(f"{size}: MLflow requests for 1000 deliveries about 200 models", None, [burst], ""),
    ]


def poll(rounds: int, models: int) -> list[Line]:
    """From a change to every worker without deliveries, each kind by the poll that finds it."""
    with world.mlflow_with(models) as (mlflow, folder), tower(folder / "tower", mlflow, workers=4, **POLLS) as here:
        client = MlflowClient(mlflow, mlflow)
        changes: list[float] = []
        aliases: list[float] = []
        for number in range(rounds):
            name, other = f"seed-{number:05d}", f"renamed-{number:05d}"
            client.create_model_version(name, "mem:/x")
            changes.append(until_shown(here, name, lambda rows: len(rows) == 4))
            client.transition_model_version_stage(name, "1", "Production")
            changes.append(until_shown(here, name, lambda rows: rows[-1]["stage"] == "Production"))
            client.update_model_version(name, "1", "text")
            changes.append(until_shown(here, name, lambda rows: rows[-1]["description"] == "text"))
            client.delete_model_version(name, "2")
            changes.append(until_shown(here, name, lambda rows: len(rows) == 3))
            client.set_registered_model_alias(name, "x", "1")
            aliases.append(until_shown(here, name, lambda rows: "x" in str(rows[-1]["aliases"])))
            client.rename_registered_model(name, other)
            changes.append(until_shown(here, other, lambda rows: len(rows) == 3))
            client.delete_registered_model(other)
            aliases.append(until_shown(here, other, lambda rows: rows == []))
    return [
        Line("new version, stage, description, deletion, rename: on every worker, poll of 3 s", 5, changes, "s"),
        Line("alias, deleted model: on every worker, poll of 5 s", 7, aliases, "s"),
    ]


def link(rounds: int) -> list[Line]:
    """A sweep over a slow link."""
    with (
        world.mlflow_with(262) as (mlflow, folder),
        closing(Proxy(mlflow)) as proxy,
        tower(folder / "tower", proxy.url, workers=2, **world.QUIET) as here,
    ):
        proxy.delay = 0.18
        found = [_swept(here) for _ in range(rounds)]
    note = "the old service: 190 s, by its own log"
    return [Line("sweep of 786 versions over a link of 180 ms a request", 3.5, found, "s", note=note)]


def cost(rounds: int, sizes: list[int]) -> list[Line]:
    """A sweep beside the bare MLflow calls that it makes, and how both and the memory grow."""
    lines: list[Line] = []
    seconds: dict[int, float] = {}
    memory: dict[int, float] = {}
    for size in sizes:
        settings = {**world.QUIET, **world.PATIENT}
        with (
            world.mlflow_with(size // 3) as (mlflow, folder),
            tower(folder / "tower", mlflow, workers=2, **settings) as here,
        ):
            pairs = []
            # The first of each is left out, and each comes first in turn: MLflow answers the second sooner.
            for number in range(-1, max(rounds, rounds * 5_000 // size)):
                if number % 2:
                    bare_took = world.bare_sweep(mlflow)
                ours = _swept(here)
                if not number % 2:
                    bare_took = world.bare_sweep(mlflow)
                if number >= 0:
                    pairs.append((ours, bare_took))
            here.get("/models/all")
            memory[size] = world.memory_of(here.process.pid)
        seconds[size] = statistics.median(ours for ours, _ in pairs)
        bare = statistics.median(theirs for _, theirs in pairs)
        note = f"{seconds[size]:.2f} s and {bare:.2f} s; {memory[size]:.0f} MB"
        lines.append(
            Line(f"sweep of {size} versions, of the bare MLflow calls' time", 1.3, [a / b for a, b in pairs], note=note)
        )
    # The smallest is left out: there what each request costs by itself weighs most.
    first, last = sizes[-3], sizes[-1]
    growth = (seconds[last] / last) / (seconds[first] / first)
    each = [(memory[b] - memory[a]) * 1024 / (b - a) for a, b in pairwise(sizes)]
    lines.append(Line(f"time a version at {last} versions, of that at {first}", 1.5, [growth]))
    lines.append(Line("memory of the tree a version added, between the sizes", None, each, "kB"))
    return lines


def _swept(here: Tower) -> float:
    answer = here.post("/cache/refresh")
    assert answer.status_code == 200, answer.text
    return float(here.get("/cache/info").json()["refresh"]["duration_seconds"])
