"""A clock that was ahead, on the real thing: what the service stored then does not keep it from seeing what changes."""

import os
from pathlib import Path

from tests.contract.real_world import RealWorld
from tests.servers import ROOT, tower

# Python runs this at the start of every process: gunicorn's, its workers' and the agent's.
SHIFTED = """
import os, time
_time_ns, _time, _ahead = time.time_ns, time.time, int(os.environ["AHEAD_SECONDS"])
time.time_ns = lambda: _time_ns() + _ahead * 1_000_000_000
time.time = lambda: _time() + _ahead
"""
DAY_AND_MORE = 26 * 3600


def test_after_a_start_with_a_clock_26_hours_ahead_a_refresh_with_the_right_one_shows_what_changed(
    tmp_path: Path, mlflow_url: str
) -> None:
    (tmp_path / "shift").mkdir()
    (tmp_path / "shift" / "sitecustomize.py").write_text(SHIFTED)
    path = os.pathsep.join([str(tmp_path / "shift"), str(ROOT)])
    world = RealWorld(mlflow_url)
    world.add_version("ahead")
    polls = {"CHANGE_POLL_SECONDS": "0", "ALIAS_POLL_SECONDS": "0", "MONITORING_EXPERIMENT": "ahead"}
    with tower(tmp_path, mlflow_url, PYTHONPATH=path, AHEAD_SECONDS=str(DAY_AND_MORE), **polls) as running:
        told = running.post("/cache/refresh").json()["timestamp"]
    with tower(tmp_path, mlflow_url, **polls) as running:
        assert running.get("/cache/info").json()["cache_info"]["last_refresh"] != told
        world.add_version("ahead")
        answer = running.post("/cache/refresh")
        assert answer.status_code == 200
        assert answer.json()["timestamp"] < told
        assert {len(running.get("/models/all?name=ahead").json()) for _ in range(16)} == {2}
        assert running.get("/models").headers["X-Data-As-Of"] < told
