"""Races of people who decide about promotions, many times: on one host, and on two that share a Redis."""

from collections.abc import Callable, Iterator

import pytest

from tests.promoting import Team, team_of
from tests.races import RACES
from tests.servers import redis_server

ROUNDS = 50


@pytest.fixture(scope="module", params=["one host of four workers", "two hosts of two workers"])
def team(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, mlflow_url: str) -> Iterator[Team]:
    folder = tmp_path_factory.mktemp("team")
    if request.param.startswith("one"):
        with team_of(folder, mlflow_url, workers=4) as made:
            yield made
    else:
        with redis_server(folder / "redis") as redis, team_of(folder, mlflow_url, redis=redis) as made:
            yield made


@pytest.mark.parametrize("race", RACES, ids=lambda race: race.__name__)
def test_what_two_people_decide_at_once_is_decided_once(team: Team, race: Callable[[Team, str], None]) -> None:
    for name in team.models(ROUNDS):
        race(team, name)
