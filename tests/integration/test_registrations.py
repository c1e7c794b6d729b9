"""Registrations over several processes: none twice, none lost."""

import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.servers import Tower, tower


def monitored(running: Tower) -> set[tuple[str, str]]:
    return {(m["name"], m["version"]) for m in running.get("/models/monitored?page_size=1000").json()}


def test_concurrent_registrations_are_neither_doubled_nor_lost(tmp_path: Path, seeded_url: str) -> None:
    # Exclusion is what is proved here, not speed: a starved MLflow may take its time.
    experiment = {"MONITORING_EXPERIMENT": "concurrent", "MLFLOW_REQUEST_TIMEOUT_SECONDS": "30"}
    with tower(tmp_path, seeded_url, 4, forked=True, **experiment) as running, ThreadPoolExecutor(60) as pool:
        same = Counter(pool.map(lambda _: running.register("seed-00000", 3).status_code, range(60)))
        assert same == {201: 1, 400: 59}
        different = Counter(pool.map(lambda n: running.register(f"seed-{n:05d}", 1).status_code, range(1, 41)))
        assert different == {201: 40}
        everything = monitored(running)
        assert len(everything) == 41
        running.kill()
    shutil.rmtree(running.cache)
    with tower(tmp_path, seeded_url, forked=True, **experiment) as again:
        assert monitored(again) == everything


def test_a_registration_and_its_removal_are_seen_by_every_worker_at_once(shared_tower: Tower) -> None:
    path = "/models/seed-00082/3/monitor"
    assert shared_tower.register("seed-00082", 3).status_code == 201
    seen = {shared_tower.get(f"{path}/status").json()["is_monitored"] for _ in range(40)}
    listed = {("seed-00082", "3") in monitored(shared_tower) for _ in range(20)}
    assert (seen, listed) == ({True}, {True})
    assert shared_tower.delete(path).status_code == 200
    assert {shared_tower.get(f"{path}/status").json()["is_monitored"] for _ in range(40)} == {False}
    assert {("seed-00082", "3") in monitored(shared_tower) for _ in range(20)} == {False}
