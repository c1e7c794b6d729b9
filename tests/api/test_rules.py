"""Monitoring rules: every version that matches is monitored, except those that somebody excluded."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from werkzeug.test import TestResponse

from app.domain.errors import MlflowUnavailable
from tests.api.service import Row, Service, monitor
from tests.fakes.memory_mlflow import MemoryGateway, MemoryWorld
from tests.servers import until

LIVE = {"stages": ["production"]}


@pytest.fixture
def world(world: MemoryWorld) -> MemoryWorld:
    """Two versions of `fraud`, of which the first is in Production and the model has a team; one of `churn`."""
    world.add_version("fraud", stage="Production", with_run=False)
    world.add_version("fraud", with_run=False)
    world.add_version("churn", stage="Production", with_run=False, tags={"tier": "2"})
    world.tag_model("fraud", "team", "risk")
    return world


@pytest.fixture
def service(start: Callable[..., Service], world: MemoryWorld) -> Service:
    service = start()
    service.refresh()
    return service


def make(service: Service, name: str = "live", match: Any = LIVE, **more: Any) -> TestResponse:
    return service.post("/monitoring/rules", json={"name": name, "match": match, **more})


def look(service: Service) -> None:
    service.agent.watcher.tick()


def shown(service: Service, name: str = "live") -> Row:
    found: Row = service.json(f"/monitoring/rules/{name}")
    return found


def monitored(service: Service) -> list[tuple[str, int]]:
    return sorted((row["model_name"], int(row["model_version"])) for row in service.json("/monitoring"))


def versions(service: Service, query: str = "", name: str = "live") -> list[tuple[str, str]]:
    rows = service.json(f"/monitoring/rules/{name}/versions{query}")
    return [(row["model_name"], row["model_version"]) for row in rows]


def ended(service: Service, name: str, version: int) -> list[str]:
    event: Row = service.json(f"/monitoring/history?name={name}&version={version}")[0]
    assert event["event"] == "removed"
    reasons: list[str] = event["reasons"]
    return reasons


def test_versions_are_monitored_as_long_as_they_match(service: Service, world: MemoryWorld) -> None:
    made = make(service, settings={"silence_hours": 48}, registered_by="ada")
    assert made.status_code == 201
    assert (made.json["match"], made.json["registered_by"]) == ({"stages": ["Production"]}, "ada")
    assert (made.json["covers"], made.json["excludes"]) == (2, 0)
    look(service)
    assert monitored(service) == [("churn", 1), ("fraud", 1)]
    found = service.verdict("fraud", 1)
    assert (found["watched_by"], found["settings"]) == (["rule live"], {"silence_hours": 48})
    world.set_stage("fraud", 2, "Production")
    world.set_stage("churn", 1, "Archived")
    service.agent.detector.poll_changes()
    look(service)
    assert monitored(service) == [("fraud", 1), ("fraud", 2)]
    assert ended(service, "churn", 1) == ["the version no longer matches the rule live"]
    assert versions(service) == [("fraud", "2"), ("fraud", "1")]
    assert service.delete("/monitoring/rules/live").status_code == 200
    look(service)
    assert (monitored(service), world.registrations) == ([], {})
    assert ended(service, "fraud", 1) == ["the rule live was removed"]
    for method in ("GET", "DELETE"):
        assert service.call(method, "/monitoring/rules/live").status_code == 404


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ({"name": "*"}, ["churn 1", "fraud 1", "fraud 2", "it's [odd]/..% 1"]),
        ({"name": "fr?ud"}, ["fraud 1", "fraud 2"]),
        ({"name": "FRAUD"}, []),
        ({"name": "*[odd]*"}, ["it's [odd]/..% 1"]),
        ({"name": "*a*" * 80}, []),
        ({"tags": {"team": "risk"}}, ["fraud 1", "fraud 2"]),
        ({"tags": {"tier": None}}, ["churn 1"]),
        ({"tags": {"tier": "1"}}, []),
        ({"aliases": ["Blue"]}, ["fraud 2"]),
        ({"aliases": ["blue"], "stages": ["Production"]}, []),
        ({"stages": ["None", "Production"], "tags": {"team": "risk"}, "name": "f*"}, ["fraud 1", "fraud 2"]),
    ],
)
def test_every_part_that_a_rule_gives_must_hold(
    service: Service, world: MemoryWorld, match: Any, expected: list[str]
) -> None:
    world.add_version("it's [odd]/..%", with_run=False)
    world.set_alias("fraud", "blue", 2)
    service.refresh()
    assert make(service, match=match).status_code == 201
    assert sorted(map(" ".join, versions(service))) == expected
    findings = service.json("/models/findings?finding=rule_matches_nothing")
    assert [row["name"] for row in findings] == ([] if expected else ["live"])
    look(service)
    assert [f"{name} {version}" for name, version in monitored(service)] == expected


def test_a_version_that_is_removed_is_excluded_until_it_is_registered(service: Service, world: MemoryWorld) -> None:
    make(service)
    look(service)
    assert service.remove("fraud", 1).status_code == 200
    look(service)
    assert monitored(service) == [("churn", 1)]
    assert (shown(service)["covers"], shown(service)["excludes"]) == (1, 1)
    assert versions(service, "?excluded=true") == [("fraud", "1")]
    assert versions(service, "?excluded=false") == [("churn", "1")]
    for method in ("GET", "DELETE"):
        refused = service.call(method, monitor("fraud", 1))
        assert (refused.status_code, "excluded from the rule live" in refused.json["detail"]) == (404, True)
    # A new description of the rule does not cover it again.
    assert service.call("PUT", "/monitoring/rules/live", json={"match": {"name": "*"}}).json["excludes"] == 1
    look(service)
    assert monitored(service) == [("churn", 1), ("fraud", 2)]
    assert service.register("fraud", 1).status_code == 201
    look(service)
    assert service.verdict("fraud", 1)["watched_by"] == ["rule live"]
    assert (shown(service)["excludes"], service.verdict("fraud", 1)["own_settings"]) == (0, {})
    # Without the rule, what was registered by itself stays.
    service.delete("/monitoring/rules/live")
    look(service)
    assert monitored(service) == [("fraud", 1)]


def test_a_version_that_an_alias_has_monitored_is_not_excluded(service: Service, world: MemoryWorld) -> None:
    world.set_alias("fraud", "blue", 1)
    service.refresh()
    make(service, settings={"silence_hours": 3, "alarm": {"m": 1}})
    service.post(
        "/models/fraud/aliases/blue/monitor", json={"model_type": "classifier", "settings": {"silence_hours": 2}}
    )
    look(service)
    found = service.verdict("fraud", 1)
    assert (found["watched_by"], found["settings"]) == (
        ["alias blue", "rule live"],
        {"silence_hours": 2, "alarm": {"m": 1}},
    )
    refused = service.remove("fraud", 1)
    assert (refused.status_code, shown(service)["excludes"]) == (409, 0)
    assert "alias blue" in refused.json["detail"]
    # Nor is it where the version had settings of its own, which are removed.
    service.patch(monitor("fraud", 1), json={"settings": {"silence_hours": 5}})
    assert (service.remove("fraud", 1).status_code, shown(service)["excludes"]) == (200, 0)


def test_a_rule_is_replaced_as_a_whole_and_made_once(service: Service, world: MemoryWorld) -> None:
    body = {"match": {"name": "fraud"}, "settings": {"silence_hours": 2}, "model_type": "regressor"}
    assert service.call("PUT", "/monitoring/rules/a%20b", json=body).status_code == 200
    look(service)
    assert service.verdict("fraud", 1)["model_type"] == "regressor"
    changed = service.call("PUT", "/monitoring/rules/a b", json={"match": {"name": "churn"}})
    assert (changed.json["settings"], changed.json["model_type"]) == ({}, "classifier")
    look(service)
    assert monitored(service) == [("churn", 1)]
    assert make(service, "a b").status_code == 400
    assert make(service).status_code == 201
    listed = service.get("/monitoring/rules?page_size=1")
    assert ([row["name"] for row in listed.json], listed.headers["X-Pagination"]) == (
        ["a b"],
        listed.headers["X-Pagination"],
    )
    again = service.get("/monitoring/rules?page_size=1", headers={"If-None-Match": listed.headers["ETag"]})
    assert again.status_code == 304
    writes = len(world.rules)
    service.call("PUT", "/monitoring/rules/a b", json={"match": {"name": "churn"}})
    assert len(world.rules) == writes == 2


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"match": {}}, "match"),
        ({"match": None}, "match"),
        ({"match": []}, "match"),
        ({"match": {"stage": "Production"}}, "match"),
        ({"match": {"stages": "Production"}}, "match.stages"),
        ({"match": {"stages": ["Live"]}}, "match.stages"),
        ({"match": {"stages": [[]]}}, "match.stages"),
        ({"match": {"aliases": []}}, "match.aliases"),
        ({"match": {"tags": {"team": 5}}}, "match.tags.team"),
        ({"match": {"tags": {}}}, "match.tags"),
        ({"match": {"name": ""}}, "match.name"),
        ({"match": {"name": "x" * 251}}, "match.name"),
        ({"match": {"tags": {"a": "x" * 9000}}}, "match"),
        ({"match": LIVE, "model_type": "ranker"}, "model_type"),
        ({"match": LIVE, "settings": {"alarm": 7}}, "alarm"),
        ({"match": LIVE, "settings": {"baseline": {"version": "1"}}}, "baseline.version"),
        ({"match": LIVE, "name": "../x"}, "name"),
        ({"match": LIVE, "name": "x" * 101}, "name"),
    ],
)
def test_what_is_no_rule_is_refused_and_the_place_is_named(
    service: Service, world: MemoryWorld, body: Row, place: str
) -> None:
    refused = service.post("/monitoring/rules", json={"name": "live", **body})
    assert (refused.status_code, refused.json["detail"].partition(":")[0]) == (400, place)
    assert world.rules == {}


def test_a_version_that_cannot_be_written_does_not_stop_the_others(
    service: Service, gateway: MemoryGateway, world: MemoryWorld
) -> None:
    make(service, match={"name": "*"})
    gateway.refusals["look_up_monitor_runs"] = {("churn", 1): MlflowUnavailable("MLflow is down.")}
    look(service)
    assert [record.name for record in world.registrations.values()] == ["fraud", "fraud"]
    gateway.refusals.clear()
    service.agent.watcher.follow()
    assert monitored(service) == [("churn", 1), ("fraud", 1), ("fraud", 2)]


def test_another_host_without_redis_sees_rules_and_exclusions(
    service: Service, gateway: MemoryGateway, world: MemoryWorld, tmp_path_factory: pytest.TempPathFactory
) -> None:
    make(service)
    look(service)
    other = Service(tmp_path_factory.mktemp("other"), gateway)
    other.refresh()
    assert shown(other)["covers"] == 2
    assert make(other).status_code == 400
    assert other.remove("fraud", 1).status_code == 200
    service.refresh()
    assert (monitored(service), shown(service)["excludes"]) == ([("churn", 1)], 1)


@pytest.mark.parametrize("name", ['it\'s "odd" %2F', "<b>&?#;ü🙂", "x" * 200])
def test_versions_of_models_of_any_name_are_covered_and_excluded(
    service: Service, world: MemoryWorld, name: str
) -> None:
    world.add_version(name, with_run=False)
    service.refresh()
    make(service, match={"name": name.replace("?", "*")})
    look(service)
    assert monitored(service) == [(name, 1)]
    assert service.delete(f"/models/{quote(name, safe='')}/1/monitor").status_code == 200
    assert versions(service, "?excluded=true") == [(name, "1")]


def test_rules_work_without_a_cache(start: Callable[..., Service], world: MemoryWorld) -> None:
    direct = start(enable_cache=False)
    assert make(direct).status_code == 201
    look(direct)
    assert {record.key for record in world.registrations.values()} == {("fraud", 1), ("churn", 1)}
    assert [row["name"] for row in direct.json("/monitoring/rules")] == ["live"]


def test_a_registration_takes_three_requests_to_mlflow_and_each_one_by_a_rule_two(
    service: Service, gateway: MemoryGateway, world: MemoryWorld
) -> None:
    # Each of these calls is one request, which the contract of the gateway holds.
    service.register("fraud", 2)
    gateway.calls.clear()
    service.register("churn", 1)
    assert gateway.calls == ["find_version", "look_up_monitor_runs", "open_monitor_run"]
    for number in range(20):
        world.add_version(f"many-{number}", with_run=False)
    service.refresh()
    gateway.calls.clear()
    make(service, match={"name": "many-*"})
    look(service)
    of_each = [call for call in gateway.calls if call in ("look_up_monitor_runs", "open_monitor_run")]
    assert len(of_each) == 40
    assert len(gateway.calls) - len(of_each) <= 10


def test_a_version_is_judged_by_its_own_settings_soon_after_a_rule_was_removed(
    service: Service, world: MemoryWorld
) -> None:
    service.register("churn", 1)
    service.post("/models/churn/1/observations", json={"metrics": {"accuracy": 0.5}})
    service.agent.checker.start()
    try:
        make(service, settings={"limits": {"accuracy": {"min": 0.9}}})
        look(service)
        until(lambda: service.verdict("churn")["verdict"] == "degraded", "a verdict by the settings of the rule")
        service.delete("/monitoring/rules/live")
        look(service)
        until(lambda: service.verdict("churn")["verdict"] != "degraded", "a verdict by its own settings")
    finally:
        service.agent.checker.stop()
