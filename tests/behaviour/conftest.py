"""An application over an MLflow in memory; every answer is held against the OpenAPI document."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from openapi_schema_validator import OAS30Validator
from openapi_spec_validator import validate
from werkzeug.exceptions import HTTPException
from werkzeug.test import TestResponse

from app import create_app
from config import load_settings
from tests.fakes.memory_mlflow import MemoryGateway, MemoryWorld
from tests.fakes.memory_parts import memory_parts

Make = Callable[..., "Api"]


class CheckedClient(FlaskClient):
    """A client that refuses an answer which the document does not describe."""

    spec: dict[str, Any]

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        response = super().open(*args, **kwargs)
        with suppress(HTTPException):
            adapter = self.application.url_map.bind("localhost")
            rule, _ = adapter.match(response.request.path, response.request.method, return_rule=True)
            self._check(rule.rule.replace("<string:", "{").replace(">", "}"), response)
        return response

    def _check(self, path: str, response: TestResponse) -> None:
        operation = self.spec["paths"].get(path, {}).get(response.request.method.lower())
        if operation is None or response.status_code == 304:
            return
        documented = operation["responses"].get(str(response.status_code))
        assert documented is not None, f"{path}: undocumented {response.status_code}"
        schema = documented["content"]["application/json"]["schema"]
        OAS30Validator({**schema, "components": self.spec["components"]}).validate(response.json)


class Api:
    """The application, its world and its client."""

    def __init__(self, app: Flask, gateway: MemoryGateway, clock: Any) -> None:
        self.app = app
        self.gateway = gateway
        self.world: MemoryWorld = gateway.world
        self.clock = clock
        self.client = CheckedClient(app, use_cookies=False)
        with app.test_request_context():
            self.client.spec = app.extensions["flask-smorest"]["apis"][""]["ext_obj"].spec.to_dict()
        validate(self.client.spec)

    def get(self, path: str, **more: Any) -> TestResponse:
        return self.client.get(path, **more)

    def names(self, path: str) -> list[str]:
        """`name/version` of each row of a list."""
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return [f"{row['name']}/{row['version']}" for row in answer.json or []]

    def register(self, name: str = "m", version: int | str = 1, **body: Any) -> TestResponse:
        return self.client.post(f"/models/{name}/{version}/monitor", json={"model_type": "classifier", **body})

    def remove(self, name: str = "m", version: int | str = 1) -> TestResponse:
        return self.client.delete(f"/models/{name}/{version}/monitor")

    def monitored(self, name: str = "m", version: int | str = 1) -> bool:
        return bool(self.get(f"/models/{name}/{version}/monitor/status").json["is_monitored"])

    def refresh(self) -> TestResponse:
        return self.client.post("/cache/refresh")


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes applications over one directory: two of them are two workers."""

    def made(gateway: MemoryGateway | None = None, **settings: Any) -> Api:
        parts = memory_parts(tmp_path, gateway)
        chosen = load_settings(
            _env_file=None, mlflow_tracking_uri="http://mlflow.example", cache_directory=tmp_path / "cache", **settings
        )
        return Api(create_app(chosen, parts), parts.gateway, parts.clock)  # type: ignore[arg-type]

    return made


@pytest.fixture
def api(make: Make) -> Api:
    return make()
