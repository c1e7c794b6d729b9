"""The history of the registry over HTTP: what changed when, and what was where at a time."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import orjson
import pytest

from app.domain.errors import MlflowUnavailable
from app.domain.times import rfc3339
from tests.api.service import Service

HOSTILE = ["a b", "..", "a%2Fb", "naïve 🧬", "x?y=1&z#", "old:name"]


class History:
    """A service with a model `m` of two versions, whose moves are recorded."""

    def __init__(self, service: Service) -> None:
        self.service, self.world = service, service.world
        self.world.add_version("m")
        self.world.add_version("m")
        self.look()

    def look(self) -> None:
        """A sweep and its record, as the agent's scheduler makes them."""
        self.service.agent.recorder.record()
        self.service.refresh()
        self.service.agent.recorder.record()

    def now(self) -> str:
        """A moment after the last look."""
        return str(rfc3339(self.world.tick()))

    def state(self, at: str, name: str = "m") -> Any:
        return self.service.json(f"/model/{quote(name, safe='')}/state?at={at}")


@pytest.fixture
def history(service: Service) -> History:
    return History(service)


@pytest.mark.parametrize("question", ["state?at=2023-11-14T12:00:00Z", "holders", "rollback?alias=champion"])
def test_before_the_first_look_is_recorded_no_model_is_called_unknown(service: Service, question: str) -> None:
    service.world.add_version("m")
    service.refresh()
    early = service.get(f"/model/m/{question}")
    assert (early.status_code, "has not been recorded yet" in early.text) == (503, True)
    assert int(early.headers["Retry-After"]) > 0
    assert service.json("/model/m/history") == []
    service.agent.recorder.record()
    assert service.get(f"/model/m/{question}").status_code == 200
    assert service.get(f"/model/unknown/{question}").status_code == 404


def test_changes_are_listed_newest_first_with_what_was_and_what_is(history: History) -> None:
    world, service = history.world, history.service
    assert service.json("/model/m/history") == []
    world.set_alias("m", "champion", 1)
    history.look()
    world.set_alias("m", "champion", 2)
    world.set_stage("m", 1, "Archived")
    history.look()
    rows = service.json("/model/m/history")
    assert [(row["kind"], row["version"], row["alias"], row["from"], row["to"]) for row in rows] == [
        ("alias", "2", "champion", "1", "2"),
        ("stage", "1", None, "None", "Archived"),
        ("alias", "1", "champion", None, "1"),
    ]
    assert {row["through"] for row in rows} == {"sweep"}
    assert {row["actor"] for row in rows} == {None}
    assert all(row["not_before"] < row["not_after"] for row in rows)
    assert service.json("/history") == rows


def test_the_list_is_filtered_by_kind_version_and_time_and_has_pages(history: History) -> None:
    for number in range(1, 6):
        history.world.set_alias("m", "champion", number % 2 + 1)
        history.look()
    middle = history.now()
    history.world.set_stage("m", 1, "Production")
    history.look()
    service = history.service
    assert len(service.json("/model/m/history?kind=alias")) == 5
    assert len(service.json("/model/m/history?version=1")) == 5
    assert len(service.json(f"/model/m/history?since={middle}")) == 1
    assert len(service.json(f"/model/m/history?until={middle}")) == 6
    page = service.get("/history?page=2&page_size=2")
    assert orjson.loads(page.headers["X-Pagination"])["total"] == 6
    assert page.json == service.json("/history")[2:4]
    assert (
        service.get("/history", headers={"If-None-Match": service.get("/history").headers["ETag"]}).status_code == 304
    )


def test_the_state_at_a_time_is_what_was_there_then(history: History) -> None:
    history.world.set_alias("m", "champion", 1)
    history.look()
    first = history.now()
    history.look()
    history.world.set_alias("m", "champion", 2)
    history.world.set_stage("m", 1, "Archived")
    history.look()
    second = history.now()
    history.look()
    before = history.state(first)
    assert (before["known"], before["production"], before["aliases"]) == (True, ["1"], {"champion": "1"})
    after = history.state(second)
    assert (after["known"], after["production"], after["aliases"]) == (True, ["2"], {"champion": "2"})
    assert {row["version"]: row["stage"] for row in after["versions"]} == {"1": "Archived", "2": "Production"}


def test_what_is_not_known_is_said_with_the_reason(history: History) -> None:
    history.look()
    before_change = history.now()
    history.world.set_alias("m", "champion", 1)
    history.look()
    between = history.state(before_change)
    assert (between["known"], between["why"]) == (False, "between_looks")
    assert [row["alias"] for row in between["unsure"]] == ["champion"]
    assert history.state("2020-01-01T00:00:00Z")["why"] == "before_first_look"
    last = history.state(history.now())
    assert (last["why"], last["aliases"]) == ("after_last_look", {"champion": "1"})
    history.service.clock.forward(3600)
    down = history.now()
    history.service.clock.forward(3600)
    history.look()
    while_down = history.state(down)
    assert while_down["why"] == "not_looked"
    (gap,) = while_down["not_looked"]
    assert gap["not_before"] < down < gap["not_after"]
    assert history.state(before_change)["not_looked"] == []
    assert while_down["first_look"] < before_change


def test_the_fleet_at_a_time_has_the_stages_and_verdicts_of_then(history: History) -> None:
    service = history.service
    service.register("m", 1)
    service.check()
    history.world.set_stage("m", 1, "Production")
    history.look()
    history.look()
    then = history.now()
    history.look()
    service.remove("m", 1)
    history.world.set_stage("m", 1, "Archived")
    history.world.delete_version("m", 2)
    history.look()
    (row,) = service.json(f"/fleet?at={then}&stage=Production")
    assert (row["name"], row["version"], row["monitored"], row["known"]) == ("m", "1", True, True)
    assert row["verdict"] == "insufficient_data"
    assert [(row["version"], row["stage"]) for row in service.json(f"/fleet?at={then}")] == [
        ("2", "None"),
        ("1", "Production"),
    ]
    assert "known" not in service.json("/fleet")[0]


def test_the_holders_of_stages_and_aliases_are_listed_with_the_changes_that_brought_and_took_them(
    history: History,
) -> None:
    world = history.world
    world.set_alias("m", "champion", 1)
    history.look()
    world.set_alias("m", "champion", 2)
    history.look()
    world.set_stage("m", 1, "Staging")
    history.look()
    world.delete_version("m", 2)
    world.delete_alias("m", "champion")
    history.look()
    rows = history.service.json("/model/m/holders")
    places = [(row["stage"] or row["alias"], row["version"], bool(row["since"]), bool(row["until"])) for row in rows]
    assert places == [
        ("Staging", "1", True, False),
        ("Production", "2", True, True),
        ("champion", "2", True, True),
        ("Production", "1", True, True),
        ("champion", "1", True, True),
    ]
    assert rows[1]["since"] == rows[3]["until"] == rows[4]["until"]
    (change,) = history.service.json("/model/m/history?kind=alias&version=1")[1:]
    assert rows[4]["since"] == change
    page = history.service.get("/model/m/holders?page=2&page_size=2")
    assert (page.json, orjson.loads(page.headers["X-Pagination"])["total"]) == (rows[2:4], 5)


def test_what_had_a_place_at_the_first_look_has_it_since_then(service: Service) -> None:
    service.world.add_version("m", stage="Production")
    service.world.set_alias("m", "a", 1)
    History(service)
    rows = service.json("/model/m/holders")
    assert [(row["stage"], row["alias"], row["since"], row["until"]) for row in rows] == [
        ("Production", None, None, None),
        (None, "a", None, None),
    ]


def test_a_version_that_was_made_again_is_another_holder(history: History) -> None:
    world = history.world
    world.set_alias("m", "a", 2)
    history.look()
    world.versions["m", 2] = replace(world.versions["m", 2], created=world.tick(), updated=world.tick())
    history.look()
    new, old = history.service.json("/model/m/holders")
    assert (new["version"], new["since"], new["until"]) == ("2", old["until"], None)
    assert (old["version"], old["until"]["kind"]) == ("2", "recreated")


def test_holders_stay_with_a_renamed_model_and_end_for_the_name_that_it_had(history: History) -> None:
    history.world.set_alias("m", "a", 1)
    history.look()
    history.world.rename("m", "n")
    history.look()
    history.world.add_version("m")
    history.world.set_alias("m", "b", 1)
    history.look()
    (kept,) = history.service.json("/model/n/holders")
    assert (kept["alias"], kept["until"]) == ("a", None)
    new, old = history.service.json("/model/m/holders")
    assert (new["alias"], old["alias"], old["until"]["kind"]) == ("b", "a", "renamed")


def test_the_models_of_the_fleet_at_a_time_have_the_key_versions_of_then(history: History) -> None:
    service, world = history.service, history.world
    service.register("m", 1)
    service.check()
    world.set_stage("m", 1, "Production")
    world.add_version("other")
    history.look()
    history.look()
    then = history.now()
    history.look()
    unsure = history.now()
    world.set_stage("m", 2, "Production")
    world.delete_model("other")
    history.look()
    first, other = service.json(f"/fleet/models?at={then}")
    assert (first["name"], first["versions"], first["in_production"], first["known"]) == ("m", 2, ["1"], True)
    assert (first["key_version"]["version"], first["key_version"]["verdict"]) == ("1", "insufficient_data")
    assert (other["name"], first["last_updated_timestamp"]) == ("other", None)
    told = orjson.loads(service.get(f"/fleet/models?at={unsure}").headers["X-Pagination"])
    assert (told["total"], told["versions"], told["unknown"]) == (2, 3, 2)
    assert [row["known"] for row in service.json(f"/fleet/models?at={unsure}")] == [False, False]
    assert service.keys(f"/fleet?at={then}&stage=Production") == [("m", "1")]
    assert [row["name"] for row in service.json(f"/fleet/models?at={then}&stage=Production")] == ["m"]
    (now,) = service.json("/fleet/models")
    assert "known" not in now


def test_a_renamed_model_keeps_its_history_and_a_new_one_of_the_old_name_begins_its_own(history: History) -> None:
    history.world.set_alias("m", "a", 1)
    history.look()
    history.world.rename("m", "n")
    history.look()
    history.world.add_version("m")
    history.look()
    kinds = [row["kind"] for row in history.service.json("/model/n/history")]
    assert kinds == ["renamed", "alias"]
    assert [row["kind"] for row in history.service.json("/model/m/history")] == [
        "created",
        "created",
        "renamed",
        "alias",
    ]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_of_every_kind_have_a_history(service: Service, name: str) -> None:
    history = History(service)
    service.world.add_version(name)
    history.look()
    path = f"/model/{quote(name, safe='')}/history"
    assert {row["model_name"] for row in service.json(path)} == {name}
    assert history.state(history.now(), name)["name_then"] == name


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/model/unknown/history", 404),
        ("/model/unknown/state?at=2023-11-14T22:13:20Z", 404),
        ("/model/m/state", 400),
        ("/model/m/state?at=yesterday", 400),
        ("/model/m/state?at=2999-01-01T00:00:00Z", 400),
        ("/fleet?at=2020-01-01T00:00:00Z", 400),
        ("/fleet?at=now", 400),
        ("/fleet/models?at=2020-01-01T00:00:00Z", 400),
        ("/fleet/models?at=now", 400),
        ("/model/unknown/holders", 404),
        ("/model/m/holders?page=0", 400),
        ("/history?kind=nonsense", 400),
        ("/history?since=1", 400),
        ("/history?page_size=100000", 400),
    ],
)
def test_bad_questions_are_refused(history: History, path: str, status: int) -> None:
    assert history.service.get(path).status_code == status


@pytest.mark.parametrize(
    ("asked", "at"),
    [
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("0001-01-01T00:00:00.5-23:59", "0001-01-01T23:59:00.500Z"),
        ("1969-12-31 23:59:59.999999999-00:00", "1969-12-31T23:59:59.999Z"),
        ("1970-01-01t00:00:00+14:00", "1969-12-31T10:00:00Z"),
    ],
)
def test_of_any_time_before_the_first_look_it_is_said_that_it_is_before(history: History, asked: str, at: str) -> None:
    state = history.state(quote(asked))
    assert (state["at"], state["known"], state["why"]) == (at, False, "before_first_look")


WITH_A_TIME = [
    "/model/m/state?at=", "/fleet?at=", "/fleet/models?at=", "/history?since=", "/history?until=",
    "/model/m/history?since=", "/promotions?since=",
]  # fmt: skip


@pytest.mark.parametrize(
    "time",
    [
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-00:01",
        "0000-01-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-11-20T24:00:00Z",
        "2026-11-20T12:00:00+24:00",
        "2026-11-20T12:00:00+14:60",
        "2026-11-20T12:00:00",
        "٢٠٢٦-11-20T12:00:00Z",
        "",
    ],
)
@pytest.mark.parametrize("path", WITH_A_TIME)
def test_what_is_no_time_in_utc_is_refused(history: History, path: str, time: str) -> None:
    refused = history.service.get(f"{path}{quote(time)}")
    assert refused.status_code == 400
    assert refused.json["detail"].startswith(path.split("?")[1].removesuffix("="))  # type: ignore[index]


@pytest.mark.parametrize("filtered", ["finding=production_stale", "owner=ada", "owner=", "tag=a:b"])
@pytest.mark.parametrize("path", ["/fleet", "/fleet/models"])
def test_the_past_is_not_filtered_by_what_is_not_known_of_it(history: History, path: str, filtered: str) -> None:
    history.look()
    refused = history.service.get(f"{path}?at={history.now()}&{filtered}")
    assert refused.status_code == 400
    assert f"{filtered.split('=', maxsplit=1)[0]}s of the past are not known" in refused.text


def test_while_mlflow_is_down_the_history_is_served_with_its_age(
    start: Callable[..., Service], history: History
) -> None:
    history.world.set_alias("m", "a", 1)
    history.look()
    at = history.now()
    paths = ("/history", "/model/m/history", f"/model/m/state?at={at}", f"/fleet?at={at}")
    # What was monitored is in the cache as well, as the agent puts it there at its start.
    assert history.service.get("/monitoring/history").status_code == 200
    history.service.gateway.failure = MlflowUnavailable("MLflow is down.")
    before = [history.service.get(path) for path in paths]
    assert {answer.status_code for answer in before} == {200}
    assert len({answer.headers["X-Data-As-Of"] for answer in before}) == 1
    assert not any("X-Data-Stale" in answer.headers for answer in before)
    history.service.clock.forward(25 * 3600)
    # Another process has what is in the cache, and nothing else.
    for service in (history.service, start()):
        after = [service.get(path) for path in paths]
        assert {answer.headers["X-Data-Stale"] for answer in after} == {"true"}
        assert [answer.json for answer in after] == [answer.json for answer in before]


def test_without_a_cache_the_history_is_read_from_mlflow(start: Callable[..., Service], history: History) -> None:
    history.world.set_alias("m", "a", 1)
    history.look()
    direct = start(enable_cache=False)
    assert direct.json("/model/m/history") == history.service.json("/model/m/history")


def test_the_whole_history_is_exported_as_lines_of_json_oldest_first(history: History) -> None:
    history.world.set_alias("m", "champion", 1)
    history.look()
    history.world.delete_model("m")
    history.look()
    result = history.service.app.test_cli_runner().invoke(args=["history", "export"])
    assert result.exit_code == 0, result.output
    rows = [orjson.loads(line) for line in result.output.splitlines()]
    assert [row["kind"] for row in rows] == ["first_look", "alias", "deleted"]
    assert rows[1]["id"] == history.service.json("/model/m/history?kind=alias")[0]["id"]
