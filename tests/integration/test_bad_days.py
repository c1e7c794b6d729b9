"""Bad days: MLflow refuses, hangs or lies; the cache directory is damaged, full or read-only."""

import pickle
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.contract.real_world import RealWorld
from tests.servers import QUIET, Proxy, Tower, free_port, tower, until

LIVE = ("drift", "compare?baseline=1&candidate=2")


@pytest.fixture(scope="module")
def between(seeded_url: str) -> Iterator[Proxy]:
    with closing(Proxy(seeded_url)) as made:
        yield made


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory, between: Proxy) -> Iterator[Tower]:
    """A tower of four workers that gives MLflow little time, and has read it when there was more."""
    folder = tmp_path_factory.mktemp("impatient")
    with tower(folder, between.url, **QUIET) as running:
        until(lambda: running.get("/dashboard/summary").json()["total_runs"] is not None)
    little = {"MLFLOW_REQUEST_TIMEOUT_SECONDS": "2", "MLFLOW_REQUEST_MAX_RETRIES": "0"}
    with tower(folder, between.url, **QUIET, **little) as running:
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
        assert len(impatient.get("/models").json()) == 262
        for answer in hanging:
            done = answer.result()
            assert (done.status_code, set(done.json())) == (500, {"detail"})
    assert len(impatient.get("/models").json()) == 262
    assert proxy.held
    proxy.mode = "up"
    until(lambda: impatient.get("/runs/0?limit=1").status_code == 200, "a live read when MLflow answers again")


@pytest.mark.parametrize("mode", ["refuse", "empty", "drip"])
def test_a_failing_or_lying_mlflow_never_empties_the_mirror(impatient: Tower, proxy: Proxy, mode: str) -> None:
    proxy.mode = mode
    assert impatient.post("/cache/refresh").status_code == 500
    assert len(impatient.get("/models").json()) == 262
    assert impatient.get("/cache/info").json()["refresh"]["last_error"]


def test_health_asks_mlflow_at_most_once_in_five_seconds_all_workers_together(
    proxied: Tower, proxy_of_all: Proxy
) -> None:
    proxied.get("/health")
    before, began = proxy_of_all.count("experiments/search"), time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: proxied.get("/health").json()["mlflow_connection"], range(60)))
    took = time.monotonic() - began
    assert set(answers) == {"connected"}
    # However long it took.
    assert proxy_of_all.count("experiments/search") - before <= 1 + took // 5


def test_with_mlflow_down_a_restart_serves_the_persisted_snapshot_at_once(tmp_path: Path, proxy: Proxy) -> None:
    with tower(tmp_path, proxy.url) as running:
        before = running.get("/models").json()
        running.kill()
    proxy.mode = "refuse"
    with tower(tmp_path, proxy.url) as again:
        assert again.get("/models").json() == before
        assert again.get("/health").json()["status"] == "degraded"


@pytest.mark.parametrize("store", ["server", "sqlite"])
def test_after_a_restart_the_first_answers_of_health_are_true(tmp_path: Path, seeded_url: str, store: str) -> None:
    where = seeded_url if store == "server" else f"sqlite:///{tmp_path}/mlflow.db"
    with tower(tmp_path, where, workers=2):
        pass
    with tower(tmp_path, where, workers=2, ready=False) as again:
        assert {again.get("/health").json()["status"] for _ in range(40)} == {"healthy"}


def test_after_a_restart_with_mlflow_down_the_first_answers_of_health_say_so(tmp_path: Path, proxy: Proxy) -> None:
    with tower(tmp_path, proxy.url, workers=2):
        pass
    proxy.mode = "refuse"
    with tower(tmp_path, proxy.url, workers=2, ready=False) as again:
        assert {again.get("/health").json()["status"] for _ in range(40)} == {"degraded"}


def test_with_mlflow_down_and_nothing_cached_the_reason_is_told(tmp_path: Path) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    with tower(tmp_path, nowhere, workers=2, ready=False, MLFLOW_REQUEST_TIMEOUT_SECONDS="1") as running:
        assert running.get("/models").status_code == 500
        # Until the process that asks MLflow is there, that is the reason.
        until(lambda: "MLFLOW_TRACKING_URI" in running.get("/models").json()["detail"], "the reason")
        ready = running.get("/readyz")
        assert (ready.status_code, ready.headers["Retry-After"]) == (503, "5")


def test_sample_data_is_shown_while_mlflow_cannot_be_reached_and_writes_are_refused(tmp_path: Path) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    with tower(tmp_path, nowhere, workers=1, ready=False, ENABLE_MOCK_DATA="true") as running:
        answer = running.get("/models")
        assert answer.headers["X-Data-Source"] == "mock"
        assert answer.json()
        assert running.register(answer.json()[0]["name"], 1).status_code == 500
        assert running.get("/cache/info").json()["system_status"]["tracking_method"] == "mock"


def stored(running: Tower) -> list[Path]:
    return [path for path in running.cache.iterdir() if path.is_file()] if running.cache.exists() else []


class Planted:
    """Would make a file if anybody unpickled it."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.victim,)


def test_damaged_and_planted_cache_files_are_a_miss_and_never_run(tmp_path: Path, seeded_url: str) -> None:
    with tower(tmp_path, seeded_url, workers=2) as running:
        # The fleet, the state of the refresh, the registrations, the count of runs.
        until(lambda: len(stored(running)) >= 4)
        running.kill()
    victim = tmp_path / "victim"
    damage = [b"", b"\0\0\0\0", b"garbage" * 99, b"\0\0\0\0" + pickle.dumps(Planted(victim))]
    for number, path in enumerate(stored(running)):
        path.write_bytes(damage[number % len(damage)] or path.read_bytes()[:100])
    (running.cache / "foreign.txt").write_text("not ours")
    with tower(tmp_path, seeded_url, workers=2) as again:
        assert len(again.get("/models").json()) == 262
    assert not victim.exists()


def test_a_cache_directory_that_cannot_be_used_costs_only_the_cache(tmp_path: Path, seeded_url: str) -> None:
    (tmp_path / "file").write_text("in the way")
    with tower(tmp_path, seeded_url, workers=2, CACHE_DIRECTORY=str(tmp_path / "file" / "cache")) as running:
        until(lambda: {len(running.get("/models").json()) for _ in range(10)} == {262})
        assert running.register("seed-00200", 3).status_code == 201
        assert running.register("seed-00200", 3).status_code == 400
        assert running.delete("/models/seed-00200/3/monitor").status_code == 200
        assert "cannot be" in running.text()


def test_four_workers_start_on_a_store_that_does_not_exist_yet(tmp_path: Path) -> None:
    with tower(tmp_path, f"sqlite:///{tmp_path}/new/mlflow.db") as running:
        assert {running.get("/models/all").text for _ in range(12)} == {"[]"}
        assert running.get("/health").json()["status"] == "healthy"


def test_where_nothing_can_be_stored_any_more_every_worker_knows_what_one_did_and_what_mlflow_says(
    tmp_path: Path, mlflow_url: str
) -> None:
    world = RealWorld(mlflow_url)
    world.add_version("unstored")
    settings = {"MONITORING_EXPERIMENT": "unstored", "CHANGE_POLL_SECONDS": "1"}
    with tower(tmp_path, mlflow_url, **settings) as running:
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
        until(lambda: running.cache.is_dir() and len(stored(running)) >= 66)
