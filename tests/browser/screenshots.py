"""`make screenshots`: every page of the demo fleet, in both schemes and two widths, into docs/images."""

import tempfile
from datetime import UTC, datetime
from pathlib import Path

import requests

from app.domain.times import DAY_MS, rfc3339
from app.wiring.world import now_ms
from demo.__main__ import ensure
from demo.fleet import FLEET
from tests.browser.chromium import NARROW, PAGES, WIDE, chromium
from tests.browser.conftest import write_keys
from tests.recorded_past import Move, record_past
from tests.servers import HANGS_AFTER_SECONDS, ROOT, Tower, tower, until

IMAGES = ROOT / "docs" / "images"
FULL = ("monitored", "promotions", "experiments", "findings", "system")
MODEL = "digit-recognition"
# What is proposed: the model, the version, and why.
PROPOSALS = (
    ("wine-cultivar", "3", "As good, and ten times as fast"),
    ("breast-cancer-screening", "4", "Better calibrated in all regions"),
)


def past() -> dict[str, list[Move]]:
    """Every version came to its alias 37 days ago, but those of one model, which came one after the other."""
    moves = {
        model.name: [
            Move(37, version.alias, number) for number, version in enumerate(model.versions, 1) if version.alias
        ]
        for model in FLEET
    }
    moves[MODEL] = [
        Move(days, place, version, actor, minutes)
        for days, version, actor, minutes in ((36, 1, None, 1), (24, 2, None, 900), (13, 3, "bob", 1))
        for place in ("Production", "champion")
    ]
    return moves


def ask(running: Tower, who: str, method: str, path: str, body: object = None) -> requests.Response:
    """An answer to somebody who has a key."""
    headers = {"Authorization": f"Bearer ct_{who}"}
    return requests.request(method, running.url + path, json=body, headers=headers, timeout=HANGS_AFTER_SECONDS)


def checked(running: Tower) -> bool:
    """Whether every registration has its verdict."""
    return all(row["checked_at"] for row in ask(running, "bob", "GET", "/monitoring").json())


def propose(running: Tower) -> None:
    """Two proposals that wait, and one that is done."""
    for name, version, reason in PROPOSALS:
        body = {"version": version, "alias": "champion", "reason": reason}
        assert ask(running, "ada", "POST", f"/model/{name}/promotions", body).ok
    body = {"version": "1", "alias": "fallback", "reason": "If the service of the other one is down"}
    made = ask(running, "ada", "POST", "/model/iris-species/promotions", body).json()
    path = f"/model/iris-species/promotions/{made['id']}/approvals"
    assert ask(running, "bob", "POST", path, {"note": "Agreed in the meeting"}).ok


def main() -> None:
    """Build the demo, serve it, and render."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="screenshots-") as name:
        folder = Path(name)
        uri = f"sqlite:///{folder}/mlflow.db"
        ensure(folder / "mlflow.db", datetime.now(UTC).date(), 30)
        record_past(uri, 38, past(), [(19, 17.5)])
        keys = folder / "keys"
        write_keys(keys, ada="write", bob="admin")
        settings = {"ENABLE_PROMOTION": "true", "API_TOKENS_FILE": str(keys)}
        with tower(folder, uri, workers=2, ready=False, **settings) as running, chromium() as browser:
            until(lambda: running.get("/readyz").ok)
            until(lambda: checked(running))
            propose(running)
            pages = {**PAGES, "fleet-past": f"/ui/?at={rfc3339(now_ms() - int(23.8 * DAY_MS))}"}
            for scheme in ("light", "dark"):
                for width, size in (("wide", WIDE), ("narrow", NARROW)):
                    context = browser.new_context(viewport=size, color_scheme=scheme)
                    context.add_cookies([{"name": "control_tower_key", "value": "ct_bob", "url": running.url}])
                    for page_name, path in pages.items():
                        page = context.new_page()
                        page.goto(running.url + path)
                        page.wait_for_load_state("networkidle")
                        page.screenshot(path=IMAGES / f"{page_name}-{scheme}-{width}.png", full_page=page_name in FULL)
                        if page_name == "model":
                            over_time = page.locator("#timeline-section")
                            over_time.screenshot(path=IMAGES / f"over-time-{scheme}-{width}.png")
                        page.close()
                    context.close()


if __name__ == "__main__":
    main()
