"""Promotions on a real MLflow through a running service: races, and the end of the agent in the middle of a move."""

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import quote

import pytest

from tests.promoting import Team, team_of
from tests.races import RACES
from tests.servers import ROOT, Proxy, agents, until


@dataclass
class Place:
    """A running service of four workers, and the proxy between it and MLflow."""

    team: Team
    between: Proxy


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, mlflow_url: str) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("promotions")
    with (
        closing(Proxy(mlflow_url)) as between,
        team_of(folder, between.url, mlflow_url, workers=4, forked=True) as team,
    ):
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


def test_the_documented_way_with_curl_waits_for_the_approval_and_says_why_something_is_refused(place: Place) -> None:
    team = place.team
    name, other = team.models(2)
    for version, accuracy in ((4, 0.95), (5, 0.2)):
        run_id = team.client.create_run("0").info.run_id
        team.client.log_metric(run_id, "accuracy", accuracy)
        assert int(team.client.create_model_version(name, "mem:/x", run_id).version) == version
    assert team.approve(team.propose(name, 4)).status_code == 201
    with ThreadPoolExecutor(1) as pool:
        better = pool.submit(with_curl, team, name, "4", "blue")
        waiting = until(lambda: [one for one in team.promotions(name) if one["state"] == "waiting"], "the proposal")
        assert team.approve(waiting[0]).status_code == 201
        assert better.result().returncode == 0
    assert int(team.client.get_model_version_by_alias(name, "blue").version) == 4
    worse = with_curl(team, name, "5", "champion")
    assert (worse.returncode, "It does not pass the comparison with version 4" in worse.stdout) == (1, True)
    assert with_curl(team, other, "9", "champion").returncode == 1
    with ThreadPoolExecutor(1) as pool:
        refused = pool.submit(with_curl, team, name, "4", "green")
        waiting = until(lambda: [one for one in team.promotions(name) if one["state"] == "waiting"], "the proposal")
        assert team.withdraw(waiting[0]).status_code == 200
        assert refused.result().returncode == 1


def with_curl(team: Team, name: str, version: str, alias: str) -> "subprocess.CompletedProcess[str]":
    """Propose as the documentation shows it, as Ada."""
    (block,) = re.findall(r"```sh\n(URL=.*?)```", (ROOT / "docs" / "promotion.md").read_text(), re.DOTALL)
    for shown, meant in (
        ("http://localhost:8000", team.towers[0].url),
        ("wine-cultivar", quote(name, safe="")),
        ('"version": "3"', f'"version": "{version}"'),
        ('"alias": "champion"', f'"alias": "{alias}"'),
        ("sleep 10", "sleep 0.1"),
    ):
        assert shown in block
        block = block.replace(shown, meant)
    env = {**os.environ, "CONTROL_TOWER_KEY": team.tokens["ada"]}
    return subprocess.run(["/bin/sh", "-c", block], env=env, capture_output=True, text=True, check=False)
