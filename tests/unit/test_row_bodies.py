"""Bodies with rows: read by their view, up to a limit of their own, and discarded where the view refuses."""

import io
import tempfile
import tracemalloc
from contextlib import ExitStack

import pytest
from flask import Flask
from flask.testing import FlaskClient
from marshmallow import Schema

from app.errors import register_errors
from app.row_bodies import drain_rows, rows_body, takes_rows

MIB = 1 << 20


@pytest.fixture
def client() -> FlaskClient:
    app = Flask(__name__)
    register_errors(app)

    @app.post("/rows")
    @takes_rows(Schema, {})
    def rows() -> dict[str, object]:
        with rows_body(2) as body:
            return {"media_type": body.media_type, "coding": body.coding, "bytes": len(body.file.read())}

    @app.post("/refused")
    @takes_rows(Schema, {})
    def refused() -> tuple[str, int]:
        return "no", 404

    @app.after_request
    def drain(response):
        drain_rows()
        return response

    return app.test_client()


def test_a_body_of_rows_is_taken_as_what_it_says_it_is(client: FlaskClient) -> None:
    content = b"x" * (2 * MIB)
    for kind, media_type in (("text/csv; charset=utf-8", "text/csv"), ("application/jsonl", "application/x-ndjson")):
        answer = client.post("/rows", data=content, content_type=kind, headers={"Content-Encoding": "GZIP"})
        assert answer.json == {"media_type": media_type, "coding": "gzip", "bytes": 2 * MIB}


def test_a_body_that_is_too_large_empty_or_of_another_kind_is_refused(client: FlaskClient) -> None:
    too_large = client.post("/rows", data=b"x" * (2 * MIB + 1), content_type="text/csv")
    assert (too_large.status_code, "at most 2 MiB" in too_large.json["detail"]) == (413, True)
    assert client.post("/rows", content_type="text/csv").json["detail"] == "The body is empty."
    other = client.post("/rows", data=b"x", content_type="image/png")
    assert (other.status_code, "Content-Type" in other.json["detail"]) == (400, True)


def test_a_process_holds_pieces_of_a_body_and_never_the_whole(client: FlaskClient) -> None:
    megabytes = 24
    with tempfile.TemporaryFile() as sent:
        sent.truncate(megabytes * MIB)
        with client.application.test_request_context(
            "/rows", method="POST", input_stream=sent, content_length=megabytes * MIB, content_type="text/csv"
        ):
            tracemalloc.start()
            with rows_body(megabytes) as body:
                peak = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
                assert body.file.seek(0, io.SEEK_END) == megabytes * MIB
    assert peak < 8 * MIB


def test_what_a_view_refuses_is_read_to_its_end(client: FlaskClient) -> None:
    stream = io.BytesIO(b"x" * MIB)
    assert client.post("/refused", input_stream=stream, content_length=MIB).status_code == 404
    assert stream.tell() == MIB


def test_a_body_that_breaks_off_is_refused_with_the_reason(client: FlaskClient) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell():
                raise ConnectionResetError
            return super().read(MIB // 2)

    answer = client.post("/rows", input_stream=Broken(b"x" * MIB), content_length=MIB, content_type="text/csv")
    assert (answer.status_code, "as a whole" in answer.json["detail"]) == (400, True)


def test_a_process_holds_few_bodies_at_once(client: FlaskClient) -> None:
    app = client.application
    with ExitStack() as held:
        for _ in range(4):
            held.enter_context(app.test_request_context("/rows", method="POST", data=b"x", content_type="text/csv"))
            held.enter_context(rows_body(1))
        answer = client.post("/rows", data=b"x", content_type="text/csv")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert client.post("/rows", data=b"x", content_type="text/csv").status_code == 200
