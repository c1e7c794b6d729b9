"""Races of people who decide about the same promotion at the same moment: it is decided once.

Each has a model of its own, as `Team.models` makes it.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import requests

from tests.promoting import Team
from tests.servers import HANGS_AFTER_SECONDS, until

Ask = Callable[[], requests.Response]


def at_once(*asked: Ask) -> list[int]:
    """The statuses of requests that begin at the same moment."""
    barrier = threading.Barrier(len(asked))

    def one(ask: Ask) -> int:
        barrier.wait(HANGS_AFTER_SECONDS)
        return ask().status_code

    with ThreadPoolExecutor(len(asked)) as pool:
        return list(pool.map(one, asked))


def two_approve(team: Team, name: str) -> None:
    """Two approvals at once move once."""
    promotion = team.propose(name)
    statuses = at_once(*(lambda n=n, who=who: team.approve(promotion, who, n) for n, who in enumerate(("bob", "eve"))))
    assert sorted(statuses) == [201, 409]
    who = ("bob", "eve")[statuses.index(201)]
    _check(team, name, [(None, "1", None), ("1", "2", who)], ["done"])


def two_roll_back(team: Team, name: str) -> None:
    """Two rollbacks at once go back once."""
    assert team.approve(team.propose(name)).status_code == 201
    statuses = at_once(*(lambda n=n, who=who: team.roll_back(name, 2, who, n) for n, who in enumerate(("bob", "eve"))))
    assert sorted(statuses) == [201, 409]
    who = ("bob", "eve")[statuses.index(201)]
    _check(team, name, [(None, "1", None), ("1", "2", "bob"), ("2", "1", who)], ["done", "done"])


def approval_against_withdrawal(team: Team, name: str) -> None:
    """One of them holds, and the other is refused."""
    promotion = team.propose(name)
    approved, withdrawn = at_once(lambda: team.approve(promotion, "bob", 0), lambda: team.withdraw(promotion, 1))
    assert (approved, withdrawn) in [(201, 409), (409, 200)]
    moved = [("1", "2", "bob")] if approved == 201 else []
    _check(team, name, [(None, "1", None), *moved], ["done" if moved else "withdrawn"])


def two_versions_want_the_alias(team: Team, name: str) -> None:
    """Of two proposals that are approved at once, the second finds another version there."""
    promotions = [team.propose(name, version) for version in (2, 3)]
    statuses = at_once(*(lambda n=n: team.approve(promotions[n], "bob", n) for n in range(2)))
    assert sorted(statuses) == [201, 409]
    version = str(2 + statuses.index(201))
    _check(team, name, [(None, "1", None), ("1", version, "bob")], sorted(["done", "waiting"]))


def somebody_sets_the_alias_in_mlflow(team: Team, name: str) -> None:
    """Whoever comes last has it; the promotion is refused, or done, and says so; the history has what was moved."""
    promotion = team.propose(name)

    def set_alias() -> requests.Response:
        team.client.set_registered_model_alias(name, "champion", "3")
        return requests.Response()

    approved, _ = at_once(lambda: team.approve(promotion), set_alias)
    champion = team.champion(name)
    until(lambda: team.moves(name)[-1][1] == str(champion), "a look at what was set")
    until(lambda: team.promotions(name)[0]["state"] in ("done", "waiting", "taken_back"), "an end")
    state = team.promotions(name)[0]["state"]
    moves = team.moves(name)
    by_tower = [move for move in moves if move[2] is not None]
    assert all(move[2] == "bob" and move[1] == "2" for move in by_tower)
    assert len(by_tower) == (1 if approved == 201 else 0), (approved, state, moves)
    assert (state == "done") == (approved == 201)
    assert champion == 3 or approved == 201
    # Each move begins where the one before it ended.
    assert all(one[1] == other[0] for one, other in pairwise(moves)), moves


RACES: Sequence[Callable[[Team, str], None]] = (
    two_approve,
    two_roll_back,
    approval_against_withdrawal,
    two_versions_want_the_alias,
    somebody_sets_the_alias_in_mlflow,
)


def _check(team: Team, name: str, moves: Sequence[tuple[str | None, str, str | None]], states: list[str]) -> None:
    """What MLflow, every tower's history and every tower's promotions say in the end."""
    assert team.champion(name) == int(moves[-1][1])
    for number in range(len(team.towers)):
        until(lambda number=number: team.moves(name, number) == list(moves), f"{moves}")  # type: ignore[misc]
        assert sorted(one["state"] for one in team.promotions(name, number)) == sorted(states)
