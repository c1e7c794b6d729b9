"""`kill -9` between any two steps of a promotion and of a rollback, on a real MLflow."""

import ast
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.services.mlflow_gateway.store import ensure_store
from config import ROOT
from tests.contract.real_world import RealWorld


class Tower:
    """An MLflow whose model `m` has version 1 as champion, and processes that promote on it."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.uri = directory, f"sqlite:///{directory}/mlflow.db"
        ensure_store(self.uri)
        self.world = RealWorld(self.uri)
        for _ in range(2):
            self.world.add_version("m")
        self.world.set_alias("m", "champion", 1)
        self.run("tick")

    def run(self, *words: str) -> Any:
        """What a process says at its end; None if it was killed."""
        command = [sys.executable, "-m", "tests.long.promoting", self.uri, str(self.directory / "host"), *words]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode == -signal.SIGKILL:
            return None
        assert done.returncode == 0, done.stderr
        states, changes = done.stdout.splitlines()[-1].split("] [")
        return ast.literal_eval(f"{states}]"), ast.literal_eval(f"[{changes}")

    @property
    def champion(self) -> int:
        return int(self.world.client.get_model_version_by_alias("m", "champion").version)


@pytest.mark.parametrize("step", ["approved", "begun", "written", "moved", "recorded", "ended"])
def test_what_is_killed_is_finished_by_the_next_process_and_recorded_once(tmp_path: Path, step: str) -> None:
    tower = Tower(tmp_path)
    tower.run("propose")
    assert tower.run("approve", step) is None
    assert tower.run("tick") == ([("done", False)], [(1, 2, "bob", "tower")])
    assert tower.champion == 2
    rolled = step if step != "approved" else "proposed"
    assert tower.run("roll_back", rolled) is None
    both = [(1, 2, "bob", "tower"), (2, 1, "bob", "tower")]
    assert tower.run("tick") == ([("done", False), ("done", False)], both)
    assert tower.champion == 1
