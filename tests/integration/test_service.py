"""The service as people run it: command lines, keys, logs, the OpenAPI document."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.servers import (
    HANGS_AFTER_SECONDS,
    HOST,
    ROOT,
    Tower,
    agents,
    answers,
    clean_environment,
    free_port,
    process,
    tower,
    until,
)

SECRET = "s3cr3t-pw"


def run(*command: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        check=False,
        cwd=cwd,
        env=clean_environment(**env),
        capture_output=True,
        text=True,
        timeout=HANGS_AFTER_SECONDS,
    )


def test_keys_are_made_by_a_command_asked_for_by_the_service_and_withdrawn_without_a_restart(
    tmp_path: Path, seeded_url: str
) -> None:
    file = tmp_path / "keys"
    env = {"API_TOKENS_FILE": str(file), "MLFLOW_TRACKING_URI": seeded_url}
    tokens = {}
    for name, role in (("dash", "read"), ("ci", "write"), ("ops", "admin")):
        made = run("-m", "flask", "--app", "wsgi", "tokens", "new", name, "--role", role, cwd=tmp_path, **env)
        assert made.returncode == 0, made.stderr
        tokens[role] = made.stdout.split()[-1]
    assert not any(token in file.read_text() for token in tokens.values())
    assert file.stat().st_mode & 0o077 == 0
    with tower(tmp_path, seeded_url, workers=2, forked=True, API_TOKENS_FILE=str(file)) as running:

        def status(role: str | None, method: str, path: str, **more: object) -> int:
            headers = {"Authorization": f"Bearer {tokens[role]}"} if role else {}
            call = {"get": running.get, "post": running.post, "delete": running.delete}[method]
            return call(path, headers=headers, **more).status_code

        refused = running.get("/models")
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"].startswith("Bearer")
        assert [status(None, "get", p) for p in ("/livez", "/docs", "/openapi.json")] == [200, 401, 401]
        assert [status(r, "get", "/models") for r in ("read", "write", "admin")] == [200] * 3
        body = {"json": {"model_type": "classifier"}}
        path = "/models/seed-00084/3/monitor"
        assert [status(r, "post", path, **body) for r in ("read", "write")] == [403, 201]
        assert [status(r, "get", "/cache/info") for r in ("read", "write", "admin")] == [403, 403, 200]
        assert status("admin", "delete", path) == 200
        file.write_text("\n".join(line for line in file.read_text().splitlines() if not line.startswith("ci ")))
        assert {status("write", "get", "/models") for _ in range(8)} == {401}
        log = running.text()
    assert "ci POST /models/seed-00084/3/monitor: 201" in log
    assert not any(token in log for token in tokens.values())


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("API_PORT", "http", "API_PORT='http'"),
        ("API_TOKENS_FILE", "/nowhere/keys", "API_TOKENS_FILE"),
        ("PROMETHEUS_MULTIPROC_DIR", "/dev/null/counts", "PROMETHEUS_MULTIPROC_DIR"),
    ],
)
def test_a_setting_that_cannot_be_used_stops_the_start_with_one_line(
    tmp_path: Path, setting: str, value: str, told: str
) -> None:
    port = str(free_port())
    env = {"API_HOST": HOST, "API_PORT": port, "CACHE_DIRECTORY": str(tmp_path), setting: value}
    env.setdefault("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    done = run("-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py"), "wsgi:app", cwd=tmp_path, **env)
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if told in line]
    assert len(said) == 1, done.stderr
    assert "Traceback" not in done.stderr


def test_the_script_serves_the_same_application_and_shows_its_configuration(tmp_path: Path, seeded_url: str) -> None:
    uri = seeded_url.replace("http://", f"http://ada:{SECRET}@")
    env = {"MLFLOW_TRACKING_URI": uri, "CACHE_DIRECTORY": str(tmp_path / "cache")}
    shown = run(str(ROOT / "wsgi.py"), "--config", cwd=tmp_path, **env)
    assert json.loads(shown.stdout)["mlflow"] == {
        "tracking_uri": seeded_url,
        "authentication": True,
        "workspace": None,
    }
    port = free_port()
    command = [sys.executable, str(ROOT / "wsgi.py"), "--host", HOST, "--port", str(port)]
    with process(command, tmp_path / "log", ROOT, clean_environment(**env)):
        until(lambda: answers(f"http://{HOST}:{port}/readyz"), "python wsgi.py")


def test_no_answer_and_no_log_line_holds_a_credential(tmp_path: Path, seeded_url: str) -> None:
    for address in (seeded_url, f"http://127.0.0.1:{free_port()}"):
        uri = address.replace("http://", f"http://ada:{SECRET}@")
        with tower(tmp_path, uri, ready=False, forked=True, MLFLOW_REQUEST_TIMEOUT_SECONDS="1") as running:
            spec = running.get("/openapi.json").json()
            for path, methods in spec["paths"].items():
                concrete = path.replace("{model_name}", "seed-00001").replace("{model_version}", "1")
                if "get" in methods:
                    answer = running.get(concrete.replace("{experiment_id}", "0"))
                    assert SECRET not in answer.text, concrete
                    assert SECRET not in str(answer.headers)
            assert SECRET not in running.register("seed-00001", 99).text
            running.get(f"/models?name=x&token={SECRET}", headers={"Authorization": f"Bearer {SECRET}"})
            assert SECRET not in running.text()


@pytest.fixture(scope="module")
def open_tower(tmp_path_factory: pytest.TempPathFactory, seeded_url: str) -> Iterator[Tower]:
    """A tower of one worker that listens on every address, and whose log is JSON."""
    folder = tmp_path_factory.mktemp("open")
    with tower(folder, seeded_url, workers=1, forked=True, API_HOST="0.0.0.0", LOG_FORMAT="json") as running:
        yield running


def events_of(running: Tower) -> list[dict[str, Any]]:
    # The last line may be one that is being written.
    return [json.loads(line) for line in running.text().rpartition("\n")[0].splitlines()]


def test_every_event_is_one_line_with_the_requests_id(open_tower: Tower) -> None:
    open_tower.get("/models/evil%0A2026-01-01%20ERROR%20forged/1/monitor/status", headers={"X-Request-ID": "abc-1"})
    echoed = open_tower.get("/livez", headers={"X-Request-ID": "my-own-id"}).headers["X-Request-ID"]
    assert echoed == "my-own-id"
    events = until(lambda: (found := events_of(open_tower)) and "my-own-id" in str(found) and found)
    forged = [event for event in events if "forged" in event["message"]]
    assert [event["request_id"] for event in forged] == ["abc-1"]
    assert all(event["level"] and event["time"] and event["logger"] for event in events)
    # What goes on every second is no event.
    assert not [event for event in events if event["logger"].startswith("apscheduler")]


def test_anybody_is_warned_when_the_service_listens_openly(open_tower: Tower) -> None:
    assert "set API_TOKENS_FILE" in open_tower.text()


def test_a_text_log_cannot_be_forged_by_a_name(shared_tower: Tower) -> None:
    shared_tower.get("/models/evil%0AERROR%20forged/1/monitor/status")
    until(lambda: "forged" in shared_tower.text())
    assert not any(line.startswith("ERROR") for line in shared_tower.text().splitlines())


def test_the_log_of_requests_has_names_as_they_are_and_spells_out_what_is_no_text(shared_tower: Tower) -> None:
    shared_tower.get("/models/wörld-😀/1/monitor/status")
    shared_tower.get("/models/turned-%E2%80%AE/1/monitor/status")
    shared_tower.get("/models/broken-%FF/1/monitor/status")
    for path in ("/models/wörld-😀/1", "/models/turned-\\u202e/1", "/models/broken-\\xff/1"):
        until(lambda path=path: f" GET {path}/monitor/status " in shared_tower.text())


def test_an_address_that_is_too_long_is_a_400_in_the_shape_of_all_errors(shared_tower: Tower) -> None:
    answer = shared_tower.get(f"/models?name={'x' * 9000}")
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/json")
    assert "Request Line is too large" in answer.json()["detail"]


def test_a_request_that_is_refused_does_not_hold_up_the_next_one_on_its_connection(shared_tower: Tower) -> None:
    with requests.Session() as session:
        for number in range(60):
            method = ("PATCH", "PUT", "POST")[number % 3]
            answer = session.request(
                method,
                f"{shared_tower.url}/models/nope/{number}/monitor",
                json={"model_type": "x" * 3000},
                timeout=HANGS_AFTER_SECONDS,
            )
            assert answer.status_code == (405 if method == "PUT" else 400)


@pytest.mark.parametrize(
    "headers",
    ["Content-Length: -1", "Content-Length: abc", "Content-Length: 1\r\nTransfer-Encoding: chunked", "a b: c"],
)
def test_a_request_that_no_server_can_read_is_a_400_and_is_logged_under_no_other_requests_id(
    open_tower: Tower, headers: str
) -> None:
    known = len(events_of(open_tower))
    with socket.create_connection((HOST, int(open_tower.url.rpartition(":")[2])), HANGS_AFTER_SECONDS) as client:
        client.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Request-ID: the-one-before\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200 ")
        client.sendall(f"GET /livez HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n0\r\n\r\n".encode())
        until(lambda: b"HTTP/1.1 400 " in client.recv(1000), "the refusal")
        refused = until(lambda: [e for e in events_of(open_tower)[known:] if "Invalid request" in e["message"]])
    assert not [event for event in refused if "the-one-before" in str(event)]


def test_a_body_that_is_too_large_is_answered(shared_tower: Tower) -> None:
    answer = shared_tower.post("/models/nope/1/monitor", data=b" " * (5 << 20))
    assert (answer.status_code, answer.json()["detail"][:33]) == (400, "The request body is too large: at")
    chunked = shared_tower.post("/models/nope/1/monitor", data=iter([b" " * 65536] * 32))
    assert (chunked.status_code, "too large" in chunked.json()["detail"]) == (400, True)


@pytest.mark.parametrize(
    "head",
    [
        "POST /models/nope/1/batches HTTP/1.1\r\nContent-Type: text/csv",
        "POST /models/nope/1/monitor HTTP/1.1\r\nContent-Type: application/json",
        "POST /models/nope/1/monitor HTTP/1.1\r\nContent-Type: application/json\r\nContent-Encoding: gzip",
    ],
)
def test_a_body_with_a_malformed_chunk_is_a_400(shared_tower: Tower, head: str) -> None:
    with socket.create_connection((HOST, int(shared_tower.url.rpartition(":")[2])), HANGS_AFTER_SECONDS) as client:
        client.sendall(f"{head}\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".encode())
        assert client.recv(100).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("name", ["SCRIPT_NAME", "Script-Name", "PATH_INFO", "Path-Info", "REMOTE_USER"])
@pytest.mark.parametrize("value", ["/livez", "/config", "//evil.example", "/"])
def test_no_header_of_a_client_behind_a_local_proxy_moves_the_service(
    shared_tower: Tower, name: str, value: str
) -> None:
    told = {name: value}
    assert shared_tower.get("/livez", headers=told).json() == {"status": "alive"}
    assert shared_tower.get("/livez/config", headers=told).status_code == 404
    sent = shared_tower.get("//evil.example/", headers={**told, "Accept": "text/html"}, allow_redirects=False)
    assert sent.status_code == 404
    sent = shared_tower.get("/", headers={**told, "Accept": "text/html"}, allow_redirects=False)
    assert (sent.status_code, sent.headers["Location"]) == (303, "/ui/")
    page = shared_tower.get("/ui/", headers=told).text
    assert '"/ui/assets/' in page
    assert "evil.example" not in page


def test_the_agent_loads_no_library_for_data(shared_tower: Tower) -> None:
    (agent,) = agents(shared_tower)
    loaded = Path(f"/proc/{agent}/maps").read_text()
    assert "/msgspec/" in loaded
    assert [name for name in ("numpy", "pandas", "pyarrow", "scipy") if f"/{name}/" in loaded] == []
