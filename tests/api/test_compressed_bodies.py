"""Bodies that a client compressed: the same as plain ones, and held to the same limit."""

import gzip
import io
import json
import zlib
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from app.domain.errors import InvalidInput
from app.domain.registry.webhook import signature
from app.parsing import MOST_BODY_BYTES, decoded
from tests.api.service import Service, monitor

Start = Callable[..., Service]
PACKED = gzip.compress(b'{"model_type": "classifier"}', mtime=0)


def send(service: Service, body: bytes, coding: str = "gzip", path: str = monitor("m")) -> TestResponse:
    return service.post(path, data=body, content_type="application/json", headers={"Content-Encoding": coding})


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "GZIP", " gzip "])
def test_a_body_in_gzip_is_taken(service: Service, coding: str) -> None:
    service.world.add_version("m")
    assert send(service, PACKED, coding).status_code == 201
    observed = gzip.compress(json.dumps({"metrics": {"accuracy": 0.5}}).encode())
    assert send(service, observed, path="/models/m/1/observations").status_code == 201
    settings_ = gzip.compress(b'{"settings": {"silence_hours": 5}}')
    changed = service.patch(
        monitor("m"), data=settings_, content_type="application/json", headers={"Content-Encoding": "gzip"}
    )
    assert (changed.status_code, changed.json["settings"]["silence_hours"]) == (200, 5)


def test_a_body_in_several_members_and_one_in_chunks_are_taken(service: Service) -> None:
    service.world.add_version("m")
    several = gzip.compress(b'{"model_type": ') + gzip.compress(b"") + gzip.compress(b'"classifier"}')
    assert send(service, several).status_code == 201
    service.remove("m")
    headers = {"Content-Encoding": "gzip", "Transfer-Encoding": "chunked"}
    chunked = service.post(
        monitor("m"), input_stream=io.BytesIO(PACKED), content_type="application/json", headers=headers,
        environ_overrides={"wsgi.input_terminated": True},
    )  # fmt: skip
    assert chunked.status_code == 201


@pytest.mark.parametrize("body", [PACKED[:-1], PACKED[:5], PACKED + b"x", PACKED[:-8] + b"\0" * 8, b"{}", b"\x1f\x8b",
                                  zlib.compress(b"{}"), PACKED + PACKED[:12]])  # fmt: skip
def test_a_body_that_is_no_gzip_damaged_or_cut_short_is_a_400_that_says_so(shared: Service, body: bytes) -> None:
    refused = send(shared, body)
    assert (refused.status_code, "gzip" in refused.json["detail"]) == (400, True)


@pytest.mark.parametrize("coding", ["deflate", "br", "zstd", "gzip, gzip", "nonsense"])
def test_another_coding_is_a_400_that_names_the_one_that_is_taken(shared: Service, coding: str) -> None:
    refused = send(shared, b"{}", coding)
    assert (refused.status_code, "send it in gzip" in refused.json["detail"]) == (400, True)
    assert send(shared, b"{}", "identity").json["detail"].startswith("model_type")


def test_the_limit_holds_after_inflating_and_a_bomb_is_stopped_at_it(shared: Service) -> None:
    def padded(size: int) -> bytes:
        return gzip.compress(b'{"model_type": "none"}'.ljust(size))

    assert "classifier or regressor" in send(shared, padded(MOST_BODY_BYTES)).json["detail"]
    for body in (padded(MOST_BODY_BYTES + 1), padded(200 * MOST_BODY_BYTES), padded(MOST_BODY_BYTES // 2) * 3):
        refused = send(shared, body)
        assert refused.status_code == 400
        assert refused.json["detail"] == "The request body is too large after inflating: at most 1 MiB."
    assert send(shared, b"x" * (MOST_BODY_BYTES + 1)).json["detail"] == "The request body is too large: at most 1 MiB."


@given(st.lists(st.binary(max_size=9000), max_size=5), st.integers(0, 9))
@settings(deadline=None, suppress_health_check=list(HealthCheck))
def test_what_was_compressed_is_what_is_read(members: list[bytes], level: int) -> None:
    assert decoded(b"".join(gzip.compress(one, level) for one in members), "gzip") == b"".join(members)


@given(st.binary(max_size=300), st.integers(0, 60), st.integers(1, 255))
@settings(deadline=None, suppress_health_check=list(HealthCheck))
def test_a_damaged_body_is_refused_or_read_as_it_was(content: bytes, place: int, flip: int) -> None:
    packed = bytearray(gzip.compress(content))
    packed[place % len(packed)] ^= flip
    with suppress(InvalidInput):
        assert decoded(bytes(packed), "gzip") == content


def test_a_delivery_is_signed_as_it_was_before_it_was_compressed(start: Start) -> None:
    service = start(mlflow_webhook_secret="sixteen-characters")
    body = b'{"entity": "registered_model", "action": "created", "data": {"name": "m"}}'
    seconds = str(service.tower.clock() // 1000)
    headers = {
        "X-MLflow-Delivery-Id": "d1",
        "X-MLflow-Timestamp": seconds,
        "X-MLflow-Signature": signature("sixteen-characters", "d1", seconds, body),
        "Content-Encoding": "gzip",
    }
    taken = service.post("/webhooks/mlflow", data=gzip.compress(body), headers=headers)
    assert taken.status_code == 202
    other = gzip.compress(body.replace(b'"m"', b'"n"'))
    assert service.post("/webhooks/mlflow", data=other, headers=headers).status_code == 401
