"""The history of the registry against a real MLflow, whose registry a script moves and writes down the true times."""

import random
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from app.domain.times import rfc3339
from tests.servers import Tower, tower, until

BURSTS, MOVES = 4, 6
STAGES = ("Staging", "Production", "Archived", "None")


@dataclass(frozen=True)
class Move:
    """A move that MLflow made between two times: what was moved (an alias, or `v1` for a stage), and where to."""

    began: int
    ended: int
    what: str
    value: str


def now() -> int:
    return time.time_ns() // 1_000_000


def burst(client: MlflowClient, name: str, chance: random.Random) -> Iterator[Move]:
    """Some moves at once. None is taken back: that could not be seen between two looks."""
    used: set[tuple[str, str]] = set()
    while len(used) < MOVES:
        version = str(chance.randint(1, 4))
        is_alias = chance.random() < 0.6
        what = chance.choice(["champion", "3", "history"]) if is_alias else f"v{version}"
        value = version if is_alias else chance.choice(STAGES)
        if any(what == moved for moved, _ in used):
            continue
        used.add((what, value))
        began = now()
        if is_alias:
            client.set_registered_model_alias(name, what, value)
        else:
            client.transition_model_version_stage(name, version, value)
        yield Move(began, now(), what, value)


def test_the_state_is_right_at_every_moment_that_is_said_to_be_known(tmp_path: Path, mlflow_url: str) -> None:
    client, name = MlflowClient(mlflow_url, mlflow_url), f"moved {uuid.uuid4().hex[:8]}"
    client.create_registered_model(name)
    for _ in range(4):
        client.create_model_version(name, "mem:/nothing")
    settings = {"MONITORING_EXPERIMENT": uuid.uuid4().hex, "ALIAS_POLL_SECONDS": "1", "CHANGE_POLL_SECONDS": "1"}
    chance, moves = random.Random(15), list[Move]()
    with tower(tmp_path, mlflow_url, 1, **settings) as running:
        await_look(running, name)
        begun = now()
        for _ in range(BURSTS):
            moves += burst(client, name, chance)
            await_look(running, name)
        rows = running.get(f"/model/{name}/history").json()
        known = judged(running, name, moves, begun)
    assert known > 5
    assert rows
    for row in rows:
        assert any(is_of(row, move) for move in moves), row


def await_look(running: Tower, name: str) -> None:
    """Wait until all that happened so far is recorded."""
    since = now()

    def is_recorded() -> bool:
        as_of = running.get(f"/model/{name}/history").headers.get("X-Data-As-Of")
        return as_of is not None and as_of > str(rfc3339(since))

    until(is_recorded, "a look at the registry")


def is_of(row: dict[str, Any], move: Move) -> bool:
    """Whether a recorded change may be this move: what it moved, and an interval that holds the true time."""
    what = row["alias"] or f"v{row['version']}"
    starts, ends = row["not_before"] <= str(rfc3339(move.ended)), row["not_after"] >= str(rfc3339(move.began))
    return (what, row["to"]) == (move.what, move.value) and starts and ends


def judged(running: Tower, name: str, moves: list[Move], begun: int) -> int:
    """Compare the state at many moments with the truth. Returns at how many of them it is said to be known."""
    known = 0
    for at in range(begun, moves[-1].ended, 150):
        found = running.get(f"/model/{name}/state?at={rfc3339(at)}").json()
        if not found["known"] or any(move.began <= at <= move.ended for move in moves):
            continue
        known += 1
        truth = {f"v{number}": "None" for number in range(1, 5)}
        truth.update((move.what, move.value) for move in moves if move.ended < at)
        # The effective stage follows the alias `champion`; MLflow's own is what was moved.
        told = {f"v{row['version']}": row["stage"] for row in found["versions"] if row["stage_source"] == "stage"}
        assert found["aliases"] == {what: value for what, value in truth.items() if not what.startswith("v")}, at
        assert told.items() <= truth.items(), at
    return known
