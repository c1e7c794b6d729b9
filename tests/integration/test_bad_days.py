"""Bad days: MLflow refuses, hangs or lies; the cache directory is damaged, full or read-only."""

import pickle
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.contract.real_world import RealWorld
from tests.servers import QUIET, SEEDED_MODELS, Proxy, Tower, free_port, tower, until

LIVE = ("drift", "compare?baseline=1&candidate=2")
# Health asks for the experiments.
SEARCH = "experiments/search"


class Left(NamedTuple):
    """What a killed tower left behind: its cache directory; and the models that it had read."""

    cache: Path
    models: list[dict[str, Any]]


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory, between: Proxy) -> Left:
    """What a tower behind the proxy left behind, killed when it had read everything."""
    with tower(tmp_path_factory.mktemp("left"), between.url, workers=2, forked=True, **QUIET) as running:
        until(lambda: running.get("/dashboard/summary").json()["total_runs"] is not None)
        # The fleet, the state of the refresh, the registrations, the count of runs.
        until(lambda: len(files(running.cache)) >= 4)
        models = running.get("/models").json()
        running.kill()
    return Left(running.cache, models)


def restart(
    folder: Path, left: Left, mlflow: str, *, workers: int = 2, ready: bool = True, **settings: str
) -> AbstractContextManager[Tower]:
    """The tower with a copy of the cache directory that was left behind."""
    if not (folder / "cache").exists():
        shutil.copytree(left.cache, folder / "cache")
    return tower(folder, mlflow, workers, ready, forked=True, **QUIET, **settings)


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory, left: Left, between: Proxy) -> Iterator[Tower]:
    """A tower of four workers that gives MLflow little time; what it serves was read when there was more."""
    little = {"MLFLOW_REQUEST_TIMEOUT_SECONDS": "2", "MLFLOW_REQUEST_MAX_RETRIES": "0"}
    with restart(tmp_path_factory.mktemp("impatient"), left, between.url, workers=4, **little) as running:
        yield running


@pytest.fixture
def proxy(between: Proxy) -> Iterator[Proxy]:
    """The proxy before the tower that is impatient; at the end it lets everything pass again."""
    yield between
    between.mode = "up"


# That an answer comes is enough: the proxy holds what it holds for longer than a client here waits.
def test_while_mlflow_hangs_lists_are_served_health_answers_and_live_reads_fail(impatient: Tower, proxy: Proxy) -> None:
    before = proxy.count("experiments/get")
    proxy.mode = "hang"
    with ThreadPoolExecutor(64) as pool:
        hanging = [pool.submit(impatient.get, "/runs/0") for _ in range(60)]
        hanging += [pool.submit(impatient.get, f"/model/seed-00001/{live}") for live in LIVE]
        hanging += [pool.submit(impatient.post, "/cache/refresh")]
        until(lambda: proxy.count("experiments/get") - before >= 8)
        until(lambda: impatient.get("/health").json()["status"] == "degraded")
        assert len(impatient.get("/models").json()) == SEEDED_MODELS
        for answer in hanging:
            done = answer.result()
            assert (done.status_code, set(done.json())) == (500, {"detail"})
    assert len(impatient.get("/models").json()) == SEEDED_MODELS
    assert proxy.held
    proxy.mode = "up"
    until(lambda: impatient.get("/runs/0?limit=1").status_code == 200, "a live read when MLflow answers again")


@pytest.mark.parametrize("mode", ["refuse", "empty", "drip"])
def test_a_failing_or_lying_mlflow_never_empties_the_mirror(impatient: Tower, proxy: Proxy, mode: str) -> None:
    proxy.mode = mode
    assert impatient.post("/cache/refresh").status_code == 500
    assert len(impatient.get("/models").json()) == SEEDED_MODELS
    assert impatient.get("/cache/info").json()["refresh"]["last_error"]


def test_health_asks_mlflow_at_most_once_in_five_seconds_all_workers_together(
    proxied: Tower, proxy_of_all: Proxy
) -> None:
    proxied.get("/health")
    before, counts, began = proxy_of_all.count(SEARCH), proxy_of_all.count("runs/search"), time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: proxied.get("/health").json()["mlflow_connection"], range(60)))
    took = time.monotonic() - began
    assert set(answers) == {"connected"}
    searched = proxy_of_all.count(SEARCH) - before
    # However long it took. Runs are counted some time after a refresh, with one search for experiments beforehand.
    until(lambda: searched - (proxy_of_all.count("runs/search") - counts) <= 1 + took // 5, "no more than that")


def test_after_a_restart_the_first_answers_of_health_are_true(tmp_path: Path, left: Left, proxy: Proxy) -> None:
    with restart(tmp_path, left, proxy.url, ready=False) as again:
        assert {again.get("/health").json()["status"] for _ in range(40)} == {"healthy"}


def test_after_a_restart_with_mlflow_down_the_persisted_snapshot_is_served_and_health_says_so_at_once(
    tmp_path: Path, left: Left, proxy: Proxy
) -> None:
    proxy.mode = "refuse"
    with restart(tmp_path, left, proxy.url, ready=False) as again:
        assert {again.get("/health").json()["status"] for _ in range(40)} == {"degraded"}
        assert again.get("/models").json() == left.models
        assert again.get("/readyz").status_code == 200


def test_with_mlflow_down_and_nothing_cached_the_reason_is_told(tmp_path: Path) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    with tower(tmp_path, nowhere, workers=2, ready=False, MLFLOW_REQUEST_TIMEOUT_SECONDS="1") as running:
        assert running.get("/models").status_code == 500
        # Until the process that asks MLflow is there, that is the reason.
        until(lambda: "MLFLOW_TRACKING_URI" in running.get("/models").json()["detail"], "the reason")
        ready = running.get("/readyz")
        assert (ready.status_code, ready.headers["Retry-After"]) == (503, "5")


def files(cache: Path) -> list[Path]:
    return [path for path in cache.iterdir() if path.is_file()] if cache.exists() else []


class Planted:
    """Would make a file if anybody unpickled it."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.victim,)


def test_damaged_and_planted_cache_files_are_a_miss_and_never_run(tmp_path: Path, left: Left, proxy: Proxy) -> None:
    cache = shutil.copytree(left.cache, tmp_path / "cache")
    victim = tmp_path / "victim"
    damage = [b"", b"\0\0\0\0", b"garbage" * 99, b"\0\0\0\0" + pickle.dumps(Planted(victim))]
    for number, path in enumerate(files(cache)):
        path.write_bytes(damage[number % len(damage)] or path.read_bytes()[:100])
    (cache / "foreign.txt").write_text("not ours")
    with restart(tmp_path, left, proxy.url) as again:
        assert len(again.get("/models").json()) == SEEDED_MODELS
    assert not victim.exists()


def test_a_cache_directory_that_cannot_be_used_costs_only_the_cache(tmp_path: Path, seeded_url: str) -> None:
    (tmp_path / "file").write_text("in the way")
    with tower(
        tmp_path, seeded_url, workers=2, CACHE_DIRECTORY=str(tmp_path / "file" / "cache"), forked=True
    ) as running:
        until(lambda: {len(running.get("/models").json()) for _ in range(10)} == {SEEDED_MODELS})
        assert running.register("seed-00083", 3).status_code == 201
        assert running.register("seed-00083", 3).status_code == 400
        assert running.delete("/models/seed-00083/3/monitor").status_code == 200
        assert "cannot be" in running.text()


def test_four_workers_start_on_a_store_that_does_not_exist_yet_and_its_health_is_true_at_once_after_a_restart(
    tmp_path: Path,
) -> None:
    where = f"sqlite:///{tmp_path}/new/mlflow.db"
    with tower(tmp_path, where, workers=4, forked=True) as running:
        assert {running.get("/models/all").text for _ in range(12)} == {"[]"}
        assert running.get("/health").json()["status"] == "healthy"
    with tower(tmp_path, where, workers=2, ready=False, forked=True) as again:
        assert {again.get("/health").json()["status"] for _ in range(40)} == {"healthy"}


def test_where_nothing_can_be_stored_any_more_every_worker_knows_what_one_did_and_what_mlflow_says(
    tmp_path: Path, mlflow_url: str
) -> None:
    world = RealWorld(mlflow_url)
    world.add_version("unstored")
    settings = {"MONITORING_EXPERIMENT": "unstored", "CHANGE_POLL_SECONDS": "1"}
    with tower(tmp_path, mlflow_url, forked=True, **settings) as running:
        assert running.get("/models/all?name=unstored").json()
        while not running.cache.is_file():
            running.cache.rename(tmp_path / f"moved-{len(list(tmp_path.iterdir()))}")
            with suppress(OSError):
                running.cache.write_text("in the way")
        assert running.register("unstored").status_code == 201
        known = [running.get("/models/unstored/1/monitor/status").json()["is_monitored"] for _ in range(24)]
        assert known == [True] * 24
        sent = [running.post("/models/unstored/1/observations", json={"metrics": {"a": 1}}) for _ in range(12)]
        assert [answer.status_code for answer in sent] == [201] * 12
        world.add_version("unstored")
        until(lambda: {len(running.get("/models/all?name=unstored").json()) for _ in range(24)} == {2})
        assert running.post("/cache/refresh").status_code == 200
        assert {len(running.get("/models/monitored").json()) for _ in range(24)} == {1}
        # What is answered with success holds for every worker from that moment on.
        for versions in range(3, 6):
            world.add_version("unstored")
            assert running.post("/cache/refresh").status_code == 200
            assert {len(running.get("/models/all?name=unstored").json()) for _ in range(12)} == {versions}
            assert running.delete("/models/unstored/1/monitor").status_code == 200
            known = [running.get("/models/unstored/1/monitor/status").json()["is_monitored"] for _ in range(12)]
            assert known == [False] * 12
            assert running.register("unstored").status_code == 201
            assert {len(running.get("/models/monitored").json()) for _ in range(12)} == {1}
        running.cache.unlink()
        until(lambda: running.cache.is_dir() and len(files(running.cache)) >= 66)
