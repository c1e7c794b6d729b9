"""The service in one process, over an MLflow in memory, as a client sees it."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from werkzeug.test import TestResponse

from app.factory import create_app
from app.wiring.agent import Agent, build_agent
from app.wiring.worker import Tower, Worker
from app.wiring.world import World
from config import Settings
from tests.api.conforms import check
from tests.fakes.memory_mlflow import MemoryGateway, MemoryWorld
from tests.fakes.memory_world import Clock, as_if_remote, memory_world

Row = dict[str, Any]


def settings_of(**values: Any) -> Settings:
    """Settings that neither the environment nor a `.env` of the machine has a say in."""
    with pytest.MonkeyPatch.context() as patch:
        for name in Settings.model_fields:
            patch.delenv(name.upper(), raising=False)
        return Settings(_env_file=None, **values)


class Service:
    """One worker, with an agent of its own. Two over one directory share what workers share.

    Every answer is checked against OpenAPI.
    """

    def __init__(self, directory: Path, gateway: MemoryGateway, world: World | None = None, **settings: Any) -> None:
        chosen = settings_of(**{"cache_directory": directory / "cache", **settings})
        world = world or memory_world(directory, gateway)
        self.agent: Agent = build_agent(chosen, world)
        self.app = create_app(chosen, world, as_if_remote(self.agent.api))
        self.gateway = gateway
        self.token: str | None = None
        self._client = self.app.test_client()

    @property
    def world(self) -> MemoryWorld:
        return self.gateway.world

    @property
    def worker(self) -> Worker:
        found: Worker = self.app.extensions["control_tower"]
        return found

    @property
    def tower(self) -> Tower:
        return self.worker.tower

    @property
    def clock(self) -> Clock:
        found = self.tower.clock
        assert isinstance(found, Clock)
        return found

    def call(self, method: str, path: str, **more: Any) -> TestResponse:
        headers = dict(more.pop("headers", {}))
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        response = self._client.open(path, method=method, headers=headers, buffered=True, **more)
        check(self.app, method, response)
        return response

    def get(self, path: str, **more: Any) -> TestResponse:
        return self.call("GET", path, **more)

    def post(self, path: str, **more: Any) -> TestResponse:
        return self.call("POST", path, **more)

    def delete(self, path: str, **more: Any) -> TestResponse:
        return self.call("DELETE", path, **more)

    def json(self, path: str) -> Any:
        """The body of a GET that succeeds."""
        response = self.get(path)
        assert response.status_code == 200, response.text
        return response.json

    def keys(self, path: str) -> list[tuple[str, str]]:
        """Name and version of each row of a list."""
        return [(row["name"], row["version"]) for row in self.json(path)]

    def row(self, name: str, version: int | str = 1) -> Row:
        """One version of `/models/all`."""
        return next(r for r in self.json("/models/all") if (r["name"], r["version"]) == (name, str(version)))

    def refresh(self) -> None:
        assert self.post("/cache/refresh").status_code == 200

    def register(self, name: str, version: int | str = 1, model_type: str = "classifier", **more: Any) -> TestResponse:
        return self.post(monitor(name, version), json={"model_type": model_type, **more})

    def remove(self, name: str, version: int | str = 1) -> TestResponse:
        return self.delete(monitor(name, version))

    def patch(self, path: str, **more: Any) -> TestResponse:
        return self.call("PATCH", path, **more)

    def observe(self, name: str, version: int | str = 1, **body: Any) -> TestResponse:
        return self.post(f"{_version(name, version)}/observations", json=body)

    def check(self) -> None:
        """One round of checks, as the agent's scheduler makes them."""
        self.agent.checker.round()

    def verdict(self, name: str, version: int | str = 1) -> Row:
        """The registration with its verdict."""
        found: Row = self.json(monitor(name, version))
        return found

    def is_monitored(self, name: str, version: int | str = 1) -> bool:
        found = self.json(f"{monitor(name, version)}/status")
        assert (found["model_name"], found["model_version"]) == (name, str(version))
        return bool(found["is_monitored"])


def monitor(name: str, version: int | str = 1) -> str:
    """The address of a version's registration."""
    return f"{_version(name, version)}/monitor"


def series(name: str, version: int | str = 1) -> str:
    """The address of a version's points."""
    return f"{_version(name, version)}/series"


def _version(name: str, version: int | str) -> str:
    return f"/models/{quote(name, safe='')}/{quote(str(version), safe='')}"
