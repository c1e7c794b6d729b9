"""Watches on an alias or a stage: monitoring follows the version that is there."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from werkzeug.test import TestResponse

from app.domain.errors import MlflowUnavailable
from tests.api.service import Row, Service, monitor
from tests.fakes.memory_mlflow import MemoryGateway, MemoryWorld

DAY_MS = 86_400_000
BLUE = "/models/m/aliases/blue"
PRODUCTION = "/models/m/stages/Production"


@pytest.fixture
def world(world: MemoryWorld) -> MemoryWorld:
    """Three versions of the model `m`; the first has the alias blue."""
    for _ in range(3):
        world.add_version("m", with_run=False)
    world.set_alias("m", "blue", 1)
    return world


@pytest.fixture
def service(start: Callable[..., Service], world: MemoryWorld) -> Service:
    service = start()
    service.refresh()
    return service


def watch(service: Service, path: str = BLUE, **more: Any) -> TestResponse:
    return service.post(f"{path}/monitor", json={"model_type": "classifier", **more})


def watched(service: Service, path: str = BLUE) -> Row:
    found: Row = service.json(f"{path}/monitor")
    return found


def monitored(service: Service) -> list[int]:
    return sorted(int(row["model_version"]) for row in service.json("/monitoring"))


def open_records(world: MemoryWorld) -> list[int]:
    return sorted(record.version for record in world.registrations.values())


def move(service: Service, version: int) -> None:
    """Move the alias in MLflow, and let the service look."""
    service.world.set_alias("m", "blue", version)
    service.agent.detector.poll_aliases()
    service.agent.watcher.tick()


def test_watching_an_alias_monitors_its_version_and_follows_it_when_it_moves(service: Service) -> None:
    made = watch(service, settings={"silence_hours": 48})
    assert (made.status_code, made.json["model_version"], made.json["alias"]) == (201, "1", "blue")
    assert monitored(service) == [1]
    assert service.verdict("m", 1)["watched_by"] == ["alias blue"]
    move(service, 2)
    assert monitored(service) == open_records(service.world) == [2]
    assert service.verdict("m", 2)["settings"] == {"silence_hours": 48}
    assert watched(service)["model_version"] == "2"
    ended = service.json("/monitoring/history?name=m&version=1")[0]
    assert (ended["event"], ended["reasons"]) == ("removed", ["the alias blue moved to version 2"])


def test_all_watches_are_listed_page_by_page_with_what_they_cover(service: Service, world: MemoryWorld) -> None:
    world.set_alias("m", "green", 2)
    watch(service)
    watch(service, "/models/m/aliases/green")
    watch(service, PRODUCTION)
    rows = service.json("/monitoring/watches")
    assert [(row["alias"], row["stage"], row["model_version"]) for row in rows] == [
        ("blue", None, "1"), ("green", None, "2"), (None, "Production", None)
    ]  # fmt: skip
    assert rows[0] == watched(service)
    second = service.get("/monitoring/watches?page=2&page_size=1")
    assert ([row["alias"] for row in second.json], second.headers["ETag"] != "") == (["green"], True)
    same = service.get("/monitoring/watches?page=2&page_size=1", headers={"If-None-Match": second.headers["ETag"]})
    assert same.status_code == 304
    assert service.json("/monitoring/watches?model=other") == []
    service.delete(f"{BLUE}/monitor")
    assert [row["alias"] for row in service.json("/monitoring/watches")] == ["green", None]


def test_a_stage_is_watched_likewise_and_the_highest_version_in_it_counts(service: Service, world: MemoryWorld) -> None:
    assert watch(service, PRODUCTION).status_code == 201
    assert watched(service, PRODUCTION)["reasons"] == [
        "No version is in the stage Production. It is watched as soon as a version is in it."
    ]
    world.set_stage("m", 1, "Production")
    service.refresh()
    assert monitored(service) == [1]
    world.set_stage("m", 3, "Production")
    service.agent.detector.poll_changes()
    service.agent.watcher.tick()
    assert monitored(service) == [3]
    assert watched(service, "/models/m/stages/production")["model_version"] == "3"


def test_an_alias_that_is_removed_leaves_a_watch_that_says_so(service: Service, world: MemoryWorld) -> None:
    watch(service)
    world.delete_alias("m", "blue")
    service.refresh()
    found = watched(service)
    assert (found["verdict"], found["model_version"]) == ("insufficient_data", None)
    assert found["reasons"] == ["No version has the alias blue. It is watched as soon as a version has it."]
    assert monitored(service) == []
    (listed,) = service.json("/monitoring/watches?model=m")
    assert (listed["alias"], listed["model_version"], listed["reasons"]) == ("blue", None, found["reasons"])
    (finding,) = service.json("/models/findings?finding=watch_covers_nothing")
    assert (finding["name"], finding["version"]) == ("m", None)
    assert finding["detail"] == f"The alias blue is watched. {found['reasons'][0]}"
    attention = service.json("/fleet/summary")["attention"]
    assert attention["idle_watches"] == 1
    assert attention["message"] == "Nothing is monitored yet; 1 watched alias or stage has no version"
    refused = service.post(f"{BLUE}/observations", json={"metrics": {"accuracy": 0.9}})
    assert (refused.status_code, refused.json["detail"]) == (409, found["reasons"][0])
    move(service, 3)
    assert monitored(service) == [3]


def test_observations_go_to_the_version_that_is_there_now(service: Service, world: MemoryWorld) -> None:
    watch(service)
    world.set_alias("m", "blue", 2)
    # No look has seen the move yet.
    taken = service.post(f"{BLUE}/observations", json={"metrics": {"accuracy": 0.9}})
    assert (taken.status_code, taken.json) == (201, {"accepted": 1, "model_version": "2"})
    assert open_records(world) == [2]
    (record,) = world.registrations.values()
    assert [point.value for point in world.monitor_points[record.monitor_run_id]] == [0.9]


def test_observations_reach_the_new_version_when_the_alias_moves_just_before_they_are_written(
    service: Service, world: MemoryWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch(service)
    moves = iter([2])

    def observe(gateway: MemoryGateway, *args: Any) -> Any:
        for version in moves:
            move(service, version)
        return original(gateway, *args)

    original = MemoryGateway.log_observations
    monkeypatch.setattr(MemoryGateway, "log_observations", observe)
    taken = service.post(f"{BLUE}/observations", json={"metrics": {"accuracy": 0.9}})
    assert (taken.status_code, taken.json) == (201, {"accepted": 1, "model_version": "2"})
    (record,) = world.registrations.values()
    assert [point.value for point in world.monitor_points[record.monitor_run_id]] == [0.9]


def test_a_watch_and_a_registration_share_one_record_and_the_versions_own_settings_count(
    service: Service, world: MemoryWorld
) -> None:
    world.set_stage("m", 1, "Production")
    service.refresh()
    service.register("m", 1, settings={"silence_hours": 1})
    watch(service, PRODUCTION, settings={"silence_hours": 3, "alarm": {"m": 1}, "limits": {"a": {"min": 0}}})
    watch(service, settings={"silence_hours": 2, "alarm": {"m": 2}})
    assert open_records(world) == [1]
    found = service.verdict("m", 1)
    assert found["settings"] == {"silence_hours": 1, "alarm": {"m": 2}, "limits": {"a": {"min": 0}}}
    assert found["watched_by"] == ["alias blue", "stage Production"]
    assert (
        service.patch(monitor("m", 1), json={"settings": {"silence_hours": None}}).json["settings"]["silence_hours"]
        == 2
    )
    service.patch(f"{BLUE}/monitor", json={"settings": {"silence_hours": 9}})
    assert service.verdict("m", 1)["settings"]["silence_hours"] == 9
    assert service.register("m", 1).status_code == 400
    # The version's own registration is removed, and the watches keep the record.
    removed = service.remove("m", 1)
    assert (removed.status_code, "It stays monitored since it is watched" in removed.json["message"]) == (200, True)
    assert (open_records(world), service.verdict("m", 1)["own_settings"]) == ([1], None)
    refused = service.remove("m", 1)
    assert (refused.status_code, "alias blue, stage Production" in refused.json["detail"]) == (409, True)
    # A registration of a version that is watched is no second one.
    assert service.register("m", 1, "regressor").status_code == 201
    assert open_records(world) == [1]
    move(service, 2)
    assert open_records(world) == [1, 2]
    world.set_stage("m", 1, "Archived")
    service.refresh()
    found = service.verdict("m", 1)
    assert (found["watched_by"], found["settings"], found["model_type"]) == ([], {}, "regressor")


def test_removing_a_watch_ends_the_record_unless_the_version_was_registered_by_itself(
    service: Service, world: MemoryWorld
) -> None:
    watch(service)
    gone = service.delete(f"{BLUE}/monitor")
    assert (gone.status_code, open_records(world), world.watches) == (200, [], {})
    assert service.get(f"{BLUE}/monitor").status_code == 404
    assert service.delete(f"{BLUE}/monitor").status_code == 404
    service.register("m", 1)
    watch(service)
    service.delete(f"{BLUE}/monitor")
    assert monitored(service) == [1]


def test_what_cannot_be_watched_is_refused(service: Service) -> None:
    assert watch(service, "/models/nobody/aliases/blue").status_code == 404
    assert watch(service, "/models/m/aliases/nobody").status_code == 404
    assert watch(service, "/models/m/stages/Live").status_code == 400
    assert watch(service, settings={"alarm": 7}).status_code == 400
    assert watch(service, settings={"baseline": {"version": "9"}}).status_code == 400
    assert watch(service).status_code == 201
    assert watch(service).status_code == 400
    for method, path in (("GET", "monitor"), ("PATCH", "monitor"), ("POST", "observations"), ("DELETE", "monitor")):
        body = {"json": {"settings": {}} if method == "PATCH" else {"metrics": {"a": 1}}} if method != "GET" else {}
        assert service.call(method, f"/models/m/aliases/3/{path}", **body).status_code == 404


@pytest.mark.parametrize("name", ['it\'s "odd" %2F', "<b>&?#;ü🙂", "x" * 500])
def test_models_and_aliases_of_any_name_can_be_watched(service: Service, world: MemoryWorld, name: str) -> None:
    world.add_version(name, with_run=False)
    world.set_alias(name, "01", 1)
    path = f"/models/{quote(name, safe='')}/aliases/01"
    assert watch(service, path).status_code == 201
    assert watched(service, path)["model_version"] == "1"
    assert service.delete(f"{path}/monitor").status_code == 200


def test_a_new_version_is_judged_by_the_old_ones_baseline_until_it_has_its_own(
    service: Service, world: MemoryWorld
) -> None:
    def observe(count: int, value: Callable[[int], float]) -> None:
        times = [world.now - (count - number) * 3_600_000 for number in range(count)]
        rows = [{"metrics": {"accuracy": value(number)}, "timestamp": _text(times[number])} for number in range(count)]
        assert service.post(f"{BLUE}/observations", json={"observations": rows}).status_code == 201

    watch(service)
    observe(25, lambda number: 0.9 + 0.001 * (number % 3))
    move(service, 2)
    observe(3, lambda _: 0.5)
    service.check()
    found = watched(service)
    assert found["verdict"] == "drifting"
    assert "was expected from the baseline of version 1, for want of its own" in found["reasons"][0]
    observe(12, lambda number: 0.7 + 0.001 * (number % 3))
    service.check()
    assert "version 1" not in str(watched(service)["reasons"])


def test_a_champion_that_comes_back_keeps_its_points_its_verdict_and_its_history(service: Service) -> None:
    watch(service, settings={"silence_hours": 1})
    move(service, 2)
    rows = [{"metrics": {"accuracy": 0.9 + 0.001 * (number % 3)}} for number in range(22)] + [
        {"metrics": {"accuracy": 0.5}} for _ in range(3)
    ]
    service.post(f"{BLUE}/observations", json={"observations": rows})
    service.check()
    drifting = service.verdict("m", 2)
    assert drifting["verdict"] == "drifting"
    move(service, 1)
    assert monitored(service) == [1]
    service.world.now += 30 * DAY_MS
    move(service, 2)
    service.check()
    back = service.verdict("m", 2)
    # No point came while it was not monitored, which is no silence.
    same = ("monitor_run_id", "verdict", "reasons", "since", "registered_at")
    assert [back[field] for field in same] == [drifting[field] for field in same]
    assert back["metrics"]["accuracy"]["points"] == 25
    events = [(row["event"], row["reasons"][:1]) for row in service.json("/monitoring/history?name=m&version=2")]
    left = ("removed", ["the alias blue moved to version 1"])
    assert [event for event in events if event[0] != "verdict"] == [("registered", []), left, ("registered", [])]
    service.world.now += DAY_MS
    service.check()
    assert "no new point since" in service.verdict("m", 2)["reasons"][-1]


def test_monitoring_begins_anew_where_somebody_ended_it(service: Service) -> None:
    for _ in range(2):
        assert service.register("m", 1).status_code == 201
        first = service.verdict("m", 1)["monitor_run_id"]
        service.remove("m", 1)
    watch(service)
    assert service.verdict("m", 1)["monitor_run_id"] != first


def test_a_watch_that_could_not_be_followed_is_followed_once_mlflow_answers(
    service: Service, gateway: MemoryGateway, world: MemoryWorld
) -> None:
    watch(service)
    world.set_alias("m", "blue", 2)
    service.agent.detector.poll_aliases()
    gateway.refusals["open_monitor_run"] = {None: MlflowUnavailable("MLflow is down.")}
    with pytest.raises(MlflowUnavailable):
        service.agent.watcher.follow()
    gateway.refusals.clear()
    service.agent.watcher.follow()
    assert open_records(world) == [2]


def test_while_mlflow_has_too_much_to_do_a_watch_is_a_503_and_made_by_a_later_request(
    service: Service, gateway: MemoryGateway, world: MemoryWorld
) -> None:
    gateway.locked = True
    refused = watch(service)
    assert (refused.status_code, "Retry-After" in refused.headers, world.watches) == (503, True, {})
    gateway.locked = False
    assert watch(service).status_code == 201
    gateway.failure = MlflowUnavailable("MLflow is down.")
    assert service.delete(f"{BLUE}/monitor").status_code == 500
    # What is known is shown, without MLflow.
    assert watched(service)["model_version"] == "1"


def test_another_host_without_redis_sees_the_watch_and_the_record_stays_one(
    service: Service, gateway: MemoryGateway, world: MemoryWorld, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Service(tmp_path_factory.mktemp("other"), gateway)
    other.refresh()
    watch(service)
    assert watched(other)["model_version"] == "1"
    assert watch(other).status_code == 400
    world.set_alias("m", "blue", 2)
    service.refresh()
    # The other host's mirror is behind: it must not undo the move.
    other.agent.watcher.follow()
    assert open_records(world) == [2]
    assert watched(other)["model_version"] == "2"


def test_observations_are_withdrawn_from_the_version_that_is_there_now(service: Service, world: MemoryWorld) -> None:
    watch(service)
    world.set_alias("m", "blue", 2)
    service.post(f"{BLUE}/observations", json={"metrics": {"acuracy": 0.9, "loss": 1}})
    gone = service.delete(f"{BLUE}/observations?metric=acuracy")
    assert (gone.status_code, gone.json["model_version"], gone.json["metric"]) == (200, "2", "acuracy")
    assert list(service.json("/models/m/2/series")["metrics"]) == ["loss"]
    for query in ("", "?metric=a&metric=b", "?metric=%FF", "?from=9999-01-01T00:00:00Z"):
        assert service.delete(f"{BLUE}/observations{query}").status_code == 400
    world.delete_alias("m", "blue")
    assert service.delete(f"{BLUE}/observations?metric=loss").status_code == 409
    assert service.delete("/models/m/aliases/green/observations?metric=loss").status_code == 404


def test_aliases_that_differ_in_case_are_watched_each_by_itself(service: Service, world: MemoryWorld) -> None:
    assert watch(service, "/models/m/aliases/BLUE").status_code == 404
    watch(service)
    world.set_alias("m", "BLUE", 2)
    service.refresh()
    assert monitored(service) == [1]


def test_a_watch_ends_with_its_registered_model(service: Service, world: MemoryWorld) -> None:
    watch(service)
    world.delete_model("m")
    world.add_version("m", with_run=False)
    world.set_alias("m", "blue", 1)
    service.refresh()
    assert (world.watches, monitored(service)) == ({}, [])
    assert watch(service).status_code == 201


def test_a_version_that_is_deleted_is_not_monitored_after_the_next_look(service: Service, world: MemoryWorld) -> None:
    service.register("m", 3)
    watch(service)
    world.delete_version("m", 3)
    world.delete_version("m", 1)
    service.agent.detector.poll_changes()
    service.agent.watcher.tick()
    assert (open_records(world), monitored(service)) == ([], [])
    assert {reason for _, reason in world.ended.values()} == {"the model version no longer exists in MLflow"}
    for version in (1, 3):
        assert service.get(monitor("m", version)).status_code == 404
        assert service.json(f"{monitor('m', version)}/status")["is_monitored"] is False
        sent = service.post(f"/models/m/{version}/observations", json={"metrics": {"a": 1}})
        assert sent.status_code == 404


def test_monitoring_follows_a_registered_model_that_is_renamed(service: Service, world: MemoryWorld) -> None:
    service.register("m", 3, settings={"silence_hours": 2})
    service.post("/models/m/3/observations", json={"metrics": {"a": 1}})
    watch(service)
    service.post("/monitoring/rules", json={"name": "all", "match": {"name": "*"}})
    service.agent.watcher.tick()
    service.remove("m", 2)
    before = {row["model_version"]: row["monitor_run_id"] for row in service.json("/monitoring")}
    world.rename("m", "n")
    # The old name is looked up before any poll sees the new one.
    service.agent.publisher.look_up_each(["m"])
    service.agent.watcher.tick()
    service.agent.watcher.tick()
    rows = service.json("/monitoring")
    assert {row["model_version"]: row["monitor_run_id"] for row in rows} == before
    assert {row["model_name"] for row in rows} == {"n"}
    assert service.verdict("n", 3)["settings"] == {"silence_hours": 2}
    assert watched(service, "/models/n/aliases/blue")["model_version"] == "1"
    assert service.get(f"{BLUE}/monitor").status_code == service.get(monitor("m", 3)).status_code == 404
    (excluded,) = service.json("/monitoring/rules/all/versions?excluded=true")
    assert (excluded["model_name"], excluded["model_version"]) == ("n", "2")
    assert {row["name"] for row in service.json("/monitoring/history?name=n&version=3")} == {"n"}


def test_watches_work_without_a_cache(start: Callable[..., Service], world: MemoryWorld) -> None:
    direct = start(enable_cache=False)
    assert watch(direct).status_code == 201
    world.set_alias("m", "blue", 2)
    direct.agent.watcher.tick()
    assert (open_records(world), watched(direct)["model_version"]) == ([2], "2")


def _text(at: int) -> str:
    from app.domain.times import rfc3339

    return rfc3339(at) or ""
