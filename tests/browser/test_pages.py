"""The pages in a real browser: what people see, what they may do, and that nothing foreign gets in or out."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import NARROW, WIDE
from tests.browser.conftest import HOSTILE, Watch
from tests.servers import HOST, Proxy, Tower, mlflow_server, tower, until

Look = Callable[..., Watch]
PAGES = {
    "fleet": ("/ui/", "unwatched"),
    "model": ("/ui/model/digits", "baseline 0.940"),
    "monitored": ("/ui/monitored", "steady"),
    "experiments": ("/ui/experiments?experiment=0", "FINISHED"),
    "findings": ("/ui/findings", "unwatched"),
    "system": ("/ui/system", "Alias poll"),
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_every_page_shows_its_data_fits_every_width_and_is_accessible(look: Look, name: str, scheme: str) -> None:
    path, words = PAGES[name]
    for size in (WIDE, NARROW):
        watch = look(viewport=size, color_scheme=scheme)
        page = watch.open(path)
        expect(page.locator("main")).to_contain_text(words)
        assert not page.evaluate("() => document.documentElement.scrollWidth > innerWidth"), size
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        assert watch.complaints == []


def test_what_mlflow_holds_is_text_and_never_markup(look: Look) -> None:
    watch = look()
    page = watch.open("/ui/?name=onerror")
    page.get_by_role("link", name=HOSTILE).click()
    page.wait_for_load_state("networkidle")
    expect(page.locator("h1")).to_have_text(HOSTILE)
    for path in ("/ui/findings", "/ui/monitored"):
        watch.open(path)
    assert page.locator("main img").count() == 0
    assert page.title() != "1"
    assert watch.complaints == []


def test_what_drifts_comes_first_with_its_reason(look: Look) -> None:
    page = look().open("/ui/")
    card = page.locator(".card").first
    expect(card).to_contain_text("digits v1")
    expect(card).to_contain_text("✕ drifting")
    expect(card).to_contain_text("accuracy 0.700, baseline 0.940 ± 0.010, below for 5 of the last 5 points")


def test_tiles_filter_filters_stand_in_the_address_and_the_back_button_takes_them_back(look: Look) -> None:
    page = look().open("/ui/")
    rows = page.locator("#versions tbody tr")
    everything = rows.count()
    page.locator(".tile.drifting").click()
    expect(rows).to_have_count(1)
    assert page.url.endswith("?verdict=drifting")
    expect(page.locator(".tile.drifting")).to_have_attribute("aria-pressed", "true")
    page.go_back()
    expect(rows).to_have_count(everything)
    page.locator("#filter").fill("steady")
    expect(rows).to_have_count(1)
    page.reload()
    expect(page.locator("#filter")).to_have_value("steady")
    expect(rows).to_have_count(1)
    page.locator("#filter").fill("nobody")
    expect(page.locator("#versions")).to_contain_text("No model version matches the filters.")


def test_a_version_is_registered_with_settings_changed_and_removed_where_it_is_shown(look: Look) -> None:
    watch = look()
    page = watch.open("/ui/model/free")
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Monitor version 1").click()
    page.locator("dialog select").select_option("regressor")
    page.locator("dialog textarea").fill('{"limits": {"rmse": 3}}')
    page.get_by_role("button", name="Save").click()
    expect(page.locator("dialog .error")).to_have_text("limits.rmse: Not an object.")
    page.locator("dialog textarea").fill("{")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("dialog .error")).to_contain_text("This is no JSON")
    page.locator("dialog textarea").fill('{"limits": {"rmse": {"max": 1}}}')
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("button", name="Settings of version 1")).to_be_visible()
    page.get_by_role("button", name="Settings of version 1").click()
    page.locator("dialog textarea").fill("{}")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("dialog")).to_have_count(0)
    page.get_by_role("button", name="Remove version 1 from monitoring").click()
    expect(page.get_by_role("button", name="Monitor version 1")).to_be_visible()
    expect(page.locator("#history")).to_contain_text("removed")


def test_two_versions_are_compared_and_points_shown_as_a_table(look: Look) -> None:
    watch = look()
    page = watch.open("/ui/model/digits")
    expect(page.locator(".chart canvas").first).to_be_visible()
    page.get_by_role("button", name="Compare").click()
    expect(page.locator("#comparison")).to_contain_text("Version 2 against version 1")
    page.get_by_label("Show as table").check()
    expect(page.locator(".figure table")).to_contain_text("monitor run")
    assert watch.complaints == []


def test_a_refresh_says_when_it_is_done(look: Look) -> None:
    page = look().open("/ui/")
    page.get_by_role("button", name="Refresh").click()
    expect(page.locator("#refresh")).to_have_text("Refreshed")


def test_the_keyboard_reaches_all_and_a_poll_does_not_take_its_focus_away(look: Look) -> None:
    page = look().open("/ui/")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to content")).to_be_focused()
    page.keyboard.press("/")
    expect(page.locator("#filter")).to_be_focused()
    link = page.locator("#versions tbody a").first
    link.focus()
    with page.expect_response(lambda answer: "/models/all" in answer.url, timeout=30_000) as poll:
        pass
    assert poll.value.status == 304
    expect(link).to_be_focused()


def test_links_lead_into_mlflow_where_its_address_is_set(look: Look) -> None:
    page = look().open("/ui/?name=steady")
    link = page.locator("#versions").get_by_role("link", name="open")
    expect(link).to_have_attribute("href", "https://mlflow.example.com/#/models/steady/versions/1")


def test_with_mlflow_down_the_data_stays_with_a_banner_that_tells_its_age(
    look: Look, tmp_path: Path, world_url: str
) -> None:
    with closing(Proxy(world_url)) as between, tower(tmp_path, between.url, workers=1) as running:
        watch = look(running.url)
        between.mode = "refuse"
        until(lambda: running.get("/health").json()["status"] == "degraded", 20)
        page = watch.open("/ui/")
        expect(page.locator("#banner")).to_contain_text("MLflow does not answer. What you see was read")
        expect(page.locator("#versions")).to_contain_text("unwatched")
        page.goto(f"{running.url}/ui/model/digits")
        expect(page.locator("#versions .error")).to_contain_text("MLflow")


def test_an_empty_registry_says_so(look: Look, tmp_path: Path) -> None:
    with mlflow_server(tmp_path / "mlflow") as empty, tower(tmp_path / "tower", empty, workers=1) as running:
        watch = look(running.url)
        expect(watch.open("/ui/").locator("#versions")).to_contain_text("There is no model version in MLflow yet.")
        expect(watch.page.locator("#attention")).to_contain_text("Nothing is monitored yet.")
        expect(watch.open("/ui/monitored").locator("#list")).to_contain_text("Nothing is monitored yet.")
        expect(watch.open("/ui/findings").locator("#list")).to_contain_text("Nothing is out of order.")


def test_with_access_keys_people_sign_in_and_see_what_their_role_allows(
    look: Look, browser: Browser, tmp_path: Path, world_url: str
) -> None:
    import hashlib

    keys = tmp_path / "keys"
    names = {"ann": "read", "bob": "write"}
    keys.write_text("".join(f"{n} {r} {hashlib.sha256(f'ct_{n}'.encode()).hexdigest()}\n" for n, r in names.items()))
    with tower(tmp_path, world_url, workers=1, ready=False, API_TOKENS_FILE=str(keys)) as running:
        until(lambda: running.get("/readyz").status_code == 200, 60)
        page = look(running.url).open("/ui/findings?name=un")
        expect(page).to_have_url(f"{running.url}/ui/sign-in?next=/ui/findings?name%3Dun")
        sign_in(page, "ct_nobody")
        expect(page.locator("form .error")).to_contain_text("There is no such key.")
        sign_in(page, "ct_ann")
        expect(page).to_have_url(f"{running.url}/ui/findings?name=un")
        (cookie,) = page.context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        page.goto(f"{running.url}/ui/model/digits")
        expect(page.locator("#versions")).to_contain_text("Production")
        assert page.get_by_role("button", name="Monitor").count() == page.locator("#refresh").count() == 0
        page.goto(f"{running.url}/ui/system")
        expect(page.locator("main")).to_contain_text("shown to keys with the role admin")
        page.get_by_role("button", name="Sign out").click()
        sign_in(page, "ct_bob")
        expect(page).to_have_url(f"{running.url}/ui/")
        page.goto(f"{running.url}/ui/model/free")
        expect(page.get_by_role("button", name="Monitor version 1")).to_be_visible()


def sign_in(page: Page, key: str) -> None:
    page.get_by_label("Access key").fill(key)
    page.get_by_role("button", name="Sign in").click()


def test_a_page_of_another_origin_cannot_act(look: Look, served: Tower) -> None:
    watch = look("http://localhost")
    page = watch.page
    page.goto(f"{served.url.replace(HOST, 'localhost')}/livez")
    status = page.evaluate(
        """async (url) => { try { await fetch(url, { method: 'POST', mode: 'no-cors' }); return 'sent'; }
           catch { return 'blocked'; } }""",
        f"{served.url}/cache/refresh",
    )
    assert status in ("sent", "blocked")
    until(lambda: "POST /cache/refresh 403" in served.text() or "POST /cache/refresh: 403" in served.text(), 10)
