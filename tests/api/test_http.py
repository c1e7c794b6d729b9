"""What holds for every answer: errors, methods, HEAD, ETag, ages, broken requests."""

import io
from collections.abc import Callable

import pytest
from flask import Flask

from app.domain.errors import LockTimeout, MlflowUnavailable, Unauthorized
from tests.api.conforms import strict_json
from tests.api.service import Service
from tests.fakes.memory_mlflow import MemoryGateway, MemoryWorld

Start = Callable[..., Service]
CACHED = ("/models", "/models/production", "/models/staging", "/models/all", "/models/monitored",
          "/models/monitored/classifier", "/models/monitored/regressor", "/model/m/versions", "/experiments",
          "/models/findings", "/dashboard/summary")  # fmt: skip
LIVE = ("/", "/health", "/livez", "/readyz", "/config", "/cache/info", "/debug/monitored", "/runs/0",
        "/model/m/drift", "/model/m/compare?baseline=1&candidate=2", "/models/m/1/monitor/status")  # fmt: skip
PAGES = ("/docs", "/redoc", "/openapi.json")


def raw(app: Flask, path: bytes, method: str = "GET") -> tuple[str, bytes]:
    """A request whose path is these bytes, as gunicorn hands it over."""
    told = []
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path.decode("latin-1"),
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        "wsgi.version": (1, 0),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    body = b"".join(app.wsgi_app(environ, lambda status, headers, exc=None: told.append(status)))
    return told[0], body


@pytest.mark.parametrize("path", ["/nope", "/models/m", "/model/m", "/models/m/1", "/models/a/b/1/monitor", "/runs/",
                                  "/runs", "/models//1/monitor", "/static/nope.js",
                                  "/static/../config.py", "/MODELS"])  # fmt: skip
def test_an_unknown_path_is_a_404_that_says_where_to_look(shared: Service, path: str) -> None:
    response = shared.get(path)
    assert response.status_code == 404
    assert response.json == {"detail": "There is nothing at this address. /docs lists what there is."}


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/models", {"GET", "HEAD", "OPTIONS"}),
        ("DELETE", "/", {"GET", "HEAD", "OPTIONS"}),
        ("PUT", "/models/m/1/monitor", {"GET", "HEAD", "PATCH", "POST", "DELETE", "OPTIONS"}),
        ("GET", "/models/m/1/observations", {"POST", "DELETE", "OPTIONS"}),
        ("GET", "/cache/refresh", {"POST", "OPTIONS"}),
        ("POST", "/cache/clear", {"DELETE", "OPTIONS"}),
        ("PATCH", "/openapi.json", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_a_wrong_method_is_a_405_that_names_the_right_ones(
    shared: Service, method: str, path: str, allowed: set[str]
) -> None:
    response = shared.call(method, path)
    assert response.status_code == 405
    assert {word.strip() for word in response.headers["Allow"].split(",")} == allowed
    assert [word for word in allowed if word not in response.json["detail"]] == []


@pytest.mark.parametrize("path", [b"/models/\xff\xfe/1/monitor/status", b"/model/\xe2\x28\xa1/versions", b"/\x80",
                                  b"/models/\xed\xa0\x80/1/monitor/status"])  # fmt: skip
def test_a_path_that_is_no_utf8_is_a_400(shared: Service, path: bytes) -> None:
    status, body = raw(shared.app, path)
    assert status.startswith("400")
    assert "UTF-8" in strict_json(body.decode())["detail"]


def test_a_path_in_raw_utf8_names_what_it_says(shared: Service) -> None:
    status, body = raw(shared.app, "/models/Größe 🧬/1/monitor/status".encode())
    assert status.startswith("200")
    assert strict_json(body.decode())["model_name"] == "Größe 🧬"


def test_a_crash_is_a_500_that_names_the_log_line_and_nothing_else(
    service: Service, gateway: MemoryGateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def crash() -> int:
        raise RuntimeError("http://ada:hunter2@mlflow")

    service.world.add_version("m")
    monkeypatch.setattr(gateway, "read_inventory", crash)
    response = service.get("/models/all", headers={"X-Request-ID": "find-me"})
    assert response.status_code == 500
    assert response.json == {"detail": "Internal error. The log says more at request id find-me."}
    assert "RuntimeError" in caplog.text


@pytest.mark.parametrize("path", [*CACHED, *LIVE, *PAGES])
def test_head_is_get_without_the_body(shared: Service, path: str) -> None:
    # Until something was read, `/readyz` is a 503.
    assert shared.get("/models").status_code == 200
    head, get = shared.call("HEAD", path), shared.get(path)
    assert head.status_code == get.status_code == 200
    assert head.data == b""
    changing = ("X-Data-As-Of", "X-Request-ID", "Date", "Content-Length")
    assert {k: v for k, v in head.headers.items() if k not in changing} == {
        k: v for k, v in get.headers.items() if k not in changing
    }
    if path in CACHED:
        assert head.headers["Content-Length"] == get.headers["Content-Length"]


@pytest.mark.parametrize("path", CACHED)
def test_a_client_that_has_it_already_gets_a_304(shared: Service, path: str) -> None:
    first = shared.get(path)
    etag = first.headers["ETag"]
    again = shared.get(path, headers={"If-None-Match": etag})
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["ETag"] == etag
    assert again.headers["X-Data-As-Of"] == first.headers["X-Data-As-Of"]
    for known in (f'"other", {etag}', f"W/{etag}", "*"):
        assert shared.get(path, headers={"If-None-Match": known}).status_code == 304
    assert shared.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_change_changes_the_etag_and_a_refresh_without_one_does_not(service: Service, world: MemoryWorld) -> None:
    for stage in ("Production", "Staging"):
        world.add_version("m", stage=stage)
    service.register("m", 1, "classifier")
    service.register("m", 2, "regressor")
    service.refresh()
    known = {path: {"If-None-Match": service.get(path).headers["ETag"]} for path in CACHED}
    service.refresh()
    again = {path: service.get(path, headers=headers).status_code for path, headers in known.items()}
    # The summary tells the time of the refresh.
    assert again == {path: 200 if path == "/dashboard/summary" else 304 for path in CACHED}
    world.set_stage("m", 1, "Staging")
    world.set_stage("m", 2, "Production")
    world.add_experiment("new")
    world.tag_model("m", "owner", "ada")
    service.refresh()
    for path, headers in known.items():
        changed = service.get(path, headers=headers)
        assert changed.status_code == 200, path
        assert changed.headers["ETag"] != headers["If-None-Match"], path


@pytest.mark.parametrize("path", [*CACHED, *LIVE])
def test_every_answer_tells_how_old_its_data_is(shared: Service, path: str) -> None:
    response = shared.get(path)
    assert response.headers["X-Data-As-Of"].startswith("2023-11-14T22:")
    assert "X-Data-Stale" not in response.headers


def test_the_age_is_that_of_the_snapshot(service: Service) -> None:
    first = service.get("/models/all").headers["X-Data-As-Of"]
    service.clock.forward(3600)
    assert service.get("/models/all").headers["X-Data-As-Of"] == first
    assert service.get("/health").headers["X-Data-As-Of"] > first


def test_with_mlflow_down_and_nothing_cached_the_reason_is_told(service: Service, gateway: MemoryGateway) -> None:
    gateway.failure = MlflowUnavailable("MLflow is down.")
    for path in (*CACHED, "/model/m/drift", "/runs/0", "/models/m/1/monitor/status"):
        response = service.get(path)
        assert (response.status_code, response.json) == (500, {"detail": "MLflow is down."}), path


def test_with_mlflow_down_and_nothing_cached_mlflow_is_not_asked_by_every_request(
    service: Service, gateway: MemoryGateway
) -> None:
    gateway.failure = MlflowUnavailable("MLflow is down.")
    for _ in range(10):
        assert service.get("/models/all").status_code == 500
    assert gateway.calls.count("read_inventory") == 1
    gateway.failure = None
    service.clock.forward(3)
    assert service.get("/models/all").status_code == 200


def test_with_mlflow_down_the_snapshot_is_served_also_after_a_restart(start: Start, gateway: MemoryGateway) -> None:
    gateway.world.add_version("m", stage="Production")
    first = start()
    first.register("m")
    first.refresh()
    before = {path: first.get(path) for path in CACHED}
    gateway.failure = MlflowUnavailable("MLflow is down.")
    restarted = start()
    for path in CACHED:
        after = restarted.get(path)
        assert (after.status_code, after.json) == (200, before[path].json), path
        for header in ("X-Data-As-Of", "ETag"):
            assert after.headers[header] == before[path].headers[header], path


@pytest.mark.parametrize(("given", "kept"), [("abc-1.2_X", True), ("x" * 65, False), ("a b", False), ("", False)])
def test_a_request_keeps_its_id_where_it_brings_a_good_one(shared: Service, given: str, kept: bool) -> None:
    found = shared.get("/livez", headers={"X-Request-ID": given}).headers["X-Request-ID"]
    assert (found == given) is kept
    assert found


def test_a_path_may_end_in_a_slash(shared: Service) -> None:
    assert shared.get("/models/").data == shared.get("/models").data


def test_other_origins_are_let_in_only_where_they_are_named(start: Start) -> None:
    named, other = {"Origin": "https://a.example"}, {"Origin": "https://b.example"}
    assert "Access-Control-Allow-Origin" not in start().get("/livez", headers=named).headers
    service = start(cors_origins="https://a.example, https://c.example")
    assert service.get("/livez", headers=named).headers["Access-Control-Allow-Origin"] == "https://a.example"
    assert "Access-Control-Allow-Origin" not in service.get("/livez", headers=other).headers


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_the_pages_forbid_what_comes_from_elsewhere(shared: Service, path: str) -> None:
    response = shared.get(path)
    assert response.mimetype == "text/html"
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]


def test_what_cannot_show_who_sent_it_is_a_401(shared: Service) -> None:
    with shared.app.test_request_context():
        response = shared.app.make_response(shared.app.handle_user_exception(Unauthorized("Not signed.")))
    assert (response.status_code, response.json) == (401, {"detail": "Not signed."})


def test_what_others_keep_waiting_says_when_to_try_again(
    service: Service, world: MemoryWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add_version("m")

    def busy(*_: object, **__: object) -> None:
        raise LockTimeout("Others are at it.", 3)

    monkeypatch.setattr(service.gateway, "find_version", busy)
    response = service.register("m")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "3")
    assert response.json == {"detail": "Others are at it."}
