"""Filtering, sorting and paging the lists, and what is said to a query that cannot be used."""

import json
from collections.abc import Callable
from urllib.parse import quote, urlencode

import pytest

from tests.api.service import Service
from tests.fakes.memory_mlflow import MemoryGateway, MemoryWorld


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Service:
    """Five versions of three models, made in the order Zebra 1, ant 1, ant 2, Straße 1, ant 3."""
    service = Service(tmp_path_factory.mktemp("fleet"), MemoryGateway())
    world = service.world
    world.add_version(
        "Zebra", {"rmse": 1.0}, stage="Production", tags={"team": "a", "url": "http://x:1/", "Owner": " Ünal & Söhne "}
    )
    world.add_version("ant", {"f1": 1.0}, stage="Archived", tags={"team": "a"})
    world.add_version("ant", {"f1": 1.0}, tags={"team": "b", "empty": "", "naïve": "ü&="})
    world.add_version("Straße", stage="Staging")
    world.add_version("ant", {"f1": 1.0})
    world.set_alias("ant", "champion", 2)
    world.set_stage("Zebra", 1, "Staging")
    world.tag_model("ant", "owner", "a")
    return service


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, "Straße1 Zebra1 ant3 ant2 ant1"),
        ({"name": "AN"}, "ant3 ant2 ant1"),
        ({"name": "STRASSE"}, "Straße1"),
        ({"name": ""}, "Straße1 Zebra1 ant3 ant2 ant1"),
        ({"name": "%"}, ""),
        ({"stage": "staging"}, "Straße1 Zebra1"),
        ({"stage": "PRODUCTION"}, "ant2"),
        ({"stage": "none"}, "ant3"),
        ({"stage": "Archived"}, "ant1"),
        ({"alias": "champion"}, "ant2"),
        ({"alias": "nobody"}, ""),
        ({"model_type": "regressor"}, "Zebra1"),
        ({"model_type": "no such type"}, ""),
        ({"tag": "team:a"}, "Zebra1 ant1"),
        ({"tag": "url:http://x:1/"}, "Zebra1"),
        ({"tag": "empty:"}, "ant2"),
        ({"tag": "naïve:ü&="}, "ant2"),
        ({"tag": ["team:b", "empty:"]}, "ant2"),
        ({"tag": ["team:a", "team:b"]}, ""),
        ({"owner": "a"}, "ant3 ant2 ant1"),
        ({"owner": "A"}, ""),
        ({"owner": "Ünal & Söhne"}, "Zebra1"),
        ({"owner": ""}, "Straße1"),
        ({"owner": ["", "a"]}, "Straße1 ant3 ant2 ant1"),
        ({"owner": "a", "tag": "team:b"}, "ant2"),
        ({"sort": "name"}, "Straße1 Zebra1 ant3 ant2 ant1"),
        ({"sort": "-name"}, "ant3 ant2 ant1 Zebra1 Straße1"),
        ({"sort": "creation_timestamp"}, "Zebra1 ant1 ant2 Straße1 ant3"),
        ({"sort": "-creation_timestamp"}, "ant3 Straße1 ant2 ant1 Zebra1"),
        ({"sort": "last_updated_timestamp"}, "ant1 ant2 Straße1 ant3 Zebra1"),
        ({"sort": "-last_updated_timestamp"}, "Zebra1 ant3 Straße1 ant2 ant1"),
        ({"page": 1, "page_size": 2}, "Straße1 Zebra1"),
        ({"page": 3, "page_size": 2}, "ant1"),
        ({"page_size": 2}, "Straße1 Zebra1"),
        ({"page": 4, "page_size": 2}, ""),
        ({"page": 2}, ""),
        ({"page": 1_000_000_000}, ""),
        ({"name": "ant", "sort": "creation_timestamp", "page": 2, "page_size": 2}, "ant3"),
        ({"no_such_parameter": "x", "limit": "-1"}, "Straße1 Zebra1 ant3 ant2 ant1"),
    ],
)
def test_a_query_chooses_orders_and_pages(fleet: Service, query: dict[str, object], expected: str) -> None:
    found = fleet.keys(f"/models/all?{urlencode(query, doseq=True)}")
    assert " ".join(name + version for name, version in found) == expected


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("page=0", "page"),
        ("page=-1", "page"),
        ("page=one", "page"),
        ("page=", "page"),
        ("page=1.5", "page"),
        ("page=99999999999999999999", "page"),
        ("page_size=0", "page_size"),
        ("page_size=x", "page_size"),
        ("page_size=1001", "at most 1000 (MAX_MODELS_RETURNED)"),
        ("stage=Live", "None, Staging, Production, Archived"),
        ("stage=", "None, Staging, Production, Archived"),
        ("tag=team", "key:value"),
        ("tag=", "key:value"),
        ("tag=team:a&tag=team", "key:value"),
        ("sort=version", "name, creation_timestamp, last_updated_timestamp"),
        ("sort=--name", "-creation_timestamp"),
        ("sort=", "sort"),
    ],
)
@pytest.mark.parametrize("path", ["/models/all", "/models/monitored/regressor"])
def test_a_value_that_cannot_be_used_is_a_400_that_names_the_parameter(
    shared: Service, path: str, query: str, told: str
) -> None:
    response = shared.get(f"{path}?{query}")
    assert response.status_code == 400
    assert response.json["detail"].startswith(query.partition("=")[0])
    assert told in response.json["detail"]


def test_every_bad_value_is_told_at_once(shared: Service) -> None:
    detail = shared.get("/models?page=0&page_size=x&sort=up").json["detail"]
    assert [name for name in ("page:", "page_size:", "sort:") if name not in detail] == []


def test_what_is_wrong_with_many_values_of_one_parameter_is_told_once(shared: Service) -> None:
    detail = shared.get("/models?" + "tag=team&" * 300).json["detail"]
    assert detail == "tag: Write it as key:value."


@pytest.mark.parametrize(
    "path",
    ["/models", "/models/production", "/models/staging", "/models/all", "/models/monitored",
     "/models/monitored/classifier", "/models/monitored/regressor"],
)  # fmt: skip
def test_every_list_takes_the_query(service: Service, world: MemoryWorld, path: str) -> None:
    stage = "Staging" if "staging" in path else "Production"
    model_type = "regressor" if "regressor" in path else "classifier"
    for name in ("aa", "ab", "b"):
        world.add_version(name, stage=stage)
        service.register(name, model_type=model_type)
    found = service.get(f"{path}?name=A&sort=-name&page=2&page_size=1")
    assert [row["name"] for row in found.json] == ["aa"]
    assert json.loads(found.headers["X-Pagination"])["total"] == 2


def test_the_header_tells_where_a_page_lies(fleet: Service) -> None:
    told = [
        json.loads(fleet.get(f"/models/all?page_size=2&page={page}").headers["X-Pagination"]) for page in range(1, 6)
    ]
    common = {"total": 5, "total_pages": 3, "first_page": 1, "last_page": 3}
    assert told == [
        {**common, "page": 1, "next_page": 2},
        {**common, "page": 2, "previous_page": 1, "next_page": 3},
        {**common, "page": 3, "previous_page": 2},
        {**common, "page": 4, "previous_page": 3},
        {**common, "page": 5},
    ]


def test_a_page_is_as_large_as_it_may_be_where_its_size_is_not_said(
    start: Callable[..., Service], world: MemoryWorld
) -> None:
    service = start(max_models_returned=3)
    for _ in range(5):
        world.add_version("m")
    assert [version for _, version in service.keys("/models/all?page=2")] == ["2", "1"]
    assert service.get("/models/all?page_size=4").status_code == 400


def test_bytes_that_are_no_text_match_nothing_and_break_nothing(fleet: Service) -> None:
    assert fleet.keys("/models/all?name=%FF%FE") == []
    assert fleet.keys(f"/models/all?name={quote(chr(0))}") == []


def test_answers_stay_right_however_many_different_ones_are_asked_for(fleet: Service) -> None:
    for _ in range(2):
        for size in range(1, 80):
            assert len(fleet.json(f"/models/all?page_size={size}")) == min(size, 5)


@pytest.mark.parametrize("value", ["1_0", "１", "+1", " 1 ", "1.0", "0x1", "1e1"])
def test_a_number_is_written_in_plain_digits(service: Service, value: str) -> None:
    assert service.get("/models", query_string={"page": value}).status_code == 400
