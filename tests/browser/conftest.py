"""What the browser tests share: a Chromium, a tower with a fleet worth looking at, and pages that must not complain."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from app.domain.times import DAY_MS, rfc3339
from app.wiring.world import now_ms
from tests.browser.chromium import WIDE, chromium
from tests.contract.real_world import RealWorld
from tests.servers import HANGS_AFTER_SECONDS, Tower, mlflow_server, tower, until

# What could hang fails after this long; its own 5 s are a stopwatch held to a busy machine.
HANGS_AFTER_MS = HANGS_AFTER_SECONDS * 1000
expect.set_options(timeout=HANGS_AFTER_MS)

MARKUP = '<img src=x onerror="document.title=1">'
# Each is a name that MLflow takes.
HOSTILE = [
    MARKUP,
    "<script>document.title=1",
    "\"'><b>x<b>${1}{{1}}",
    " spaces at  the ends ",
    "a%2Fb?c=d&e#f+g%",
    "two\nlines\rand\ttabs",
    "naïve 模型 🚀",
    "back\\slash",
    "__proto__",
    "x" * 300,
]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


def accessible(page: Page) -> None:
    """Assert that axe finds nothing wrong with what the page shows, such as an open dialog."""
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def write_keys(path: Path, **roles: str) -> None:
    """Keys for people with these roles; the key of ann is `ct_ann`."""
    path.write_text("".join(f"{n} {r} {hashlib.sha256(f'ct_{n}'.encode()).hexdigest()}\n" for n, r in roles.items()))


def observe(running: Tower, name: str, values: list[float]) -> None:
    rows = [
        {"metrics": {"accuracy": value}, "timestamp": rfc3339(now_ms() - (len(values) - n) * DAY_MS)}
        for n, value in enumerate(values)
    ]
    assert running.post(f"/models/{name}/1/observations", json={"observations": rows}).status_code == 201


@pytest.fixture(scope="session")
def world_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow_server(tmp_path_factory.mktemp("browser-mlflow")) as url:
        world = RealWorld(url)
        world.add_model("digits", {"owner": "ada"})
        world.add_version("digits", {"accuracy": 0.99}, stage="Production")
        world.add_version("digits", {"accuracy": 0.95}, stage="Staging")
        world.set_alias("digits", "champion", 1)
        world.set_alias("digits", "challenger", 2)
        world.add_version("steady", {"accuracy": 0.9}, stage="Production")
        world.add_version("free", {"rmse": 1.5})
        world.add_version("unwatched", {"rmse": 1.5}, stage="Production")
        world.add_version("loans", {})
        world.add_version("wide", {f"metric_{n:02d}": 0.5 for n in range(30)})
        for name in HOSTILE:
            tags, run_tags = {"__proto__": MARKUP}, {"mlflow.runName": MARKUP}
            world.add_version(name, {"accuracy": 0.9}, description=MARKUP, tags=tags, run_tags=run_tags)
        yield url


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, world_url: str) -> Iterator[Tower]:
    """A tower with a drifting, a healthy, an unmonitored model, and one with a hostile name."""
    settings = {"CHECK_INTERVAL_MINUTES": "0", "MLFLOW_UI_URL": "https://mlflow.example.com"}
    with tower(tmp_path_factory.mktemp("browser"), world_url, workers=2, forked=True, **settings) as running:
        for name in ("digits", "steady"):
            running.register(name)
        observe(running, "digits", [0.94 + 0.01 * (-1) ** n for n in range(20)] + [0.7] * 5)
        observe(running, "steady", [0.94 + 0.01 * (-1) ** n for n in range(25)])

        def verdicts() -> set[str]:
            return {row["verdict"] for row in running.get("/monitoring").json()}

        until(lambda: verdicts() == {"drifting", "healthy"})
        yield running


# Every part of the page is drawn, or says why it is not; the sign-in page has none.
DRAWN = """() => !document.querySelector('[aria-busy=true]')
                 && !!(document.querySelector('#sign-in') ?? document.querySelector('#connection > *'))"""


class Watch:
    """A page that collects what no page may do: complain in the console, or ask another host."""

    def __init__(self, context: BrowserContext, base: str) -> None:
        self.page: Page = context.new_page()
        self.base = base
        self.complaints: list[str] = []
        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self._foreign(request.url))

    def _foreign(self, url: str) -> None:
        if not url.startswith((self.base, f"blob:{self.base}", "data:")):
            self.complaints.append(f"asked {url}")

    def open(self, path: str) -> Page:
        self.page.goto(self.base + path)
        self.page.wait_for_function(DRAWN, polling=50)
        return self.page

    def passed(self, seconds: int = 11) -> None:
        """Let the page think that time has passed: its next polls come now, and are awaited."""
        self.page.clock.fast_forward(seconds * 1000)
        self.page.wait_for_load_state("networkidle")


@pytest.fixture
def look(browser: Browser, served: Tower) -> Iterator[Callable[..., Watch]]:
    """Opens windows, each with cookies of its own."""
    opened: list[BrowserContext] = []

    def look(base: str = served.url, clock: bool = False, **more: Any) -> Watch:
        context = browser.new_context(**{"viewport": WIDE, **more})
        context.set_default_timeout(HANGS_AFTER_MS)
        opened.append(context)
        if clock:
            context.clock.install()
        return Watch(context, base)

    yield look
    for context in opened:
        context.close()
