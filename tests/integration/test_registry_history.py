"""The history of the registry against a real MLflow, whose registry a script moves and writes down the true times."""

import shutil
import uuid
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import quote

import pytest
from mlflow import MlflowClient

from app.domain.times import parse_rfc3339
from app.services.host.keys import KeyRing
from app.services.mirror.change_recorder import CLOCKS_APART_MS
from tests.registry_truth import ACTOR, BURST, Script, now
from tests.servers import QUIET, Tower, tower, until

BURSTS = 5
FAST = {"ALIAS_POLL_SECONDS": "1", "CHANGE_POLL_SECONDS": "1"}


def test_the_history_is_what_happened_and_survives_the_loss_of_the_cache(tmp_path: Path, mlflow_url: str) -> None:
    compare_with_truth(tmp_path, mlflow_url, BURSTS)


@pytest.mark.parametrize("loses_cache", [False, True])
def test_what_changed_while_the_service_was_down_is_seen_by_its_first_look(
    tmp_path: Path, mlflow_url: str, loses_cache: bool
) -> None:
    client, name = MlflowClient(mlflow_url, mlflow_url), f"unseen {uuid.uuid4().hex}"
    client.create_registered_model(name)
    client.create_model_version(name, "mem:/x")
    settings = {**QUIET, "MONITORING_EXPERIMENT": uuid.uuid4().hex}
    with tower(tmp_path, mlflow_url, 1, forked=True, **settings) as running:
        before = until(lambda: running.get("/history").headers.get("X-Data-As-Of"), "the first look")
        cache = running.cache
    client.set_registered_model_alias(name, "champion", "1")
    if loses_cache:
        shutil.rmtree(cache)
        # Without it nothing proves that no other service recorded this, whose clock may be behind.
        until(lambda: now() > parse_rfc3339(before, "before") + 2 * CLOCKS_APART_MS)
    with tower(tmp_path, mlflow_url, 1, forked=True, **settings) as running:
        if not loses_cache:
            assert running.post("/cache/refresh").status_code == 200
        looked = now()
        (row,) = until(lambda: running.get(f"/model/{quote(name)}/history").json(), "the change")
    assert (row["kind"], row["to"], row["through"]) == ("alias", "1", "sweep")
    assert before <= row["not_before"]
    assert parse_rfc3339(row["not_after"], "not_after") <= looked


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
        return tower(folder, mlflow_url, 1, headers={"Authorization": f"Bearer {token}"}, forked=True, **settings)

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
