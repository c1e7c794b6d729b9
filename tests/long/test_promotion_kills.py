"""`kill -9` of a running service at every request to MLflow that a promotion or a rollback makes."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.promoting import ENDED, Team, team_of
from tests.servers import Proxy, agents, answers, until

# What is in the body of the request.
STEPS = {
    "proposed": b"control_tower.evidence",
    "approved": b".approved.",
    "begun": b".begun.",
    "moved in MLflow": b'"alias": "champion"',
    "moved": b".moved.",
    "in the history": b"control_tower.change.",
    "recorded": b".recorded.",
    "ended": b'"FINISHED"',
}
WITHIN_SECONDS = 60


class Place:
    """An MLflow behind a proxy, and a service that is started again after it was killed."""

    def __init__(self, folder: Path, mlflow: str) -> None:
        self.folder, self.mlflow = folder, mlflow
        self.between = Proxy(mlflow)
        self.running = ExitStack()
        self.experiment = "killed"
        self.start()

    def start(self) -> None:
        """Start it, with keys of its own; what is in MLflow and in the cache is what the last one left."""
        settings = {"MONITORING_EXPERIMENT": self.experiment, "CACHE_DIRECTORY": str(self.folder / "cache")}
        own = self.folder / str(time.monotonic_ns())
        self.team: Team = self.running.enter_context(team_of(own, self.between.url, self.mlflow, **settings))

    def close(self) -> None:
        self.running.close()
        self.between.close()

    def killed_at(self, part: bytes, *, arrives: bool, everything: bool, ask: Callable[[], requests.Response]) -> None:
        """Kill the agent, or all, while it waits for MLflow, before or after that has done what it is asked for."""
        lost = self.between.lost
        setattr(self.between, "loses" if arrives else "withholds", part)
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(_outcome, ask)
            until(lambda: self.between.lost > lost or asked.done(), "the request")
            assert not asked.done(), asked.result()
            if everything:
                self.team.towers[0].kill()
            else:
                for agent in agents(self.team.towers[0]):
                    os.kill(agent, signal.SIGKILL)
            self.between.loses = self.between.withholds = b""
            asked.result()
        if everything:
            self.running.close()
            self.start()
        else:
            until(lambda: answers(f"{self.team.towers[0].url}/readyz"), "another agent")


def _outcome(ask: Callable[[], requests.Response]) -> Any:
    try:
        return ask().text
    except requests.RequestException as error:
        return error


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, mlflow_url: str) -> Iterator[Place]:
    with closing(Place(tmp_path_factory.mktemp("killed"), mlflow_url)) as made:
        yield made


@pytest.mark.parametrize("everything", [False, True], ids=["agent", "all"])
@pytest.mark.parametrize("arrives", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_a_promotion_and_the_way_back_are_each_carried_out_once(
    place: Place, step: str, arrives: bool, everything: bool
) -> None:
    (name,) = place.team.models(1)
    how: dict[str, bool] = {"arrives": arrives, "everything": everything}
    if step != "proposed":
        promotion = place.team.propose(name)
        place.killed_at(STEPS[step], ask=lambda: place.team.approve(promotion), **how)
        if step == "approved" and not arrives:
            # Nobody has approved it yet.
            assert place.team.approve(promotion).status_code == 201
        check(place, name, 2, [(None, "1", None), ("1", "2", "bob")])
    else:
        assert place.team.approve(place.team.propose(name)).status_code == 201
    if step != "approved":
        place.killed_at(STEPS[step], ask=lambda: place.team.roll_back(name, 2), **how)
        if step == "proposed" and not arrives:
            assert place.team.roll_back(name, 2).status_code == 201
        check(place, name, 1, [(None, "1", None), ("1", "2", "bob"), ("2", "1", "bob")])
        assert place.team.roll_back(name, 2).status_code == 409


def check(place: Place, name: str, champion: int, moves: list[tuple[str | None, str, str | None]]) -> None:
    """Within a minute, MLflow, the history and the promotions say the same, and nothing is left to do."""
    team, end = place.team, time.monotonic() + WITHIN_SECONDS

    def is_settled() -> bool:
        # What is still written of one promotion would be taken for a step of the next.
        return team.moves(name) == moves and all(
            one["state"] in ENDED and team.client.get_run(one["id"]).info.status == "FINISHED"
            for one in team.promotions(name)
        )

    until(is_settled, f"{moves}")
    assert time.monotonic() < end
    assert team.champion(name) == champion
    assert [one["state"] for one in team.promotions(name)] == ["done"] * (len(moves) - 1)
