"""Promotions on a real MLflow through a running service: races, and the end of the agent in the middle of a move."""

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

import pytest

from tests.promoting import Team, team_of
from tests.races import RACES
from tests.servers import Proxy, agents, until


@dataclass
class Place:
    """A running service of four workers, and the proxy between it and MLflow."""

    team: Team
    between: Proxy


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, mlflow_url: str) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("promotions")
    with closing(Proxy(mlflow_url)) as between, team_of(folder, between.url, mlflow_url, workers=4) as team:
        yield Place(team, between)


@pytest.mark.parametrize("race", RACES, ids=lambda race: race.__name__)
def test_what_two_people_decide_at_once_is_decided_once(place: Place, race: Callable[[Team, str], None]) -> None:
    for name in place.team.models(2):
        race(place.team, name)


def test_a_move_whose_answer_the_agent_did_not_live_to_see_is_recorded_once_with_who_approved_it(place: Place) -> None:
    team, between = place.team, place.between
    (name,) = team.models(1)
    promotion = team.propose(name)
    between.loses = b'"alias": "champion"'
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(team.approve, promotion)
        until(lambda: between.lost, "the move")
        for agent in agents(team.towers[0]):
            os.kill(agent, signal.SIGKILL)
        between.loses = b""
        assert asked.result().status_code == 500
    until(lambda: team.promotions(name)[0]["state"] == "done", "the end of the promotion")
    until(lambda: team.moves(name) == [(None, "1", None), ("1", "2", "bob")], "its record")
    assert team.champion(name) == 2
