"""The charts of a model's page: zoom, enlarge, save, and what is told of a point, with the mouse and with keys."""

import csv
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Watch

Look = Callable[..., Watch]
RULE = "baseline: below 0.904, the least in line with the baseline 0.940 ± 0.010"


@pytest.fixture
def watch(look: Look) -> Watch:
    """A window on the model that drifts: 25 days, of which the last five are bad."""
    watch = look()
    watch.open("/ui/model/digits")
    expect(watch.page.locator(".chart canvas").first).to_be_visible()
    return watch


def drag(page: Page, start: float, end: float) -> None:
    """Drag over a part of the first chart, from and to a share of its width."""
    box = page.locator(".chart .u-over").first.bounding_box()
    assert box
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * start, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * end, middle, steps=4)
    page.mouse.up()


def saved(page: Page) -> list[dict[str, str]]:
    with page.expect_download() as download:
        page.get_by_role("button", name="Save accuracy as CSV").click()
    assert download.value.suggested_filename == "digits-accuracy.csv"
    with download.value.path().open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_a_drag_zooms_and_the_button_a_double_click_and_going_back_show_the_whole_again(watch: Watch) -> None:
    page, whole = watch.page, watch.page.get_by_role("button", name="Show the whole period")
    expect(whole).to_be_hidden()
    for show_all in (whole.click, page.locator(".chart .u-over").first.dblclick, page.go_back):
        drag(page, 0.75, 1)
        expect(whole).to_be_visible()
        assert "from=" in page.url
        assert 5 <= len(saved(page)) <= 7
        show_all()
        expect(whole).to_be_hidden()
        assert "from=" not in page.url
    drag(page, 0.75, 1)
    page.reload()
    expect(whole).to_be_visible()
    page.get_by_label("Show as table").check()
    assert 5 <= page.locator(".figure tbody tr").count() <= 7
    page.get_by_label("Period").select_option("1 year")
    expect(whole).to_be_hidden()
    assert watch.complaints == []


def test_what_is_shown_is_saved_as_csv(watch: Watch) -> None:
    rows = saved(watch.page)
    assert len(rows) == 25
    assert (rows[-1]["model"], rows[-1]["version"], rows[-1]["metric"], rows[-1]["value"], rows[-1]["fired"]) == (
        "digits", "1", "accuracy", "0.7", "baseline",
    )  # fmt: skip
    assert watch.complaints == []


def test_one_chart_is_shown_large_and_stays_so_in_the_address(watch: Watch) -> None:
    page, chart = watch.page, watch.page.locator(".chart canvas").first
    small = chart.bounding_box()
    page.get_by_role("button", name="Enlarge accuracy").click()
    expect(page.get_by_role("button", name="Enlarge accuracy")).to_have_attribute("aria-pressed", "true")
    page.wait_for_function("(least) => document.querySelector('.chart canvas').clientHeight > least", arg=350)
    large = chart.bounding_box()
    assert small
    assert large
    assert large["width"] > small["width"]
    page.reload()
    page.wait_for_function("(least) => document.querySelector('.chart canvas')?.clientHeight > least", arg=350)
    page.get_by_role("button", name="Enlarge accuracy").click()
    page.wait_for_function("(most) => document.querySelector('.chart canvas').clientHeight < most", arg=250)


def test_why_a_rule_fired_is_told_under_the_pointer_in_the_table_and_to_the_keyboard(watch: Watch) -> None:
    page, readout = watch.page, watch.page.locator(".readout").first
    chart = page.locator(".chart .u-over").first
    box = chart.bounding_box()
    assert box
    chart.hover(position={"x": box["width"] * 0.99, "y": box["height"] / 2})
    expect(readout).to_be_visible()
    expect(readout).to_contain_text(RULE)
    page.mouse.move(0, 0)
    expect(readout).to_be_hidden()
    page.locator(".chart").first.focus()
    page.keyboard.press("End")
    expect(readout).to_contain_text(RULE)
    expect(page.locator("#announcement")).to_contain_text(f"v1 0.700 (baseline). {RULE}")
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    expect(readout).to_contain_text("v1 0.930")
    expect(readout).not_to_contain_text("baseline")
    page.keyboard.press("+")
    expect(page.get_by_role("button", name="Show the whole period")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Show the whole period")).to_be_hidden()
    page.keyboard.press("Tab")
    expect(readout).to_be_hidden()
    page.get_by_label("Show as table").check()
    expect(page.locator(".figure tbody tr").first).to_contain_text(RULE)
