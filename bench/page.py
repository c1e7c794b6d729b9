"""The pages: how soon a browser shows the fleet of a large registry, beside MLflow's own page of models."""

from dataclasses import dataclass

from playwright.sync_api import Browser

from bench import world
from bench.report import Line
from tests.browser.chromium import WIDE, chromium
from tests.servers import tower

_PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0].startTime"
_WEIGHT = "() => performance.getEntries().reduce((sum, one) => sum + (one.transferSize ?? 0), 0)"


@dataclass(frozen=True)
class _Opened:
    """Seconds to the first paint and to the first row, and what had come over the wire by then in kB."""

    paint: float
    rows: float
    weight: float


def page(rounds: int, models: int) -> list[Line]:
    """Each time a new browser window with nothing kept, in turns with MLflow's."""
    ours, theirs = [], []
    with (
        world.mlflow_with(models) as (mlflow, folder),
        tower(folder / "tower", mlflow, workers=2, **world.QUIET, **world.PATIENT) as here,
        chromium() as browser,
    ):
        for number in range(-1, rounds):
            pair = (
                _opened(browser, f"{here.url}/ui/", "#models tbody tr"),
                _opened(browser, f"{mlflow}/#/models", "a[href*='#/models/']"),
            )
            # The first of all makes what is kept for the others.
            if number >= 0:
                ours.append(pair[0])
                theirs.append(pair[1])
    size = f"fleet page, {models * 3} versions"
    times = [mine.rows / other.rows for mine, other in zip(ours, theirs, strict=True)]
    return [
        Line(f"{size}: first paint", 1, [one.paint for one in ours], "s", note=_median("paint", theirs)),
        Line(f"{size}: first row", None, [one.rows for one in ours], "s", note=_median("rows", theirs)),
        Line(f"{size}: first row, pair by pair", 1, times, note="MLflow's page of models"),
        Line(f"{size}: on the wire", 60, [one.weight for one in ours], "kB", note=_median("weight", theirs)),
    ]


def _median(field: str, opened: list[_Opened]) -> str:
    values = sorted(getattr(one, field) for one in opened)
    median = values[len(values) // 2]
    return f"MLflow's page of models {median:,.0f}" if median >= 100 else f"MLflow's page of models {median:.2f}"


def _opened(browser: Browser, url: str, row: str) -> _Opened:
    context = browser.new_context(viewport=WIDE)
    try:
        window = context.new_page()
        window.goto(url, wait_until="commit")
        window.wait_for_selector(row, timeout=120_000)
        rows = window.evaluate("() => performance.now()")
        return _Opened(window.evaluate(_PAINT) / 1000, rows / 1000, window.evaluate(_WEIGHT) / 1000)
    finally:
        context.close()
