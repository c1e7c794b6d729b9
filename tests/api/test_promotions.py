"""Promotion over HTTP: who may propose, approve and roll back, and what is refused with which reason."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from werkzeug.test import TestResponse

from app.domain.errors import DeliveryFailed, MlflowUnavailable
from app.domain.monitoring.alert_filters import AlertFilter
from app.domain.monitoring.monitor_runs import Verdict
from app.domain.promotion.notices import Notice
from app.domain.promotion.tags import promotion_from
from app.services.alerts.outbox import Pace
from app.services.host.keys import KeyRing
from app.services.promotion.guard import Guard
from app.services.promotion.teller import Teller
from app.wiring.world import source_of
from tests.api.champions import two_versions
from tests.api.service import Service

HOSTILE = ["a b", "..", "a%2Fb", "naïve 🧬", "x?y=1&z#", "old:name", "1.5", "100%"]
BETTER = {"accuracy": (0.9, 0.95)}


class Team:
    """A service that promotes, and the keys of three people. Version 1 of `m` is the champion, version 2 better."""

    def __init__(self, start: Callable[..., Service], directory: Path, **settings: Any) -> None:
        ring = KeyRing(directory / "keys")
        roles = {"ada": "write", "bob": "approve", "eve": "approve", "root": "admin", "joe": "read"}
        self.tokens = {name: ring.add(name, role) for name, role in roles.items()}
        self.service = start(api_tokens_file=directory / "keys", **{"enable_promotion": True, **settings})
        self.world = self.service.world
        two_versions(self.world, "m", **BETTER)
        self.look()

    def look(self) -> None:
        self.service.token = self.tokens["root"]
        self.service.agent.recorder.record()
        self.service.refresh()
        self.service.agent.recorder.record()

    def ask(self, who: str, method: str, path: str, body: Any = None) -> TestResponse:
        self.service.token = self.tokens[who]
        return self.service.call(method, path, **({"json": body} if body is not None else {}))

    def propose(self, who: str = "ada", name: str = "m", **more: Any) -> TestResponse:
        body = {"version": "2", "alias": "champion", "reason": "better", **more}
        return self.ask(who, "POST", f"/model/{quote(name, safe='')}/promotions", body)

    def approve(self, promotion: Any, who: str = "bob") -> TestResponse:
        return self.ask(who, "POST", f"{self.path(promotion)}/approvals", {})

    def roll_back(self, who: str = "bob", **body: Any) -> TestResponse:
        return self.ask(who, "POST", "/model/m/rollback", {"alias": "champion", **body})

    def path(self, promotion: Any) -> str:
        return f"/model/{quote(promotion['model_name'], safe='')}/promotions/{promotion['id']}"

    @property
    def champion(self) -> int:
        return self.world.models["m"].aliases["champion"]


@pytest.fixture
def team(start: Callable[..., Service], tmp_path: Path) -> Team:
    return Team(start, tmp_path)


def test_from_the_proposal_to_the_way_back(team: Team) -> None:
    proposed = team.propose(margin=0.01)
    assert proposed.status_code == 201
    promotion: Any = proposed.json
    assert (promotion["state"], promotion["before"], promotion["proposed_by"]) == ("waiting", ["1"], "ada")
    evidence = promotion["evidence"]
    assert (evidence["passes"], evidence["comparison"]["baseline"]["version"]) == (True, "1")
    assert "production_without_monitor" not in evidence["findings"]
    assert [row["id"] for row in team.service.json("/promotions")] == [promotion["id"]]
    done: Any = team.approve(promotion).json
    assert (done["state"], done["approved_by"], team.champion) == ("done", ["bob"], 2)
    assert [step["step"] for step in done["steps"]] == ["approved", "begun", "moved", "recorded"]
    assert team.service.json("/promotions") == []
    assert team.service.json(team.path(promotion)) == done
    (change,) = team.service.json("/model/m/history?kind=alias")
    assert (change["from"], change["to"], change["actor"], change["through"]) == ("1", "2", "bob", "tower")
    assert change["not_before"] <= change["not_after"]
    back: Any = team.roll_back("eve", **{"from": "2", "reason": "slow"})
    assert (back.status_code, back.json["version"], back.json["origin"], team.champion) == (201, "1", "rollback", 1)
    assert team.roll_back("eve", **{"from": "2"}).status_code == 409
    assert [row["origin"] for row in team.service.json("/model/m/promotions")] == ["rollback", "proposal"]
    assert team.service.json("/model/m/promotions?state=waiting") == []
    # The mirror has it at once.
    assert [row["version"] for row in team.service.json("/models/production")] == ["1"]


def test_who_may_what(team: Team) -> None:
    promotion: Any = team.propose().json
    assert team.propose("joe").status_code == 403
    assert team.approve(promotion, "ada").status_code == 403
    assert team.propose(override=True).status_code == 403
    assert team.roll_back("ada", **{"from": "1"}).status_code == 403
    own: Any = team.propose("bob").json
    assert team.approve(own, "bob").status_code == 403
    assert team.ask("ada", "DELETE", f"{team.path(own)}?reason=no").status_code == 403
    refused: Any = team.ask("eve", "DELETE", f"{team.path(own)}?reason=no").json
    assert (refused["state"], refused["why"]) == ("refused", "no")
    withdrawn: Any = team.ask("ada", "DELETE", f"{team.path(promotion)}?reason=mistake").json
    assert withdrawn["state"] == "withdrawn"
    assert team.approve(promotion).status_code == 409
    assert team.champion == 1


def test_what_the_gate_does_not_let_pass_is_refused_unless_somebody_who_may_passes_over_it(team: Team) -> None:
    team.world.add_version("m", {"accuracy": 0.5})
    worse = team.propose(version="3")
    assert worse.status_code == 409
    assert "comparison with version 1 (accuracy)" in worse.text
    assert "GET /model/m/compare" in worse.text
    unknown = team.propose(metrics=["nope"])
    assert (
        unknown.status_code,
        "(nope: Not comparable: neither version has a point of this metric)" in unknown.text,
    ) == (409, True), unknown.text
    for _ in range(2):
        team.world.add_version("bare")
    team.world.set_alias("bare", "champion", 1)
    assert "comparison with version 1 (neither has a metric)" in team.propose(name="bare").text
    over: Any = team.propose("bob", version="3", override=True).json
    assert (over["state"], over["override"], over["evidence"]["passes"]) == ("waiting", True, False)
    assert team.approve(over, "eve").status_code == 201
    assert team.champion == 3


@pytest.mark.parametrize(
    "place", [{"alias": None, "stage": "Production"}, {"alias": "production"}, {"alias": "CHAMPION"}]
)
@pytest.mark.parametrize("there", ["champion", "Production"])
def test_where_a_place_is_empty_the_gate_compares_with_what_is_effectively_in_production(
    team: Team, place: Any, there: str
) -> None:
    if there == "Production":
        team.world.delete_alias("m", "champion")
        team.world.set_stage("m", 1, "Production")
        team.world.set_alias("m", "other", 1)
        if "stage" in place:
            place = {"alias": "champion"}
    team.world.add_version("m", {"accuracy": 0.5})
    body = {key: value for key, value in place.items() if value}
    worse = team.ask("ada", "POST", "/model/m/promotions", {"version": "3", "reason": "new", **body})
    assert worse.status_code == 409
    assert "comparison with version 1, which is effectively in Production (accuracy)" in worse.text
    better: Any = team.ask("ada", "POST", "/model/m/promotions", {"version": "2", "reason": "new", **body}).json
    evidence = better["evidence"]
    assert (better["before"], evidence["compared_with"]) == ([], "effective_stage")
    assert evidence["comparison"]["baseline"] == {"version": "1", "alias": None, "stage": "Production"}
    # What it was compared with has to be there still.
    team.world.set_stage("m", 1, "Archived")
    refused = team.approve(better)
    assert (refused.status_code, "By now no version is effectively in Production" in refused.text) == (409, True)


def test_an_alias_that_stands_for_no_stage_is_compared_with_nothing_where_it_is_new(team: Team) -> None:
    team.world.add_version("m", {"accuracy": 0.5})
    evidence = team.propose(version="3", alias="blue").json["evidence"]  # type: ignore[index]
    assert (evidence["passes"], evidence["comparison"], evidence["compared_with"]) == (True, None, None)


def test_without_approvals_it_is_carried_out_at_once_by_who_may_approve(
    start: Callable[..., Service], tmp_path: Path
) -> None:
    team = Team(start, tmp_path, promotion_approvals=0)
    assert team.propose().status_code == 403
    done: Any = team.propose("bob").json
    assert (done["state"], team.champion) == ("done", 2)


def test_a_stage_moves_and_what_has_it_already_is_refused(team: Team) -> None:
    stage = {"stage": "Production", "alias": None}
    body = {"version": "2", "stage": "Production", "reason": "better"}
    promotion: Any = team.ask("ada", "POST", "/model/m/promotions", body).json
    assert (promotion["stage"], promotion["alias"], promotion["before"]) == ("Production", None, [])
    assert promotion["evidence"]["compared_with"] == "effective_stage"
    assert team.approve(promotion).status_code == 201
    assert team.ask("ada", "POST", "/model/m/promotions", body).status_code == 409
    assert team.propose(version="1").status_code == 409
    assert stage["alias"] is None


def drifts(team: Team) -> None:
    """The verdict on version 2 becomes drifting."""
    team.service.token = team.tokens["root"]
    team.service.register("m", 2)
    run_id = team.service.gateway.find_registrations("m", 2)[0].monitor_run_id
    team.service.gateway.write_verdict(run_id, [Verdict(team.world.tick(), "drifting")], {})


def is_made_again(team: Team) -> None:
    team.world.delete_model("m")
    two_versions(team.world, "m", **BETTER)
    team.world.set_alias("m", "champion", 1)


MEANWHILE: list[tuple[Callable[[Team], object], str]] = [
    (lambda team: team.world.set_alias("m", "champion", 3), "By now version 3 has the alias champion"),
    (lambda team: team.world.delete_alias("m", "champion"), "By now no version has the alias champion"),
    (lambda team: team.world.delete_version("m", 2), "Version 2 no longer exists"),
    (lambda team: team.world.delete_model("m"), "The registered model no longer exists"),
    (is_made_again, "The registered model was deleted and made again"),
    (drifts, "The verdict on version 2 is drifting by now"),
    (lambda team: team.service.clock.forward(25 * 3600), "The evidence is older than 24 hours"),
    (lambda team: team.service.clock.forward(169 * 3600), "it is expired"),
]


@pytest.mark.parametrize(("happens", "why"), MEANWHILE, ids=[why for _, why in MEANWHILE])
def test_what_changed_while_a_proposal_waited_is_refused_with_the_reason_and_nothing_moves(
    team: Team, happens: Callable[[Team], object], why: str
) -> None:
    team.world.add_version("m")
    promotion: Any = team.propose().json
    happens(team)
    models, versions = dict(team.world.models), dict(team.world.versions)
    refused = team.approve(promotion)
    assert (refused.status_code, why in refused.text) == (409, True), refused.text
    assert (team.world.models, team.world.versions) == (models, versions)
    assert "set_alias" not in team.service.gateway.calls


@pytest.mark.parametrize("name", HOSTILE)
def test_names_of_every_kind_are_promoted(team: Team, name: str) -> None:
    two_versions(team.world, name, **BETTER)
    team.look()
    promotion: Any = team.propose(name=name).json
    assert team.approve(promotion).status_code == 201
    assert team.world.models[name].aliases["champion"] == 2
    assert team.service.json(f"/model/{quote(name, safe='')}/promotions")[0]["model_name"] == name


def test_promotions_follow_their_model_when_it_is_renamed(team: Team) -> None:
    done: Any = team.propose().json
    team.approve(done)
    waiting, other = team.propose(version="1", override=True, who="bob").json, team.propose(alias="b").json
    assert waiting
    assert other
    new = "naïve \N{DNA DOUBLE HELIX}"
    team.world.rename("m", new)
    # Another model that gets the old name has nothing to do with them.
    two_versions(team.world, "m", **BETTER)
    team.look()
    path = f"/model/{quote(new, safe='')}/promotions"
    listed = team.service.json(path)
    assert {row["id"] for row in listed} == {done["id"], waiting["id"], other["id"]}  # type: ignore[index]
    assert {row["model_name"] for row in (*listed, *team.service.json("/promotions"))} == {new}
    assert {row["id"] for row in team.service.json("/model/m/promotions")} == {row["id"] for row in listed}
    old = team.approve(waiting, "eve")
    assert (old.status_code, "renamed to 'naïve" in old.text) == (409, True)
    approved: Any = team.approve({**waiting, "model_name": new}, "eve").json  # type: ignore[dict-item]
    assert (approved["state"], approved["model_name"]) == ("done", new)
    assert (team.world.models[new].aliases["champion"], team.champion) == (1, 1)
    ended: Any = team.ask("ada", "DELETE", f"{path}/{other['id']}?reason=mistake").json  # type: ignore[index]
    assert ended["state"] == "withdrawn"
    assert team.service.json(f"{path}/{other['id']}") == ended  # type: ignore[index]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"version": "01"}, 404),
        ({"version": "9"}, 404),
        ({"version": 2}, 400),
        ({"version": ""}, 400),
        ({"version": "9" * 21}, 400),
        ({"alias": "v1"}, 400),
        ({"alias": "latest"}, 400),
        ({"alias": "a b"}, 400),
        ({"alias": ""}, 400),
        ({"stage": "Production"}, 400),
        ({"reason": "  "}, 400),
        ({"reason": "x" * 1001}, 400),
        ({"margin": "many"}, 400),
        ({"margin": -1}, 400),
        ({"margin": [1]}, 400),
        ({"margin": True}, 400),
        ({"margin": ""}, 400),
        ({"margin": "0,01"}, 400),
        ({"margin": "nan"}, 400),
        ({"margin": "1e400"}, 400),
        ({"margin": ["0.01", "0.02"]}, 400),
        ({"margin": {"accuracy": 0.01}}, 400),
        ({"metrics": ["a%"]}, 400),
        ({"override": "yes"}, 400),
        ({"override": 1}, 400),
        ({"margin": [f"m{number}=0" for number in range(51)]}, 400),
        ({"dry": True}, 400),
    ],
)
def test_bad_proposals_are_refused(team: Team, body: Any, status: int) -> None:
    refused = team.propose(**body)
    assert (refused.status_code, team.service.json("/promotions")) == (status, [])
    if status == 400 and "stage" not in body:
        assert refused.json["detail"].startswith(next(iter(body)))  # type: ignore[index]


@pytest.mark.parametrize(
    "text", ['"margin": 1' + "0" * 30, '"margin": 1e999', '"reason": "\\ud800"', '"version": "\ud800"']
)
def test_what_only_other_clients_write_in_json_is_refused_too(team: Team, text: str) -> None:
    team.service.token = team.tokens["ada"]
    body = f'{{"alias": "champion", "version": "2", "reason": "better", {text}}}'.encode("utf-8", "surrogatepass")
    refused = team.service.call("POST", "/model/m/promotions", data=body, content_type="application/json")
    assert refused.status_code == 400


@pytest.mark.parametrize("margin", ["0.01", 0.01, ["accuracy=0.01"], ["0.01"], "accuracy=0.01", "1e-2"])
def test_a_margin_is_a_number_or_text(team: Team, margin: Any) -> None:
    team.world.add_version("m", {"accuracy": 0.895})
    made = team.propose(version="3", margin=margin)
    assert made.status_code == 201
    (metric,) = made.json["evidence"]["comparison"]["metrics"]  # type: ignore[index]
    assert metric["margin"] == 0.01


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"from": "1", "stage": "Production"},
        {"from": "1", "alias": "champion", "stage": "Staging"},
        {"from": 1},
        {"from": "", "alias": "champion"},
        {"from": "1", "alias": "champion", "to": ""},
        {"from": "1", "alias": "champion", "to": "9" * 21},
    ],
)
def test_bad_rollbacks_are_refused(team: Team, body: Any) -> None:
    refused = team.ask("bob", "POST", "/model/m/rollback", body)
    assert refused.status_code in ((409,) if "stage" in body and "alias" not in body else (400,))
    assert team.champion == 1


def test_what_is_not_there_is_a_404(team: Team) -> None:
    assert team.service.get("/model/unknown/promotions").status_code == 404
    assert team.service.get(f"/model/m/promotions/{'0' * 32}").status_code == 404
    assert team.service.get("/model/m/promotions/..%2f").status_code == 404
    assert team.propose(name="unknown").status_code == 404
    promotion: Any = team.propose().json
    assert team.service.get(f"/model/other/promotions/{promotion['id']}").status_code == 404


def test_the_lists_have_pages_and_an_etag(team: Team) -> None:
    for alias in ("a", "b", "c"):
        team.propose(alias=alias)
    page = team.service.get("/promotions?page=2&page_size=2")
    assert [row["alias"] for row in page.json] == ["a"]  # type: ignore[union-attr]
    assert orjson.loads(page.headers["X-Pagination"])["total"] == 3
    tag = team.service.get("/promotions").headers["ETag"]
    assert team.service.get("/promotions", headers={"If-None-Match": tag}).status_code == 304


def test_what_was_asked_for_since_a_time_is_listed_whatever_became_of_it(team: Team) -> None:
    done: Any = team.propose().json
    team.approve(done)
    withdrawn: Any = team.propose(alias="b").json
    team.ask("ada", "DELETE", f"{team.path(withdrawn)}?reason=mistake")
    waiting: Any = team.propose(alias="c").json
    rows = team.service.json(f"/promotions?since={done['proposed_at']}")
    assert [(row["id"], row["state"]) for row in rows] == [
        (waiting["id"], "waiting"),
        (withdrawn["id"], "withdrawn"),
        (done["id"], "done"),
    ]
    assert team.service.json(f"/promotions?since={withdrawn['proposed_at']}") == rows[:2]
    assert team.service.json("/promotions?since=0001-01-01T00:00:00Z") == rows
    assert team.service.get("/promotions?since=monday").status_code == 400


def test_the_version_that_a_rollback_goes_back_to_is_named_before_it_is_done(team: Team) -> None:
    team.world.add_version("m", {"accuracy": 0.96})
    team.approve(team.propose().json)
    team.approve(team.propose(version="3").json)
    asked = team.ask("joe", "GET", "/model/m/rollback?alias=champion").json
    assert asked == {"model_name": "m", "alias": "champion", "stage": None, "from": "3", "to": ["2", "1"]}
    # No look has seen yet that it is gone.
    team.world.delete_version("m", 2)
    asked = team.ask("joe", "GET", "/model/m/rollback?alias=champion").json
    assert (asked["from"], asked["to"]) == ("3", ["1"])  # type: ignore[index]
    done: Any = team.roll_back(**{"from": asked["from"], "to": asked["to"][0]}).json  # type: ignore[index]
    assert (done["version"], team.champion) == ("1", 1)


@pytest.mark.parametrize("stages", [(), ("Staging", "Staging")])
def test_where_nobody_or_more_than_one_is_there_is_no_way_back(team: Team, stages: tuple[str, ...]) -> None:
    for number, stage in enumerate(stages, 1):
        team.world.set_stage("m", number, stage)
    team.look()
    asked: Any = team.ask("joe", "GET", "/model/m/rollback?stage=Staging").json
    assert (asked["from"], asked["to"]) == (None, [])


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/model/unknown/rollback?alias=a", 404),
        ("/model/m/rollback", 400),
        ("/model/m/rollback?alias=a&stage=Staging", 400),
        ("/model/m/rollback?alias=a%20b", 400),
        ("/model/m/rollback?stage=Archived", 400),
    ],
)
def test_bad_questions_for_the_way_back_are_refused(team: Team, path: str, status: int) -> None:
    assert team.ask("joe", "GET", path).status_code == status


def test_promotion_is_off_unless_it_is_switched_on_and_there_are_keys(
    start: Callable[..., Service], tmp_path: Path
) -> None:
    team = Team(start, tmp_path, enable_promotion=False)
    assert "ENABLE_PROMOTION" in team.propose().text
    assert team.service.json("/promotions") == []
    without = start(enable_promotion=True)
    body = {"version": "2", "alias": "champion", "reason": "better"}
    refused = without.post("/model/m/promotions", json=body)
    assert (refused.status_code, "API_TOKENS_FILE" in refused.text) == (403, True)


def test_while_mlflow_is_down_nothing_is_promoted(team: Team) -> None:
    promotion: Any = team.propose().json
    team.service.gateway.failure = MlflowUnavailable("MLflow is down.")
    for answer in (team.approve(promotion), team.propose(alias="b"), team.roll_back(**{"from": "1"})):
        assert (answer.status_code, "down" in answer.text) == (500, True)
    team.service.gateway.failure = None
    assert team.approve(promotion).status_code == 201


AT_ONCE = Pace(first_retry=0)


class Mailbox:
    """A receiver of alerts that keeps what it is told."""

    def __init__(self, name: str = "mailbox") -> None:
        self.id = self.name = name
        self.told: list[Notice] = []
        self.tries = 0
        self.is_away = False

    def tell(self, notice: Notice) -> None:
        self.tries += 1
        if self.is_away:
            raise DeliveryFailed("It is away.")
        self.told.append(notice)


def guarded(team: Team, *mailboxes: Mailbox, **filters: AlertFilter) -> Guard:
    """The guard of an agent that tells these receivers."""
    agent, gateway = team.service.agent, team.service.gateway
    teller = Teller(mailboxes, gateway, team.world.tick, pace=AT_ONCE)
    store = agent.stores
    return Guard(gateway, store.registry_records, store.cache, source_of(team.service.worker.settings), teller,
                 {"champion"}, None, agent.services.tracker, filters)  # fmt: skip


def eventually(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def outside(team: Team) -> list[tuple[str, str | None]]:
    rows = team.service.json("/models/findings?finding=changed_outside_the_tower")
    return [(row["name"], row["version"]) for row in rows]


def test_a_move_outside_is_a_finding_and_one_alert_until_it_is_moved_through_the_service(team: Team) -> None:
    mailbox = Mailbox()
    guard = guarded(team, mailbox)
    guard.tick()
    team.world.set_alias("m", "other", 2)
    team.world.set_alias("m", "champion", 2)
    team.look()
    mailbox.is_away = True
    guard.tick()
    assert outside(team) == [("m", "2")]
    mailbox.is_away = False

    def is_notified() -> bool:
        # The try that failed may not have ended, and then this one sends nothing.
        guard.repeat()
        guard.tick()
        return len(mailbox.told) == 1

    for _ in range(3):
        eventually(is_notified)
    (notice,) = mailbox.told
    assert (notice.event, notice.body["from"], notice.body["to"]) == ("changed_outside_the_tower", "1", "2")
    # Another process reads from MLflow who was told.
    eventually(lambda: any("notified" in key for run in team.world.promotion_runs.values() for key in run.tags))
    guarded(team, mailbox).tick()
    assert team.roll_back(**{"from": "2"}).status_code == 201
    team.look()
    guard.tick()
    assert outside(team) == []
    assert len(mailbox.told) == 1


@pytest.mark.parametrize("place", [{"alias": "champion"}, {"alias": None, "stage": "Production"}])
def test_a_move_outside_that_somebody_approves_afterwards_is_no_finding_any_more(team: Team, place: Any) -> None:
    guard = guarded(team, Mailbox())
    guard.tick()
    if place["alias"]:
        team.world.set_alias("m", "champion", 2)
    else:
        team.world.set_stage("m", 2, "Production")
    team.look()
    guard.tick()
    assert outside(team) == [("m", "2")]
    body = {key: value for key, value in place.items() if value}
    wanted = {"version": "2", "reason": "It had to be at once.", **body}
    promotion: Any = team.ask("ada", "POST", "/model/m/promotions", wanted).json
    assert (promotion["state"], promotion["before"]) == ("waiting", ["2"])
    assert team.approve(promotion).json["state"] == "done"  # type: ignore[index]
    team.look()
    guard.tick()
    assert outside(team) == []
    change = team.service.json("/model/m/history")[0]
    assert (change["from"], change["actor"], change["through"]) == (change["to"], "bob", "tower")
    assert team.ask("ada", "POST", "/model/m/promotions", wanted).status_code == 409


@pytest.mark.parametrize(
    ("wanted", "is_told"),
    [
        ({"owners": ("vision",)}, True),
        ({"owners": ("speech", "")}, False),
        ({"tags": ("team:a",)}, True),
        ({"tags": ("team:b",)}, False),
        ({"verdicts": ("healthy",)}, True),
    ],
)
def test_a_receiver_of_some_owners_or_tags_is_told_of_their_moves_outside_only(
    team: Team, wanted: Any, is_told: bool
) -> None:
    some, everybody = Mailbox("some"), Mailbox("everybody")
    guard = guarded(team, some, everybody, some=AlertFilter(**wanted))
    team.world.tag_model("m", "team", "a")
    team.world.tag_model("m", "owner", "vision")
    guard.tick()
    team.world.set_alias("m", "champion", 2)
    team.look()
    guard.tick()
    eventually(lambda: len(everybody.told) == 1)
    eventually(lambda: len(some.told) == is_told)
    assert everybody.told[0].body["owner"] == "vision"


def test_a_receiver_that_fails_is_tried_again_after_the_pauses_of_alerts(team: Team) -> None:
    mailbox = Mailbox()
    mailbox.is_away = True
    promotion: Any = team.propose().json
    pace = Pace(first_retry=0.2, last_retry=0.2)
    teller = Teller([mailbox], team.service.gateway, team.world.tick, pace=pace)
    tries = 0

    def ask() -> bool:
        nonlocal tries
        tries += 1
        runs = team.service.gateway.promotion_runs(None, True)
        teller.tell_waiting([(run, found) for run in runs if (found := promotion_from(run))])
        return bool(mailbox.told)

    eventually(lambda: ask() or mailbox.tries == 3)
    mailbox.is_away = False
    assert tries > 2 * mailbox.tries
    eventually(ask)
    assert mailbox.told[0].body["promotion_id"] == promotion["id"]


def test_what_the_service_moves_itself_is_no_finding(team: Team) -> None:
    guard = guarded(team, Mailbox())
    guard.tick()
    team.approve(team.propose().json)
    team.look()
    guard.tick()
    assert outside(team) == []


def test_a_stage_that_is_moved_outside_is_a_finding_too(team: Team) -> None:
    guard = guarded(team, Mailbox())
    guard.tick()
    for version in (1, 2):
        team.world.set_stage("m", version, "Production")
        team.look()
    team.world.set_stage("m", 1, "Archived")
    team.look()
    guard.tick()
    assert outside(team) == [("m", "1")]


def test_who_may_approve_is_told_of_what_waits_once(team: Team) -> None:
    mailbox = Mailbox()
    promotion: Any = team.propose().json
    teller = Teller([mailbox], team.service.gateway, team.world.tick)

    def waiting() -> Any:
        runs = team.service.gateway.promotion_runs(None, True)
        return [(run, found) for run in runs if (found := promotion_from(run))]

    teller.tell_waiting(waiting())
    eventually(lambda: any("notified" in key for run, _ in waiting() for key in run.tags))
    for each in (teller, Teller([mailbox], team.service.gateway, team.world.tick)):
        each.tell_waiting(waiting())
    eventually(lambda: len(mailbox.told) == 1)
    assert (mailbox.told[0].event, mailbox.told[0].body["promotion_id"]) == ("promotion_waiting", promotion["id"])
