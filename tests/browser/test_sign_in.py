"""Access keys in a browser: signing in, what a role is offered, and what a page of another origin may not do."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Watch, write_keys
from tests.servers import HOST, Tower, tower, until

Look = Callable[..., Watch]
ROLES = {"ann": "read", "bob": "write", "eve": "admin"}


def sign_in(page: Page, key: str) -> None:
    page.get_by_label("Access key").fill(key)
    page.get_by_role("button", name="Sign in").click()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, world_url: str) -> Iterator[tuple[Tower, Path]]:
    """A tower that asks for keys, and their file."""
    folder = tmp_path_factory.mktemp("guarded")
    keys = folder / "keys"
    write_keys(keys, **ROLES)
    with tower(folder, world_url, workers=1, ready=False, API_TOKENS_FILE=str(keys), forked=True) as running:
        until(lambda: running.get("/readyz").status_code == 200)
        yield running, keys
        assert "ct_" not in running.text()


@pytest.fixture
def keyed(guarded: tuple[Tower, Path]) -> Tower:
    """That tower, with all its keys in force."""
    running, keys = guarded
    write_keys(keys, **ROLES)
    until(lambda: all(running.get("/models", headers=bearer(name)).status_code == 200 for name in ROLES))
    return running


def bearer(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer ct_{name}"}


def test_people_sign_in_and_go_on_to_where_they_were_with_a_cookie_that_no_script_reads(
    look: Look, keyed: Tower
) -> None:
    watch = look(keyed.url)
    page = watch.open("/ui/findings?name=un")
    expect(page).to_have_url(f"{keyed.url}/ui/sign-in?next=/ui/findings?name%3Dun")
    assert watch.complaints == []
    sign_in(page, "ct_nobody")
    expect(page.get_by_role("alert").filter(has_text="There is no such key.")).to_be_visible()
    sign_in(page, "ct_ann")
    expect(page).to_have_url(f"{keyed.url}/ui/findings?name=un")
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert "ct_ann" not in page.evaluate("() => document.cookie + JSON.stringify(localStorage)")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Access key")).to_be_visible()
    assert page.context.cookies() == []


def test_who_may_read_is_offered_nothing_to_do(look: Look, keyed: Tower) -> None:
    page = look(keyed.url).open("/ui/model/digits")
    sign_in(page, "ct_ann")
    expect(page.locator("#versions")).to_contain_text("Production")
    acts = {"Monitor", "Settings", "Remove", "Refresh"}
    assert [one for one in page.get_by_role("button").all_inner_texts() if one.split(" ")[0].rstrip("…") in acts] == []
    page.goto(f"{keyed.url}/ui/system")
    expect(page.locator("main")).to_contain_text("Only access keys with the role admin")


def test_who_may_write_registers_under_the_name_of_the_key_and_cannot_refresh(look: Look, keyed: Tower) -> None:
    page = look(keyed.url).open("/ui/model/free")
    sign_in(page, "ct_bob")
    page.get_by_role("button", name="Monitor free version 1").click()
    page.get_by_label("Type").select_option("regressor")
    page.get_by_role("button", name="Monitor", exact=True).click()
    expect(page.locator("#history")).to_contain_text("registered by bob")
    page.get_by_role("button", name="Remove version 1").click()
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.get_by_role("button", name="Monitor free version 1")).to_be_visible()
    assert page.locator("#refresh").count() == 0


def test_an_admin_may_refresh(look: Look, keyed: Tower) -> None:
    page = look(keyed.url).open("/ui/")
    sign_in(page, "ct_eve")
    page.get_by_role("button", name="Refresh").click()
    expect(page.locator("#refresh-result")).to_contain_text("model versions read")


def test_a_key_that_is_revoked_sends_an_open_page_to_sign_in_and_back(
    look: Look, keyed: Tower, guarded: tuple[Tower, Path]
) -> None:
    page = look(keyed.url, clock=True).open("/ui/?name=free")
    sign_in(page, "ct_ann")
    expect(page.locator("#models tbody tr")).to_have_count(1)
    write_keys(guarded[1], bob="write")
    until(lambda: keyed.get("/models", headers=bearer("ann")).status_code == 401)
    page.clock.fast_forward(11_000)
    expect(page.get_by_label("Access key")).to_be_visible()
    sign_in(page, "ct_bob")
    expect(page).to_have_url(f"{keyed.url}/ui/?name=free")


def test_a_page_of_another_origin_cannot_act(look: Look, served: Tower) -> None:
    page = look("http://localhost").page
    page.goto(f"{served.url.replace(HOST, 'localhost')}/livez")
    page.evaluate(
        """async (url) => { try { await fetch(url, { method: 'POST', mode: 'no-cors' }); } catch { /* as well */ } }""",
        f"{served.url}/cache/refresh",
    )
    until(lambda: "POST /cache/refresh: 403" in served.text())
