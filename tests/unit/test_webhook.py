"""Deliveries of MLflow's webhooks: who sent them, how old they are, and what they say."""

import gc
import json
import string
import threading
import weakref
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import InvalidInput, TowerError, Unauthorized
from app.domain.registry.webhook import (
    EVENTS,
    MOST_AGE,
    MOST_BODY_BYTES,
    Deliveries,
    Delivery,
    delivered,
    receiver_url,
    signature,
)
from tests.servers import HANGS_AFTER_SECONDS

SECRET = "a secret of some length"
ID = "e029072d-fc13-449d-a2e2-8c332b4f04f6"
SENT = 1_795_473_514
NOW = SENT * 1000
ALIAS = {
    "entity": "model_version_alias",
    "action": "created",
    "timestamp": "2026-11-23T22:38:37.063963+00:00",
    "data": {"name": "m2", "alias": "z", "version": "1"},
}


def encoded(message: Any) -> bytes:
    return json.dumps(message).encode()


def signed(body: bytes, secret: str = SECRET, delivery_id: str = ID, seconds: str = str(SENT)) -> dict[str, str]:
    return {
        "X-MLflow-Delivery-Id": delivery_id,
        "X-MLflow-Timestamp": seconds,
        "X-MLflow-Signature": signature(secret, delivery_id, seconds, body),
    }


def read(message: Any) -> Delivery:
    body = encoded(message)
    return delivered(SECRET, signed(body), body, NOW)


def refused(headers: dict[str, str], body: bytes, secret: str = SECRET, now: int = NOW) -> str:
    with pytest.raises(Unauthorized) as caught:
        delivered(secret, headers, body, now)
    return caught.value.detail


def test_a_delivery_that_mlflow_3_17_sent_is_accepted() -> None:
    body = (
        b'{"entity": "registered_model", "action": "created", "timestamp": "2026-11-23T22:38:34.361941+00:00", '
        b'"data": {"name": "m1", "tags": {"a": "b"}, "description": ""}}'
    )
    headers = {
        "X-MLflow-Delivery-Id": "3906858a-f234-4cf3-91ba-34b87bd7f82a",
        "X-MLflow-Timestamp": "1795473514",
        "X-MLflow-Signature": "v1,Pb23vSIc6ES3+yVwMq3HmxZh0HxpycHg6ymu/nv2GIc=",
    }
    found = delivered("x" * 20, headers, body, NOW + 2000)
    assert found == Delivery("3906858a-f234-4cf3-91ba-34b87bd7f82a", 1_795_473_514_000, "m1")


@pytest.mark.parametrize("event", EVENTS)
def test_each_event_of_the_registry_names_its_model(event: str) -> None:
    entity, action = event.split(".")
    assert read({"entity": entity, "action": action, "data": {"name": "Größe 🧬"}}).name == "Größe 🧬"


@pytest.mark.parametrize(
    ("entity", "action"),
    [("prompt", "created"), ("budget_policy", "exceeded"), ("registered_model", "melted"), ("", ""), ("x.y", "z")],
)
def test_other_events_are_nothing_to_do(entity: str, action: str) -> None:
    assert read({"entity": entity, "action": action, "data": {"name": "p"}}) == Delivery(ID, NOW, None)


@pytest.mark.parametrize("change", [str.lower, str.upper, str.title])
def test_the_case_of_the_headers_names_does_not_matter(change: Any) -> None:
    body = encoded(ALIAS)
    headers = {change(name): value for name, value in signed(body).items()}
    assert delivered(SECRET, headers, body, NOW).name == "m2"


def test_one_of_several_signatures_is_enough() -> None:
    body = encoded(ALIAS)
    headers = signed(body)
    good = headers["X-MLflow-Signature"]
    other = signature("another secret", ID, str(SENT), body)
    for several in (f"{other} {good}", f"{good} {other}", f"v2,abc  {good}", f"v1, {good} ü"):
        assert delivered(SECRET, {**headers, "X-MLflow-Signature": several}, body, NOW).name == "m2"
    for none in (f"{other} {other}", good.replace("v1,", ""), good.replace("v1,", "v2,"), good.replace(",", ", ")):
        refused({**headers, "X-MLflow-Signature": none}, body)


@pytest.mark.parametrize("value", ["", " ", "v1,", "v1,%%%", "v1,ü", "v1,\udcff", "v1," + "A" * 100_000, "v1,=" * 999])
def test_what_is_no_signature_is_refused(value: str) -> None:
    body = encoded(ALIAS)
    refused({**signed(body), "X-MLflow-Signature": value}, body)


@pytest.mark.parametrize("name", ["X-MLflow-Delivery-Id", "X-MLflow-Timestamp", "X-MLflow-Signature"])
def test_a_missing_header_is_refused(name: str) -> None:
    body = encoded(ALIAS)
    headers = signed(body)
    del headers[name]
    refused(headers, body)


@pytest.mark.parametrize("delivery_id", ["", "a" * 129, "a.b", "a b", "ü", "a\n", "\udcff"])
def test_an_id_that_mlflow_would_not_make_is_refused(delivery_id: str) -> None:
    body = encoded(ALIAS)
    refused({**signed(body), "X-MLflow-Delivery-Id": delivery_id}, body)


def test_even_signed_an_id_or_time_of_another_form_is_refused() -> None:
    body = encoded(ALIAS)
    for delivery_id in ("a" * 129, "a.b", "ü"):
        refused(signed(body, delivery_id=delivery_id), body)
    for seconds in ("", "-1", "1e9", f" {SENT}", f"{SENT}.0", "9" * 13, "9" * 100_000, "١٢٣"):
        refused(signed(body, seconds=seconds), body)


@pytest.mark.parametrize("age", [0, 1, -1, MOST_AGE, -MOST_AGE])
def test_a_delivery_of_the_last_minutes_is_accepted(age: int) -> None:
    body = encoded(ALIAS)
    assert delivered(SECRET, signed(body), body, NOW + age).sent_at == NOW


@pytest.mark.parametrize("age", [MOST_AGE + 1, -MOST_AGE - 1, 10**12])
def test_an_old_or_early_one_is_refused(age: int) -> None:
    body = encoded(ALIAS)
    assert "clocks" in refused(signed(body), body, now=NOW + age)


@given(
    where=st.sampled_from(["delivery id", "time", "signature", "body", "secret"]),
    place=st.integers(0, 10_000),
    put=st.sampled_from(string.ascii_letters + string.digits + "-_.,{}/+= ü"),
)
def test_whatever_is_changed_the_delivery_is_refused(where: str, place: int, put: str) -> None:
    body = encoded(ALIAS)
    headers = signed(body)
    parts = {
        "delivery id": ID,
        "time": str(SENT),
        "signature": headers["X-MLflow-Signature"],
        "body": body.decode(),
        "secret": SECRET,
    }
    old = parts[where]
    at = place % len(old)
    changed = old[:at] + put + old[at + 1 :]
    if changed == old:
        return
    if where == "signature" and changed.split() == old.split():
        return
    parts[where] = changed
    sent = {
        "X-MLflow-Delivery-Id": parts["delivery id"],
        "X-MLflow-Timestamp": parts["time"],
        "X-MLflow-Signature": parts["signature"],
    }
    refused(sent, parts["body"].encode(), secret=parts["secret"])


@given(body=st.binary(max_size=80), at=st.integers(0, 79), flip=st.integers(1, 255))
def test_any_other_byte_in_the_body_is_refused(body: bytes, at: int, flip: int) -> None:
    headers = signed(body)
    refused(headers, body + bytes([flip]))
    if body:
        at %= len(body)
        refused(headers, body[:at] + bytes([body[at] ^ flip]) + body[at + 1 :])


_HEADER = st.sampled_from(["X-MLflow-Delivery-Id", "x-mlflow-timestamp", "X-Mlflow-Signature", "Host"])
_VALUE = st.one_of(st.text(), st.text(st.characters()), st.from_regex(r"v1,[A-Za-z0-9+/]*=*"), st.integers().map(str))


@given(headers=st.dictionaries(_HEADER, _VALUE), body=st.binary())
def test_whatever_comes_unsigned_is_refused_and_never_a_crash(headers: dict[str, str], body: bytes) -> None:
    refused(headers, body)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
_MESSAGE = st.fixed_dictionaries(
    {},
    optional={
        "entity": st.sampled_from([e.split(".")[0] for e in EVENTS]) | _JSON,
        "action": st.sampled_from(["created", "set", "deleted"]) | _JSON,
        "data": st.fixed_dictionaries({}, optional={"name": _JSON}) | _JSON,
    },
)


@given(body=st.one_of(_MESSAGE.map(encoded), _JSON.map(encoded), st.binary()))
def test_whatever_is_signed_is_read_or_bad_input(body: bytes) -> None:
    try:
        found = delivered(SECRET, signed(body), body, NOW)
    except InvalidInput:
        return
    assert found.name is None or found.name.encode()


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b'"text"', b"{", b"\xff\xfe{}", b"{}", b"[" * 100_000, b'{"a":' * 100_000,
        b" " * (MOST_BODY_BYTES + 1), b"1" * 10_000,
        encoded({**ALIAS, "entity": None}), encoded({**ALIAS, "action": 1}), encoded({**ALIAS, "data": None}),
        encoded({**ALIAS, "data": "m2"}), encoded({**ALIAS, "data": {}}), encoded({**ALIAS, "data": {"name": ""}}),
        encoded({**ALIAS, "data": {"name": 1}}), encoded({**ALIAS, "data": {"name": "a" * 1001}}),
        encoded({**ALIAS, "data": {"name": "\ud800"}}),
    ],
    ids=range(20),
)  # fmt: skip
def test_what_is_signed_but_unusable_is_bad_input(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        delivered(SECRET, signed(body), body, NOW)


@pytest.mark.parametrize("body", [b"", b"[" * 100_000, b" " * (MOST_BODY_BYTES + 1), encoded(ALIAS)])
def test_nothing_is_read_before_it_is_known_who_sent_it(body: bytes) -> None:
    refused(signed(body, secret="another secret"), body)


def test_no_message_holds_a_secret_or_a_signature() -> None:
    body = encoded(ALIAS)
    headers = signed(body)
    wrong: list[tuple[dict[str, str], bytes, int]] = [
        (headers, body + b" ", NOW), (headers, body, 0), (signed(b"{}"), b"{}", NOW), (signed(b"["), b"[", NOW),
    ]  # fmt: skip
    for sent, content, now in wrong:
        with pytest.raises(TowerError) as caught:
            delivered(SECRET, sent, content, now)
        assert SECRET not in caught.value.detail
        assert sent["X-MLflow-Signature"] not in caught.value.detail
        assert caught.value.__cause__ is None


def test_a_delivery_is_new_once() -> None:
    known = Deliveries()
    assert known.is_new("a", NOW, NOW)
    assert not known.is_new("a", NOW, NOW)
    assert not known.is_new("a", NOW, NOW + MOST_AGE)
    assert known.is_new("b", NOW, NOW)


class Id(str):
    """An id of a delivery whose end can be seen."""


class Ids:
    """Makes ids, and tells which of them are still in memory."""

    def __init__(self) -> None:
        self._made: weakref.WeakSet[Id] = weakref.WeakSet()

    def made(self, text: str) -> Id:
        made = Id(text)
        self._made.add(made)
        return made

    def in_memory(self) -> set[str]:
        gc.collect()
        return {str(one) for one in self._made}


def test_what_is_too_old_to_be_accepted_is_forgotten_and_not_new() -> None:
    known, ids = Deliveries(), Ids()
    assert known.is_new(ids.made("a"), NOW, NOW)
    assert not known.is_new("a", NOW, NOW + MOST_AGE + 1)
    assert not known.is_new(ids.made("late"), NOW, NOW + MOST_AGE + 1)
    assert known.is_new(ids.made("b"), NOW + MOST_AGE, NOW + MOST_AGE + 1)
    assert ids.in_memory() == {"b"}


def test_beyond_the_bound_the_oldest_are_forgotten() -> None:
    known, ids = Deliveries(most=3), Ids()
    for place, delivery_id in enumerate("cabd"):
        assert known.is_new(ids.made(delivery_id), NOW + place, NOW)
    assert ids.in_memory() == {"a", "b", "d"}
    assert not any(known.is_new(delivery_id, NOW, NOW) for delivery_id in "abd")
    assert known.is_new("c", NOW + 9, NOW)


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdef"), st.integers(-MOST_AGE, MOST_AGE), st.integers(0, MOST_AGE)), max_size=60
    )
)
def test_nothing_that_would_be_accepted_is_new_twice(steps: list[tuple[str, int, int]]) -> None:
    known, seen, now = Deliveries(), set(), NOW
    sent_at: dict[str, int] = {}
    for delivery_id, offset, later in steps:
        now += later
        # The time belongs to the id: MLflow signs both.
        sent = sent_at.setdefault(delivery_id, now + offset)
        if abs(now - sent) > MOST_AGE:
            continue
        assert known.is_new(delivery_id, sent, now) == (delivery_id not in seen)
        seen.add(delivery_id)


def test_of_many_threads_with_one_delivery_one_has_it_new() -> None:
    known = Deliveries()
    barrier = threading.Barrier(8)
    new: list[bool] = []

    def bring() -> None:
        barrier.wait(HANGS_AFTER_SECONDS)
        new.extend(known.is_new(str(number), NOW, NOW) for number in range(200))

    threads = [threading.Thread(target=bring) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(new), sum(new)) == (1600, 200)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://tower.example.com", "https://tower.example.com/webhooks/mlflow"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000/webhooks/mlflow"),
        ("https://u:p@tower/?a=b", "https://u:p@tower/webhooks/mlflow?a=b"),
        ("https://tower/prefix/webhooks/mlflow", "https://tower/prefix/webhooks/mlflow"),
        ("https://[::1]:8000/elsewhere", "https://[::1]:8000/elsewhere"),
    ],
)
def test_an_address_without_a_path_gets_the_services(text: str, url: str) -> None:
    assert receiver_url(text) == url


@pytest.mark.parametrize(
    "text",
    ["", "tower", "tower:8000", "ftp://tower/", "https://", "https:///x", "https://tower:x/", "https://tower:0/",
     "https://tower/#a", "https://tower/a b", "https://tower/a\nb", "https://[tower/", "https://tower/" + "a" * 500],
)  # fmt: skip
def test_what_is_no_address_is_bad_input(text: str) -> None:
    with pytest.raises(InvalidInput):
        receiver_url(text)


@given(st.text(st.characters()) | st.text(st.characters()).map("https://".__add__))
def test_any_text_is_an_address_or_bad_input(text: str) -> None:
    with suppress(InvalidInput):
        assert receiver_url(text).lower().startswith("http")
