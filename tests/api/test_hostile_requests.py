"""Whatever a stranger sends is answered: what cannot be used is bad input, never a crash."""

import gzip
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.conforms import document_of, template_of
from tests.api.service import Service
from tests.fakes.memory_mlflow import MemoryGateway

KINDS = ("hostile", "trusting")
HEADERS = (
    "Accept", "Accept-Encoding", "Access-Control-Request-Headers", "Access-Control-Request-Method", "Authorization",
    "Cache-Control", "Content-Encoding", "Content-Type", "Cookie", "Date", "Forwarded", "Host", "If-Match",
    "If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since", "Origin", "Range", "Referer",
    "Sec-Fetch-Site", "Transfer-Encoding", "User-Agent", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto",
    "X-MLflow-Delivery-Id", "X-MLflow-Signature", "X-MLflow-Timestamp", "X-Request-ID",
)  # fmt: skip
CREDENTIALS = ("Authorization", "Cookie")
# What has broken parsers: of addresses, numbers, times, qualities, base64, cookies, media types, entity tags.
NASTY = (
    "http://[", "http://[::1", "https://]", "//[", "/ui/?next=//[", "http://a:b:c", "http://a:99999999", "null", "[",
    "9" * 5000, "-1", "+1", "\u0661", "1e999", "nan", "-inf", "0x10", "1_000", "--", "\x85", "\u00a0", "\u202e",
    "\ud800", "\x00", "%", "%ff", "%zz", "%00", "\ufeff", "gzip;q=nan", "gzip;q=9e9", "*;q=x", ";q=", ",,;=", "a=b=c;;",
    '"', 'W/"', '"\\', "Basic !", "Basic /w==", "Basic \xc2\x80", "Bearer", "Bearer \xff", "Digest a=",
    "Negotiate =", "bytes=9-1", "bytes=-", "multipart/form-data", "multipart/form-data; boundary=",
    "application/json; charset=\xff", "application/json;charset=nothing", "text/html",
    "control_tower_key=\\", 'control_tower_key="\\777"', "9999-99-99T99:99:99Z", "0001-01-01T00:00:00+23:59",
    "key:", ":", "a:b:c", "eyJvZmZzZXQiOi", "e30=", "/" * 300,
)  # fmt: skip

FIELDS = (
    "accuracy", "action", "alarm", "baseline", "data", "direction", "entity", "from", "key", "limits", "m", "max",
    "metrics", "min", "model_type", "n", "name", "observations", "points", "registered_by", "settings",
    "silence_hours", "timestamp", "to", "version",
)  # fmt: skip

nasty = st.sampled_from(NASTY)
anything = st.one_of(nasty, st.text(max_size=30), st.tuples(nasty, st.text()).map("".join))
leaf = st.one_of(st.none(), st.booleans(), st.integers(-(1 << 63), 1 << 64 - 1), st.floats(), anything)
fields = st.one_of(anything, st.sampled_from(FIELDS))
json_value = st.recursive(
    leaf,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(fields, inner, max_size=5)),
    max_leaves=12,
)


def _written(value: object) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:
        # Half of a surrogate pair, which JSON can write all the same.
        return b'{"model_type": "\\ud800"}'


body = st.one_of(json_value.map(_written), st.binary(max_size=60), json_value.map(_written).map(gzip.compress))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Service:
    """A worker with every door there is: keys, webhooks, origins that are let in. No stranger has a key."""
    folder = tmp_path_factory.mktemp("hostile")
    return _with_a_model(
        Service(
            folder,
            MemoryGateway(),
            api_tokens_file=folder / "keys",
            mlflow_webhook_secret="sixteen-characters",
            cors_origins="https://portal.example.com",
        )
    )


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory) -> Service:
    """A worker that everybody may ask for everything."""
    return _with_a_model(Service(tmp_path_factory.mktemp("trusting"), MemoryGateway()))


def _with_a_model(service: Service) -> Service:
    service.world.add_version("m", {"accuracy": 0.9}, stage="Production")
    service.agent.coordinator.refresh()
    service.agent.recorder.tick()
    return service


def _routes(service: Service) -> list[tuple[str, str]]:
    return sorted(
        (method, template_of(rule.rule)) for rule in service.app.url_map.iter_rules() for method in rule.methods or ()
    )


def _parameters(service: Service) -> dict[str, list[str]]:
    """The query parameters of each address."""
    return {
        path: [one["name"] for one in operations.get("get", {}).get("parameters", []) if one["in"] == "query"]
        for path, operations in document_of(service.app)["paths"].items()
    }


def _concrete(template: str, part: str = "") -> str:
    """The address with this part in the place of each name, or with parts that there are."""
    for name, there in (("model_name", "m"), ("model_version", "1"), ("experiment_id", "0"), ("name", "m"),
                        ("digest", "x"), ("filename", "icon.svg")):  # fmt: skip
        template = template.replace("{" + name + "}", quote((part or there).encode(errors="replace"), safe=""))
    return template


def _query(name: str, value: str) -> str:
    return f"{name}={quote(value.encode(errors='replace'), safe='%')}"


def _as_header(text: str) -> str:
    """As it comes out of gunicorn: bytes read as Latin-1, without the control characters that it refuses."""
    return "".join(c for c in text.encode(errors="replace").decode("latin-1") if c == "\t" or " " <= c != "\x7f")


def _crash(service: Service, method: str, path: str, **more: Any) -> bool:
    """Whether the answer is an internal error, or an error without the words that a client can show."""
    answer = service.app.test_client().open(path, method=method, buffered=True, **more)
    if answer.status_code < 400 or method == "HEAD" or answer.status_code == HTTPStatus.PRECONDITION_FAILED:
        return False
    if answer.status_code == HTTPStatus.NOT_FOUND and answer.mimetype == "text/html":
        # A person sees a page that says so.
        return "There is no registered model" not in answer.text
    return answer.status_code == 500 or set(answer.json or {}) != {"detail"}


def test_no_header_makes_an_internal_error(trusting: Service, hostile: Service) -> None:
    crashed = [
        (method, name, value)
        for service, names in ((trusting, HEADERS), (hostile, CREDENTIALS))
        for name in names
        for value in NASTY
        for method, path in (("GET", "/models/all"), ("PATCH", "/models/m/1/monitor"))
        if _crash(service, method, path, headers={name: _as_header(value)}, data=b"{}" if method == "PATCH" else None)
    ]
    assert crashed == []


def test_no_query_makes_an_internal_error(trusting: Service, hostile: Service) -> None:
    one_of_each = {name: path for path, names in _parameters(trusting).items() for name in names}
    places = [(trusting, path, name) for name, path in one_of_each.items()]
    crashed = [
        (path, name, value)
        for service, path, name in [*places, (hostile, "/ui/sign-in", "next")]
        for value in NASTY
        if _crash(service, "GET", _concrete(path), query_string=_query(name, value))
    ]
    assert crashed == []


def test_no_part_of_a_path_makes_an_internal_error(trusting: Service) -> None:
    crashed = [
        (method, template, value)
        for method, template in _routes(trusting)
        if "{" in template
        for value in NASTY
        if _crash(trusting, method, _concrete(template, value))
    ]
    assert crashed == []


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=100, suppress_health_check=list(HealthCheck), deadline=None)
@given(data=st.data())
def test_nothing_that_a_stranger_sends_is_an_internal_error(
    kind: str, data: st.DataObject, request: pytest.FixtureRequest
) -> None:
    service: Service = request.getfixturevalue(kind)
    method, template = data.draw(st.sampled_from(_routes(service)))
    names = _parameters(service).get(template) or ["page"]
    query = data.draw(st.lists(st.tuples(st.sampled_from(names), anything), max_size=3))
    crashed = _crash(
        service,
        method,
        _concrete(template, data.draw(st.one_of(st.just(""), anything))),
        query_string="&".join(_query(*one) for one in query),
        headers=data.draw(st.dictionaries(st.sampled_from(HEADERS), anything.map(_as_header), max_size=4)),
        data=data.draw(body) if method in ("POST", "PATCH", "DELETE") else None,
        content_type=data.draw(st.sampled_from(["application/json", "text/plain"])),
    )
    assert not crashed


@pytest.mark.parametrize("origin", ["http://[", "https://]", "null", "", "http://localhost:x", "//localhost"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_origin_that_is_no_address_is_another_origin(kind: str, origin: str, request: pytest.FixtureRequest) -> None:
    service: Service = request.getfixturevalue(kind)
    for method, path in (("POST", "/cache/refresh"), ("DELETE", "/models/m/1/monitor"), ("PATCH", "/nope")):
        refused = service.call(method, path, headers={"Origin": origin})
        assert (refused.status_code, "another origin" in refused.json["detail"]) == (403, True)
