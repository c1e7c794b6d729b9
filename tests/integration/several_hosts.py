"""Hosts that are one tower through Redis: real gunicorns with separate caches and temporary directories."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.domain.times import DAY_MS, rfc3339
from tests.servers import QUIET, Redis, Tower, agents, tower, until

SECRET = "a secret of enough characters"
LISTS = ("/models", "/models/all", "/models/monitored", "/fleet", "/monitoring", "/monitoring/history")


@dataclass
class Host:
    """A tower among several."""

    tower: Tower

    def health(self) -> dict[str, Any]:
        body: dict[str, Any] = self.tower.get("/health").json()
        return body

    def leads(self) -> bool:
        return bool(self.health()["hosts"]["leads"])

    def agent(self) -> int:
        """The process that talks to MLflow."""
        return int(until(lambda: len(found := agents(self.tower)) == 1 and found[0], "one agent"))

    def is_monitored(self, name: str, version: int = 1) -> bool:
        answer = self.tower.get(f"/models/{name}/{version}/monitor/status")
        assert answer.status_code == 200, answer.text
        return bool(answer.json()["is_monitored"])


@contextmanager
def hosts_of(mlflow: str, redis: Redis, folder: Path, count: int = 3, **settings: str) -> Iterator[list[Host]]:
    with ExitStack() as stack:
        made = []
        for number in range(count):
            # The path of a socket is bounded, so the directory's is short.
            temporary = stack.enter_context(tempfile.TemporaryDirectory(prefix="h-", dir="/tmp"))
            own = {"REDIS_URL": redis.url, "TMPDIR": temporary, "MLFLOW_WEBHOOK_SECRET": SECRET, **QUIET, **settings}
            running = stack.enter_context(tower(folder / str(number), mlflow, workers=2, forked=True, **own))
            made.append(Host(running))
        until(lambda: all(host.health()["hosts"]["alive"] == count for host in made), "all hosts")
        yield made


def well(trio: list[Host]) -> list[Host]:
    until(lambda: all(host.health()["status"] == "healthy" for host in trio), "health")
    until(lambda: sum(host.leads() for host in trio) == 1, "one leader")
    return sorted(trio, key=lambda host: not host.leads())


def tags(host: Host) -> dict[str, str]:
    return {path: host.tower.get(path).headers["ETag"] for path in LISTS}


def observations(values: list[float], first: int) -> dict[str, Any]:
    return {
        "observations": [
            {"metrics": {"accuracy": value}, "timestamp": rfc3339(first + n * DAY_MS)} for n, value in enumerate(values)
        ]
    }
