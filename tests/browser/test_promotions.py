"""Promotion in a browser: propose, approve, refuse, withdraw, roll back; who had what when; the fleet as it was."""

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from app.domain.times import DAY_MS, rfc3339
from app.wiring.world import now_ms
from tests.browser.chromium import NARROW, WIDE
from tests.browser.conftest import HANGS_AFTER_MS, MARKUP, Watch, accessible, write_keys
from tests.contract.real_world import RealWorld
from tests.recorded_past import Move, record_past
from tests.servers import Proxy, Tower, mlflow_server, tower, until

ROLES = {"joe": "read", "ada": "write", "bob": "approve", "eve": "approve", "root": "admin"}
BETTER = (0.9, 0.95, 0.5)
# MLflow takes neither `..` nor a slash in a name.
HOSTILE = [MARKUP, "\"'><b>x<b>${1}{{1}} back\\slash", "naïve 模型 🚀 a%2Fb?c=d&e#f+g%"]
# Models with a past of 40 days: version 1, then 2, then 3 was the champion.
PAST = {
    "wine": [Move(35, "champion", 1), Move(20, "champion", 2, minutes=600), Move(5, "champion", 3, "bob")],
    "beer": [Move(30, "challenger", 1)],
    # All three are in Production since then.
    "ale": [Move(days, "Production", number, archives=False) for days, number in ((38, 1), (20, 2), (5, 3))],
}


@dataclass
class Registry:
    """A tower that promotes, the MLflow behind it, and the proxy between them."""

    running: Tower
    world: RealWorld
    between: Proxy
    folder: Path

    def ask(self, who: str, method: str, path: str, body: object = None) -> Any:
        call = {"GET": self.running.get, "POST": self.running.post, "DELETE": self.running.delete}[method]
        answer = call(path, headers={"Authorization": f"Bearer ct_{who}"}, **({"json": body} if body else {}))
        assert answer.ok, answer.text
        return answer.json()

    def model(self, name: str) -> str:
        """A model of which version 1 is the champion, version 2 is better, and version 3 worse."""
        for accuracy in BETTER:
            self.world.add_version(name, {"accuracy": accuracy})
        self.world.set_alias(name, "champion", 1)
        self.refresh()

        def is_recorded() -> bool:
            answer = self.running.get(f"{of(name)}/holders", headers={"Authorization": "Bearer ct_joe"})
            return answer.ok and any(row["alias"] for row in answer.json())

        until(is_recorded, "the history")
        return name

    def refresh(self) -> None:
        """Have the tower see what was changed in MLflow."""
        self.ask("root", "POST", "/cache/refresh")

    def propose(self, name: str, who: str = "ada", version: str = "2", **more: object) -> Any:
        body = {"version": version, "alias": "champion", "reason": "Better on all regions", **more}
        return self.ask(who, "POST", f"{of(name)}/promotions", body)

    def champion(self, name: str) -> str:
        return str(self.world.client.get_model_version_by_alias(name, "champion").version)


def promoting(folder: Path) -> dict[str, str]:
    """The settings of a tower that promotes, with the keys in a folder."""
    return {"ENABLE_PROMOTION": "true", "API_TOKENS_FILE": str(folder / "keys")}


def of(name: str) -> str:
    return f"/model/{quote(name, safe='')}"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    folder = tmp_path_factory.mktemp("promotions")
    write_keys(folder / "keys", **ROLES)
    settings = promoting(folder)
    # `Registry.refresh` says when there is something to see.
    settings |= {"ALIAS_POLL_SECONDS": "0", "CHANGE_POLL_SECONDS": "0"}
    with mlflow_server(folder / "mlflow") as url, closing(Proxy(url)) as between:
        world = RealWorld(url)
        for name, moves in PAST.items():
            for accuracy in (0.9, 0.92, 0.95):
                world.add_version(name, {"accuracy": accuracy})
            for move in moves:
                if move.place == "Production":
                    world.set_stage(name, move.version, move.place)
                else:
                    world.set_alias(name, move.place, move.version)
        record_past(url, 40, PAST, [(12, 10)])
        with tower(folder, between.url, workers=1, ready=False, forked=True, **settings) as running:
            until(lambda: running.get("/readyz").status_code == 200)
            made = Registry(running, world, between, folder)
            made.ask("root", "POST", "/models/wine/3/monitor", {"model_type": "classifier"})
            rows = [{"metrics": {"accuracy": 0.94}, "timestamp": rfc3339(now_ms() - n * DAY_MS)} for n in range(15)]
            made.ask("root", "POST", "/models/wine/3/observations", {"observations": rows})
            yield made
            assert not any(f"ct_{who}" in running.text() for who in ROLES)


@pytest.fixture
def enter(browser: Browser, registry: Registry) -> Iterator[Callable[..., Watch]]:
    """Opens windows of people who are signed in."""
    opened: list[BrowserContext] = []

    def enter(who: str, base: str = registry.running.url, **more: Any) -> Watch:
        context = browser.new_context(**{"viewport": WIDE, **more})
        context.set_default_timeout(HANGS_AFTER_MS)
        context.add_cookies([{"name": "control_tower_key", "value": f"ct_{who}", "url": base}])
        opened.append(context)
        return Watch(context, base)

    yield enter
    for context in opened:
        context.close()


def press(page: Page, name: str) -> None:
    """Press the button of a dialog that does what it is for."""
    page.get_by_role("dialog").get_by_role("button", name=name, exact=True).click()


def waiting(page: Page, name: str) -> Locator:
    """The card of a model's proposal."""
    return page.locator("#waiting .card").filter(has=page.get_by_role("link", name=name, exact=True))


def test_a_version_is_proposed_approved_by_somebody_else_and_rolled_back(
    enter: Callable[..., Watch], registry: Registry
) -> None:
    name = registry.model("oats")
    ada = enter("ada")
    page = ada.open(f"/ui{of(name)}")
    page.get_by_role("button", name="Propose version 2").click()
    form = page.get_by_role("dialog", name=f"Propose a version of {name}")
    expect(form.get_by_role("combobox", name="Alias", exact=True)).to_have_value("champion")
    expect(form).to_contain_text("Now it is on version 1.")
    expect(form.get_by_label("Pass over the gate")).to_have_count(0)
    form.get_by_role("textbox", name="Reason").fill("Better on all regions")
    form.get_by_label("Margin").fill("0.01")
    accessible(page)
    press(page, "Propose")
    card = page.locator("#promotions .card")
    expect(card).to_contain_text("Version 2 for the alias champion")
    expect(card).to_contain_text("0 of 1 approval")
    expect(card.get_by_role("button")).to_have_text(["Withdraw…"])
    bob = enter("bob")
    page = bob.open("/ui/")
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Promotions").click()
    card = waiting(page, name)
    expect(card).to_contain_text(re.compile("Proposed by ada .*, in place of version 1: Better on all regions"))
    expect(card).to_contain_text("Better on all regions")
    expect(card).to_contain_text("✓ the gate lets it pass")
    expect(card.get_by_role("row", name="accuracy")).to_contain_text("0.950")
    card.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("dialog")).to_contain_text("It is carried out at once.")
    page.get_by_label("Note (optional)").fill("Seen on the dashboard")
    accessible(page)
    press(page, "Approve")
    expect(waiting(page, name)).to_have_count(0)
    row = page.locator("#decided tbody tr").filter(has=page.get_by_role("link", name=name, exact=True))
    expect(row).to_contain_text("✓ done")
    row.get_by_label("Evidence and steps of version 2").click()
    expect(row).to_contain_text("approved by bob")
    assert registry.champion(name) == "2"
    assert ada.complaints + bob.complaints == []


def test_an_alias_goes_back_to_the_version_that_the_dialog_names(
    enter: Callable[..., Watch], registry: Registry
) -> None:
    name = registry.model("hops")
    proposed = registry.propose(name)
    registry.ask("eve", "POST", f"{of(name)}/promotions/{proposed['id']}/approvals", {"note": "Seen"})
    watch = enter("bob")
    page = watch.open(f"/ui{of(name)}")
    page.get_by_role("button", name="Roll back version 2").click()
    form = page.get_by_role("dialog", name=f"Roll back {name}")
    expect(form).to_contain_text("From version 2, the alias champion goes back to version 1.")
    form.get_by_role("textbox", name="Reason").fill("Latency doubled")
    accessible(page)
    press(page, "Roll back")
    expect(form).to_have_count(0)
    expect(page.get_by_role("status").filter(has_text="the alias champion is back on version 1.")).to_have_count(1)
    expect(page.locator("#versions tbody tr").filter(has_text="champion")).to_contain_text("v1")
    expect(page.locator("#promotions")).to_contain_text("rollback")
    assert registry.champion(name) == "1"
    page.get_by_text("Stages and aliases as a table").click()
    table = page.locator("#timeline tbody tr").filter(has_text="champion")
    expect(table).to_have_count(3)
    expect(table.first).to_contain_text("by bob")
    expect(table.last).to_contain_text("outside this service")
    assert watch.complaints == []


def test_a_proposal_is_refused_or_withdrawn_with_a_reason(enter: Callable[..., Watch], registry: Registry) -> None:
    refused, withdrawn = registry.model("rye"), registry.model("rice")
    for name in (refused, withdrawn):
        registry.propose(name)
    watches = []
    for who, name, verb, state in (
        ("bob", refused, "Refuse", "✕ refused"),
        ("ada", withdrawn, "Withdraw", "withdrawn"),
    ):
        watches.append(enter(who))
        page = watches[-1].open("/ui/promotions")
        waiting(page, name).get_by_role("button", name=verb).click()
        page.get_by_role("textbox", name="Reason").fill("The data of May are missing")
        accessible(page)
        press(page, verb)
        expect(waiting(page, name)).to_have_count(0)
        row = page.locator("#decided tbody tr").filter(has=page.get_by_role("link", name=name, exact=True))
        expect(row).to_contain_text(state)
        expect(row).to_contain_text("The data of May are missing")
        assert registry.champion(name) == "1"
    assert [complaint for watch in watches for complaint in watch.complaints] == []


def test_what_the_gate_refuses_is_said_in_its_words_and_may_be_passed_over_by_who_may_approve(
    enter: Callable[..., Watch], registry: Registry
) -> None:
    name = registry.model("spelt")
    bob = enter("bob")
    page = bob.open(f"/ui{of(name)}")
    page.get_by_role("button", name="Propose version 3").click()
    form = page.get_by_role("dialog")
    form.get_by_role("textbox", name="Reason").fill("The others are not licensed")
    press(page, "Propose")
    expect(form.get_by_role("alert")).to_contain_text("The gate does not let it pass. It does not pass the comparison")
    form.get_by_label("Margin").fill("accuracy=much")
    press(page, "Propose")
    expect(form.get_by_role("alert")).to_contain_text("margin")
    form.get_by_label("Margin").fill("")
    form.get_by_label("Pass over the gate").check()
    press(page, "Propose")
    expect(form).to_have_count(0)
    eve = enter("eve")
    page = eve.open("/ui/promotions")
    card = waiting(page, name)
    expect(card).to_contain_text("passes over the gate")
    expect(card).to_contain_text("the gate does not let it pass: It does not pass the comparison with version 1")
    card.get_by_role("button", name="Approve").click()
    press(page, "Approve")
    row = page.locator("#decided tbody tr").filter(has=page.get_by_role("link", name=name, exact=True))
    expect(row).to_contain_text("passes over the gate")
    assert registry.champion(name) == "3"
    assert [text for text in bob.complaints + eve.complaints if "409" not in text and "400" not in text] == []


def test_what_moved_meanwhile_is_said_where_one_approves(enter: Callable[..., Watch], registry: Registry) -> None:
    name = registry.model("millet")
    registry.propose(name)
    page = enter("bob").open("/ui/promotions")
    waiting(page, name).get_by_role("button", name="Approve").click()
    registry.world.set_alias(name, "champion", 3)
    press(page, "Approve")
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("By now version 3 has the alias champion")
    assert registry.champion(name) == "3"


def test_what_a_role_may_not_do_is_not_offered(enter: Callable[..., Watch], registry: Registry) -> None:
    name = registry.model("teff")
    registry.propose(name, "bob")
    offered = {
        "joe": ([], []),
        "ada": (["Propose"], []),
        "bob": (["Propose", "Roll back"], ["Withdraw"]),
        "eve": (["Propose", "Roll back"], ["Approve", "Refuse"]),
        "root": (["Propose", "Roll back"], ["Approve", "Refuse"]),
    }
    for who, (of_version, of_proposal) in offered.items():
        page = enter(who).open(f"/ui{of(name)}")
        row = page.locator("#versions tbody tr").filter(has_text="champion")
        for verb in ("Propose", "Roll back"):
            expect(row.get_by_role("button", name=verb)).to_have_count(int(verb in of_version))
        expect(page.locator("#promotions .card button")).to_have_text([f"{verb}…" for verb in of_proposal])
        page.goto(f"{registry.running.url}/ui/promotions")
        expect(waiting(page, name).get_by_role("button")).to_have_text([f"{verb}…" for verb in of_proposal])


def test_the_keyboard_alone_proposes_and_approves(enter: Callable[..., Watch], registry: Registry) -> None:
    name = registry.model("barley")

    def reach(page: Page, button: Locator) -> None:
        for _ in range(100):
            page.keyboard.press("Tab")
            if button.evaluate("(wanted) => wanted === document.activeElement"):
                return
        raise AssertionError("The Tab key does not reach it.")

    page = enter("ada").open(f"/ui{of(name)}")
    expect(page.locator("#promotions-section")).to_be_hidden()
    reach(page, page.get_by_role("button", name="Propose version 2"))
    page.keyboard.press("Enter")
    expect(page.locator("dialog [name=version]")).to_be_focused()
    reach(page, page.get_by_role("textbox", name="Reason"))
    page.keyboard.type("Better")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#promotions .card")).to_contain_text("Better")
    page = enter("bob").open("/ui/promotions")
    reach(page, waiting(page, name).get_by_role("button", name="Approve"))
    page.keyboard.press("Enter")
    expect(page.get_by_label("Note (optional)")).to_be_focused()
    page.keyboard.type("Seen")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(waiting(page, name)).to_have_count(0)
    assert registry.champion(name) == "2"


@pytest.mark.parametrize("name", HOSTILE)
def test_a_model_of_any_name_is_proposed_and_approved_and_is_text_everywhere(
    enter: Callable[..., Watch], registry: Registry, name: str
) -> None:
    registry.model(name)
    registry.propose(name, reason=MARKUP)
    watch = enter("bob")
    page = watch.open("/ui/promotions")
    card = page.locator("#waiting .card").filter(has=page.locator("a", has_text=name))
    expect(card).to_contain_text(MARKUP)
    card.get_by_role("button", name="Approve").click()
    assert page.locator("dialog h2").text_content() == f"Approve {name} v2 for the alias champion?"
    press(page, "Approve")
    expect(card).to_have_count(0)
    assert registry.champion(name) == "2"
    page = watch.open(f"/ui{of(name)}")
    page.get_by_role("button", name="Roll back version 2").click()
    expect(page.get_by_role("dialog")).to_contain_text("goes back to version 1.")
    page.get_by_role("textbox", name="Reason").fill(MARKUP)
    press(page, "Roll back")
    expect(page.locator("#promotions")).to_contain_text("rollback")
    assert registry.champion(name) == "1"
    assert page.locator("main img, main b").count() == 0
    assert page.title() != "1"
    assert watch.complaints == []


def test_who_had_an_alias_when_is_a_band_with_what_is_not_known_and_a_table(enter: Callable[..., Watch]) -> None:
    watch = enter("joe")
    page = watch.open("/ui/model/wine")
    lanes = page.locator("#timeline .lane")
    expect(lanes.locator("> span")).to_have_text(["Production", "champion", "v3 verdict", ""])
    champion = lanes.filter(has_text="champion")
    expect(champion.locator(".held text")).to_have_text(["v1", "v2", "v3"])
    segments = champion.locator(".held title")
    expect(segments.nth(1)).to_have_text(
        re.compile("^v2: champion; since between .* outside this service; until .* by bob$")
    )
    # Before version 1 nobody had it; 600 minutes and two days are not known.
    expect(champion.locator("rect.unknown")).to_have_count(2)
    shares = [
        float(str(width).rstrip("%"))
        for width in champion.locator("rect.unknown").evaluate_all(
            "(all) => all.map((each) => each.getAttribute('width'))"
        )
    ]
    assert sorted(shares) == [pytest.approx(100 * 10 / 24 / 35, rel=0.05), pytest.approx(100 * 2 / 35, rel=0.05)]
    page.get_by_text("Stages and aliases as a table").click()
    rows = page.locator("#timeline tbody tr").filter(has_text="champion")
    expect(rows).to_have_count(3)
    expect(rows.nth(0)).to_contain_text("by bob")
    accessible(page)
    assert watch.complaints == []


def test_versions_that_are_in_a_stage_at_the_same_time_have_a_lane_each(enter: Callable[..., Watch]) -> None:
    for size in (WIDE, NARROW):
        watch = enter("joe", viewport=size)
        page = watch.open("/ui/model/ale")
        lanes = page.locator("#timeline .lane")
        expect(lanes.locator("> span")).to_have_text(["Production", "", "", ""])
        for number, version in enumerate(("v1", "v2", "v3")):
            expect(lanes.nth(number).locator(".held text")).to_have_text([version])
        starts = [box["x"] for number in range(3) if (box := lanes.nth(number).locator(".held").bounding_box())]
        assert len(starts) == 3
        assert starts == sorted(set(starts))
        page.get_by_text("Stages and aliases as a table").click()
        rows = page.locator("#timeline tbody tr")
        expect(rows).to_have_count(3)
        for row in range(3):
            expect(rows.nth(row)).to_contain_text("Production")
        assert not page.evaluate("() => document.documentElement.scrollWidth > innerWidth")
        accessible(page)
        assert watch.complaints == []


def test_what_was_compared_is_named_where_the_place_itself_was_empty(
    enter: Callable[..., Watch], registry: Registry
) -> None:
    name = registry.model("malt")
    body = {"version": "2", "stage": "Production", "reason": "By stage from now on"}
    proposed = registry.ask("ada", "POST", f"{of(name)}/promotions", body)
    compared = "Comparison with version 1, which was effectively in Production"
    watch = enter("bob", viewport=NARROW)
    page = watch.open("/ui/promotions")
    card = waiting(page, name)
    expect(card).to_contain_text("in place of no version")
    assert not page.evaluate("() => document.documentElement.scrollWidth > innerWidth")
    expect(card.locator("summary")).to_have_text([compared])
    expect(card.get_by_role("row", name="accuracy")).to_contain_text("0.950")
    accessible(page)
    page = watch.open(f"/ui{of(name)}")
    expect(page.locator("#promotions .card summary")).to_have_text([compared])
    registry.ask("eve", "POST", f"{of(name)}/promotions/{proposed['id']}/approvals", {"note": "Seen"})
    page = watch.open("/ui/promotions")
    row = page.locator("#decided tbody tr").filter(has=page.get_by_role("link", name=name, exact=True))
    row.get_by_label(f"Details of {name} version 2").click()
    row.get_by_label("Evidence and steps of version 2").click()
    expect(row).to_contain_text(compared)
    assert not page.evaluate("() => document.documentElement.scrollWidth > innerWidth")
    assert watch.complaints == []


def test_where_nothing_was_proposed_or_decided_the_page_says_so_and_where_to_begin(
    enter: Callable[..., Watch], registry: Registry, tmp_path: Path
) -> None:
    settings = {**promoting(registry.folder), "MONITORING_EXPERIMENT": "empty"}
    with tower(tmp_path, registry.between.url, workers=1, ready=False, forked=True, **settings) as running:
        until(lambda: running.get("/readyz").status_code == 200)
        nothing = "Nothing was decided in the last 30 days."
        for scheme in ("light", "dark"):
            for size in ({"width": 1440, "height": 900}, NARROW):
                watch = enter("bob", running.url, viewport=size, color_scheme=scheme)
                page = watch.open("/ui/promotions")
                waits, decided = page.locator("#waiting"), page.locator("#decided")
                expect(waits).to_have_text(
                    "Nothing waits for an approval. A version is proposed on the page of its model."
                )
                expect(decided).to_have_text(nothing)
                assert page.locator("main table, main .card, main .error").count() == 0
                assert not page.evaluate("() => document.documentElement.scrollWidth > innerWidth")
                accessible(page)
                assert watch.complaints == []
        empty = Registry(running, registry.world, registry.between, registry.folder)
        empty.propose(empty.model("rice flour"))
        page = enter("bob", running.url).open("/ui/promotions")
        expect(waiting(page, "rice flour")).to_have_count(1)
        expect(page.locator("#decided")).to_have_text(nothing)


def test_the_charts_mark_when_a_version_got_an_alias(enter: Callable[..., Watch]) -> None:
    watch = enter("joe")
    page = watch.open("/ui/model/wine")
    expect(page.locator("#charts")).to_contain_text("Dashed upright line: the version got (▲) or lost (▼)")
    expect(page.locator(".chart canvas")).to_be_visible()
    page.locator(".chart").focus()
    for _ in range(6):
        page.keyboard.press("ArrowLeft")
    expect(page.locator(".readout")).to_contain_text("v3 got Production, champion: ")
    expect(page.locator("#announcement")).to_contain_text("v3 got Production, champion: ")
    expect(page.locator("#announcement")).to_contain_text("by bob")
    assert watch.complaints == []


def test_the_fleet_is_shown_as_it_was_at_a_time_and_back(enter: Callable[..., Watch], registry: Registry) -> None:
    watch = enter("joe")
    page = watch.open("/ui/?name=wine")
    row = page.locator("#models tbody tr").first
    expect(row).to_contain_text("v3")
    page.get_by_label("As it was on (UTC)").fill(str(rfc3339(now_ms() - 15 * DAY_MS))[:16])
    page.get_by_role("button", name="Show").click()
    expect(row).to_contain_text("v2 champion")
    expect(row).to_contain_text("Production")
    expect(row).to_contain_text("yes")
    expect(page.locator("#past-note")).to_contain_text("The fleet as it was on")
    expect(page.locator("#tiles")).to_be_hidden()
    expect(page.locator("[name=finding]")).to_be_hidden()
    shared = page.url
    assert "at=" in shared
    accessible(page)
    page = watch.open(shared.removeprefix(registry.running.url))
    row = page.locator("#models tbody tr").first
    expect(row).to_contain_text("v2 champion")
    page.get_by_role("button", name="3 versions of wine").click()
    expect(page.locator("#models tbody tr")).to_have_count(4)
    page.get_by_role("button", name="Back to now").click()
    expect(row).to_contain_text("v3")
    expect(page.locator("#tiles")).to_be_visible()
    expect(page.locator("#attention")).not_to_be_empty()
    assert "at=" not in page.url
    for days, words in ((20 - 0.2, "? not sure"), (11, "? not sure")):
        page = watch.open(f"/ui/?name=wine&at={rfc3339(now_ms() - int(days * DAY_MS))}")
        expect(page.locator("#models tbody tr").first).to_contain_text(words)
        expect(page.locator("#models")).to_contain_text("It is not known for sure: something changed around that time")
    assert watch.complaints == []
    page = watch.open("/ui/?at=2020-01-01T00:00:00Z")
    expect(page.locator(".error")).to_contain_text("Nothing is known of the registry before")
    page = watch.open("/ui/?at=yesterday")
    expect(page.locator(".error")).to_contain_text("at: Not a time.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_fit_every_width_and_are_accessible(
    enter: Callable[..., Watch], registry: Registry, scheme: str
) -> None:
    registry.propose("beer", alias="challenger", reason=f"In {scheme} " + "W" * 200)
    then = rfc3339(now_ms() - 15 * DAY_MS)
    for path, words in (("/ui/promotions", "beer"), ("/ui/model/wine", "champion"), (f"/ui/?at={then}", "wine")):
        for size in (WIDE, NARROW):
            watch = enter("bob", viewport=size, color_scheme=scheme, reduced_motion="reduce")
            page = watch.open(path)
            expect(page.locator("main")).to_contain_text(words)
            assert not page.evaluate("() => document.documentElement.scrollWidth > innerWidth"), (path, size)
            accessible(page)
            assert watch.complaints == []


def test_while_mlflow_is_down_the_pages_say_so_and_nothing_moves(
    enter: Callable[..., Watch], registry: Registry
) -> None:
    name = registry.model("corn")
    proposed = registry.propose(name)
    promotions = enter("bob").open("/ui/promotions")
    page = enter("bob").open(f"/ui{of(name)}")
    registry.between.mode = "refuse"
    try:
        waiting(promotions, name).get_by_role("button", name="Approve").click()
        press(promotions, "Approve")
        expect(promotions.get_by_role("dialog").get_by_role("alert")).to_contain_text("MLflow")
        page.get_by_role("button", name="Roll back version 1").click()
        expect(page.get_by_role("dialog")).to_contain_text("No other version is known to have had the alias champion.")
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Propose version 3").click()
        page.get_by_role("textbox", name="Reason").fill("Any")
        press(page, "Propose")
        expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("MLflow")
        page.reload()
        expect(page.locator("#timeline .held text").first).to_have_text("v1")
        expect(page.locator("#promotions-section .error")).to_contain_text("MLflow")
    finally:
        registry.between.mode = "up"
    assert registry.champion(name) == "1"
    assert registry.ask("bob", "GET", f"{of(name)}/promotions/{proposed['id']}")["state"] == "waiting"


def test_where_promotion_is_off_nothing_of_it_is_offered(look: Callable[..., Watch]) -> None:
    watch = look()
    page = watch.open("/ui/model/digits")
    expect(page.locator("#versions tbody tr").first).to_contain_text("challenger")
    assert page.get_by_role("link", name="Promotions").count() == 0
    assert page.get_by_role("button", name=re.compile("Propose|Roll back")).count() == 0
    page = watch.open("/ui/promotions")
    expect(page.locator("main")).to_contain_text("Promotion is off")
    assert watch.complaints == []
