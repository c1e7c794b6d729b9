"""Access keys in a browser: signing in, what a role is offered, and what a page of another origin may not do."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.conftest import Watch
from tests.servers import HOST, Tower, tower, until

Look = Callable[..., Watch]
ROLES = {"ann": "read", "bob": "write", "eve": "admin"}


def write_keys(path: Path, **roles: str) -> None:
    path.write_text("".join(f"{n} {r} {hashlib.sha256(f'ct_{n}'.encode()).hexdigest()}\n" for n, r in roles.items()))


def sign_in(page: Page, key: str) -> None:
    page.get_by_label("Access key").fill(key)
    page.get_by_role("button", name="Sign in").click()


def test_with_access_keys_people_sign_in_and_are_offered_what_their_role_may(
    look: Look, tmp_path: Path, world_url: str
) -> None:
    keys = tmp_path / "keys"
    write_keys(keys, **ROLES)
    with tower(tmp_path, world_url, workers=1, ready=False, API_TOKENS_FILE=str(keys)) as running:
        until(lambda: running.get("/readyz").status_code == 200, 60)
        watch = look(running.url)
        page = watch.open("/ui/findings?name=un")
        expect(page).to_have_url(f"{running.url}/ui/sign-in?next=/ui/findings?name%3Dun")
        assert watch.complaints == []
        sign_in(page, "ct_nobody")
        expect(page.get_by_role("alert").filter(has_text="There is no such key.")).to_be_visible()
        sign_in(page, "ct_ann")
        expect(page).to_have_url(f"{running.url}/ui/findings?name=un")
        (cookie,) = page.context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        assert "ct_ann" not in page.evaluate("() => document.cookie + JSON.stringify(localStorage)")
        page.goto(f"{running.url}/ui/model/digits")
        expect(page.locator("#versions")).to_contain_text("Production")
        acts = "Monitor|Settings|Remove|Refresh"
        assert [b for b in page.get_by_role("button").all_inner_texts() if b.split(" ")[0] in acts.split("|")] == []
        page.goto(f"{running.url}/ui/system")
        expect(page.locator("main")).to_contain_text("shown to keys with the role admin")

        page.get_by_role("button", name="Sign out").click()
        sign_in(page, "ct_bob")
        expect(page).to_have_url(f"{running.url}/ui/")
        assert page.locator("#refresh").count() == 0
        page.goto(f"{running.url}/ui/model/free")
        page.get_by_role("button", name="Monitor free version 1").click()
        page.get_by_label("Type").select_option("regressor")
        page.get_by_role("button", name="Monitor", exact=True).click()
        expect(page.locator("#history")).to_contain_text("registered by bob")
        page.get_by_role("button", name="Remove version 1").click()
        page.get_by_role("button", name="Remove", exact=True).click()
        expect(page.get_by_role("button", name="Monitor free version 1")).to_be_visible()

        write_keys(keys, eve="admin")
        until(lambda: running.get("/models", headers={"Authorization": "Bearer ct_bob"}).status_code == 401, 20)
        page.get_by_role("button", name="Sign out").click()
        sign_in(page, "ct_eve")
        page.get_by_role("button", name="Refresh").click()
        expect(page.locator("#refresh-said")).to_contain_text("model versions read")
        assert "ct_" not in running.text()


def test_a_key_that_is_revoked_sends_an_open_page_to_sign_in_and_back(
    look: Look, tmp_path: Path, world_url: str
) -> None:
    keys = tmp_path / "keys"
    write_keys(keys, **ROLES)
    with tower(tmp_path, world_url, workers=1, ready=False, API_TOKENS_FILE=str(keys)) as running:
        until(lambda: running.get("/readyz").status_code == 200, 60)
        watch = look(running.url, clock=True)
        page = watch.open("/ui/?name=free")
        sign_in(page, "ct_ann")
        expect(page.locator("#versions tbody tr")).to_have_count(1)
        write_keys(keys, bob="write")
        until(lambda: running.get("/models", headers={"Authorization": "Bearer ct_ann"}).status_code == 401, 20)
        page.clock.fast_forward(11_000)
        expect(page.get_by_label("Access key")).to_be_visible()
        sign_in(page, "ct_bob")
        expect(page).to_have_url(f"{running.url}/ui/?name=free")


def test_a_page_of_another_origin_cannot_act(look: Look, served: Tower) -> None:
    page = look("http://localhost").page
    page.goto(f"{served.url.replace(HOST, 'localhost')}/livez")
    page.evaluate(
        """async (url) => { try { await fetch(url, { method: 'POST', mode: 'no-cors' }); } catch { /* as well */ } }""",
        f"{served.url}/cache/refresh",
    )
    until(lambda: "POST /cache/refresh: 403" in served.text(), 10)
