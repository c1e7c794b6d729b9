"""A soak: under a mixed load for minutes no process of the service grows, in memory or in open files."""

import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from app.domain.times import rfc3339
from app.wiring.world import now_ms
from tests.long.processes import Use, use_of, workers
from tests.servers import Tower, agents, tower

CLIENTS = 4
# What is kept is full by then: buffers of the allocator, pools of connections, histories, encoded answers.
WARM_UP = 0.4
MOST_MORE_KIB = 24 * 1024
# Connections that are open at the moment of the look.
MOST_MORE_FILES = 64
SETTINGS = {
    "CHANGE_POLL_SECONDS": "1",
    "ALIAS_POLL_SECONDS": "2",
    "CHECK_INTERVAL_MINUTES": "0.05",
    "CACHE_REFRESH_INTERVAL_MINUTES": "0.1",
    "MLFLOW_REQUEST_TIMEOUT_SECONDS": "60",
    "MONITORING_EXPERIMENT": "soak",
}
READS = (
    "/models", "/models/all?sort=-creation_timestamp&page_size=50", "/models/monitored", "/fleet?page_size=50",
    "/monitoring", "/monitoring/history?page_size=30", "/models/findings", "/model/seed-00001/versions", "/health",
    "/metrics", "/dashboard/summary", "/experiments", "/runs/0?limit=20", "/models/seed-00001/1/series",
    "/model/nobody/versions",
)  # fmt: skip


def work(running: Tower, number: int, over: threading.Event) -> set[int]:
    """One client: reads of all kinds, now and then an observation, a registration and its removal. The statuses."""
    seen, name = set(), f"seed-{number:05d}"
    seen.add(running.register(name).status_code)
    for turn in itertools.count():
        if over.is_set():
            return seen
        seen.add(running.get(READS[turn % len(READS)]).status_code)
        if turn % 10 == 0:
            # Another second each time, within a hundred: the series does not grow for ever.
            body = {"metrics": {"accuracy": 0.9}, "timestamp": rfc3339(now_ms() // 100_000 * 100_000)}
            seen.add(running.post(f"/models/{name}/1/observations", json=body).status_code)
        if turn % 50 == 0:
            seen.add(running.register(name, 2).status_code)
            seen.add(running.delete(f"/models/{name}/2/monitor").status_code)
    raise AssertionError


def uses(running: Tower) -> dict[int, Use]:
    return {process: use_of(process) for process in [running.process.pid, *workers(running), *agents(running)]}


def grown(before: dict[int, Use], after: dict[int, Use], what: Callable[[Use], int]) -> dict[int, int]:
    return {process: what(after[process]) - what(use) for process, use in before.items()}


def test_under_load_no_process_grows_and_none_is_replaced(tmp_path: Path, seeded_url: str, seconds: float) -> None:
    over = threading.Event()
    with tower(tmp_path, seeded_url, workers=2, **SETTINGS) as running, ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(work, running, number, over) for number in range(1, CLIENTS + 1)]
        try:
            over.wait(seconds * WARM_UP)
            before = uses(running)
            end = time.monotonic() + seconds * (1 - WARM_UP)
            while time.monotonic() < end and not any(client.done() for client in clients):
                over.wait(1)
        finally:
            over.set()
        statuses = set().union(*(client.result() for client in clients))
        after = uses(running)
    assert statuses == {200, 201, 404}
    assert len(before) == 4
    assert set(after) == set(before)
    kib, files = grown(before, after, lambda use: use.kib), grown(before, after, lambda use: use.files)
    print(
        f"growth in KiB {list(kib.values())} of {[use.kib for use in after.values()]}, in files {list(files.values())}"
    )
    assert max(kib.values()) < MOST_MORE_KIB
    assert max(files.values()) < MOST_MORE_FILES
