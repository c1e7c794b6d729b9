"""Races: many clients of two instances want to register, and remove, the same version at the same moment."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mlflow import MlflowClient

from tests.servers import HANGS_AFTER_SECONDS, QUIET, Tower, tower

AT_ONCE = 40
PATH = "/models/seed-00000/1/monitor"


def raced(pool: ThreadPoolExecutor, towers: list[Tower], ask: Callable[[Tower], int]) -> Counter[int]:
    """What so many were told who asked at once, half of them each instance."""
    barrier = threading.Barrier(AT_ONCE)

    def one(number: int) -> int:
        barrier.wait(HANGS_AFTER_SECONDS)
        return ask(towers[number % len(towers)])

    return Counter(pool.map(one, range(AT_ONCE)))


def test_of_many_who_register_one_version_at_once_one_does_and_removals_leave_none(
    tmp_path: Path, seeded_url: str, seconds: float
) -> None:
    settings = {**QUIET, "MONITORING_EXPERIMENT": "race", "MLFLOW_REQUEST_TIMEOUT_SECONDS": "60"}
    client = MlflowClient(seeded_url, seeded_url)
    with (
        tower(tmp_path / "one", seeded_url, workers=2, **settings) as one,
        tower(tmp_path / "two", seeded_url, workers=2, **settings) as two,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        end, rounds = time.monotonic() + seconds, 0
        while rounds < 3 or time.monotonic() < end:
            rounds += 1
            registered = raced(pool, [one, two], lambda running: running.register("seed-00000").status_code)
            assert registered == {201: 1, 400: AT_ONCE - 1}
            experiment = client.get_experiment_by_name("race").experiment_id
            assert len(client.search_runs([experiment], "attributes.status = 'RUNNING'")) == 1
            removed = raced(pool, [one, two], lambda running: running.delete(PATH).status_code)
            # Each instance strikes it off its own list once, whichever of them ended the run.
            assert 1 <= removed[200] <= len([one, two])
            assert removed[200] + removed[404] == AT_ONCE
            assert len(client.search_runs([experiment], "attributes.status = 'RUNNING'")) == 0
            assert len(client.search_runs([experiment])) == rounds
