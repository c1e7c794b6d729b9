"""Bad days: MLflow refuses, hangs or lies; the cache directory is damaged, full or read-only."""

import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.servers import Proxy, Tower, free_port, tower, until

PATIENCE = 2.5  # one second, one retry, and what is not waiting


def seconds(running: Tower, path: str, status: int = 200) -> float:
    began = time.monotonic()
    answer = running.get(path)
    assert answer.status_code == status, answer.text
    return time.monotonic() - began


def test_while_mlflow_hangs_lists_are_served_health_answers_and_live_reads_fail_in_time(
    proxied: Tower, proxy: Proxy
) -> None:
    proxy.mode = "hang"
    with ThreadPoolExecutor(60) as pool:
        hanging = [pool.submit(proxied.get, "/runs/0") for _ in range(60)]
        until(lambda: sum("experiments/get" in path for path in proxy.paths) >= 8, 10)
        assert seconds(proxied, "/health") < 2
        assert proxied.get("/health").json()["status"] == "degraded"
        assert seconds(proxied, "/models") < 1
        for answer in hanging:
            done = answer.result()
            assert done.status_code == 500
            assert set(done.json()) == {"detail"}
            assert done.elapsed.total_seconds() < PATIENCE + 3
    assert seconds(proxied, "/model/seed-00001/drift", 500) < PATIENCE + 1
    assert seconds(proxied, "/model/seed-00001/compare?baseline=1&candidate=2", 500) < PATIENCE + 1
    failed = proxied.post("/cache/refresh")
    assert failed.status_code == 500
    assert len(proxied.get("/models").json()) == 262
    proxy.mode = "up"
    assert proxied.post("/cache/refresh").status_code == 200


@pytest.mark.parametrize("mode", ["refuse", "empty", "drip"])
def test_a_failing_or_lying_mlflow_never_empties_the_mirror(proxied: Tower, proxy: Proxy, mode: str) -> None:
    proxy.mode = mode
    assert proxied.post("/cache/refresh").status_code == 500
    assert len(proxied.get("/models").json()) == 262
    assert proxied.get("/cache/info").json()["refresh"]["last_error"]


def test_health_asks_mlflow_at_most_once_in_five_seconds_all_workers_together(proxied: Tower, proxy: Proxy) -> None:
    until(lambda: proxied.get("/dashboard/summary").json()["total_runs"] is not None)
    proxied.get("/health")
    before, began = len(proxy.paths), time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: proxied.get("/health").json()["mlflow_connection"], range(60)))
    took = time.monotonic() - began
    assert set(answers) == {"connected"}
    assert len(proxy.paths) - before <= 1 + took // 5


def test_with_mlflow_down_a_restart_serves_the_persisted_snapshot_at_once(tmp_path: Path, proxy: Proxy) -> None:
    with tower(tmp_path, proxy.url) as running:
        before = running.get("/models").json()
        running.kill()
    proxy.mode = "refuse"
    with tower(tmp_path, proxy.url, MLFLOW_REQUEST_TIMEOUT_SECONDS="1") as again:
        assert again.get("/models").json() == before
        assert again.get("/health").json()["status"] == "degraded"


def test_with_mlflow_down_and_nothing_cached_the_reason_is_told_in_time(tmp_path: Path) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    with tower(tmp_path, nowhere, workers=2, ready=False, MLFLOW_REQUEST_TIMEOUT_SECONDS="1") as running:
        assert seconds(running, "/models", 500) < PATIENCE + 1
        assert "MLFLOW_TRACKING_URI" in running.get("/models").json()["detail"]
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
