"""The pages in a real browser: what people see, in every scheme and width, and that nothing foreign gets in or out."""

import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Route, expect

from app.domain.times import DAY_MS, rfc3339
from app.wiring.world import now_ms
from tests.browser.chromium import NARROW, WIDE
from tests.browser.conftest import HOSTILE, MARKUP, Watch, accessible, observe
from tests.servers import Proxy, Tower, tower, until

Look = Callable[..., Watch]
PAGES = {
    "fleet": ("/ui/", "unwatched"),
    "model": ("/ui/model/digits?baseline=1&candidate=2", "baseline 0.940"),
    "monitored": ("/ui/monitored", "steady"),
    "experiments": ("/ui/experiments?experiment=0", "finished"),
    "findings": ("/ui/findings", "unwatched"),
    "system": ("/ui/system", "Alias poll"),
}


MOVES = """() => [...document.querySelectorAll('*')].some((one) => getComputedStyle(one).transitionDuration !== '0s')"""
FOCUSABLE = "[...document.querySelectorAll('a, button, select, input, summary')].filter((one) => one.checkVisibility())"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_every_page_shows_its_data_fits_every_width_and_is_accessible(look: Look, name: str, scheme: str) -> None:
    path, words = PAGES[name]
    for size in (WIDE, NARROW):
        watch = look(viewport=size, color_scheme=scheme, reduced_motion="reduce")
        page = watch.open(path)
        expect(page.locator("main")).to_contain_text(words)
        assert not page.evaluate("() => document.documentElement.scrollWidth > innerWidth"), size
        assert not page.evaluate(MOVES)
        accessible(page)
        assert watch.complaints == []


def test_a_browser_that_opens_the_root_sees_the_fleet(look: Look, served: Tower) -> None:
    page = look().open("/")
    expect(page).to_have_url(f"{served.url}/ui/")
    expect(page).to_have_title("Fleet · Control Tower")


def test_the_first_page_weighs_at_most_60_kb_on_the_wire_and_the_next_ones_bring_little(look: Look) -> None:
    weight = "() => performance.getEntries().reduce((sum, one) => sum + (one.transferSize ?? 0), 0)"
    page = look().open("/ui/")
    page.wait_for_load_state("networkidle")
    assert 10_000 < page.evaluate(weight) <= 60_000
    page.get_by_role("link", name="Findings", exact=True).click()
    page.wait_for_load_state("networkidle")
    assert page.evaluate(weight) < 15_000


@pytest.mark.parametrize("name", HOSTILE)
def test_a_model_of_any_name_is_text_everywhere_and_its_page_is_there(look: Look, name: str) -> None:
    watch = look()
    page = watch.open("/ui/?sort=-last_updated_timestamp")
    links = page.locator("#models tbody th a")
    expect(links.first).to_be_visible()
    at = links.evaluate_all("(all) => all.map((one) => one.textContent)").index(name)
    links.nth(at).click()
    page.wait_for_load_state("networkidle")
    assert page.locator("h1").text_content() == name.replace("\r", "\n")
    expect(page.locator("#versions tbody tr")).to_have_count(1)
    page.get_by_text("details", exact=True).click()
    expect(page.locator("#versions details")).to_contain_text(MARKUP)
    page.get_by_role("button", name="Monitor ").click()
    assert page.locator("dialog h2").text_content() == f"Monitor {name} v1"
    page.keyboard.press("Escape")
    expect(page.locator("#charts")).to_contain_text("accuracy")
    assert page.locator("main img, main b").count() == 0
    assert page.title() != "1"
    assert watch.complaints == []


def test_what_experiments_hold_is_text(look: Look) -> None:
    watch = look()
    page = watch.open("/ui/experiments?experiment=0")
    expect(page.locator("#runs")).to_contain_text(MARKUP)
    watch.open("/ui/findings")
    expect(page.locator("#list")).to_contain_text(MARKUP)
    assert page.locator("main img").count() == 0
    assert watch.complaints == []


def test_what_drifts_comes_first_with_its_reason(look: Look) -> None:
    page = look().open("/ui/")
    card = page.locator(".card").first
    expect(card).to_contain_text("digits v1")
    expect(card).to_contain_text("✕ drifting")
    expect(card).to_contain_text("accuracy fell to 0.700 on")
    expect(card).to_contain_text("; the change began ")
    row = page.locator("#models tr", has_text="digits").filter(has_text="champion")
    expect(row).to_contain_text("−0.240 worse")


def test_a_model_unfolds_its_versions_with_the_keyboard_and_stays_so_over_polls_and_in_the_address(look: Look) -> None:
    watch = look(clock=True)
    page = watch.open("/ui/?name=digits")
    rows, unfold = page.locator("#models tbody tr"), page.get_by_role("button", name="2 versions of digits")
    expect(rows).to_have_count(1)
    expect(unfold).to_have_attribute("aria-expanded", "false")
    unfold.focus()
    page.keyboard.press("Enter")
    expect(rows).to_have_count(3)
    expect(unfold).to_be_focused()
    expect(rows.nth(1)).to_contain_text("challenger")
    accessible(page)
    watch.passed()
    expect(rows).to_have_count(3)
    page.reload()
    expect(unfold).to_have_attribute("aria-expanded", "true")
    expect(rows).to_have_count(3)
    page.locator("[name=stage]").select_option("Staging")
    expect(page.locator("#models [role=status]")).to_have_text("1 model, 1 version with name digits, stage Staging")
    page.locator("[name=stage]").select_option("")
    unfold.click()
    expect(rows).to_have_count(1)


def test_the_heads_of_columns_sort_both_ways_and_the_address_says_how(look: Look) -> None:
    page = look().open("/ui/?monitored=true")
    names = page.locator("#models tbody th a")
    head = page.get_by_role("columnheader", name="Last point")
    expect(names).to_have_text(["digits", "steady"])
    for sort, direction in (("-last_at", "descending"), ("last_at", "ascending")):
        head.get_by_role("button").click()
        expect(head).to_have_attribute("aria-sort", direction)
        assert f"sort={sort}" in page.url
    page.get_by_role("columnheader", name="Model").get_by_role("button").dblclick()
    expect(names).to_have_text(["steady", "digits"])
    page.reload()
    expect(names).to_have_text(["steady", "digits"])
    page.get_by_role("columnheader", name="Model").get_by_role("button").click()
    expect(names).to_have_text(["digits", "steady"])
    assert page.url.endswith("?monitored=true")


def test_a_watch_without_a_version_is_told_on_the_pages_of_its_model_and_of_the_fleet(
    look: Look, served: Tower
) -> None:
    path = "/models/free/stages/Staging/monitor"
    assert served.post(path, json={"model_type": "regressor"}).status_code == 201
    try:
        page = look().open("/ui/model/free")
        expect(page.locator("#standing")).to_contain_text("The stage Staging is watched. No version is in the stage")
        page = look().open("/ui/")
        expect(page.locator("#attention")).to_contain_text("1 watched alias or stage has no version.")
        page.locator("#attention").get_by_role("link", name="Which?").click()
        expect(page.locator("main")).to_contain_text("The stage Staging is watched.")
    finally:
        served.delete(path)


def test_a_model_is_not_called_healthy_while_some_of_its_versions_cannot_be_judged(look: Look) -> None:
    watch = look()

    def answer(route: Route) -> None:
        found = route.fetch()
        (row,) = [row for row in found.json() if row["model_version"] == "1"]
        waiting = {**row, "model_version": "2", "verdict": "insufficient_data", "reasons": ["accuracy: 1 point"]}
        route.fulfill(response=found, json=[{**row, "verdict": "healthy"}, waiting])

    watch.page.route("**/monitoring?name=digits*", answer)
    page = watch.open("/ui/model/digits")
    told = "Nothing is drifting or degraded; 1 of 2 monitored versions cannot be judged yet. v2: accuracy: 1 point"
    expect(page.locator("#standing")).to_contain_text(told)


def test_models_are_filtered_by_owner(look: Look) -> None:
    page = look().open("/ui/")
    page.get_by_role("textbox", name="Owner").fill("ada")
    page.keyboard.press("Enter")
    expect(page.locator("#models tbody tr")).to_have_count(1)
    expect(page.locator("#models tbody tr")).to_contain_text("ada")
    assert page.url.endswith("?owner=ada")


def test_a_muted_version_is_not_hidden_but_marked(look: Look, served: Tower) -> None:
    until_then = rfc3339(now_ms() + DAY_MS)
    assert served.post("/models/steady/1/mutes", json={"until": until_then}).status_code == 201
    try:
        page = look().open("/ui/?name=steady")
        expect(page.locator("#models tbody tr")).to_contain_text("healthy muted")
        page.goto(f"{served.url}/ui/monitored?name=steady")
        expect(page.locator("#list tbody tr")).to_contain_text("healthy muted")
    finally:
        served.delete("/models/steady/1/mutes")


def test_on_a_phone_a_monitored_version_is_a_short_row_that_opens(look: Look) -> None:
    page = look(viewport=NARROW).open("/ui/monitored?name=digits")
    row = page.locator("#list tbody tr")
    box = row.bounding_box()
    assert box
    assert box["height"] < 120
    expect(row.get_by_role("button", name="Settings of digits version 1")).to_be_hidden()
    row.locator(".fold summary").click()
    expect(row.get_by_role("button", name="Settings of digits version 1")).to_be_visible()


def test_tiles_filter_and_combine_with_the_filters_in_the_address_and_the_back_button_takes_them_back(
    look: Look,
) -> None:
    page = look().open("/ui/")
    rows, drifting = page.locator("#models tbody tr"), page.locator(".tile.drifting")
    everything = rows.count()
    expect(drifting).to_contain_text("1")
    drifting.click()
    expect(rows).to_have_count(1)
    assert page.url.endswith("?verdict=drifting")
    expect(drifting).to_have_attribute("aria-pressed", "true")
    expect(page.locator("[name=verdict]")).to_have_value("drifting")
    page.locator("[name=stage]").select_option("Staging")
    expect(page.locator("#models")).to_contain_text("Nothing matches the filters.")
    page.go_back()
    expect(rows).to_have_count(1)
    page.go_back()
    expect(rows).to_have_count(everything)
    expect(drifting).to_have_attribute("aria-pressed", "false")
    page.locator("#filter").fill("steady")
    expect(rows).to_have_count(1)
    page.reload()
    expect(page.locator("#filter")).to_have_value("steady")
    expect(rows).to_have_count(1)
    page.get_by_role("button", name="Clear").click()
    expect(rows).to_have_count(everything)
    page.locator(".tile.unwatched").click()
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("unwatched")


def test_a_filter_that_the_api_refuses_says_so_and_shows_no_rows_of_other_filters(look: Look) -> None:
    watch = look()
    page = watch.open("/ui/")
    page.locator("[name=tag]").fill("no colon")
    page.keyboard.press("Enter")
    expect(page.locator("section > .error, section div > .error")).to_contain_text("tag")
    expect(page.locator("#models tbody tr")).to_have_count(0)
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#models tbody tr").first).to_be_visible()
    expect(page.locator(".error")).to_have_count(0)


def test_a_page_past_the_end_leads_back(look: Look) -> None:
    page = look().open("/ui/?page=99")
    expect(page.locator("#models")).to_contain_text("no such page")
    page.get_by_role("button", name="Previous").click()
    expect(page.locator("#models tbody tr").first).to_be_visible()


def test_what_is_drawn_and_compared_stands_in_the_address(look: Look) -> None:
    watch = look()
    page = watch.open("/ui/model/digits")
    expect(page.locator(".chart canvas").first).to_be_visible()
    page.get_by_role("button", name="v2", exact=True).click()
    expect(page.locator(".legend").first).to_contain_text("v2")
    page.get_by_label("Candidate").select_option("challenger")
    page.get_by_role("button", name="Compare").click()
    expect(page.locator("#comparison")).to_contain_text("Version 2 compared with version 1")
    page.get_by_label("Show as table").check()
    expect(page.locator(".figure table")).to_contain_text("monitor run")
    page.reload()
    expect(page.locator("#comparison")).to_contain_text("Version 2 compared with version 1")
    expect(page.locator(".figure table")).to_contain_text("monitor run")
    expect(page.get_by_role("button", name="v2", exact=True)).to_have_attribute("aria-pressed", "true")
    page.get_by_label("Margin").fill("much")
    page.get_by_role("button", name="Compare").click()
    expect(page.locator("section", has=page.locator("#comparison")).locator(".error")).to_contain_text("margin")
    for path in ("/ui/experiments", "/ui/findings"):
        watch.open(path)
        page.locator("#filter").fill("nobody")
        expect(page.locator("main")).to_contain_text("Nothing matches the filters.")
        assert page.url.endswith("?name=nobody")


def test_a_version_is_not_offered_to_be_compared_with_itself(look: Look) -> None:
    page = look().open("/ui/model/digits")
    baseline, candidate = page.get_by_label("Baseline"), page.get_by_label("Candidate")
    baseline.select_option("1")
    candidate.select_option("2")
    expect(page.locator("#comparison")).to_contain_text("Version 2 compared with version 1")
    candidate.select_option("1")
    expect(baseline).to_have_value("2")
    expect(page.locator("#comparison")).to_contain_text("Version 1 compared with version 2")
    page = look().open("/ui/model/digits?baseline=2&candidate=challenger")
    expect(page.locator("section", has=page.locator("#comparison")).locator(".error")).to_contain_text("both version 2")


def test_a_chart_has_band_limits_and_fired_points_and_tells_what_is_under_the_pointer(look: Look) -> None:
    page = look().open("/ui/model/digits")
    chart = page.locator(".chart").first
    expect(chart).to_have_attribute("aria-label", "accuracy: version 1, 25 points, last 0.700, drifting")
    expect(page.locator(".legend").first).to_contain_text("baseline 0.940 ± 0.010")
    box = chart.bounding_box()
    assert box
    chart.hover(position={"x": box["width"] * 0.95, "y": box["height"] / 2})
    expect(page.locator(".readout").first).to_contain_text("v1 0.700 (baseline)")


def test_one_point_is_told_and_not_drawn(look: Look) -> None:
    page = look().open("/ui/model/unwatched")
    expect(page.locator("#charts")).to_contain_text("Metrics with fewer than 2 points")
    expect(page.locator("#charts")).to_contain_text("1.500")
    assert page.locator(".chart").count() == 0


def test_of_many_metrics_those_that_are_shown_are_read_and_the_others_on_demand(look: Look) -> None:
    page = look().page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/series?" in request.url else None)
    page.goto(f"{look().base}/ui/model/wide")
    expect(page.locator("#charts tbody tr")).to_have_count(8)
    page.get_by_role("button", name="Show more of 30 metrics").click()
    expect(page.locator("#charts tbody tr")).to_have_count(16)
    assert [url.count("metric=") for url in asked] == [8, 16]


def test_ages_are_told_by_the_service_s_clock_and_not_by_one_that_is_wrong(look: Look, served: Tower) -> None:
    refreshed = served.post("/cache/refresh")
    assert refreshed.status_code == 200
    for hours in (-1, 1):
        watch = look()
        watch.page.clock.install(time=now_ms() / 1000 + hours * 3600)
        expect(watch.open("/ui/").locator("#connection")).to_contain_text(
            re.compile("refreshed (just now|\\d+ seconds)")
        )


def test_a_table_of_points_says_where_the_rest_of_them_is(look: Look, served: Tower) -> None:
    served.register("free", model_type="regressor")
    try:
        observe(served, "free", [0.5] * 120)
        page = look().open("/ui/model/free?table=yes&days=365")
        expect(page.locator("#charts tbody tr", has_text="monitor run")).to_have_count(100)
        rest = "The table shows the newest 100 points of a version. The API has 20 more: "
        expect(page.locator("#charts")).to_contain_text(f"{rest}/models/free/1/series?metric=accuracy")
    finally:
        served.delete("/models/free/1/monitor")


def test_numbers_too_large_to_draw_are_told_as_a_table(look: Look, served: Tower) -> None:
    served.register("free", model_type="regressor")
    try:
        observe(served, "free", [1e308 * (-1) ** n for n in range(12)])
        until(lambda: served.get("/models/free/1/monitor").json()["metrics"])
        watch = look()
        page = watch.open("/ui/model/free")
        expect(page.locator("#charts table").first).to_contain_text("1.000e+308")
        watch.open("/ui/monitored?name=free")
        expect(page.locator("svg.spark polyline")).to_be_attached()
        assert watch.complaints == []
    finally:
        served.delete("/models/free/1/monitor")


def test_an_unknown_model_and_an_unknown_experiment_say_so(look: Look) -> None:
    watch = look()
    answer = watch.page.goto(f"{watch.base}/ui/model/digts")
    assert answer
    assert answer.status == 404
    expect(watch.page.locator("h1")).to_have_text("There is no registered model digts")
    accessible(watch.page)
    watch.page.get_by_role("link", name="digits").click()
    expect(watch.page.locator("#versions")).to_contain_text("champion")
    page = look().open("/ui/experiments?experiment=777")
    expect(page.locator("#runs-section .error")).to_contain_text("Experiment not found")


def test_a_poll_takes_neither_focus_nor_selection_nor_what_was_opened_away(look: Look) -> None:
    watch = look(clock=True)
    page = watch.open("/ui/model/digits")
    page.get_by_text("details", exact=True).first.click()
    summary = page.locator("#versions details summary").first
    summary.focus()
    canvas = page.locator(".chart canvas").first.element_handle()
    with page.expect_response(lambda answer: answer.url.endswith("/model/digits/versions")) as poll:
        watch.passed()
    assert poll.value.status == 304
    expect(summary).to_be_focused()
    expect(page.locator("#versions details").first).to_have_attribute("open", "")
    assert page.evaluate("(one) => one.isConnected", canvas)
    watch.open("/ui/")
    link = page.locator("#models tbody a").first
    link.focus()
    with page.expect_response(lambda answer: "/fleet?" in answer.url) as poll:
        watch.passed()
    assert poll.value.status == 304
    expect(link).to_be_focused()


def test_nothing_is_asked_for_while_nobody_looks(look: Look) -> None:
    watch = look(clock=True)
    page = watch.open("/ui/")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    hide = """(hidden) => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
              document.dispatchEvent(new Event('visibilitychange')); }"""
    page.evaluate(hide, True)
    watch.passed(600)
    assert asked == []
    with page.expect_request(lambda request: "/fleet/models?" in request.url):
        page.evaluate(hide, False)


def test_the_keyboard_alone_reaches_everything(look: Look) -> None:
    page = look().open("/ui/")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("/")
    expect(page.locator("#filter")).to_be_focused()
    reached = set()
    for _ in range(200):
        page.keyboard.press("Tab")
        reached.add(page.evaluate(f"() => {FOCUSABLE}.indexOf(document.activeElement)"))
    assert len(reached - {-1}) == page.evaluate(f"() => {FOCUSABLE}.length")


def test_links_lead_into_mlflow_where_its_address_is_set(look: Look) -> None:
    page = look().open("/ui/?name=steady")
    link = page.get_by_role("link", name="steady version 1 in MLflow")
    expect(link).to_have_attribute("href", "https://mlflow.example.com/#/models/steady/versions/1")
    page = look().open("/ui/experiments?experiment=0")
    run = re.compile(r"^https://mlflow\.example\.com/#/experiments/0/runs/\w{32}$")
    expect(page.locator("#runs tbody th a").first).to_have_attribute("href", run)


def test_with_mlflow_down_the_data_stays_with_a_banner_that_tells_its_age(
    look: Look, tmp_path: Path, world_url: str
) -> None:
    with closing(Proxy(world_url)) as between, tower(tmp_path, between.url, workers=1, forked=True) as running:
        watch = look(running.url)
        until(lambda: running.get("/monitoring/history").json() != [], "the history")
        between.mode = "refuse"
        until(lambda: running.get("/health").json()["status"] == "degraded")
        page = watch.open("/ui/")
        expect(page.locator("#banner")).to_contain_text(
            "MLflow does not answer. This page shows data that was refreshed"
        )
        expect(page.locator("#models")).to_contain_text("unwatched")
        page.goto(f"{running.url}/ui/model/digits")
        expect(page.locator("#versions")).to_contain_text("champion")
        expect(page.locator("#history")).to_contain_text("no data → ")
        expect(page.locator("section", has=page.locator("#charts")).locator(".error")).to_contain_text("MLflow")
        page.get_by_role("button", name="Refresh").click()
        expect(page.locator("#refresh-result .error")).to_contain_text("MLflow")
        between.mode = "up"
        expect(page.locator("#banner")).to_be_empty()
        expect(page.locator(".error")).to_have_count(0)


def test_an_empty_registry_says_so(look: Look, tmp_path: Path) -> None:
    with tower(tmp_path / "tower", f"sqlite:///{tmp_path}/mlflow.db", workers=1, forked=True) as running:
        watch = look(running.url)
        expect(watch.open("/ui/").locator("#models")).to_contain_text("There is no model version in MLflow yet.")
        expect(watch.page.locator("#attention")).to_contain_text("Nothing is monitored yet")
        expect(watch.open("/ui/monitored").locator("#list")).to_contain_text("Nothing is monitored yet.")
        expect(watch.open("/ui/findings").locator("#list")).to_contain_text("No problems were found.")
        assert watch.complaints == []


def test_without_mlflow_from_the_start_sample_data_says_what_it_is(look: Look, tmp_path: Path) -> None:
    nowhere, sample = "http://127.0.0.1:9", {"ENABLE_MOCK_DATA": "true"}
    with tower(tmp_path, nowhere, workers=1, ready=False, forked=True, **sample) as running:
        until(lambda: running.get("/models").headers.get("X-Data-Source") == "mock")
        page = look(running.url).open("/ui/")
        expect(page.locator("#models")).to_contain_text("This is sample data")
        expect(page.locator("#banner")).to_contain_text("MLflow does not answer")
        expect(page.locator("#attention")).to_contain_text("This is sample data")
        assert page.get_by_role("button", name=re.compile("^Monitor ")).count() == 0


@pytest.mark.parametrize(("path", "drawn"), [("/redoc", "text=API docs by"), ("/docs", ".opblock-tag")])
def test_the_documentation_of_the_api_is_drawn_and_asks_no_other_host(
    look: Callable[..., Watch], path: str, drawn: str
) -> None:
    watch = look()
    watch.page.goto(watch.base + path)
    watch.page.wait_for_selector(drawn)
    watch.page.wait_for_load_state("networkidle")
    assert watch.complaints == []
