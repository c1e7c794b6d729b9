"""Several hosts through Redis: what they ask of MLflow, how soon all show a change, and what that costs a request."""

import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from mlflow import MlflowClient

from bench import load, world
from bench.freshness import SECRET, deliver
from bench.report import Line
from bench.serving import until_answered
from tests.servers import ROOT, Proxy, Redis, Tower, redis_server, tower, until

_POLLS = {"CHANGE_POLL_SECONDS": "3", "ALIAS_POLL_SECONDS": "5", "CHECK_INTERVAL_MINUTES": "0.25"}
# Polls are spread by chance, so that in one minute either may have some more.
_WATCHED_SECONDS = 180
_CHANGES = 100


def hosts(rounds: int) -> list[Line]:
    """Three hosts beside one, on the same MLflow."""
    with world.mlflow_with(334) as (mlflow, folder), redis_server(folder / "redis") as redis:
        return [
            _requests(mlflow, redis, folder),
            *_spread(mlflow, redis, folder),
            _processor(mlflow, redis, folder, rounds),
        ]


def new_host(rounds: int, models: int) -> list[Line]:
    """The start of a host that has nothing, where Redis has everything."""
    found = []
    with world.mlflow_with(models) as (mlflow, folder), redis_server(folder / "redis") as redis:
        settings = {**world.QUIET, **world.PATIENT}
        with _hosts(mlflow, redis, folder / "first", 1, **settings) as (first,):
            body = first.get("/models").content
            # The first host goes on to record the registry's history, which is also in Redis then.
            until(lambda: first.get(f"/fleet?page_size=1&at={_now()}").ok, "the record of the history")
            with world.bare(folder / "bare", body, workers=2):
                pass
            for number in range(rounds):
                bare = until_answered(
                    "bench.bare:app", folder / "bare" / "bare.conf.py", folder, BARE_BODY=str(folder / "bare" / "body")
                )
                with tempfile.TemporaryDirectory(prefix="h-", dir="/tmp") as temporary:
                    ours = until_answered(
                        "wsgi:app", ROOT / "gunicorn.conf.py", folder, page="/readyz",
                        MLFLOW_TRACKING_URI=mlflow, REDIS_URL=redis.url, TMPDIR=temporary,
                        CACHE_DIRECTORY=str(folder / f"cache-{number}"), **settings,
                    )  # fmt: skip
                found.append(ours - bare)
    return [
        Line(f"a new host with {models * 3} versions in Redis: ready later than a bare Flask's start", 3, found, "s")
    ]


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextmanager
def _hosts(mlflow: str, redis: Redis | None, folder: Path, count: int, **settings: str) -> Iterator[list[Tower]]:
    with ExitStack() as stack:
        made = []
        for number in range(count):
            temporary = stack.enter_context(tempfile.TemporaryDirectory(prefix="h-", dir="/tmp"))
            own = {"TMPDIR": temporary, **({"REDIS_URL": redis.url} if redis else {}), **settings}
            started = tower(folder / str(number), mlflow, workers=2, **own)
            made.append(stack.enter_context(started))
        if redis:
            until(lambda: all(host.get("/health").json()["hosts"]["alive"] == count for host in made), "all hosts")
        yield made


def _requests(mlflow: str, redis: Redis, folder: Path) -> Line:
    """Polls, checks and `/health` of three hosts and of one, at the same time."""
    settings = {**_POLLS, "CACHE_REFRESH_INTERVAL_MINUTES": "0.5", "MONITORING_EXPERIMENT": "requests"}
    with (
        closing(Proxy(mlflow)) as before_three,
        closing(Proxy(mlflow)) as before_one,
        _hosts(before_three.url, redis, folder / "three", 3, **settings) as three,
        _hosts(before_one.url, None, folder / "one", 1, **settings) as one,
    ):
        # A worker asks MLflow itself in its first half minute.
        end = time.monotonic() + 35
        until(lambda: all(host.get("/health").ok for host in [*three, *one]) and time.monotonic() > end, "the start")
        counts = len(before_three.paths), len(before_one.paths)
        end = time.monotonic() + _WATCHED_SECONDS
        until(lambda: all(host.get("/health").ok for host in [*three, *one]) and time.monotonic() > end, "the end")
        of_three, of_one = len(before_three.paths) - counts[0], len(before_one.paths) - counts[1]
    note = f"{of_three} and {of_one} in {_WATCHED_SECONDS} s, with /health asked all the time"
    return Line("MLflow requests a minute of three hosts, of one host's", 1.1, [of_three / of_one], note=note)


def _spread(mlflow: str, redis: Redis, folder: Path) -> list[Line]:
    settings = {**world.QUIET, "CHECK_INTERVAL_MINUTES": "0", "MLFLOW_WEBHOOK_SECRET": SECRET}
    client = MlflowClient(mlflow, mlflow)
    seen: list[float] = []
    lags: list[float] = []
    with _hosts(mlflow, redis, folder / "spread", 3, **settings) as made:
        first, *others = made
        path = "/models/seed-00001/1/monitor"
        # What a host must ask MLflow first waits for the import of mlflow; the first write makes the experiment.
        for host in made:
            assert host.register("seed-00001").ok
            assert host.delete(path).ok
        for number in range(_CHANGES):
            began = time.perf_counter()
            answer = first.register("seed-00001") if number % 2 == 0 else first.delete(path)
            assert answer.ok, answer.text
            for host in others:
                until(lambda h=host, n=number: h.get(f"{path}/status").json()["is_monitored"] == (n % 2 == 0))
            seen.append(time.perf_counter() - began)
        for number in range(_CHANGES):
            client.set_registered_model_alias("seed-00002", "winner", 1 + number % 2)
            lags.append(_lag(made, 1 + number % 2))
    write = "three hosts: from the request of a write until the others show it, the worst of 100"
    snapshot = "three hosts: between the first and the last that show a new snapshot, the worst of 100"
    return [
        Line(write, 1, [max(seen)], "s", note=f"median {statistics.median(seen) * 1000:.0f} ms"),
        Line(snapshot, 0.25, [max(lags)], "s", note=f"median {statistics.median(lags) * 1000:.0f} ms"),
    ]


def _lag(made: list[Tower], version: int) -> float:
    """Between the first host and the last that show an alias on a version."""
    times: list[float] = []

    def watch(host: Tower) -> None:
        def shown() -> bool:
            rows = host.get("/models/all?name=seed-00002&alias=winner").json()
            return [row["version"] for row in rows] == [str(version)]

        while not shown():
            pass
        times.append(time.perf_counter())

    watching = [threading.Thread(target=watch, args=(host,)) for host in made]
    for thread in watching:
        thread.start()
    assert deliver(made[version % len(made)], "seed-00002") == 202
    for thread in watching:
        thread.join()
    return max(times) - min(times)


def _processor(mlflow: str, redis: Redis, folder: Path, rounds: int) -> Line:
    """What `/models` costs with Redis and without, in turns; one worker each."""
    settings = {**world.QUIET, "CHECK_INTERVAL_MINUTES": "0", "WEB_CONCURRENCY": "1", "MONITORING_EXPERIMENT": "cost"}
    with (
        _hosts(mlflow, redis, folder / "with", 1, **settings) as (with_redis,),
        _hosts(mlflow, None, folder / "without", 1, **settings) as (without,),
    ):

        def turn(host: Tower) -> Callable[[], float]:
            return lambda: _microseconds(host)

        turns = [turn(with_redis), turn(without)]
        for each in turns:
            each()
        found = [[each() for each in turns] for _ in range(rounds * 3)]
    ours, theirs = (statistics.median(column) for column in zip(*found, strict=True))
    return Line(
        "processor time of /models with Redis, of that without", 1.05, [a / b for a, b in found],
        note=f"{ours:.0f} µs and {theirs:.0f} µs",
    )  # fmt: skip


def _microseconds(host: Tower) -> float:
    before = world.processor_seconds(host.process.pid)
    answered = load.answered(f"{host.url}/models")
    return (world.processor_seconds(host.process.pid) - before) / answered * 1e6
