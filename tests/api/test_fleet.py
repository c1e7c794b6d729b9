"""The fleet: every version with its verdict, its key metric and its findings, as a client sees them."""

import json
from collections.abc import Callable

import pytest

from app.domain.errors import MlflowUnavailable
from app.domain.findings import FINDINGS
from app.domain.times import DAY_MS, rfc3339
from tests.api.service import Row, Service, monitor
from tests.api.test_verdicts import STEADY, daily
from tests.fakes.memory_mlflow import MemoryGateway, MemoryWorld
from tests.unit.series import START

ADDED = {
    "verdict", "since", "began_at", "reasons", "registered_by", "metric", "findings", "data", "acknowledged", "mutes",
}  # fmt: skip


@pytest.fixture
def fleet(service: Service, world: MemoryWorld) -> Service:
    """`bad` 2 drifts, `new` 1 is not checked yet, `dry` 1 lacks data, `good` 1 is healthy, `bad` 1 is not monitored."""
    world.add_model("bad", {"owner": "ada"})
    world.add_version("bad", {"accuracy": 0.9, "zz": 1.0}, tags={"team": "a"})
    world.add_version("bad", {"accuracy": 0.99, "loss": 0.1}, stage="Production", tags={"team": "a"})
    world.add_version("dry", {"rmse": 0.5})
    world.add_version("good", {"accuracy": 0.99}, stage="Production")
    world.add_version("new")
    for name, version, kind in (("bad", 2, "classifier"), ("dry", 1, "regressor"), ("good", 1, "classifier")):
        service.register(name, version, kind, registered_by="ada")
    service.observe("bad", 2, observations=daily([*STEADY, 0.94, 0.8, 0.81, 0.8]))
    service.observe("good", observations=daily([*STEADY, 0.94, 0.95]))
    service.check()
    service.register("new", model_type="regressor")
    return service


def rows(service: Service, query: str = "") -> str:
    return " ".join(name + version for name, version in service.keys(f"/fleet{query}"))


def one(service: Service, name: str, version: int = 1) -> Row:
    return next(row for row in service.json("/fleet") if (row["name"], row["version"]) == (name, str(version)))


def test_a_row_tells_the_verdict_and_the_metric_to_look_at_first(fleet: Service) -> None:
    found = one(fleet, "bad", 2)
    assert {name: value for name, value in found.items() if name not in ADDED} == fleet.row("bad", 2)
    verdict = fleet.verdict("bad", 2)
    assert (found["verdict"], found["since"], found["registered_by"]) == ("drifting", verdict["since"], "ada")
    assert (found["reasons"], found["began_at"]) == (verdict["reasons"], verdict["began_at"])
    assert (found["findings"], found["owner"], verdict["owner"]) == ([], "ada", "ada")
    metric = found["metric"]
    assert (metric["name"], metric["verdict"], metric["direction"]) == ("accuracy", "drifting", "higher")
    assert (metric["last"], metric["last_at"]) == (0.8, rfc3339(START - 37 * DAY_MS))
    assert metric["baseline"] == verdict["metrics"]["accuracy"]["baseline"]
    assert metric["change"] == pytest.approx(-0.14, abs=0.001)
    assert metric["worse"] is True
    assert metric["recent"] == verdict["metrics"]["accuracy"]["recent"]


def test_what_is_not_monitored_has_no_verdict_and_the_metric_of_its_source_run(fleet: Service) -> None:
    found = one(fleet, "bad")
    assert {name: found[name] for name in ADDED} == {
        "verdict": None,
        "since": None, "began_at": None,
        "reasons": [],
        "registered_by": None,
        "metric": {
            "name": "accuracy", "last": 0.9, "last_at": None, "verdict": None, "direction": "higher",
            "baseline": None, "change": None, "worse": None, "recent": [],
        },
        "findings": [],
        "data": None,
        "acknowledged": None, "mutes": [],
    }  # fmt: skip


def test_before_the_first_check_the_data_is_called_insufficient(fleet: Service) -> None:
    found = one(fleet, "new")
    told = fleet.verdict("new")
    assert (found["verdict"], found["since"], found["reasons"]) == (told["verdict"], told["since"], told["reasons"])
    assert found["verdict"] == "insufficient_data"
    assert found["metric"] is None
    assert found["model_type"] == "regressor"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "bad2 bad1 dry1 good1 new1"),
        ("?sort=verdict", "bad2 new1 dry1 good1 bad1"),
        ("?sort=-verdict", "bad1 good1 new1 dry1 bad2"),
        ("?sort=-name", "new1 good1 dry1 bad2 bad1"),
        ("?sort=creation_timestamp&page_size=2", "bad1 bad2"),
        ("?verdict=drifting", "bad2"),
        ("?verdict=insufficient_data", "dry1 new1"),
        ("?verdict=degraded", ""),
        ("?monitored=true", "bad2 dry1 good1 new1"),
        ("?monitored=False", "bad1"),
        ("?monitored=false&verdict=drifting", ""),
        ("?stage=production&monitored=true&sort=verdict", "bad2 good1"),
        ("?tag=team:a&name=BAD&verdict=drifting", "bad2"),
        ("?model_type=regressor&verdict=insufficient_data", "dry1 new1"),
        ("?finding=production_without_monitor", ""),
        ("?sort=verdict&page=2&page_size=2", "dry1 good1"),
    ],
)
def test_filters_combine_with_order_and_page(fleet: Service, query: str, expected: str) -> None:
    assert rows(fleet, query) == expected


MODELS = "bad2:2 good1:1 new1:1 dry1:1"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", MODELS),
        ("?sort=verdict", "bad2:2 new1:1 dry1:1 good1:1"),
        ("?sort=-name", "new1:1 good1:1 dry1:1 bad2:2"),
        ("?sort=-owner", "bad2:2 dry1:1 good1:1 new1:1"),
        ("?sort=-last_at", "dry1:1 bad2:2 good1:1 new1:1"),
        ("?monitored=false", "bad1:1"),
        ("?model=bad", "bad2:2"),
        ("?model=BAD", ""),
        ("?name=d&page_size=1&page=2&sort=name", "dry1:1"),
        ("?owner=ada", "bad2:2"),
    ],
)
def test_a_model_is_a_row_with_the_version_to_look_at_first_and_how_many_match(
    fleet: Service, query: str, expected: str
) -> None:
    rows = fleet.json(f"/fleet/models{query}")
    assert " ".join(f"{row['name']}{row['key_version']['version']}:{row['versions']}" for row in rows) == expected


def test_the_row_of_a_model_has_the_row_of_its_key_version_and_tells_what_the_others_are(fleet: Service) -> None:
    row = fleet.json("/fleet/models?name=bad")[0]
    assert row["key_version"] == one(fleet, "bad", 2)
    assert (row["in_production"], row["verdicts"]["drifting"], row["verdicts"]["healthy"]) == (["2"], 1, 0)
    versions = [one(fleet, "bad", 1), one(fleet, "bad", 2)]
    assert row["last_updated_timestamp"] == max(version["last_updated_timestamp"] for version in versions)
    told = json.loads(fleet.get("/fleet/models?page_size=1").headers["X-Pagination"])
    assert (told["total"], told["versions"]) == (4, 5)


def test_a_version_in_production_is_looked_at_before_one_that_lacks_data(service: Service, world: MemoryWorld) -> None:
    for stage in ("Production", "Staging", "None"):
        world.add_version("m", {"accuracy": 0.9}, stage=stage)
    service.register("m", 2)

    def first(query: str = "") -> object:
        return service.json(f"/fleet/models{query}")[0]["key_version"]["version"]

    assert (first(), first("?stage=none"), first("?stage=staging")) == ("1", "3", "2")


def test_the_header_counts_what_the_query_matches(fleet: Service) -> None:
    told = json.loads(fleet.get("/fleet?monitored=true&sort=verdict&page_size=3").headers["X-Pagination"])
    assert told == {"total": 4, "total_pages": 2, "first_page": 1, "last_page": 2, "page": 1, "next_page": 2}


def test_a_finding_is_told_of_the_very_version_that_it_names(fleet: Service) -> None:
    fleet.remove("bad", 2)
    assert one(fleet, "bad", 2)["findings"] == ["production_without_monitor"]
    assert one(fleet, "bad", 1)["findings"] == []
    assert rows(fleet, "?finding=production_without_monitor") == "bad2"


def test_the_settings_say_which_way_a_metric_is_better(fleet: Service) -> None:
    fleet.patch(monitor("bad", 2), json={"settings": {"direction": {"accuracy": "lower"}}})
    metric = one(fleet, "bad", 2)["metric"]
    assert (metric["direction"], metric["worse"]) == ("lower", False)


def test_the_summary_counts_versions_by_verdict_finding_and_stage(fleet: Service) -> None:
    assert fleet.json("/fleet/summary") == {
        "versions": 5,
        "models": 4,
        "monitored": 4,
        "verdicts": {"drifting": 1, "degraded": 0, "healthy": 1, "insufficient_data": 2},
        "attention": {
            "message": "1 drifting; 2 of 4 cannot be judged yet",
            "missing": [
                {"what": "1 point; a baseline needs 10, and 2 later points", "versions": 1},
                {"what": "Not checked yet. The first check takes some seconds.", "versions": 1},
            ],
            "idle_watches": 0,
        },
        "findings": {**dict.fromkeys(FINDINGS, 0), "no_owner": 3},
        "stages": {"None": 3, "Staging": 0, "Production": 2, "Archived": 0},
    }


def test_nothing_needs_attention_only_where_everything_can_be_judged(service: Service, world: MemoryWorld) -> None:
    def attention() -> object:
        return service.json("/fleet/summary")["attention"]

    assert attention() == {"message": "Nothing is monitored yet", "missing": [], "idle_watches": 0}
    for name in ("a", "b"):
        world.add_version(name)
        service.register(name)
    service.observe("a", observations=daily([*STEADY, 0.94, 0.95]))
    service.observe("b", observations=daily([0.9]))
    service.check()
    missing = [{"what": "1 point; a baseline needs 10, and 2 later points", "versions": 1}]
    assert attention() == {
        "message": "Nothing is drifting; 1 of 2 cannot be judged yet",
        "missing": missing,
        "idle_watches": 0,
    }
    service.observe("b", observations=daily([*STEADY, 0.94, 0.95])[1:])
    service.check()
    assert attention() == {"message": "Nothing needs attention", "missing": [], "idle_watches": 0}


@pytest.mark.parametrize("path", ["/fleet", "/fleet/models", "/fleet/summary", "/fleet?sort=verdict"])
def test_an_answer_is_known_by_its_etag_until_a_check_changes_a_verdict(fleet: Service, path: str) -> None:
    # What was registered last is judged too, so that after this only `good` changes.
    fleet.check()
    first = fleet.get(path)
    assert "X-Data-As-Of" in first.headers
    again = {"headers": {"If-None-Match": first.headers["ETag"]}}
    fleet.check()
    assert fleet.get(path, **again).status_code == 304
    fleet.observe("good", observations=daily([0.8, 0.81, 0.8], START - 30 * DAY_MS))
    fleet.check()
    assert fleet.get(path, **again).status_code == 200
    assert one(fleet, "good")["verdict"] == "drifting"


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("verdict=bad", "drifting"),
        ("verdict=", "verdict"),
        ("monitored=1", "monitored"),
        ("monitored=", "monitored"),
        ("finding=stale", "production_stale"),
        ("finding=no_owner", "production_stale"),
        ("sort=since", "-verdict"),
        ("sort=", "sort"),
        ("stage=Live", "Production"),
        ("tag=x", "key:value"),
        ("page=0", "page"),
        ("page_size=1001", "at most 1000 (MAX_MODELS_RETURNED)"),
    ],
)
def test_a_value_that_cannot_be_used_is_a_400_that_names_the_parameter(shared: Service, query: str, told: str) -> None:
    response = shared.get(f"/fleet?{query}")
    assert response.status_code == 400
    assert response.json["detail"].startswith(query.partition("=")[0])
    assert told in response.json["detail"]


def test_while_the_registrations_cannot_be_read_the_last_ones_are_shown_and_marked(
    fleet: Service, world: MemoryWorld
) -> None:
    world.delete_experiment("control-tower")
    fleet.refresh()
    for path in ("/fleet", "/fleet/models", "/fleet/summary", "/models/monitored"):
        assert fleet.get(path).headers["X-Data-Stale"] == "true"
    assert rows(fleet, "?verdict=drifting") == "bad2"
    fleet.observe("good", metrics={"accuracy": 0.94})
    fleet.refresh()
    assert "X-Data-Stale" not in fleet.get("/fleet").headers


def test_with_mlflow_down_the_fleet_is_served(fleet: Service, gateway: MemoryGateway) -> None:
    before = rows(fleet, "?sort=verdict")
    gateway.failure = MlflowUnavailable("MLflow is down.")
    assert rows(fleet, "?sort=verdict") == before


def test_of_the_sample_fleet_nothing_is_monitored(start: Callable[..., Service], gateway: MemoryGateway) -> None:
    gateway.failure = MlflowUnavailable("MLflow is down.")
    service = start(enable_mock_data=True)
    response = service.get("/fleet?monitored=false")
    assert response.headers["X-Data-Source"] == "mock"
    assert {row["verdict"] for row in response.json} == {None}
    assert service.json("/fleet?monitored=true") == []
    assert service.json("/fleet/summary")["monitored"] == 0


def test_without_a_cache_it_is_that_of_mlflow_now(start: Callable[..., Service], world: MemoryWorld) -> None:
    service = start(enable_cache=False)
    world.add_version("m", {"accuracy": 0.5})
    assert one(service, "m")["verdict"] is None
    service.register("m", settings={"limits": {"accuracy": {"min": 0.9}}})
    service.check()
    assert one(service, "m")["verdict"] == "degraded"
    assert service.json("/fleet/summary")["verdicts"]["degraded"] == 1
