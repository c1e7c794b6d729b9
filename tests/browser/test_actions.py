"""What people do from the pages: register, change, remove, refresh; and what the API says of it, where it was done."""

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from playwright.sync_api import Page, expect

from app.domain.monitoring.check_settings import merged
from tests.browser.conftest import MARKUP, Watch, accessible
from tests.servers import Tower, tower

Look = Callable[..., Watch]


@pytest.fixture
def free(look: Look, served: Tower) -> Iterator[Page]:
    """The page of a model that nobody monitors, and that is so again at the end."""
    yield look().open("/ui/model/free")
    served.delete("/models/free/1/monitor")


def stored(running: Tower) -> dict[str, object]:
    found: dict[str, object] = running.get("/models/free/1/monitor").json()["settings"]
    return found


def test_a_version_is_registered_with_settings_and_the_api_s_words_stand_in_the_form(free: Page, served: Tower) -> None:
    free.get_by_role("button", name="Monitor free version 1").click()
    form = free.get_by_role("dialog", name="Monitor free v1")
    form.get_by_label("Type").select_option("regressor")
    form.get_by_label("Registered by").fill("ada")
    form.get_by_text("Settings (optional)").click()
    accessible(free)
    expect(form.locator(".limits tbody tr")).to_contain_text("offline 1.500")
    form.get_by_label("Max rmse").fill("three")
    form.get_by_role("button", name="Monitor").click()
    expect(form.get_by_role("alert")).to_have_text("limits.rmse.max: Not a number.")
    form.get_by_label("Max rmse").fill("3")
    form.get_by_label("at this many points").fill("7")
    form.get_by_label("of the last (points)").fill("2")
    form.get_by_role("button", name="Monitor").click()
    expect(form.get_by_role("alert")).to_have_text("alarm: m is more than n.")
    form.get_by_label("at this many points").fill("2")
    form.get_by_label("of the last (points)").fill("")
    form.get_by_role("button", name="Monitor").click()
    expect(form).to_have_count(0)
    expect(free.locator("#versions")).to_contain_text("no data")
    expect(free.locator("#history")).to_contain_text("registered by ada")
    assert stored(served) == {"limits": {"rmse": {"max": 3}}, "alarm": {"m": 2}}
    assert served.get("/models/free/1/monitor").json()["model_type"] == "regressor"


def test_settings_are_changed_and_what_is_emptied_goes_back_to_its_default(free: Page, served: Tower) -> None:
    limits = {"rmse": {"min": 1, "max": 3}, "mae": {"max": 2}}
    before = {"limits": limits, "silence_hours": 48, "direction": {"rmse": "lower"}}
    served.post("/models/free/1/monitor", json={"model_type": "regressor", "settings": before})
    free.reload()
    free.get_by_role("button", name="Settings of version 1").click()
    form = free.get_by_role("dialog", name="Settings of free v1")
    form.get_by_label("Min rmse").fill("")
    form.get_by_label("Max mae").fill("")
    form.get_by_label("Degraded when nothing was logged").fill("")
    form.get_by_label("Baseline").select_option("another version")
    form.get_by_role("textbox", name="Version").fill("x")
    form.get_by_role("button", name="Save").click()
    expect(form.get_by_role("alert")).to_contain_text("baseline.version: Not a version.")
    form.get_by_label("Baseline").select_option("the first points")
    form.get_by_label("How many").fill("30")
    form.get_by_role("button", name="Save").click()
    expect(form).to_have_count(0)
    after = {"limits": {"rmse": {"max": 3}}, "baseline": {"points": 30}, "direction": {"rmse": "lower"}}
    assert stored(served) == after


def test_the_settings_list_the_metrics_and_show_what_a_change_would_have_done_before_it_is_saved(
    look: Look, served: Tower
) -> None:
    page = look().open("/ui/model/digits")
    page.get_by_role("button", name="Settings of version 1").click()
    form = page.get_by_role("dialog", name="Settings of digits v1")
    expect(form.locator(".limits tbody tr")).to_contain_text("0.700")
    expect(form.locator(".limits tbody tr")).to_contain_text("baseline 0.940 ± 0.010")
    expect(form.locator(".preview")).to_contain_text("with these settings: 4 days drifting, 2 days degraded")
    expect(form.locator(".preview")).to_contain_text("as it is now")
    accessible(page)
    form.get_by_label("at this many points").fill("1")
    form.get_by_label("Max accuracy").fill("x")
    form.get_by_label("Max accuracy").press("Tab")
    expect(form.locator(".preview")).to_contain_text("No preview: limits.accuracy.max: Not a number.")
    form.get_by_label("Max accuracy").fill("")
    form.get_by_label("Max accuracy").press("Tab")
    expect(form.locator(".preview")).to_contain_text("with these settings: 6 days drifting")
    form.get_by_text("2 days would differ").click()
    expect(form.locator(".preview li").first).to_contain_text("degraded → ✕ drifting")
    page.keyboard.press("Escape")
    assert served.get("/models/digits/1/monitor").json()["settings"] == {}


def test_a_version_is_acknowledged_muted_and_commented_on_and_all_of_it_is_shown(look: Look, served: Tower) -> None:
    watch = look()
    page = watch.open("/ui/model/digits")
    expect(page.locator("#standing")).to_contain_text("Version 1 (Production, champion) has been ✕ drifting since")
    expect(page.locator("#standing")).to_contain_text("accuracy was 0.700 on")
    expect(page.locator("#standing")).to_contain_text("; the change began on ")
    page.get_by_role("button", name="Acknowledge version 1").click()
    page.get_by_label("Note (optional)").fill(MARKUP)
    accessible(page)
    page.get_by_role("button", name="Acknowledge", exact=True).click()
    expect(page.locator("#standing")).to_contain_text("acknowledged just now by anonymous")
    expect(page.locator("#history")).to_contain_text("drifting acknowledged by anonymous")
    page.get_by_role("button", name="Mute version 1").click()
    page.get_by_label("What").select_option("accuracy")
    page.get_by_label("Until (your local time)").fill("2001-01-01T00:00")
    page.get_by_role("button", name="Mute", exact=True).click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("until")
    accessible(page)
    page.get_by_label("Until (your local time)").fill(f"{datetime.now() + timedelta(days=2):%Y-%m-%dT%H:%M}")
    page.get_by_role("button", name="Mute", exact=True).click()
    expect(page.locator("#versions")).to_contain_text("accuracy muted until")
    page.get_by_role("button", name="Comment on version 1").click()
    page.get_by_label("Comment", exact=True).fill("Seen in all regions.")
    accessible(page)
    page.get_by_role("button", name="Comment", exact=True).click()
    expect(page.locator("#history")).to_contain_text("Seen in all regions.")
    page.get_by_role("button", name="Unmute accuracy").click()
    accessible(page)
    page.get_by_role("button", name="Unmute", exact=True).click()
    expect(page.locator("#history")).to_contain_text("accuracy no longer muted by anonymous")
    page.get_by_role("button", name="Take back the acknowledgement of version 1").click()
    page.get_by_role("button", name="Take back", exact=True).click()
    expect(page.get_by_role("button", name="Acknowledge version 1")).to_be_visible()
    assert page.locator("main img").count() == 0
    assert [text for text in watch.complaints if "400" not in text] == []


def test_a_version_is_removed_after_a_question_and_the_history_says_so(free: Page, served: Tower) -> None:
    served.register("free", model_type="regressor")
    free.reload()
    free.get_by_role("button", name="Remove version 1 from monitoring").click()
    accessible(free)
    free.get_by_role("button", name="Cancel").click()
    expect(free.get_by_role("dialog")).to_have_count(0)
    free.get_by_role("button", name="Remove version 1 from monitoring").click()
    free.get_by_role("button", name="Remove", exact=True).click()
    expect(free.get_by_role("button", name="Monitor free version 1")).to_be_visible()
    expect(free.locator("#history")).to_contain_text("removed")
    assert not served.get("/models/free/1/monitor/status").json()["is_monitored"]


def test_what_somebody_else_did_meanwhile_is_said_where_one_acts(free: Page, served: Tower) -> None:
    free.get_by_role("button", name="Monitor free version 1").click()
    served.register("free", model_type="regressor")
    free.get_by_role("button", name="Monitor", exact=True).click()
    expect(free.get_by_role("dialog").get_by_role("alert")).to_have_text("Model is already being monitored")
    free.keyboard.press("Escape")
    expect(free.get_by_role("dialog")).to_have_count(0)
    free.reload()
    free.get_by_role("button", name="Remove version 1 from monitoring").click()
    served.delete("/models/free/1/monitor")
    free.get_by_role("button", name="Remove", exact=True).click()
    expect(free.get_by_role("dialog").get_by_role("alert")).to_have_text("Model is not being monitored")


def test_the_keyboard_alone_registers_and_the_focus_comes_back(free: Page) -> None:
    button = free.get_by_role("button", name="Monitor free version 1")
    button.focus()
    free.keyboard.press("Enter")
    expect(free.get_by_label("Type")).to_be_focused()
    free.keyboard.press("Escape")
    expect(button).to_be_focused()
    free.keyboard.press("Enter")
    free.keyboard.press("Tab")
    free.keyboard.type("grace")
    free.keyboard.press("Enter")
    expect(free.locator("#history")).to_contain_text("registered by grace")
    expect(free.get_by_role("status").filter(has_text="free version 1 is monitored.")).to_have_count(1)
    expect(free.locator("#versions tbody tr").first.locator(":focus")).to_have_count(1)


def test_a_version_is_changed_and_removed_from_the_list_of_what_is_monitored(look: Look, served: Tower) -> None:
    served.register(MARKUP)
    watch = look()
    page = watch.open("/ui/monitored?name=onerror")
    page.get_by_role("button", name="Settings of").click()
    page.get_by_label("Degraded when nothing was logged").fill("12")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("button", name="Remove <img").click()
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.locator("#list")).to_contain_text("Nothing matches the filters.")
    assert watch.complaints == []


def test_where_nothing_is_monitored_the_first_registration_is_a_click_away(
    look: Look, tmp_path: Path, world_url: str
) -> None:
    with tower(tmp_path, world_url, workers=1, MONITORING_EXPERIMENT="another-tower", forked=True) as running:
        page = look(running.url).open("/ui/")
        expect(page.locator("#attention")).to_contain_text("Nothing is monitored yet.")
        page.locator("#attention").get_by_role("button", name="Monitor unwatched version 1").click()
        page.get_by_role("dialog").get_by_label("Type").select_option("regressor")
        page.get_by_role("button", name="Monitor", exact=True).click()
        expect(page.locator("#attention")).to_contain_text("Nothing is drifting; 1 of 1 cannot be judged yet.")
        assert running.get("/models/unwatched/1/monitor/status").json()["is_monitored"]


def test_a_refresh_shows_its_progress_and_what_it_read(look: Look) -> None:
    page = look().open("/ui/")
    page.route("**/cache/refresh", lambda route: (page.wait_for_timeout(1000), route.continue_()))
    page.get_by_role("button", name="Refresh").click()
    expect(page.get_by_role("progressbar", name="Refresh")).to_be_visible()
    expect(page.locator("#refresh")).to_contain_text("Refreshing… ")
    expect(page.locator("#refresh-result")).to_contain_text("model versions read")
    expect(page.locator("#refresh")).to_have_text("Refresh")
    expect(page.get_by_role("progressbar", name="Refresh")).to_be_hidden()


def test_without_a_cache_there_is_nothing_to_refresh(look: Look, tmp_path: Path, world_url: str) -> None:
    with tower(tmp_path, world_url, workers=1, ENABLE_CACHE="false", forked=True) as running:
        page = look(running.url).open("/ui/")
        expect(page.locator("#models")).to_contain_text("unwatched")
        assert page.get_by_role("button", name="Refresh").count() == 0


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"Degraded when nothing was logged": "1e309"}, "silence_hours: Not a number."),
        ({"Metric": "rmse", "Min": "Infinity"}, "limits.rmse.min: Not a number."),
        ({"Metric": "rmse"}, "limits.rmse: needs min, max or both."),
        ({"Min": "1"}, "limits: '' cannot be the name of a metric."),
        ({"of the last (points)": "0,5"}, "alarm.n: Not a whole number."),
    ],
)
def test_nothing_that_was_typed_is_dropped_in_silence(free: Page, fields: dict[str, str], told: str) -> None:
    free.get_by_role("button", name="Monitor free version 1").click()
    form = free.get_by_role("dialog")
    form.get_by_text("Settings (optional)").click()
    form.get_by_role("button", name="Add a metric").click()
    for label, value in fields.items():
        form.get_by_label(label, exact=label in ("Metric", "Min")).fill(value)
    form.get_by_role("button", name="Monitor").click()
    expect(form.get_by_role("alert")).to_have_text(told)


def test_a_baseline_without_its_period_and_a_metric_named_twice_are_refused(free: Page) -> None:
    free.get_by_role("button", name="Monitor free version 1").click()
    form = free.get_by_role("dialog")
    form.get_by_text("Settings (optional)").click()
    form.get_by_label("Baseline").select_option("the points of a period")
    form.get_by_role("button", name="Monitor").click()
    expect(form.get_by_role("alert")).to_contain_text("baseline.from")
    form.get_by_label("Baseline").select_option("the first points")
    for row in (0, 1):
        form.get_by_role("button", name="Add a metric").click()
        form.get_by_label("Metric", exact=True).nth(row).fill("rmse")
        form.get_by_label("Max", exact=True).nth(row).fill("3")
    form.get_by_role("button", name="Monitor").click()
    expect(form.get_by_role("alert")).to_have_text("limits: rmse is listed twice.")
    form.get_by_role("button", name="Remove this row").first.click()
    form.get_by_role("button", name="Monitor").click()
    expect(form).to_have_count(0)


numbers = st.integers(1, 50)
bounds = st.dictionaries(st.sampled_from(["min", "max"]), numbers, min_size=1).filter(
    lambda of: of.get("min", 0) <= of.get("max", 99)
)
metrics = st.sampled_from(["rmse", "mae", "__proto__"])
any_settings = st.fixed_dictionaries(
    {},
    optional={
        "limits": st.dictionaries(metrics, bounds, min_size=1),
        "direction": st.dictionaries(metrics, st.sampled_from(["higher", "lower"]), min_size=1),
        "silence_hours": numbers,
        "alarm": st.fixed_dictionaries({"n": st.integers(10, 50)}, optional={"m": st.integers(1, 10)}),
        "baseline": st.one_of(st.fixed_dictionaries({"points": st.integers(10, 99)}), st.just({"version": "2"})),
    },
)


@pytest.fixture(scope="module")
def script(browser: object, served: Tower) -> Iterator[Page]:
    """A page of the service's with the form's module."""
    page = browser.new_page()  # type: ignore[attr-defined]
    page.goto(f"{served.url}/ui/system")
    page.evaluate("""async () => { const own = document.querySelector('script[type=module]').src;
                     window.difference = (await import(own.replace('system.js', 'monitor.js'))).difference; }""")
    yield page
    page.close()


@given(before=any_settings, after=any_settings)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_form_is_changed_to_that_is_what_the_settings_become(
    script: Page, before: dict[str, object], after: dict[str, object]
) -> None:
    changed = "(texts) => JSON.stringify(difference(...texts.map((text) => JSON.parse(text))))"
    patch = script.evaluate(changed, [json.dumps(before), json.dumps(after)])
    assert merged(before, json.loads(patch)) == after
