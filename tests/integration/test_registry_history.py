"""The history of the registry against a real MLflow, whose registry a script moves and writes down the true times."""

import shutil
import uuid
from contextlib import AbstractContextManager
from pathlib import Path

from mlflow import MlflowClient

from app.services.host.keys import KeyRing
from tests.registry_truth import ACTOR, BURST, Script
from tests.servers import Tower, tower

BURSTS = 5
FAST = {"ALIAS_POLL_SECONDS": "1", "CHANGE_POLL_SECONDS": "1"}


def test_the_history_is_what_happened_and_survives_the_loss_of_the_cache(tmp_path: Path, mlflow_url: str) -> None:
    compare_with_truth(tmp_path, mlflow_url, BURSTS)


def compare_with_truth(folder: Path, mlflow_url: str, bursts: int) -> str:
    """Move the registry in bursts, and compare every row and every moment, before and after the cache is lost.

    Half of the moves go through the tower, with an access key. Returns how many there were.
    """
    script = Script(MlflowClient(mlflow_url, mlflow_url))
    token = KeyRing(folder / "keys").add(ACTOR, "approve")
    settings = {
        "MONITORING_EXPERIMENT": uuid.uuid4().hex,
        "ENABLE_PROMOTION": "true",
        "PROMOTION_APPROVALS": "0",
        "API_TOKENS_FILE": str(folder / "keys"),
        **FAST,
    }

    def start() -> AbstractContextManager[Tower]:
        return tower(folder, mlflow_url, 1, headers={"Authorization": f"Bearer {token}"}, **settings)

    with start() as script.running:
        script.await_look()
        for _ in range(bursts):
            script.burst()
            script.await_look()
        script.check_rows()
        known = script.check_moments()
        cache = script.running.cache
    assert known > len(script.looks)
    through_tower = sum(move.actor is not None for move in script.moves)
    assert abs(through_tower * 2 - len(script.moves)) <= BURST
    shutil.rmtree(cache)
    with start() as script.running:
        script.await_look()
        script.check_rows()
        assert script.check_moments() == known
    return f"{len(script.moves)} changes, {through_tower} through the tower; {known} known states compared, twice"
