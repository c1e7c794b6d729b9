"""The pages' shells, their session, and who may not act from elsewhere."""

import posixpath
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from app.access import KEY_COOKIE
from app.domain.errors import MlflowUnavailable
from tests.api.service import Service
from tests.fakes.memory_mlflow import MemoryGateway, MemoryWorld

PAGES = ["/ui/", "/ui/model/m", "/ui/monitored", "/ui/promotions", "/ui/experiments", "/ui/findings", "/ui/system"]
ELSEWHERE = ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", ""]
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.fixture
def guarded(start: Callable[..., Service], tmp_path: Path) -> tuple[Service, str]:
    """A service with one key of the role `read`, and its token."""
    service = start(api_tokens_file=tmp_path / "keys")
    assert service.tower.keys is not None
    return service, service.tower.keys.add("ann", "read")


def test_a_browser_is_sent_to_the_page_and_a_program_gets_the_documented_json(shared: Service) -> None:
    sent = shared.get("/", headers=BROWSER)
    assert (sent.status_code, sent.location, sent.headers["Vary"]) == (303, "/ui/", "Accept")
    for accept in ("*/*", "application/json", ""):
        assert shared.get("/", headers={"Accept": accept}).json["docs"] == "/docs"


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_nothing_inline_and_its_policy_allows_nothing_else(shared: Service, path: str) -> None:
    page = shared.get(path)
    assert page.status_code == 200
    assert page.headers["Content-Security-Policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    assert "style=" not in page.text
    assert "<style" not in page.text
    assert page.text.count("<script") == len(re.findall(r'<script [^>]*src="/ui/assets/[^"]+"></script>', page.text))


@pytest.mark.parametrize(("is_enabled", "why"), [(False, "ENABLE_PROMOTION"), (True, "API_TOKENS_FILE")])
def test_where_promotion_is_off_its_page_says_why_and_no_page_links_to_it(
    start: Callable[..., Service], is_enabled: bool, why: str
) -> None:
    service = start(enable_promotion=is_enabled)
    assert why in service.get("/ui/promotions").text
    assert 'href="/ui/promotions"' not in service.get("/ui/").text


def test_a_model_that_is_not_there_is_a_404_page_that_names_similar_ones(shared: Service) -> None:
    page = shared.get("/ui/model/M")
    assert page.status_code == 404
    assert "There is no registered model" in page.text
    assert 'href="/ui/model/m"' in page.text
    assert "Similar names" not in shared.get("/ui/model/nobody").text


def test_while_mlflow_is_away_the_page_of_a_model_that_is_not_known_is_there(
    start: Callable[..., Service], gateway: MemoryGateway
) -> None:
    service = start()
    service.json("/models/all")
    gateway.failure = MlflowUnavailable("MLflow is away.")
    assert service.get("/ui/model/new").status_code == 200


def test_the_name_of_a_model_is_escaped_in_its_page(service: Service, world: MemoryWorld) -> None:
    world.add_version("<script>alert(1)\"'")
    page = service.get("/ui/model/%3Cscript%3Ealert(1)%22%27")
    assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert(1)&#34;&#39;" in page.text


def test_every_file_of_a_page_is_there_compressed_and_asked_for_once(shared: Service) -> None:
    for path in PAGES:
        addresses = re.findall(r'(?:src|href)="(/ui/assets/[^"]+)"', shared.get(path).text)
        assert len(addresses) > 5
        for address in addresses:
            found = shared.get(address, headers={"Accept-Encoding": "gzip"})
            assert found.status_code == 200
            assert found.headers["Cache-Control"] == "public, max-age=31536000, immutable"
            assert (found.headers.get("Content-Encoding") == "gzip") == (len(shared.get(address).data) >= 1024)
            known = shared.get(address, headers={"If-None-Match": found.headers["ETag"]})
            assert (known.status_code, known.data) == (304, b"")


def test_every_module_that_a_page_imports_is_told_to_the_browser_at_once(shared: Service) -> None:
    for path in PAGES:
        page = shared.get(path).text
        asked = [re.search(r'type="module" src="([^"]+)"', page)[1]]  # type: ignore[index]
        told = set(re.findall(r'rel="modulepreload" href="([^"]+)"', page))
        found: set[str] = set()
        while asked:
            address = asked.pop()
            imports = re.findall(r'from "(\.[^"]+)"', shared.get(address).text)
            new = {posixpath.normpath(f"{posixpath.dirname(address)}/{one}") for one in imports} - found
            found |= new
            asked += new
        assert found == told


@pytest.mark.parametrize(
    ("path", "api"),
    [
        ("/ui/", "/fleet/models"),
        ("/ui/monitored", "/monitoring"),
        ("/ui/experiments", "/experiments"),
        ("/ui/model/m", "/models/m/1/series"),
    ],
)
def test_the_api_takes_every_choice_that_a_filter_offers(
    service: Service, world: MemoryWorld, path: str, api: str
) -> None:
    world.add_version("m", {"accuracy": 0.9})
    for name, options in re.findall(r'<select name="(\w+)">(.+?)</select>', service.get(path).text, re.DOTALL):
        for value in re.findall(r'<option value="([^"]+)">', options):
            assert service.get(api, query_string={name: value}).status_code == 200, (name, value)


def test_a_file_of_another_version_is_not_kept_and_nothing_else_is_served(shared: Service) -> None:
    assert shared.get("/ui/assets/0123456789abcdef/ui/app.css").headers["Cache-Control"] == "no-cache"
    digest = shared.tower.assets.digest
    for name in ("../../config.py", "..%2f..%2fconfig.py", "vendor/MANIFEST.json", "nothing.js", "%00"):
        assert shared.get(f"/ui/assets/{digest}/{name}").status_code == 404


def test_without_a_key_a_page_asks_for_one_and_the_api_says_401(guarded: tuple[Service, str]) -> None:
    service, _ = guarded
    sent = service.get("/ui/findings?name=a%20b", headers=BROWSER)
    assert (sent.status_code, sent.location) == (303, "/ui/sign-in?next=/ui/findings?name%3Da%2520b")
    # Whoever signs in comes back to the model, whatever its name.
    sent = service.get("/ui/model/what%3F%20100%25%23%C3%A9", headers=BROWSER)
    assert parse_qs(urlsplit(sent.location).query) == {"next": ["/ui/model/what%3F%20100%25%23%C3%A9"]}
    assert service.get("/docs", headers=BROWSER).status_code == 303
    assert service.get("/models").status_code == 401
    assert service.get("/ui/sign-in").status_code == 200


def test_a_session_keeps_the_key_where_no_script_reads_it(guarded: tuple[Service, str]) -> None:
    service, token = guarded
    began = service.post("/ui/session", json={"key": token})
    assert (began.status_code, began.json) == (200, {"name": "ann", "role": "read"})
    cookie = began.headers["Set-Cookie"]
    assert cookie.startswith(f"{KEY_COOKIE}={token};")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert service.get("/models").status_code == 200
    assert service.delete("/models/m/1/monitor").status_code == 403
    assert service.delete("/ui/session").status_code == 200
    assert service.get("/models").status_code == 401


@pytest.mark.parametrize(
    "body", [None, [], {}, {"key": 5}, {"key": ""}, {"key": "x" * 1000}, {"key": "ct_x", "more": 1}]
)
def test_what_is_no_key_is_a_400(guarded: tuple[Service, str], body: object) -> None:
    assert guarded[0].post("/ui/session", json=body).status_code == 400


@pytest.mark.parametrize("key", ["ct_nobody", "ü", "x"])
def test_an_unknown_key_is_a_401_without_a_cookie(guarded: tuple[Service, str], key: str) -> None:
    refused = guarded[0].post("/ui/session", json={"key": key})
    assert refused.status_code == 401
    assert "Set-Cookie" not in refused.headers


@pytest.mark.parametrize("address", ELSEWHERE)
def test_after_signing_in_nobody_is_sent_elsewhere(guarded: tuple[Service, str], address: str) -> None:
    page = guarded[0].get("/ui/sign-in", query_string={"next": address})
    assert 'data-next="/ui/"' in page.text


def test_without_keys_there_is_nothing_to_sign_in_to(shared: Service) -> None:
    assert shared.get("/ui/sign-in").location == "/ui/"
    assert shared.post("/ui/session", json={"key": "ct_x"}).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://other.localhost"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
def test_a_page_of_another_origin_cannot_act(shared: Service, headers: dict[str, str]) -> None:
    for method, path in (("POST", "/cache/refresh"), ("DELETE", "/models/m/1/monitor"), ("POST", "/ui/session")):
        refused = shared.call(method, path, headers=headers)
        assert refused.status_code == 403
        assert "CORS_ORIGINS" in refused.json["detail"]
    assert shared.get("/models", headers=headers).status_code == 200


def test_the_page_itself_a_program_and_an_origin_that_was_named_may_act(start: Callable[..., Service]) -> None:
    service = start(cors_origins="https://dashboards.example.com")
    for headers in (
        {},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"},
        {"Origin": "http://localhost"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://dashboards.example.com"},
    ):
        assert service.post("/cache/refresh", headers=headers).status_code == 200
