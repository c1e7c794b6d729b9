"""Deliveries of MLflow's webhooks: who may send them, and what they bring about."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app.domain.errors import MlflowUnavailable
from app.domain.registry.webhook import signature
from tests.api.service import Service
from tests.fakes.memory_mlflow import MemoryWorld
from tests.servers import until

SECRET = "a secret of enough characters"
PATH = "/webhooks/mlflow"


@pytest.fixture
def receiving(start: Callable[..., Service], world: MemoryWorld) -> Iterator[Service]:
    """A worker that takes deliveries; its mirror has the model `m` in one version."""
    world.add_version("m")
    service = start(mlflow_webhook_secret=SECRET)
    service.refresh()
    service.gateway.calls.clear()
    service.agent.detector.start()
    yield service
    service.agent.detector.stop()


def event(name: str, entity: str = "model_version", action: str = "created") -> dict[str, Any]:
    return {"entity": entity, "action": action, "timestamp": "2023-12-01T10:00:00Z", "data": {"name": name}}


def deliver(
    service: Service, message: Any, delivery_id: str = "d1", late_by: int = 0, secret: str = SECRET, **headers: str
) -> TestResponse:
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    seconds = str(service.clock() // 1000 - late_by)
    sent = {
        "X-MLflow-Delivery-Id": delivery_id,
        "X-MLflow-Timestamp": seconds,
        "X-MLflow-Signature": signature(secret, delivery_id, seconds, body),
        **headers,
    }
    return service.post(PATH, data=body, headers=sent, content_type="application/json")


def test_without_a_secret_there_is_no_endpoint(service: Service) -> None:
    assert service.post(PATH).status_code == 404
    assert PATH not in service.json("/openapi.json")["paths"]


def test_a_delivery_is_taken_at_once_and_the_model_that_it_names_is_read(
    receiving: Service, world: MemoryWorld
) -> None:
    world.add_version("m")
    answer = deliver(receiving, event("m"))
    assert (answer.status_code, answer.json) == (202, {"message": "Delivery accepted", "model": "m"})
    until(lambda: ("m", "2") in receiving.keys("/models/all"))
    assert "read_inventory" not in receiving.gateway.calls
    until(lambda: receiving.json("/cache/info")["freshness"]["push"]["models_changed"] == 1)
    push = receiving.json("/cache/info")["freshness"]["push"]
    assert (push["enabled"], push["last_error"]) == (True, None)
    assert push["mlflow_requests"] <= 4


def test_one_that_came_before_is_accepted_and_changes_nothing(receiving: Service) -> None:
    deliver(receiving, event("m"))
    until(lambda: receiving.gateway.calls.count("read_models") == 1)
    again = deliver(receiving, event("m"))
    assert (again.status_code, again.json["message"]) == (202, "Delivery accepted before")  # type: ignore[index]
    assert deliver(receiving, event("m"), "d2").status_code == 202
    until(lambda: receiving.gateway.calls.count("read_models") == 2)


@pytest.mark.parametrize("changed", [
    {"secret": "another secret of characters"}, {"late_by": 301}, {"late_by": -301},
    {"X-MLflow-Signature": ""}, {"X-MLflow-Signature": "v1,"}, {"X-MLflow-Delivery-Id": "another"},
    {"X-MLflow-Timestamp": "0"}, {"X-MLflow-Timestamp": "soon"},
])  # fmt: skip
def test_what_mlflow_did_not_sign_or_long_ago_is_refused(receiving: Service, changed: dict[str, Any]) -> None:
    answer = deliver(receiving, event("m"), **changed)
    assert answer.status_code == 401
    assert SECRET not in answer.text
    assert receiving.gateway.calls == []


@pytest.mark.parametrize("message", [b"", b"{", b"[]", {}, event(""), event("m", action="x") | {"entity": 5}])
def test_a_signed_body_that_cannot_be_used_is_a_400(receiving: Service, message: Any) -> None:
    assert deliver(receiving, message).status_code == 400
    assert receiving.gateway.calls == []


def test_an_event_that_is_not_about_a_model_is_taken_and_changes_nothing(receiving: Service) -> None:
    answer = deliver(receiving, event("p", entity="prompt"))
    assert (answer.status_code, answer.json["model"]) == (202, None)  # type: ignore[index]
    assert receiving.gateway.calls == []


def test_deliveries_need_no_key_where_there_are_keys(
    start: Callable[..., Service], tmp_path: Any, world: MemoryWorld
) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"ada read {'0' * 64}\n")
    service = start(mlflow_webhook_secret=SECRET, api_tokens_file=keys)
    assert service.get("/models").status_code == 401
    assert deliver(service, event("m")).status_code == 202


def test_without_a_cache_there_is_nothing_to_refresh(start: Callable[..., Service], world: MemoryWorld) -> None:
    service = start(mlflow_webhook_secret=SECRET, enable_cache=False)
    assert deliver(service, event("m")).status_code == 202
    assert service.gateway.calls == []


def test_a_reading_that_fails_is_told_of_and_mended_by_the_next(receiving: Service, world: MemoryWorld) -> None:
    world.add_version("m")
    receiving.gateway.failure = MlflowUnavailable("MLflow is down.")
    deliver(receiving, event("m"))
    until(lambda: receiving.json("/cache/info")["freshness"]["push"]["last_error"] == "MLflow is down.")
    receiving.gateway.failure = None
    deliver(receiving, event("m"), "d2")
    until(lambda: ("m", "2") in receiving.keys("/models/all"))
