"""`/models/findings`, as a client reads it."""

import json
from collections.abc import Callable
from urllib.parse import quote

import pytest

from app.domain.errors import MlflowUnavailable
from app.domain.times import DAY_MS
from tests.api.service import Service
from tests.fakes.memory_mlflow import MemoryGateway, MemoryWorld

PATH = "/models/findings"


def found(service: Service, query: str = "") -> list[tuple[str, str, str | None]]:
    return [(row["finding"], row["name"], row["version"]) for row in service.json(f"{PATH}?{query}")]


@pytest.fixture
def disorder(world: MemoryWorld) -> MemoryWorld:
    """Two models with much out of order, and one with nothing."""
    world.add_model("Good", {"owner": "ada"})
    world.add_version("Good")
    world.add_model("bad", {"owner": "ada"})
    world.add_version("bad", stage="Production", with_run=False)
    world.add_version("bad", stage="Production")
    world.add_version("bad", stage="Archived")
    world.set_alias("bad", "champion", 3)
    world.add_version("worse")
    return world


def test_each_finding_names_the_model_and_what_to_do(service: Service, disorder: MemoryWorld) -> None:
    assert found(service) == [
        ("several_in_production", "bad", None),
        ("production_without_monitor", "bad", "1"),
        ("production_without_run", "bad", "1"),
        ("production_without_monitor", "bad", "2"),
        ("stage_alias_conflict", "bad", "3"),
        ("no_owner", "worse", None),
    ]
    assert found(service, "owner=") == [("no_owner", "worse", None)]
    assert service.json(f"{PATH}?finding=several_in_production") == [
        {
            "finding": "several_in_production",
            "name": "bad",
            "version": None,
            "detail": "2 versions are in Production: 1 and 2.",
            "action": "Keep the version that serves in Production; archive the others, or remove their aliases.",
            "owner": "ada",
        }
    ]


def test_doing_what_a_finding_says_makes_it_go_away(service: Service, world: MemoryWorld) -> None:
    world.add_model("a b/ü", {"owner": "ada"})
    world.add_version("a b/ü", stage="Production")
    ((_, _, version),) = found(service)
    address = service.json(PATH)[0]["action"].removeprefix("Register it for monitoring: POST ").removesuffix(".")
    assert address == f"/models/{quote('a b/ü', safe='')}/{version}/monitor"
    world.add_model("a b", {"owner": "ada"})
    world.add_version("a b", stage="Production")
    service.refresh()
    assert service.register("a b").status_code == 201
    assert found(service, "name=a%20b") == [("production_without_monitor", "a b/ü", "1")]


def test_a_version_that_has_not_changed_for_too_long_is_found_as_of_the_snapshot(
    start: Callable[..., Service], world: MemoryWorld
) -> None:
    service = start(stale_after_days=30)
    world.add_model("m", {"owner": "ada"})
    world.add_version("m", stage="Production")
    assert found(service, "finding=production_stale") == []
    world.now += 31 * DAY_MS
    assert found(service, "finding=production_stale") == []
    service.refresh()
    assert found(service, "finding=production_stale") == [("production_stale", "m", "1")]
    world.describe_version("m", 1, "Checked, still good.")
    service.refresh()
    assert found(service, "finding=production_stale") == []


def test_the_default_is_180_days_and_with_0_nothing_is_stale(start: Callable[..., Service], world: MemoryWorld) -> None:
    world.add_version("m", stage="Production")
    service, never = start(), start(stale_after_days=0)
    world.now += 180 * DAY_MS - 60_000
    service.refresh()
    assert found(service, "finding=production_stale") == []
    world.now += 2 * 60_000
    service.refresh()
    assert found(service, "finding=production_stale") == [("production_stale", "m", "1")]
    assert found(never, "finding=production_stale") == []


def test_findings_come_in_pages(service: Service, world: MemoryWorld) -> None:
    for number in range(5):
        world.add_version(f"m{number}")
    response = service.get(f"{PATH}?page=2&page_size=2")
    assert [row["name"] for row in response.json] == ["m2", "m3"]
    assert json.loads(response.headers["X-Pagination"]) == {
        "total": 5, "total_pages": 3, "first_page": 1, "last_page": 3, "page": 2, "previous_page": 1, "next_page": 3,
    }  # fmt: skip
    assert len(service.json(f"{PATH}?name=M")) == 5
    assert service.json(f"{PATH}?page=9") == []


def test_a_list_of_them_is_known_by_its_etag_until_something_changes(service: Service, disorder: MemoryWorld) -> None:
    first = service.get(PATH)
    again = {"headers": {"If-None-Match": first.headers["ETag"]}}
    assert service.get(PATH, **again).status_code == 304
    assert "X-Data-As-Of" in first.headers
    service.register("bad", 1)
    assert service.get(PATH, **again).status_code == 200
    assert ("production_without_monitor", "bad", "1") not in found(service)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("finding=", "finding"),
        ("finding=No_Owner", "finding"),
        ("finding=stale", "production_stale"),
        ("page=0", "page"),
        ("page_size=1001", "at most 1000 (MAX_MODELS_RETURNED)"),
        ("page_size=x", "page_size"),
    ],
)
def test_a_value_that_cannot_be_used_is_a_400_that_names_the_parameter(shared: Service, query: str, told: str) -> None:
    response = shared.get(f"{PATH}?{query}")
    assert response.status_code == 400
    assert told in response.json["detail"]


def test_with_mlflow_down_the_findings_of_the_snapshot_are_served(
    service: Service, disorder: MemoryWorld, gateway: MemoryGateway
) -> None:
    before = found(service)
    gateway.failure = MlflowUnavailable("MLflow is down.")
    assert found(service) == before


def test_a_version_is_not_called_unmonitored_because_the_registrations_cannot_be_read(
    service: Service, disorder: MemoryWorld, gateway: MemoryGateway
) -> None:
    service.register("bad", 1)
    service.register("bad", 2)
    service.refresh()
    disorder.delete_experiment("control-tower")
    service.refresh()
    response = service.get(f"{PATH}?finding=production_without_monitor")
    assert (response.json, response.headers["X-Data-Stale"]) == ([], "true")


def test_the_sample_fleet_has_findings_and_is_marked_as_one(
    start: Callable[..., Service], gateway: MemoryGateway
) -> None:
    gateway.failure = MlflowUnavailable("MLflow is down.")
    response = start(enable_mock_data=True).get(PATH)
    assert response.headers["X-Data-Source"] == "mock"
    assert ("no_owner", "sample-churn") in [(row["finding"], row["name"]) for row in response.json]


def test_without_a_cache_they_are_those_of_mlflow_now(start: Callable[..., Service], world: MemoryWorld) -> None:
    service = start(enable_cache=False)
    world.add_version("m")
    assert found(service) == [("no_owner", "m", None)]
    world.tag_model("m", "Owner", "ada")
    assert found(service) == []
