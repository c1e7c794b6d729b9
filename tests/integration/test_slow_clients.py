"""Clients that are slow to ask, or never do, keep nobody else waiting. A real gunicorn, with few threads."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from tests.servers import HANGS_AFTER_SECONDS, HOST, Tower, tower, until

THREADS, CONNECTIONS = 4, 120
# No MLflow: nothing that is asked here needs one.
NOBODY = "http://127.0.0.1:9"
HEAD = b"POST /models/m/1/monitor HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
BODY = b'{"model_type": "x"}'
SLOW = {
    "silent": b"",
    "half a header": b"GET /livez HTTP/1.1\r\nHost: h\r\nX-Slow: ",
    "half a body": HEAD + b"Content-Length: 500\r\n\r\n" + BODY,
    "half a body that waits to be asked": HEAD + b"Expect: 100-continue\r\nContent-Length: 500\r\n\r\n",
    "half a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nfff\r\n" + BODY,
    "what looks like the last chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nfff\r\n\r\n0\r\n\r\n",
    "nonsense": b"nonsense\r\n\r\n",
    "a request whose answer it does not close": b"GET /livez HTTP/1.0\r\n\r\n",
}  # fmt: skip


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tower]:
    arguments = f"--threads {THREADS} --worker-connections {CONNECTIONS}"
    folder = tmp_path_factory.mktemp("crowded")
    with tower(folder, NOBODY, 1, ready=False, covered=True, forked=True, GUNICORN_CMD_ARGS=arguments) as running:
        yield running


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tower]:
    arguments = "--worker-class tests.hasty.HastyWorker"
    folder = tmp_path_factory.mktemp("hasty")
    with tower(folder, NOBODY, 1, ready=False, covered=True, forked=True, GUNICORN_CMD_ARGS=arguments) as running:
        yield running


def connected(running: Tower, sent: bytes) -> socket.socket:
    made = socket.create_connection((HOST, int(running.url.rpartition(":")[2])), timeout=20)
    made.sendall(sent)
    return made


def received(client: socket.socket) -> bytes:
    """Everything until the service ends the connection."""
    found = b""
    try:
        while piece := client.recv(65536):
            found += piece
    except ConnectionResetError:
        pass
    return found


def others_are_answered(running: Tower) -> None:
    assert requests.get(f"{running.url}/livez", timeout=10).ok
    assert requests.get(f"{running.url}/openapi.json", timeout=10).ok
    refused = requests.post(f"{running.url}/models/m/1/monitor", json={"model_type": "x"}, timeout=10)
    assert refused.status_code == 400


@pytest.mark.parametrize("kind", SLOW)
def test_others_are_answered_while_many_clients_are_slow_to_ask(crowded: Tower, kind: str) -> None:
    with ExitStack() as stack:
        for _ in range(20 * THREADS):
            stack.enter_context(connected(crowded, SLOW[kind]))
        for _ in range(3):
            others_are_answered(crowded)


@pytest.mark.parametrize("kind", ["silent", "half a header", "half a body"])
def test_others_are_answered_while_there_are_more_slow_clients_than_connections(crowded: Tower, kind: str) -> None:
    with ExitStack() as stack:
        for _ in range(3 * CONNECTIONS):
            stack.enter_context(connected(crowded, SLOW[kind]))
        for _ in range(3):
            others_are_answered(crowded)


@pytest.mark.parametrize("kind", ["silent", "half a header", "half a body", "half a chunk"])
def test_a_client_that_never_asks_is_let_go(hasty: Tower, kind: str) -> None:
    with connected(hasty, SLOW[kind]) as client:
        assert received(client) == b""


def test_a_client_that_drips_its_request_is_let_go(hasty: Tower) -> None:
    with connected(hasty, b"GET /livez HTTP/1.1\r\nX-Slow: ") as client:
        client.settimeout(0.1)

        def is_let_go() -> bool:
            try:
                client.sendall(b"x")
                return client.recv(1) == b""
            except TimeoutError:
                return False
            except OSError:
                return True

        until(is_let_go, "the connection is let go")


@pytest.mark.parametrize("size", [1, 7, 4096])
@pytest.mark.parametrize(
    "request_",
    [
        HEAD + b"Content-Length: 19\r\n\r\n" + BODY,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n3;a=b\r\n" + BODY[:3] + b"\r\n10\r\n" + BODY[3:] + b"\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n13\r\n" + BODY + b"\r\n0\r\nX-After: 1\r\nX-More: 2\r\n\r\n",
        HEAD + b"Expect: 100-continue\r\nContent-Length: 19\r\n\r\n" + BODY,
    ],
)
def test_a_request_that_comes_in_pieces_is_answered_and_so_is_the_next(
    crowded: Tower, request_: bytes, size: int
) -> None:
    with connected(crowded, b"") as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(request_), size):
            client.sendall(request_[start : start + size])
        client.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        answers = received(client)
    assert b"HTTP/1.1 400" in answers
    assert b"Must be classifier or regressor" in answers
    assert answers.endswith(b'{"status":"alive"}')


def test_requests_that_come_together_are_answered_one_after_another(crowded: Tower) -> None:
    request_ = b"GET /livez HTTP/1.1\r\nHost: h\r\n\r\n"
    with connected(crowded, request_ * 20 + b"GET /livez HTTP/1.0\r\n\r\n") as client:
        assert received(client).count(b'{"status":"alive"}') == 21


def test_a_stop_waits_neither_for_silent_clients_nor_for_those_that_keep_their_connections_open(tmp_path: Path) -> None:
    # gunicorn's own worker waits for them as long as for a request that is being answered.
    patient = {"GUNICORN_CMD_ARGS": "--graceful-timeout 600"}
    with tower(tmp_path, NOBODY, workers=2, ready=False, **patient) as running, ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(connected(running, b""))
        clients = [stack.enter_context(requests.Session()) for _ in range(8)]
        assert all(client.get(f"{running.url}/livez", timeout=HANGS_AFTER_SECONDS).ok for client in clients)
        running.process.terminate()
        assert running.process.wait(HANGS_AFTER_SECONDS) == 0
