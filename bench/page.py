"""The page: how soon a browser paints the fleet of a large registry, and shows its rows."""

from playwright.sync_api import Browser

from bench import world
from bench.report import Line
from tests.browser.chromium import WIDE, chromium
from tests.servers import tower

_PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0].startTime"


def page(rounds: int, models: int) -> list[Line]:
    """First contentful paint, and the first row of the table, in a new browser window each time."""
    paints, rows = [], []
    with (
        world.mlflow_with(models) as (mlflow, folder),
        tower(folder / "tower", mlflow, workers=2, **world.QUIET, **world.PATIENT) as here,
        chromium() as browser,
    ):
        for number in range(-1, rounds):
            paint, row = _opened(browser, f"{here.url}/ui/")
            # The first of all makes what is kept for the others.
            if number >= 0:
                paints.append(paint)
                rows.append(row)
    size = f"{models * 3} versions"
    return [
        Line(f"page of the fleet, {size}: first paint", 1, paints, "s"),
        Line(f"page of the fleet, {size}: rows in the table", None, rows, "s"),
    ]


def _opened(browser: Browser, url: str) -> tuple[float, float]:
    context = browser.new_context(viewport=WIDE)
    try:
        window = context.new_page()
        window.goto(url)
        window.wait_for_selector("#versions tbody tr")
        row = window.evaluate("() => performance.now()")
        return window.evaluate(_PAINT) / 1000, row / 1000
    finally:
        context.close()
