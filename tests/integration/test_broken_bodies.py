"""After a body whose end cannot be found nothing is taken for a request: the connection ends, and that is said."""

import socket
from collections.abc import Iterator

import pytest

from tests.servers import HOST, Tower, tower

# No MLflow: nothing that is asked here needs one.
NOBODY = "http://127.0.0.1:9"
NEXT = b"GET /livez HTTP/1.1\r\nHost: h\r\n\r\n"
ALIVE = b'{"status":"alive"}'
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
JSON, CSV = b"Content-Type: application/json\r\n", b"Content-Type: text/csv\r\n"
REQUESTS = {
    "rows": b"POST /models/m/1/batches HTTP/1.1\r\nHost: h\r\n" + CSV,
    "rows of no kind": b"PUT /models/m/1/reference HTTP/1.1\r\nHost: h\r\nContent-Type: image/png\r\n",
    "JSON": b"POST /models/m/1/monitor HTTP/1.1\r\nHost: h\r\n" + JSON,
    "gzip": b"POST /models/m/1/monitor HTTP/1.1\r\nHost: h\r\nContent-Encoding: gzip\r\n" + JSON,
    "no such address": b"POST /nothing HTTP/1.1\r\nHost: h\r\n" + JSON,
    "a body that nobody asked for": b"GET /openapi.json HTTP/1.1\r\nHost: h\r\n",
}
BROKEN = {
    "a size that is none": b"zz\r\n",
    "a size that is none after a chunk": b"3\r\nabc\r\nzz\r\n",
    "a size that is none after many": b"100000\r\n" + b"x" * 0x100000 + b"\r\n" + b"1\r\nx\r\n" * 10 + b"zz\r\n",
    "a chunk without its end": b"3\r\nabcXX0\r\n\r\n",
    "an extension with a line of its own": b"3;a\rb\r\nabc\r\n0\r\n\r\n",
    "a field behind the last chunk that is none": b"3\r\nabc\r\n0\r\nnone\r\n\r\n",
}
TOO_LARGE = 48 << 20


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tower]:
    with tower(tmp_path_factory.mktemp("broken"), NOBODY, 2, ready=False, covered=True, forked=True) as running:
        yield running


def connected(running: Tower) -> socket.socket:
    made = socket.create_connection((HOST, int(running.url.rpartition(":")[2])), timeout=60)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def answer_of(client: socket.socket) -> bytes:
    """One answer, with its body."""
    found = b""
    while b"\r\n\r\n" not in found:
        piece = client.recv(65536)
        assert piece, found
        found += piece
    head, _, body = found.partition(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    while len(body) < length:
        body += client.recv(65536)
    assert len(body) == length
    return head + b"\r\n\r\n" + body


def is_ended(client: socket.socket) -> bool:
    """Whether nothing more comes, whatever is sent."""
    try:
        client.sendall(NEXT)
        return client.recv(65536) == b""
    except OSError:
        return True


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("kind", REQUESTS)
def test_what_follows_a_broken_body_is_no_request(running: Tower, kind: str, broken: str) -> None:
    with connected(running) as client:
        client.sendall(REQUESTS[kind] + CHUNKED + BROKEN[broken])
        answer = answer_of(client)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"\r\nConnection: close\r\n" in answer
        assert is_ended(client)


@pytest.mark.parametrize("kind", ["rows", "JSON"])
def test_a_body_that_is_too_large_to_be_read_ends_the_connection_and_the_answer_says_so(
    running: Tower, kind: str
) -> None:
    with connected(running) as client:
        client.sendall(REQUESTS[kind] + b"Content-Length: %d\r\n\r\n" % TOO_LARGE + b"x" * (8 << 20))
        answer = answer_of(client)
        assert b"too large" in answer
        assert b"\r\nConnection: close\r\n" in answer
        assert is_ended(client)


@pytest.mark.parametrize("kind", ["rows of no kind", "JSON", "no such address"])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_that_is_refused_and_whole_leaves_the_connection_for_the_next_request(
    running: Tower, kind: str, is_chunked: bool
) -> None:
    body = b"x" * 300_000
    sized = b"Content-Length: %d\r\n\r\n" % len(body) + body
    chunks = CHUNKED + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
    with connected(running) as client:
        client.sendall(REQUESTS[kind] + (chunks if is_chunked else sized))
        assert answer_of(client).startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 404 "))
        client.sendall(NEXT)
        assert answer_of(client).endswith(ALIVE)
