"""Prepared lists are answered before Flask dispatches, exactly as Flask answers them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import request_started
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain.errors import MlflowUnavailable
from tests.api.service import Service
from tests.fakes.memory_mlflow import MemoryGateway

Start = Callable[..., Service]

LISTS = (
    "/models", "/models/production", "/models/staging", "/models/all", "/models/monitored",
    "/models/monitored/classifier", "/models/monitored/regressor", "/models/findings", "/fleet", "/fleet/models",
    "/fleet/summary", "/monitoring", "/monitoring/history", "/experiments", "/dashboard/summary",
)  # fmt: skip
ODD_PATHS = (
    "/models?", "/models?page=1", "/models?page=x", "/fleet?&", "//models", "/models//", "/%6dodels", "/models%2Fall",
    "/models/%ff", "/models/caf%C3%A9", "/MODELS", "/models;x", "/model/m/versions", "/experiments?lifecycle_stage=x",
    "/", "/livez", "/config", "/nowhere",
)  # fmt: skip
# Of these, `{plain}`, `{gzip}` and `{zstd}` stand for the ETags of the list that is asked for, `{read}` for a key.
HEADERS: dict[str, tuple[str, ...]] = {
    "Accept-Encoding": ("", "identity", "gzip", "zstd", "gzip;q=0.5, zstd", "br", "*;q=0", "gzip;q=nan"),
    "If-None-Match": ("{plain}", "{gzip}", 'W/{zstd}, "x"', "*", '"x"', ""),
    "Authorization": ("Bearer {read}", "bearer  {read}", "Bearer", "Bearer a=b", "Bearer x", "Basic !", "Digest a=b"),
    "Cookie": ("control_tower_key={read}", 'control_tower_key="{read}"; a=b', "control_tower_key=x", "\xff", "a"),
    "X-Request-ID": ("given-1", "not good"),
    "Accept": ("text/html", "application/json"),
    "Range": ("bytes=0-1",),
    "Content-Encoding": ("gzip", "br"),
    "Content-Length": ("0",),
    "Origin": ("https://elsewhere.example",),
    "Sec-Fetch-Site": ("cross-site",),
    "Host": ("tower.example:99999",),
}
requests = st.fixed_dictionaries(
    {
        "method": st.sampled_from(("GET", "GET", "GET", "HEAD", "OPTIONS", "POST", "DELETE", "TRACE")),
        "path": st.one_of(st.sampled_from(LISTS), st.sampled_from(LISTS).map("{}/".format), st.sampled_from(ODD_PATHS)),
        "headers": st.fixed_dictionaries(
            {}, optional={name: st.sampled_from(values) for name, values in HEADERS.items()}
        ),
        "root": st.sampled_from(("", "", "/tower")),
    }
)


@pytest.fixture(scope="module", params=["open", "guarded", "uncached", "sample", "stale", "empty", "cross-origin"])
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Service:
    """A worker of each kind; of those that have read MLflow, one version is monitored."""
    folder, gateway = tmp_path_factory.mktemp("prepared"), MemoryGateway()
    chosen: dict[str, Any] = {
        "guarded": {"api_tokens_file": folder / "keys"},
        "uncached": {"enable_cache": False},
        "sample": {"enable_mock_data": True},
        "cross-origin": {"cors_origins": "https://elsewhere.example"},
    }.get(request.param, {})
    if request.param in ("sample", "empty"):
        gateway.failure = MlflowUnavailable("MLflow is down.")
    for number in range(5):
        gateway.world.add_version(f"m{number}", {"accuracy": 0.9}, stage="Production")
    made = Service(folder, gateway, **chosen)
    made.token = made.tower.keys.add("ada", "read") if made.tower.keys else None
    if gateway.failure is None:
        made.agent.coordinator.refresh()
        made.tower.registrations.register("m1", "1", "classifier", "ada", None)
    if request.param == "stale":
        made.clock.forward(25 * 3600)
    # Time stands still from here on, so that two answers can tell the same.
    made.world.tick = lambda: made.world.now
    return made


@pytest.fixture
def service_down(start: Start, gateway: MemoryGateway) -> Service:
    """A worker that has read nothing yet, and MLflow is down."""
    gateway.failure = MlflowUnavailable("MLflow is down.")
    return start()


@contextmanager
def without_prepared_lists(service: Service) -> Iterator[None]:
    kept, service.app.prepared_lists = service.app.prepared_lists, None
    yield
    service.app.prepared_lists = kept


def ask(service: Service, method: str, path: str, headers: dict[str, str], root: str) -> dict[str, Any]:
    """What a client sees of an answer, and what was counted of it."""
    before = counted(service)
    answer = service.app.test_client(use_cookies=False).open(
        path, method=method, headers=headers, environ_overrides={"SCRIPT_NAME": root}, buffered=True
    )
    given = answer.headers["X-Request-ID"]
    return {
        "status": answer.status,
        "headers": [(name, value) for name, value in answer.headers if value != given],
        "body": answer.data.replace(given.encode(), b"ID"),
        "id": given if given == headers.get("X-Request-ID") else len(given),
        "counted": {labels: value - before.get(labels, 0) for labels, value in counted(service).items()},
    }


def counted(service: Service) -> dict[str, float]:
    samples = [sample for metric in service.worker.world.instruments.collect() for sample in metric.samples]
    return {str(one.labels): one.value for one in samples if one.name.endswith("request_duration_seconds_count")}


def tags(service: Service, path: str) -> dict[str, str]:
    """The ETags of what is there."""
    codings = ("identity", "gzip", "zstd")
    answers = [service.app.test_client().get(path, headers={"Accept-Encoding": coding}) for coding in codings]
    return dict(zip(("plain", "gzip", "zstd"), [answer.headers.get("ETag", '"y"') for answer in answers], strict=True))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=requests)
def test_both_ways_give_the_same_answer_and_count_it_the_same(service: Service, asked: dict[str, Any]) -> None:
    words = {**tags(service, asked["path"]), "read": service.token or "none"}
    asked = {**asked, "headers": {name: value.format(**words) for name, value in asked["headers"].items()}}
    before_flask = ask(service, **asked)
    with without_prepared_lists(service):
        assert before_flask == ask(service, **asked)


@pytest.mark.parametrize("headers", [{}, {"Accept-Encoding": "gzip"}, {"If-None-Match": "*"}])
def test_every_list_is_answered_before_flask_dispatches(start: Start, headers: dict[str, str]) -> None:
    service = start()
    service.refresh()
    dispatched: list[object] = []
    with request_started.connected_to(lambda *_, **__: dispatched.append(1), service.app):
        for path in LISTS:
            for method in ("GET", "HEAD"):
                service.call(method, path, headers=headers)
        assert dispatched == []
        service.get("/models?page=1")
    assert dispatched == [1]


@pytest.mark.parametrize("path", ["/models", "/fleet", "/monitoring", "/experiments", "/dashboard/summary"])
def test_where_a_list_cannot_be_read_mlflow_is_asked_once(service_down: Service, path: str) -> None:
    assert service_down.get(path).json == {"detail": "MLflow is down."}
    calls = service_down.gateway.calls
    assert calls
    assert len(calls) == len(set(calls))
