"""Compressed answers: who takes them gets them, with an ETag of their own."""

from collections.abc import Callable

import pytest

from tests.api.conforms import decoded
from tests.api.service import Service
from tests.fakes.memory_mlflow import MemoryWorld


@pytest.fixture
def long(service: Service, world: MemoryWorld) -> Service:
    """A worker whose lists are long enough to be compressed."""
    for number in range(20):
        world.add_version(f"model {number}", {"accuracy": 0.5}, stage="Production")
    service.refresh()
    return service


@pytest.mark.parametrize(("header", "coding"), [
    ("gzip", "gzip"), ("zstd", "zstd"), ("gzip, deflate, br, zstd", "zstd"), ("gzip;q=1.0, zstd;q=0.5", "gzip"),
    ("GZIP", "gzip"), ("*", "zstd"), ("*;q=0.1, zstd;q=0", "gzip"), ("gzip;q=0", None), ("br", None), ("", None),
    ("identity", None), ("identity;q=0.5, gzip;q=0.2", None), ("identity;q=0.2, gzip;q=0.5", "gzip"),
    ("identity;q=0, gzip", "gzip"), ("gzip;q=nonsense, ;;;", None), ("x" * 5000, None),
])  # fmt: skip
@pytest.mark.parametrize("path", ["/models", "/models/all?page_size=15"])
def test_the_coding_that_a_client_takes_best_is_the_one_it_gets(
    long: Service, path: str, header: str, coding: str | None
) -> None:
    answer = long.get(path, headers={"Accept-Encoding": header})
    assert answer.headers.get("Content-Encoding") == coding
    assert decoded(answer.data, coding) == long.get(path, headers={"Accept-Encoding": "identity"}).data
    assert answer.headers["Content-Length"] == str(len(answer.data))
    assert "Accept-Encoding" in answer.headers["Vary"]


def test_each_coding_has_a_tag_of_its_own_and_any_of_them_gives_a_304(long: Service) -> None:
    tags = {long.get("/models", headers={"Accept-Encoding": c}).headers["ETag"] for c in ("gzip", "zstd", "identity")}
    assert len(tags) == 3
    for tag in [*tags, ", ".join(tags), f'"x", W/{min(tags)}', "*"]:
        answer = long.get("/models", headers={"If-None-Match": tag, "Accept-Encoding": "gzip"})
        assert (answer.status_code, answer.data) == (304, b"")
        assert "gzip" in answer.headers["ETag"]
        assert {"Vary", "Cache-Control", "X-Data-As-Of", "X-Request-ID"} <= set(answer.headers.keys())
    assert long.get("/models", headers={"If-None-Match": '"x"'}).status_code == 200


def test_a_head_tells_the_length_of_what_a_get_would_give(long: Service) -> None:
    for coding in ("gzip", "identity"):
        headers = {"Accept-Encoding": coding}
        head = long.call("HEAD", "/models", headers=headers)
        assert head.data == b""
        assert head.headers["Content-Length"] == str(len(long.get("/models", headers=headers).data))


def test_a_short_answer_is_not_compressed(service: Service) -> None:
    service.refresh()
    assert "Content-Encoding" not in service.get("/models", headers={"Accept-Encoding": "gzip"}).headers


def test_the_same_list_has_the_same_tag_after_a_refresh_that_changed_nothing(long: Service) -> None:
    before = long.get("/models", headers={"Accept-Encoding": "gzip"})
    long.refresh()
    after = long.get("/models", headers={"Accept-Encoding": "gzip"})
    assert (before.headers["ETag"], before.data) == (after.headers["ETag"], after.data)
    assert before.headers["X-Data-As-Of"] < after.headers["X-Data-As-Of"]


def test_cors_adds_to_what_an_answer_varies_by(start: Callable[..., Service], world: MemoryWorld) -> None:
    world.add_version("m", stage="Production")
    service = start(cors_origins=("https://a.example", "https://b.example"))
    answer = service.get("/models", headers={"Origin": "https://a.example"})
    assert answer.headers["Access-Control-Allow-Origin"] == "https://a.example"
    assert {"Accept-Encoding", "Origin"} <= set(", ".join(answer.headers.getlist("Vary")).split(", "))
