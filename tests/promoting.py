"""A running tower that promotes, and the people who use it: Ada proposes, Bob and Eve may approve."""

import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests
from mlflow import MlflowClient

from app.services.host.keys import KeyRing
from tests.servers import Redis, Tower, tower, until

ROLES = {"ada": "write", "bob": "approve", "eve": "approve", "root": "admin"}
ENDED = ("done", "refused", "withdrawn", "expired", "taken_back")


@dataclass
class Team:
    """The towers are one, or share a Redis. `client` is MLflow's own, beside them."""

    towers: Sequence[Tower]
    tokens: dict[str, str]
    client: MlflowClient

    def models(self, count: int) -> list[str]:
        """New models of three versions, of which version 1 is the champion, and of which the towers have a record."""
        names = [f"promoted {uuid.uuid4().hex[:8]} é%2F.." for _ in range(count)]
        for name in names:
            self.client.create_registered_model(name)
            for _ in range(3):
                self.client.create_model_version(name, "mem:/x")
            self.client.set_registered_model_alias(name, "champion", "1")
        made = [(None, "1", None)]
        for number in range(len(self.towers)):
            until(lambda n=number: all(self.moves(name, n) == made for name in names), "a look")  # type: ignore[misc]
        return names

    def ask(self, who: str, method: str, path: str, body: Any = None, on: int = 0) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.tokens[who]}"}
        return self.towers[on % len(self.towers)].ask(method, path, headers=headers, json=body)

    def propose(self, name: str, version: int = 2, on: int = 0) -> dict[str, Any]:
        body = {"version": str(version), "alias": "champion", "reason": "It is better.", "override": True}
        answer = self.ask("root", "POST", f"{_path(name)}/promotions", body, on)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def approve(self, promotion: dict[str, Any], who: str = "bob", on: int = 0) -> requests.Response:
        path = f"{_path(promotion['model_name'])}/promotions/{promotion['id']}/approvals"
        return self.ask(who, "POST", path, {}, on)

    def withdraw(self, promotion: dict[str, Any], on: int = 0) -> requests.Response:
        path = f"{_path(promotion['model_name'])}/promotions/{promotion['id']}?reason=changed+my+mind"
        return self.ask("root", "DELETE", path, None, on)

    def roll_back(self, name: str, since: int, who: str = "bob", on: int = 0) -> requests.Response:
        return self.ask(who, "POST", f"{_path(name)}/rollback", {"alias": "champion", "from": str(since)}, on)

    def promotions(self, name: str, on: int = 0) -> list[dict[str, Any]]:
        """The promotions and rollbacks of a model, oldest first."""
        answer = self.ask("ada", "GET", f"{_path(name)}/promotions", None, on)
        assert answer.status_code == 200, answer.text
        return list(reversed(answer.json()))

    def moves(self, name: str, on: int = 0) -> list[tuple[str | None, str | None, str | None]]:
        """What the history has of the alias, oldest first: from, to, and who did it."""
        answer = self.ask("ada", "GET", f"{_path(name)}/history?kind=alias", None, on)
        rows = answer.json() if answer.status_code == 200 else []
        return [(row["from"], row["to"], row["actor"]) for row in reversed(rows)]

    def champion(self, name: str) -> int:
        """As MLflow has it."""
        return int(self.client.get_model_version_by_alias(name, "champion").version)


def _path(name: str) -> str:
    return f"/model/{quote(name, safe='')}"


@contextmanager
def team_of(
    folder: Path,
    mlflow: str,
    beside: str | None = None,
    workers: int = 2,
    redis: Redis | None = None,
    forked: bool = False,
    **settings: str,
) -> Iterator[Team]:
    """A running tower that promotes; with a Redis two hosts, which are one tower.

    `beside` is MLflow's own address, if `mlflow` is a proxy's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ring = KeyRing(folder / "keys")
    tokens = {name: ring.add(name, role) for name, role in ROLES.items()}
    shared = {
        "ENABLE_PROMOTION": "true",
        "API_TOKENS_FILE": str(folder / "keys"),
        "MONITORING_EXPERIMENT": uuid.uuid4().hex,
        "CHANGE_POLL_SECONDS": "1",
        "ALIAS_POLL_SECONDS": "1",
        "MLFLOW_REQUEST_TIMEOUT_SECONDS": "30",
        **settings,
    }
    direct = beside or mlflow
    with ExitStack() as stack:
        towers = []
        for number in range(2 if redis else 1):
            own = dict(shared)
            if redis:
                # The path of a socket is bounded, so the directory's is short.
                temporary = stack.enter_context(tempfile.TemporaryDirectory(prefix="h-", dir="/tmp"))
                own |= {"REDIS_URL": redis.url, "REDIS_PREFIX": shared["MONITORING_EXPERIMENT"], "TMPDIR": temporary}
            towers.append(stack.enter_context(tower(folder / str(number), mlflow, workers, forked=forked, **own)))
        yield Team(towers, tokens, MlflowClient(direct, direct))
