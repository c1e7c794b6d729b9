"""Observations, series, verdicts and their history, as a client sees them."""

from collections.abc import Sequence
from typing import Any

import pytest

from app.domain.errors import MlflowUnavailable
from app.domain.registry.names import EVALUATES
from app.domain.times import DAY_MS, day_start, rfc3339
from tests.api.service import Service, monitor, series
from tests.fakes.memory_mlflow import MemoryGateway, MemoryWorld
from tests.unit.series import START

STEADY = [0.94 + 0.01 * (-1) ** n for n in range(20)]
NOT_MONITORED = {"detail": "Model is not being monitored"}


def daily(values: Sequence[float], start: int = START - 60 * DAY_MS) -> list[dict[str, Any]]:
    """Observations a day apart, of the past."""
    return [{"metrics": {"accuracy": v}, "timestamp": rfc3339(start + n * DAY_MS)} for n, v in enumerate(values)]


@pytest.fixture
def monitored(service: Service, world: MemoryWorld) -> Service:
    """A service whose MLflow holds version 1 of `m`, registered for monitoring by `ada`."""
    world.add_version("m", {"accuracy": 0.99}, stage="Production")
    assert service.register("m", registered_by="ada").status_code == 201
    return service


def test_a_scoring_job_needs_only_to_send_numbers_to_get_a_verdict(monitored: Service) -> None:
    sent = monitored.observe("m", observations=daily([*STEADY, 0.94, 0.95]))
    assert (sent.status_code, sent.json) == (201, {"accepted": 22})
    monitored.check()
    found = monitored.verdict("m")
    assert found["verdict"] == "healthy"
    assert found["reasons"] == ["accuracy 0.950, in line with baseline 0.940 ± 0.010"]
    assert found["metrics"]["accuracy"]["points"] == 22
    assert found["metrics"]["accuracy"]["last"] == 0.95
    assert found["metrics"]["accuracy"]["baseline"] == pytest.approx({"mean": 0.94, "std": 0.01026, "n": 20}, abs=1e-4)
    monitored.observe("m", observations=daily([0.8, 0.81, 0.8], START - 30 * DAY_MS))
    monitored.check()
    found = monitored.verdict("m")
    assert found["verdict"] == "drifting"
    assert found["reasons"] == [
        "accuracy fell to 0.800 on 17 October; at least 0.904 was expected from its first 20 days (0.940 ± 0.010). "
        "Below at 3 of the last 5 points since 15 October. Now 0.800."
    ]
    began = rfc3339(START - 30 * DAY_MS)
    assert found["began_at"] == found["metrics"]["accuracy"]["began_at"] == began < found["since"]
    assert found["metrics"]["accuracy"]["alarms"] == [
        {
            "rule": "baseline", "verdict": "drifting", "value": 0.8, "at": rfc3339(START - 28 * DAY_MS),
            "expected_min": pytest.approx(0.904, abs=1e-3), "expected_max": None, "began_at": began,
            "fired": 3, "of": 5, "excess": pytest.approx(3.86, abs=0.01), "accumulates": False,
        }
    ]  # fmt: skip
    (fleet,) = monitored.json("/fleet")
    assert fleet["began_at"] == monitored.json("/monitoring/history")[0]["began_at"] == began
    assert monitored.json(f"{series('m')}?days=3650")["metrics"]["accuracy"]["began_at"] == began


def test_observations_of_many_versions_are_answered_one_by_one(monitored: Service, world: MemoryWorld) -> None:
    world.add_version("n")
    monitored.register("n")

    def part(name: str, **more: Any) -> dict[str, Any]:
        return {"model_name": name, "model_version": "1", **more}

    sent = [
        part("m", metrics={"accuracy": 0.9, "f1": 0.8}, n=500),
        part("nobody", metrics={"accuracy": 0.9}),
        part("n", id="a", observations=daily([0.7, 0.6])),
        part("n", id="a", observations=daily([0.5])),
        part("n", metrics={"accuracy": "x"}),
        part("n", metrics={"accuracy": 1}, id=""),
        {"model_name": "n", "metrics": {"accuracy": 1}},
        "n",
    ]
    answer = monitored.post("/observations", json={"versions": sent})
    assert answer.status_code == 200
    results = answer.json["results"]
    assert [(row["model_name"], row["status"], row["accepted"]) for row in results] == [
        ("m", 201, 2), ("nobody", 404, 0), ("n", 201, 2), ("n", 409, 0), ("n", 400, 0), ("n", 400, 0), ("n", 400, 0),
        ("", 400, 0),
    ]  # fmt: skip
    assert results[0]["detail"] is None
    assert results[1]["detail"] == NOT_MONITORED["detail"]
    assert results[4]["detail"] == "metrics.accuracy: Not a number."
    points = monitored.json(f"{series('n')}?days=3650")["metrics"]["accuracy"]["points"]
    assert [point["value"] for point in points] == [0.7, 0.6]
    for bad in ({}, {"versions": []}, {"versions": [sent[0]] * 101}, {"versions": sent[0]}, {"versions": sent, "x": 1}):
        assert monitored.post("/observations", json=bad).status_code == 400


def test_the_limits_of_a_share_follow_the_number_of_cases_behind_each_value(monitored: Service) -> None:
    rows = [{**row, "n": 2000} for row in daily([*STEADY, 0.94])]
    rows += [{**row, "n": 5} for row in daily([0.8], START - 39 * DAY_MS)]
    assert monitored.observe("m", observations=rows).status_code == 201
    monitored.check()
    assert monitored.verdict("m")["verdict"] == "healthy"
    points = monitored.json(f"{series('m')}?days=3650")["metrics"]["accuracy"]["points"]
    assert [point["n"] for point in points] == [2000] * 21 + [5]
    monitored.observe("m", observations=[{**rows[-1], "n": 2000}])
    monitored.check()
    found = monitored.verdict("m")
    assert found["verdict"] == "degraded"
    assert "; at least 0.904 was expected of 2000 cases, from its first 20 days (" in found["reasons"][0]
    for n in (0, -1, 1.5, True, "5", 10**10):
        refused = monitored.observe("m", observations=[{**rows[0], "n": n}])
        assert (refused.status_code, refused.json["detail"].startswith("observations[0].n: ")) == (400, True)


def test_a_later_observation_of_the_same_time_replaces_the_earlier_one(monitored: Service) -> None:
    monitored.observe("m", observations=daily([*STEADY, 0.94, 0.5, 0.5, 0.5]))
    monitored.check()
    assert monitored.verdict("m")["verdict"] == "drifting"
    for value in (0.6, 0.94):
        assert monitored.observe("m", observations=daily([value] * 3, START - 39 * DAY_MS)).status_code == 201
    monitored.check()
    found = monitored.verdict("m")
    assert (found["verdict"], found["metrics"]["accuracy"]["points"]) == ("healthy", 24)
    shown = monitored.json(f"{series('m')}?days=3650")["metrics"]["accuracy"]["points"]
    assert [(point["value"], point["replaced"]) for point in shown[-4:]] == [(0.94, 0), *[(0.94, 2)] * 3]


def test_observations_are_withdrawn_by_metric_and_time_and_count_again_when_they_are_sent_again(
    monitored: Service,
) -> None:
    observed = "/models/m/1/observations"
    rows = daily([*STEADY, 0.94, 0.5, 0.5, 0.5])
    monitored.observe("m", observations=rows)
    monitored.observe("m", observations=[{**row, "metrics": {"acuracy": 0.9}} for row in rows])
    for query in (
        "",
        "?metric=",
        "?from=x",
        "?metric=accuracy&from=2023-01-02T00:00:00Z&to=2023-01-01T00:00:00Z",
        "?x=1",
    ):
        assert monitored.delete(observed + query).status_code == 400
    assert monitored.delete("/models/nobody/1/observations?metric=a").json == NOT_MONITORED
    retired = monitored.delete(f"{observed}?metric=acuracy")
    assert (retired.status_code, retired.json["metric"], retired.json["from"]) == (200, "acuracy", None)
    first = rfc3339(START - 39 * DAY_MS)
    assert monitored.delete(f"{observed}?metric=accuracy&from={first}").status_code == 200
    told = [row for row in monitored.json("/monitoring/history") if row["event"] == "withdrawn"]
    assert [(row["by"], row["version"], row["reasons"][0].split(" up to")[0]) for row in told] == [
        ("anonymous", "1", f"Observations of accuracy from {first}"), ("anonymous", "1", "Observations of acuracy"),
    ]  # fmt: skip
    monitored.check()
    assert [row for row in monitored.json("/monitoring/history") if row["event"] == "withdrawn"] == told
    found = monitored.verdict("m")
    assert (found["verdict"], list(found["metrics"])) == ("healthy", ["accuracy"])
    assert found["metrics"]["accuracy"]["points"] == 21
    monitored.observe("m", observations=daily([0.94, 0.93], START - 39 * DAY_MS))
    monitored.observe("m", metrics={"acuracy": 0.9})
    monitored.check()
    found = monitored.verdict("m")
    assert (found["verdict"], found["metrics"]["accuracy"]["points"], found["metrics"]["acuracy"]["points"]) == (
        "healthy", 23, 1,
    )  # fmt: skip


def test_points_in_microseconds_hide_nothing_and_are_shown_nowhere_but_in_a_reason(
    monitored: Service, world: MemoryWorld
) -> None:
    monitored.observe("m", observations=daily([*STEADY, *[0.5] * 20]))
    run = world.add_run({}, {EVALUATES: "models:/m/1"})
    for n in range(5):
        world.log_metric(run, "accuracy", 0.94, (START + n) * 1000)
    monitored.check()
    found = monitored.verdict("m")
    told = "accuracy: 5 points lie in the future and are left out (first 55"
    assert found["verdict"] == "drifting"
    assert [told in reason for reason in found["reasons"]] == [False, True]
    last = rfc3339(START - 21 * DAY_MS)
    assert (found["metrics"]["accuracy"]["last"], found["metrics"]["accuracy"]["last_at"]) == (0.5, last)
    shown = monitored.json(f"{series('m')}?days=3650")["metrics"]["accuracy"]
    assert (len(shown["points"]), shown["last_at"], shown["reasons"]) == (40, last, found["reasons"])
    (fleet,) = monitored.json("/fleet")
    assert (fleet["metric"]["last"], fleet["metric"]["last_at"]) == (0.5, last)
    (drift,) = monitored.json("/model/m/drift?days=3650")
    assert drift["metrics_over_time"][-1] == {"date": last, "accuracy": 0.5}
    page = monitored.get("/metrics").text
    ages = [line for line in page.splitlines() if line.startswith("control_tower_model_last_point_age_seconds{")]
    assert [float(line.split()[-1]) > 0 for line in ages] == [True]


def test_after_the_source_run_is_collected_the_reason_says_so(monitored: Service, world: MemoryWorld) -> None:
    world.collect_run(world.run_of("m", 1))
    monitored.check()
    (reason,) = monitored.verdict("m")["reasons"]
    assert "The source run no longer exists in MLflow" in reason


def test_points_of_the_future_are_not_compared(service: Service, world: MemoryWorld) -> None:
    for value in (0.9, 0.8):
        world.add_version("m", {"accuracy": value})
    run = world.add_run({}, {EVALUATES: "models:/m/2"})
    for n in range(5):
        world.log_metric(run, "f1", 0.99, (START + n) * 1000)
    found = service.json("/model/m/compare?baseline=1&candidate=2")
    reasons = {row["metric"]: row["reason"] for row in found["metrics"]}
    assert reasons["f1"].startswith(
        "Not comparable: neither version has a point of this metric; f1: 5 points lie in the future"
    )


def test_before_the_first_check_nothing_is_claimed(monitored: Service) -> None:
    found = monitored.verdict("m")
    assert (found["verdict"], found["checked_at"], found["metrics"]) == ("insufficient_data", None, {})
    assert found["since"] == found["registered_at"]
    assert found["registered_by"] == "ada"
    assert found["stage"] == "Production"
    monitored.check()
    found = monitored.verdict("m")
    assert found["verdict"] == "insufficient_data"
    assert found["checked_at"] is not None
    assert found["reasons"] == ["accuracy: 1 point; a baseline needs 10, and 2 later points"]


def test_settings_come_with_the_registration_and_are_changed_by_merging(service: Service, world: MemoryWorld) -> None:
    world.add_version("m", {"accuracy": 0.8})
    settings = {"limits": {"accuracy": {"min": 0.9}}, "silence_hours": 48}
    assert service.register("m", settings=settings).status_code == 201
    assert service.verdict("m")["settings"] == settings
    service.check()
    assert service.verdict("m")["verdict"] == "degraded"
    patch = {"limits": {"accuracy": {"min": 0.7}}, "silence_hours": None}
    changed = service.patch(monitor("m"), json={"settings": patch})
    assert changed.status_code == 200
    assert changed.json["settings"] == {"limits": {"accuracy": {"min": 0.7}}}
    assert service.verdict("m")["settings"] == changed.json["settings"]
    service.check()
    assert service.verdict("m")["verdict"] == "healthy"
    assert service.patch(monitor("m"), json={"settings": None}).json["settings"] == {}


@pytest.mark.parametrize("body", [{}, {"settings": 3}, {"settings": {"x": 1}}, {"model_type": "regressor"},
                                  {"settings": {"alarm": {"m": 9}}, "x": 1},
                                  {"settings": {"baseline": {"version": "9"}}}])  # fmt: skip
def test_settings_that_cannot_be_used_are_a_400_and_change_nothing(monitored: Service, body: dict[str, Any]) -> None:
    refused = monitored.patch(monitor("m"), json=body)
    assert refused.status_code == 400
    assert monitored.verdict("m")["settings"] == {}


def test_a_registration_with_bad_settings_is_not_made(service: Service, world: MemoryWorld) -> None:
    world.add_version("m")
    unknown = service.register("m", settings={"baseline": {"version": "9"}})
    assert unknown.json == {"detail": "baseline.version: the registered model has no version 9."}
    refused = service.register("m", settings={"limits": {"accuracy": 3}})
    assert (refused.status_code, refused.json) == (400, {"detail": "limits.accuracy: Not an object."})
    assert not service.is_monitored("m")


def test_what_is_not_monitored_takes_no_observations_and_has_no_verdict(service: Service, world: MemoryWorld) -> None:
    world.add_version("m")
    for response in (
        service.observe("m", metrics={"accuracy": 1}),
        service.observe("nobody", metrics={"accuracy": 1}),
        service.observe("m", "01", metrics={"accuracy": 1}),
        service.get(monitor("m")),
        service.patch(monitor("m"), json={"settings": {}}),
    ):
        assert (response.status_code, response.json) == (404, NOT_MONITORED)


def test_bad_observations_are_refused_as_a_whole(monitored: Service, world: MemoryWorld) -> None:
    rows = [{"metrics": {"accuracy": 0.9}}, {"metrics": {"accuracy": "x"}}, {"metrics": {"control_tower.verdict": 1}}]
    refused = monitored.observe("m", observations=rows)
    assert refused.status_code == 400
    assert refused.json["detail"].startswith("observations[1].metrics.accuracy: Not a number.; observations[2]")
    assert world.monitor_points == {}


def test_observations_restore_a_deleted_experiment(monitored: Service, world: MemoryWorld) -> None:
    world.delete_experiment("control-tower")
    assert monitored.observe("m", metrics={"accuracy": 0.9}).status_code == 201
    assert [p.value for points in world.monitor_points.values() for p in points] == [0.9]


def test_with_mlflow_down_observations_are_a_500_and_verdicts_stay(monitored: Service, gateway: MemoryGateway) -> None:
    monitored.observe("m", observations=daily([*STEADY, 0.94, 0.95]))
    monitored.check()
    gateway.failure = MlflowUnavailable("MLflow is down.")
    assert monitored.observe("m", metrics={"accuracy": 1}).status_code == 500
    monitored.check()
    assert monitored.verdict("m")["verdict"] == "healthy"
    assert monitored.get(series("m")).status_code == 500


def test_the_series_has_each_point_with_its_source_and_the_rules_that_fired(
    monitored: Service, world: MemoryWorld
) -> None:
    monitored.observe("m", observations=daily([*STEADY, 0.94, 0.8]))
    world.add_run({"accuracy": 0.93}, {EVALUATES: "models:/m/1"})
    monitored.patch(monitor("m"), json={"settings": {"limits": {"accuracy": {"min": 0.85}}}})
    found = monitored.json(series("m"))["metrics"]["accuracy"]
    assert found["population"] == "production"
    assert [p["source"] for p in found["points"]] == ["monitor run"] * 22 + ["evaluation run"]
    assert [p["fired"] for p in found["points"]] == [[]] * 21 + [["limit", "baseline"], []]
    assert [(p["value"], p["source"]) for p in found["reference"]] == [(0.99, "source run")]
    assert (found["limits"], found["direction"]) == ({"min": 0.85, "max": None}, "higher")
    assert found["reach"] == pytest.approx(0.037, abs=0.001)
    assert found["points"][0]["time"] == rfc3339(START - 60 * DAY_MS)


def test_the_series_of_one_metric_and_of_some_days(monitored: Service) -> None:
    monitored.observe("m", metrics={"accuracy": 0.9, "f1": 0.8})
    monitored.observe("m", metrics={"f1": 0.7}, timestamp=rfc3339(START - 60 * DAY_MS))
    assert set(monitored.json(series("m"))["metrics"]) == {"accuracy", "f1"}
    assert set(monitored.json(series("m") + "?metric=f1")["metrics"]) == {"f1"}
    for path in (series("m"), "/model/m/drift", "/model/m/compare"):
        for bad in ("", "../up", "x" * 251):
            answer = monitored.get(path, query_string={"baseline": "1", "candidate": "2", "metric": bad})
            assert (answer.status_code, answer.json["detail"].partition(":")[0]) == (400, "metric"), path
    assert [p["value"] for p in monitored.json(series("m") + "?metric=f1")["metrics"]["f1"]["points"]] == [0.7, 0.8]
    assert set(monitored.json(series("m") + "?metric=f1&metric=accuracy")["metrics"]) == {"accuracy", "f1"}
    one = monitored.json(series("m") + "?metric=f1&days=30")["metrics"]["f1"]
    assert [p["value"] for p in one["points"]] == [0.8]
    assert monitored.json(series("m") + "?metric=other")["metrics"] == {}
    assert monitored.get(series("m") + "?days=0").status_code == 400


def test_a_version_that_is_not_monitored_has_a_series_and_an_unknown_one_has_not(
    service: Service, world: MemoryWorld
) -> None:
    world.add_version("m", {"accuracy": 0.5})
    assert service.json(series("m"))["metrics"]["accuracy"]["population"] == "training"
    for version in ("2", "01", "x"):
        assert service.get(series("m", version)).status_code == 404
    assert service.get(series("nobody")).status_code == 404


def test_drift_tells_the_same_series_and_the_verdicts(monitored: Service) -> None:
    monitored.observe("m", observations=daily([*STEADY, 0.8, 0.8, 0.8], START - 22 * DAY_MS))
    (entry,) = monitored.json("/model/m/drift?days=60")
    values = [day["accuracy"] for day in entry["metrics_over_time"]]
    assert values == [*STEADY, 0.8, 0.8, 0.8]
    assert (entry["verdict"], entry["verdicts"]) == ("drifting", {"accuracy": "drifting"})
    assert entry["populations"] == {"accuracy": "production"}


def test_monitoring_lists_all_with_verdicts_and_filters_them(service: Service, world: MemoryWorld) -> None:
    for name in ("a", "b", "c"):
        world.add_version(name, {"rmse": 0.5})
        service.register(name, model_type="regressor" if name == "c" else "classifier")
    service.patch(monitor("b"), json={"settings": {"limits": {"rmse": {"max": 0.4}}}})
    service.check()

    def names(query: str) -> list[str]:
        return [row["model_name"] for row in service.json(f"/monitoring{query}")]

    assert names("") == ["a", "b", "c"]
    assert names("?verdict=degraded") == ["b"]
    assert names("?type=regressor") == names("?model_type=regressor") == ["c"]
    assert names("?verdict=insufficient_data&type=classifier") == ["a"]
    assert names("?name=B") == ["b"]
    assert names("?stage=None") == ["a", "b", "c"]
    assert names("?stage=Production") == []
    assert names("?page=2&page_size=2") == ["c"]
    for bad in ("?verdict=bad", "?type=x", "?page=0", "?page_size=0", "?page_size=1001"):
        assert service.get(f"/monitoring{bad}").status_code == 400
    whole = service.get("/monitoring")
    assert whole.headers["X-Pagination"].startswith('{"total":3')
    assert service.get("/monitoring", headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304
    service.check()
    assert service.get("/monitoring", headers={"If-None-Match": whole.headers["ETag"]}).status_code == 200


def test_monitoring_is_sorted_by_verdict_and_by_the_time_of_the_last_change(
    service: Service, world: MemoryWorld
) -> None:
    for name in ("a", "b", "c", "d"):
        world.add_version(name, {"rmse": 0.5})
        service.register(name)
    for name in ("b", "d"):
        service.patch(monitor(name), json={"settings": {"limits": {"rmse": {"max": 0.4}}}})
        service.check()

    def names(query: str) -> str:
        return "".join(row["model_name"] for row in service.json(f"/monitoring?{query}"))

    assert names("sort=name") == "abcd"
    assert names("sort=-name") == "dcba"
    assert names("sort=verdict") == "dbca"
    assert names("sort=-verdict") == "cadb"
    assert names("sort=since") == "acbd"
    assert names("sort=-since") == "dbca"
    assert names("sort=-since&verdict=degraded&page=2&page_size=1") == "b"
    for bad in ("sort=", "sort=--name", "sort=metrics"):
        assert service.get(f"/monitoring?{bad}").status_code == 400


def test_every_metric_says_which_way_it_is_better_also_one_that_was_checked_by_an_earlier_version(
    service: Service, world: MemoryWorld
) -> None:
    world.add_version("m", {"rmse": 0.5, "score": 1.0, "odd": 1.0})
    service.register("m", settings={"direction": {"score": "higher"}})
    service.check()
    told = {"rmse": "lower", "score": "higher", "odd": None}
    assert all(
        "direction" not in metric
        for one in service.agent.stores.checks.all().values()
        for metric in one.metrics.values()
    )
    for metrics in (
        service.verdict("m")["metrics"],
        service.json("/monitoring")[0]["metrics"],
        service.json(series("m"))["metrics"],
    ):
        assert {name: metric["direction"] for name, metric in metrics.items()} == told


def test_the_history_tells_registrations_verdicts_and_removals_also_of_past_registrations(
    monitored: Service, world: MemoryWorld
) -> None:
    monitored.patch(monitor("m"), json={"settings": {"limits": {"accuracy": {"max": 0.5}}}})
    monitored.check()
    monitored.remove("m")
    monitored.register("m", registered_by="bob")
    world.add_version("other")
    monitored.register("other")
    events = monitored.json("/monitoring/history?name=m&version=1")
    assert [(e["event"], e["by"], e["verdict"]) for e in events] == [
        ("registered", "bob", None),
        ("removed", "anonymous", None),
        ("verdict", "control-tower", "degraded"),
        ("registered", "ada", None),
    ]
    assert events[2]["before"] == "insufficient_data"
    assert events[2]["reasons"] == ["accuracy rose to 0.990 on 14 November; its limit is at most 0.500. Now 0.990."]
    assert len(monitored.json("/monitoring/history")) == 5
    assert len(monitored.json("/monitoring/history?page_size=2")) == 2
    assert monitored.json("/monitoring/history?name=nobody") == []
    assert monitored.json("/monitoring/history?name=m&version=01") == []


def test_a_verdict_is_kept_in_mlflow_and_survives_the_loss_of_the_cache(
    monitored: Service, start: Any, world: MemoryWorld
) -> None:
    monitored.patch(monitor("m"), json={"settings": {"limits": {"accuracy": {"max": 0.5}}}})
    monitored.check()
    since = monitored.verdict("m")["since"]
    monitored.worker.world.cache.delete("checks")
    monitored.worker.world.cache.delete("monitored")
    other = start()
    other.clock.forward(3600)
    other.check()
    found = other.verdict("m")
    assert (found["verdict"], found["since"]) == ("degraded", since)
    assert [e["event"] for e in other.json("/monitoring/history")].count("verdict") == 1


def test_a_model_that_was_deleted_and_made_anew_inherits_no_verdict(monitored: Service, world: MemoryWorld) -> None:
    monitored.patch(monitor("m"), json={"settings": {"limits": {"accuracy": {"max": 0.5}}}})
    monitored.check()
    world.delete_model("m")
    world.add_version("m", {"accuracy": 0.99})
    monitored.refresh()
    assert monitored.get(monitor("m")).status_code == 404
    monitored.register("m")
    monitored.check()
    assert monitored.verdict("m")["verdict"] == "insufficient_data"


def test_one_monitor_run_that_is_deleted_does_not_stop_the_checks_of_the_others(
    monitored: Service, gateway: MemoryGateway, world: MemoryWorld
) -> None:
    world.add_version("z", {"accuracy": 0.99})
    monitored.register("z")
    for name in ("m", "z"):
        monitored.patch(monitor(name), json={"settings": {"limits": {"accuracy": {"max": 0.5}}}})
    first = next(run_id for run_id, one in world.registrations.items() if one.name == "m")
    gateway.refused_runs.add(first)
    monitored.check()
    assert monitored.verdict("z")["verdict"] == "degraded"


def test_a_preview_of_the_present_settings_is_what_happened_and_one_of_others_what_would_have(
    monitored: Service,
) -> None:
    monitored.patch(monitor("m"), json={"settings": {"silence_hours": 30}})
    happened = []
    for value in [*STEADY, 0.94, 0.8, 0.81, 0.93, 0.8, None, None, 0.94]:
        if value is not None:
            monitored.observe("m", metrics={"accuracy": value, "other": 1 - value})
        # The end of the day, but for what the fake world's clock goes on by itself.
        monitored.clock.forward((DAY_MS - monitored.clock() % DAY_MS) / 1000 - 60)
        monitored.check()
        found = monitored.verdict("m")
        happened.append((rfc3339(day_start(monitored.clock())), {key: found[key] for key in ("verdict", "reasons")}))
        monitored.clock.forward(3600)
    monitored.gateway.calls.clear()
    shown = monitored.post(f"{monitor('m')}/preview", json={"settings": {}}).json
    assert len(shown["days"]) == 30
    assert shown["settings"] == {"silence_hours": 30}
    *_, today = shown["days"]
    assert [(day["day"], day["before"]) for day in shown["days"]][-1 - len(happened) : -1] == happened
    assert {verdict["verdict"] for _, verdict in happened} == {"healthy", "degraded", "drifting"}
    assert all(day["before"] == day["after"] for day in shown["days"])
    wanted = {"limits": {"accuracy": {"min": 0.95}}, "alarm": {"m": 2, "n": 2}, "silence_hours": None}
    after = monitored.post(f"{monitor('m')}/preview", json={"settings": wanted}).json["days"]
    assert [day["before"] for day in after] == [day["before"] for day in shown["days"]]
    assert set(monitored.gateway.calls) == {"evidence"}
    monitored.patch(monitor("m"), json={"settings": wanted})
    monitored.check()
    found = monitored.verdict("m")
    assert after[-1]["after"] == {"verdict": found["verdict"], "reasons": found["reasons"]} != today["after"]


def test_settings_that_would_be_refused_are_refused_by_a_preview_with_the_same_words(
    monitored: Service, world: MemoryWorld
) -> None:
    address = f"{monitor('m')}/preview"
    for bad in ({"alarm": {"m": 9, "n": 1}}, {"baseline": {"version": "7"}}, {"x": 1}, [], "x"):
        refused = monitored.post(address, json={"settings": bad})
        assert (refused.status_code, refused.json) == (400, monitored.patch(monitor("m"), json={"settings": bad}).json)
    assert monitored.post(address, json={}).status_code == 400
    assert monitored.post("/models/m/9/monitor/preview", json={"settings": {}}).status_code == 404
    world.add_version("free", {"accuracy": 0.9})
    (*_, today) = monitored.post("/models/free/1/monitor/preview", json={"settings": None}).json["days"]
    assert today["before"]["verdict"] == "insufficient_data"
