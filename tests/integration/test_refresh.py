"""Refreshing: few requests, one process at a time, another when that one dies."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

from tests.seeding import seed
from tests.servers import QUIET, Proxy, Tower, mlflow_server, tower, until


def test_a_refresh_of_786_versions_makes_at_most_ten_requests(tmp_path: Path) -> None:
    with mlflow_server(tmp_path / "mlflow") as url, closing(Proxy(url)) as proxy, ExitStack() as stack:
        seed(tmp_path / "mlflow" / "mlflow.db", models=262)
        running = stack.enter_context(tower(tmp_path, proxy.url, workers=1, forked=True, **QUIET))

        def requests_of_a_refresh() -> int:
            before = len(proxy.paths)
            answer = running.post("/cache/refresh")
            assert answer.status_code == 200
            assert answer.json()["models_synced"] == 786
            return len(proxy.paths) - before

        # What the service asks once, as it starts, may come during the first ones.
        assert min(requests_of_a_refresh() for _ in range(4)) <= 10
        summary = running.get("/dashboard/summary").json()
    assert summary["total_models"] == 786
    assert summary["production_models"] == 262
    assert summary["total_runs"] >= 786


def test_twenty_refreshes_at_once_read_mlflow_at_most_twice(proxied: Tower, proxy: Proxy) -> None:
    agent = process_of(proxied)
    before, threads = proxy.count("registered-models/search"), len(threads_of(agent))
    proxy.gate.clear()
    with ThreadPoolExecutor(20) as pool:
        answers = pool.map(lambda _: proxied.post("/cache/refresh").status_code, range(20))
        # Each call is a thread of the process that talks to MLflow: all are there before the first may read.
        until(lambda: len(threads_of(agent)) >= threads + 20, "twenty calls")
        proxy.gate.set()
        assert list(answers) == [200] * 20
    assert 1 <= proxy.count("registered-models/search") - before <= 2


def process_of(running: Tower) -> int:
    """The process that talks to MLflow."""
    return int(running.get("/cache/info").json()["refresh"]["process"].rpartition(":")[2])


def threads_of(process: int) -> list[str]:
    return os.listdir(f"/proc/{process}/task")


def test_when_the_refreshing_process_is_killed_another_takes_over(tmp_path: Path, seeded_url: str) -> None:
    with tower(tmp_path, seeded_url, CACHE_REFRESH_INTERVAL_MINUTES="0.02", forked=True) as running:

        def refreshed() -> dict[str, str]:
            found: dict[str, str] = running.get("/cache/info").json()["refresh"]
            return found

        first = until(lambda: refreshed() if refreshed()["process"] else None)
        pid = int(first["process"].rpartition(":")[2])
        os.kill(pid, signal.SIGKILL)
        killed_at = running.get("/livez").headers["X-Data-As-Of"]

        def somebody_else() -> bool:
            now = refreshed()
            return bool(now["last_success"] > killed_at and not now["process"].endswith(f":{pid}"))

        assert until(somebody_else, "a refresh by another process")


def test_a_later_version_is_seen_by_every_worker_after_a_refresh_and_at_once_when_asked_for_by_name(
    written_tower: Tower, mlflow_url: str
) -> None:
    from tests.contract.real_world import RealWorld

    world, running = RealWorld(mlflow_url), written_tower
    world.add_version("fresh model", {"accuracy": 0.5}, stage="Production")
    assert [v["version"] for v in running.get("/model/fresh%20model/versions").json()] == ["1"]
    world.add_version("fresh model", {"accuracy": 0.6})
    assert running.register("fresh%20model", 2).status_code == 201
    names = {tuple(m["name"] for m in running.get("/models/monitored?name=fresh").json()) for _ in range(20)}
    assert names == {("fresh model",)}
    world.set_stage("fresh model", 2, "Staging")
    assert running.post("/cache/refresh").status_code == 200
    staging = {len(running.get("/models/staging?name=fresh").json()) for _ in range(20)}
    assert staging == {1}
    drift = running.get("/model/fresh%20model/drift?days=2").json()
    assert [(entry["version"], len(entry["metrics_over_time"])) for entry in drift] == [("2", 1), ("1", 1)]
