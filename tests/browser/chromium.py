"""A real Chromium without a window, as the tests and the screenshots use it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

# What it would load of its own accord would count as a request to another host.
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
          "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"]  # fmt: skip
_COMMANDS = ("chromium-headless-shell", "chromium", "chromium-browser")
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
PAGES = {
    "fleet": "/ui/",
    "model": "/ui/model/digit-recognition?draw=3,2",
    "monitored": "/ui/monitored",
    "promotions": "/ui/promotions",
    "experiments": "/ui/experiments?experiment=1",
    "findings": "/ui/findings",
    "system": "/ui/system",
}


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser of Debian: the one without windows where it is there, which takes half the processor time."""
    found = next(filter(None, map(shutil.which, _COMMANDS)), None)
    assert found, f"{_COMMANDS[0]} is not there. Install it (Debian: apt-get install {_COMMANDS[0]})."
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=_FLAGS)
        try:
            yield browser
        finally:
            browser.close()
