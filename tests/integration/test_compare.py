"""Champion against challenger on a real MLflow: the endpoint, and the gate in a process of its own."""

import subprocess
import sys
import time
from pathlib import Path

from app.domain.registry.names import EVALUATES
from app.domain.times import DAY_MS
from tests.servers import HANGS_AFTER_SECONDS, ROOT, Tower, clean_environment

NAME = 'chäm\'p "x"'
STABLE = [0.92, 0.91, 0.93, 0.92, 0.90, 0.92]


def test_endpoint_and_gate_say_the_same_of_versions_scored_on_the_same_days(
    tmp_path: Path, mlflow_url: str, written_tower: Tower
) -> None:
    from tests.contract.real_world import RealWorld

    world, now = RealWorld(mlflow_url), int(time.time() * 1000)
    for number, alias in enumerate(("champion", "challenger"), 1):
        world.add_version(NAME, {"accuracy": 0.5})
        world.set_alias(NAME, alias, number)
        run = world.add_run({}, {EVALUATES: f"models:/{NAME}/{number}"})
        for day, value in enumerate(STABLE):
            world.log_metric(run, "accuracy", value - 0.01 * (number - 1), now - day * DAY_MS)
    asked = {"baseline": "champion", "candidate": "challenger", "margin": 0.01}
    answer = written_tower.get("/model/ch%C3%A4m%27p%20%22x%22/compare", params=asked)
    assert answer.status_code == 200, answer.text
    (row,) = answer.json()["metrics"]
    assert (row["method"], row["n"], row["better"], row["non_inferior"]) == ("paired days", 6, False, True)
    gates = {
        margin: subprocess.run(
            [sys.executable, "-m", "flask", "--app", str(ROOT / "wsgi.py"), "gate", NAME, "--baseline", "champion",
             "--candidate", "challenger", "--margin", margin],
            check=False, cwd=tmp_path, capture_output=True, text=True, timeout=HANGS_AFTER_SECONDS,
            env=clean_environment(MLFLOW_TRACKING_URI=mlflow_url, PYTHONPATH=str(ROOT)),
        )
        for margin in ("0.01", "0.009")
    }  # fmt: skip
    assert [(gate.returncode, gate.stdout.splitlines()[-1]) for gate in gates.values()] == [(0, "pass"), (1, "fail")]
    assert row["reason"] in gates["0.01"].stdout
