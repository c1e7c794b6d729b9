"""`make screenshots`: every page of the demo fleet, in both schemes and two widths, into docs/images."""

import tempfile
from datetime import UTC, datetime
from pathlib import Path

from demo.__main__ import ensure
from tests.browser.chromium import NARROW, PAGES, WIDE, chromium
from tests.servers import ROOT, Tower, tower, until

IMAGES = ROOT / "docs" / "images"


def checked(running: Tower) -> bool:
    """Whether every registration has its verdict."""
    return all(row["checked_at"] for row in running.get("/monitoring").json())


def main() -> None:
    """Build the demo, serve it, and render."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="screenshots-") as name:
        folder = Path(name)
        ensure(folder / "mlflow.db", datetime.now(UTC).date(), 30)
        with tower(folder, f"sqlite:///{folder}/mlflow.db", workers=2) as running, chromium() as browser:
            until(lambda: checked(running))
            for scheme in ("light", "dark"):
                for width, size in (("wide", WIDE), ("narrow", NARROW)):
                    context = browser.new_context(viewport=size, color_scheme=scheme)
                    for page_name, path in PAGES.items():
                        page = context.new_page()
                        page.goto(running.url + path)
                        page.wait_for_load_state("networkidle")
                        page.screenshot(
                            path=IMAGES / f"{page_name}-{scheme}-{width}.png",
                            full_page=page_name not in ("fleet", "model"),
                        )
                        page.close()
                    context.close()


if __name__ == "__main__":
    main()
