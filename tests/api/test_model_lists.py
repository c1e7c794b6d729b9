"""The model lists: what is in them, in which order, and what each row says."""

from collections.abc import Callable

import pytest

from tests.api.service import Service
from tests.fakes.memory_mlflow import MemoryWorld

LISTS = ("/models", "/models/production", "/models/staging", "/models/all", "/models/monitored",
         "/models/monitored/classifier", "/models/monitored/regressor")  # fmt: skip


def test_a_row_tells_everything_about_a_version(service: Service, world: MemoryWorld) -> None:
    world.add_version(
        "DNA", {"accuracy": 0.945, "loss": None}, stage="Production", tags={"team": "genomics"}, description="Main"
    )
    world.set_alias("DNA", "best", 1)
    world.set_alias("DNA", "after", 1)
    assert service.json("/models") == [
        {
            "name": "DNA",
            "version": "1",
            "stage": "Production",
            "stage_source": "stage",
            "aliases": ["after", "best"],
            "creation_timestamp": "2023-11-14T22:13:20.004Z",
            "last_updated_timestamp": "2023-11-14T22:13:20.004Z",
            "description": "Main",
            "tags": {"team": "genomics"},
            "metrics": {"accuracy": 0.945, "loss": None},
            "model_type": "classifier",
            "owner": None,
            "run_id": world.run_of("DNA", 1),
            "monitored": False,
        }
    ]


def test_what_is_not_known_of_a_version_is_null_or_empty(service: Service, world: MemoryWorld) -> None:
    world.add_version("bare", with_run=False)
    row = service.row("bare")
    assert (row["run_id"], row["description"], row["model_type"]) == (None, None, None)
    assert (row["metrics"], row["tags"], row["aliases"]) == ({}, {}, [])


def test_all_lists_every_version_of_every_model_by_name_and_highest_version_first(
    service: Service, world: MemoryWorld
) -> None:
    for name in ("b", "B", "a"):
        for stage in ("Production", "Archived", "None"):
            world.add_version(name, stage=stage)
    for _ in range(8):
        world.add_version("a")
    assert service.keys("/models/all") == [
        *(("B", str(n)) for n in (3, 2, 1)),
        *(("a", str(n)) for n in range(11, 0, -1)),
        *(("b", str(n)) for n in (3, 2, 1)),
    ]


def test_the_lists_by_stage_hold_every_version_in_that_stage(service: Service, world: MemoryWorld) -> None:
    for stage in ("Production", "Production", "Staging", "Archived", "None"):
        world.add_version("m", stage=stage)
    assert service.keys("/models") == service.keys("/models/production") == [("m", "2"), ("m", "1")]
    assert service.keys("/models/staging") == [("m", "3")]


def test_an_alias_makes_a_stage_only_where_mlflow_has_none(service: Service, world: MemoryWorld) -> None:
    for stage in ("None", "None", "Archived", "None"):
        world.add_version("m", stage=stage)
    for version, alias in enumerate(("Champion", "challenger", "production", "other"), 1):
        world.set_alias("m", alias, version)
    told = {row["version"]: (row["stage"], row["stage_source"]) for row in service.json("/models/all")}
    assert told == {
        "1": ("Production", "alias"),
        "2": ("Staging", "alias"),
        "3": ("Archived", "stage"),
        "4": ("None", "stage"),
    }
    assert service.keys("/models") == [("m", "1")]
    assert service.keys("/models/staging") == [("m", "2")]


def test_which_aliases_make_a_stage_can_be_set(start: Callable[..., Service], world: MemoryWorld) -> None:
    service = start(production_aliases="live, Blue", staging_aliases="next")
    for alias in ("live", "blue", "next", "champion"):
        world.set_alias("m", alias, world.add_version("m"))
    assert service.keys("/models") == [("m", "2"), ("m", "1")]
    assert service.keys("/models/staging") == [("m", "3")]


@pytest.mark.parametrize(
    ("tags", "run_tags", "metrics", "expected"),
    [
        ({"model_type": "ranker"}, {"model_type": "regressor"}, {"accuracy": 1.0}, "ranker"),
        ({}, {"model_type": "regressor"}, {"accuracy": 1.0}, "regressor"),
        ({}, {}, {"val_rmse": 1.0}, "regressor"),
        ({}, {}, {"test_f1_score": 1.0, "rmse": 1.0}, None),
        ({}, {}, {"loss": 1.0}, None),
    ],
)
def test_a_type_comes_from_the_versions_tag_or_its_runs_or_the_metric_names(
    service: Service,
    world: MemoryWorld,
    tags: dict[str, str],
    run_tags: dict[str, str],
    metrics: dict[str, float | None],
    expected: str | None,
) -> None:
    world.add_version("m", metrics, tags=tags, run_tags=run_tags)
    assert service.row("m")["model_type"] == expected


def test_the_type_registered_for_monitoring_comes_before_all_others(service: Service, world: MemoryWorld) -> None:
    world.add_version("m", {"accuracy": 1.0}, tags={"model_type": "ranker"})
    assert service.register("m", model_type="regressor").status_code == 201
    assert service.row("m")["model_type"] == "regressor"
    assert service.keys("/models/all?model_type=regressor") == [("m", "1")]
    assert service.keys("/models/all?model_type=ranker") == []


def test_monitored_lists_hold_what_is_registered_by_type(service: Service, world: MemoryWorld) -> None:
    for name in ("b", "a", "a"):
        world.add_version(name)
    service.register("b", 1, "regressor")
    service.register("a", 1, "classifier")
    service.register("a", 2, "regressor")
    assert service.keys("/models/monitored") == [("a", "2"), ("a", "1"), ("b", "1")]
    assert service.keys("/models/monitored/classifier") == [("a", "1")]
    assert service.keys("/models/monitored/regressor") == [("a", "2"), ("b", "1")]
    assert {row["monitored"] for row in service.json("/models/monitored")} == {True}


def test_an_empty_list_is_empty_and_says_so(service: Service) -> None:
    for path in LISTS:
        response = service.get(path)
        assert response.json == [], path
        assert response.headers["X-Pagination"] == '{"total":0,"total_pages":0}', path


def test_a_list_that_is_cut_says_so(start: Callable[..., Service], world: MemoryWorld) -> None:
    service = start(max_models_returned=2)
    for _ in range(5):
        world.add_version("m")
    response = service.get("/models/all")
    assert [row["version"] for row in response.json] == ["5", "4"]
    assert response.headers["X-Pagination"] == (
        '{"total":5,"total_pages":3,"first_page":1,"last_page":3,"page":1,"next_page":2}'
    )


def test_versions_of_a_deleted_model_leave_the_lists_with_the_next_refresh(
    service: Service, world: MemoryWorld
) -> None:
    world.add_version("stays")
    world.add_version("goes")
    assert len(service.json("/models/all")) == 2
    world.delete_model("goes")
    service.refresh()
    assert service.keys("/models/all") == [("stays", "1")]


def test_rows_that_cannot_be_read_are_counted_and_the_rest_is_served(service: Service, world: MemoryWorld) -> None:
    world.add_version("m")
    service.gateway.unreadable = 3
    assert service.keys("/models/all") == [("m", "1")]
    assert service.json("/cache/info")["cache_info"]["unreadable_rows"] == 3
