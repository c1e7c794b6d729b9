"""The data of a model's page: the sentence, the strip, the histograms, and the estimate with what it really was."""

import random
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from playwright.sync_api import Page, Route, expect

from app.domain.times import DAY_MS, rfc3339
from app.wiring.world import now_ms
from tests.browser.chromium import NARROW, WIDE
from tests.browser.conftest import Watch, accessible
from tests.servers import HANGS_AFTER_SECONDS, Tower, until

Look = Callable[..., Watch]
COLUMNS = {"prediction": "said", "score": "p", "label": "true", "segment": "country"}
WINDOWS, MOVED = 14, 3


def rows(count: int, seed: int, moved: bool = False) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    made = []
    for _ in range(count):
        p = rng.random()
        made.append(
            {
                "age": None if moved and rng.random() < 0.1 else round(rng.gauss(50 if moved else 40, 10), 3),
                "<b>country": rng.choice(["de", "fr", *(["xx"] if moved else [])]),
                "p": round(p, 6),
                "said": "yes" if p >= 0.5 else "no",
                "true": "yes" if rng.random() < p else "no",
            }
        )
    return made


def day(number: int) -> dict[str, str]:
    """The window of a day, counted back from today."""
    start = now_ms() // DAY_MS * DAY_MS - number * DAY_MS
    return {"window_start": rfc3339(start) or "", "window_end": rfc3339(start + DAY_MS) or ""}


@pytest.fixture(scope="module")
def counted(served: Tower) -> Iterator[str]:
    """The page of a model whose last windows moved, and whose labels come three days late."""
    path = "/models/loans/1"
    columns = COLUMNS | {"segment": "<b>country"}
    assert served.register("loans").status_code == 201
    reference = {"rows": rows(3000, 1), **columns}
    put = requests.put(f"{served.url}{path}/reference", json=reference, timeout=HANGS_AFTER_SECONDS)
    assert put.status_code == 200, put.text
    for number in range(WINDOWS - 1, -1, -1):
        batch = rows(300, 100 + number, moved=number < MOVED)
        if number < 3:
            batch = [{name: value for name, value in row.items() if name != "true"} for row in batch]
        sent = served.post(f"{path}/batches", json={"rows": batch, **day(number)})
        assert sent.status_code == 201, sent.text
    until(lambda: served.get(f"{path}/data-drift").json()["judged_batches"] == WINDOWS, "the judgement")
    yield "/ui/model/loans"
    served.delete(f"{path}/monitor")


def cell(page: Page, column: str, window: int = -1) -> Any:
    row = page.locator(".strip tbody tr", has=page.get_by_role("rowheader", name=column)).first
    return row.get_by_role("button").nth(window)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_says_what_moved_and_shows_it_in_a_strip_with_histograms_on_a_click(
    look: Look, counted: str, scheme: str
) -> None:
    for size in (WIDE, NARROW):
        watch = look(viewport=size, color_scheme=scheme, reduced_motion="reduce")
        page = watch.open(counted)
        data = page.locator("#data")
        expect(data.locator(".standing")).to_contain_text("v1: 2 of 2 inputs moved since")
        for names in (data.locator(".standing code"), page.locator("#standing code"), page.locator("#versions code")):
            expect(names.first).to_contain_text("age")
        expect(page.locator("main")).not_to_contain_text("`")
        expect(data.locator(".strip tbody th").first).to_contain_text("✕ moved")
        chosen = cell(page, "age moved")
        expect(chosen).to_have_text("✕")
        chosen.click()
        expect(chosen).to_have_attribute("aria-pressed", "true")
        detail = data.locator("#column")
        expect(detail).to_contain_text("of the mass moved")
        expect(detail).to_contain_text("reference 3,000, window 300")
        expect(detail).to_contain_text("5 % or more matters")
        before, now = detail.locator("tbody tr", has_text="missing").get_by_role("cell").all()
        expect(before).to_contain_text("0 %")
        expect(now).to_have_text(re.compile("[1-9]"))
        assert not page.evaluate("() => document.documentElement.scrollWidth > innerWidth"), size
        accessible(page)
        assert watch.complaints == []


def test_the_keyboard_alone_moves_over_the_strip_opens_the_histograms_and_the_address_keeps_them(
    look: Look, counted: str
) -> None:
    page = look().open(counted)
    strip, detail = page.locator(".strip"), page.locator("#column")
    expect(strip.locator("button[tabindex='0']")).to_have_count(1)
    strip.locator("button[tabindex='0']").focus()
    page.keyboard.press("ArrowLeft")
    expect(strip.locator("tbody tr").first.get_by_role("button").nth(WINDOWS - 2)).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Home")
    first = strip.locator("tbody tr").nth(1).get_by_role("button").first
    expect(first).to_be_focused()
    page.keyboard.press("Enter")
    expect(detail.locator("table")).to_be_visible()
    expect(first).to_be_focused()
    expect(page.locator("#announcement")).to_contain_text("The histograms are below the table.")
    shown = detail.locator("h3").text_content()
    page.reload()
    expect(detail.locator("h3")).to_have_text(shown or "")
    detail.get_by_role("button", name="Close").click()
    expect(detail).to_be_empty()
    assert "column=" not in page.url


def test_values_that_the_reference_does_not_have_are_shown_and_names_are_text(look: Look, counted: str) -> None:
    watch = look()
    page = watch.open(counted)
    cell(page, "<b>country moved").click()
    detail = page.locator("#column")
    expect(detail.locator("tbody tr", has_text="new or rare").get_by_role("cell").last).to_have_text(
        re.compile("[1-9]")
    )
    expect(detail.locator("tbody tr", has_text="'de'")).to_be_visible()
    expect(detail.locator("h3")).to_contain_text("<b>country")
    assert page.locator("#data b").count() == 0
    assert watch.complaints == []


def test_the_estimate_is_drawn_with_the_realised_figures_on_it_and_is_a_table_on_demand(
    look: Look, counted: str
) -> None:
    page = look().open(counted)
    chart = page.locator("#data .chart").first
    expect(chart.locator("canvas")).to_be_visible()
    words = chart.get_attribute("aria-label") or ""
    assert words.startswith(f"ROC AUC: estimated, {WINDOWS} windows, last 0.")
    assert f"realised, {WINDOWS - 3} windows" in words
    chart.focus()
    page.keyboard.press("Home")
    expect(page.locator("#announcement")).to_contain_text("realised 0.")
    page.get_by_label("Show as table").check()
    table = page.locator("#data").get_by_role("table", name="Performance")
    expect(table.locator("tbody tr")).to_have_count(WINDOWS)
    expect(table.locator("tbody tr").last).to_contain_text("realised 0.")
    expect(table.locator("tbody tr").first).not_to_contain_text("realised")


def test_a_model_without_data_has_no_such_part(look: Look) -> None:
    watch = look()
    page = watch.open("/ui/model/digits")
    expect(page.locator("#versions tbody tr")).to_have_count(2)
    expect(page.locator("#data-section")).to_be_hidden()
    assert watch.complaints == []


def test_of_200_columns_and_many_windows_the_worst_come_first_and_the_rest_is_folded(look: Look, counted: str) -> None:
    watch = look()

    def answer(route: Route) -> None:
        found = route.fetch()
        if found.status == 304:
            route.fulfill(response=found)
            return
        body = found.json()
        like = next(one for one in body["windows"][-1]["columns"] if one["segment"] is None)
        windows = []
        for number in range(100, 0, -1):
            columns = [
                {**like, "name": f"column {n:03d}", "verdict": "moved" if n == 150 and number < 5 else "quiet"}
                for n in range(200)
            ]
            start, end = day(number).values()
            windows.append({**body["windows"][-1], "start": start, "end": end, "columns": columns})
        route.fulfill(response=found, json={**body, "windows": windows})

    watch.page.route("**/models/loans/1/data-drift", answer)
    page = watch.open(counted)
    rows_shown = page.locator(".strip tbody tr")
    expect(rows_shown).to_have_count(15)
    expect(rows_shown.first).to_contain_text("column 150")
    expect(rows_shown.first.get_by_role("button")).to_have_count(90)
    expect(page.locator("#data")).to_contain_text("The newest 90 of 100 windows are shown.")
    assert not page.evaluate("() => document.documentElement.scrollWidth > innerWidth")
    page.get_by_role("button", name="Show more of 200 columns").click()
    expect(rows_shown).to_have_count(75)
    assert watch.complaints == []
