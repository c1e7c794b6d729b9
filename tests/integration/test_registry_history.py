"""The history of the registry against a real MLflow, whose registry a script moves and writes down the true times."""

import shutil
import uuid
from pathlib import Path

from mlflow import MlflowClient

from tests.registry_truth import Script
from tests.servers import tower

BURSTS = 5
FAST = {"ALIAS_POLL_SECONDS": "1", "CHANGE_POLL_SECONDS": "1"}


def test_the_history_is_what_happened_and_survives_the_loss_of_the_cache(tmp_path: Path, mlflow_url: str) -> None:
    compare_with_truth(tmp_path, mlflow_url, BURSTS)


def compare_with_truth(folder: Path, mlflow_url: str, bursts: int) -> None:
    """Move the registry in bursts, and compare every row and every moment, before and after the cache is lost."""
    script = Script(MlflowClient(mlflow_url, mlflow_url))
    settings = {"MONITORING_EXPERIMENT": uuid.uuid4().hex, **FAST}
    with tower(folder, mlflow_url, 1, **settings) as running:
        script.await_look(running)
        for _ in range(bursts):
            script.burst()
            script.await_look(running)
        script.check_rows(running)
        known = script.check_moments(running)
        cache = running.cache
    assert known > len(script.looks)
    shutil.rmtree(cache)
    with tower(folder, mlflow_url, 1, **settings) as running:
        script.await_look(running)
        script.check_rows(running)
        assert script.check_moments(running) == known
