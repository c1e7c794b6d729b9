"""The OpenAPI document: valid, complete, with examples that hold, and nothing from another host."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from openapi_spec_validator import validate

from app.access import OPEN
from tests.api.conforms import document_of, template_of, validator
from tests.api.service import Service

Operation = dict[str, Any]


@pytest.fixture(scope="module")
def document(shared: Service) -> dict[str, Any]:
    return document_of(shared.app)


def operations(document: dict[str, Any]) -> Iterator[tuple[str, Operation]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield f"{method} {path}", operation


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    validate(document)
    assert len(document["paths"]) >= 22


def test_the_address_serves_the_document(shared: Service, document: dict[str, Any]) -> None:
    assert json.loads(shared.get("/openapi.json").text) == json.loads(json.dumps(document))


def test_every_route_is_in_it(shared: Service, document: dict[str, Any]) -> None:
    served = {
        f"{method.lower()} {template_of(rule.rule)}"
        for rule in shared.app.url_map.iter_rules()
        if not rule.endpoint.startswith(("static", "api-docs", "ui."))
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert {name for name, _ in operations(document)} == served


def test_every_operation_has_a_summary_and_an_example_that_fits_its_schema(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        assert operation["summary"], name
        shown = [r for s, r in operation["responses"].items() if s in ("200", "201")]
        assert len(shown) == 1, name
        ((media, content),) = shown[0]["content"].items()
        assert media == ("text/plain" if name in ("get /metrics", "get /gate.py") else "application/json"), name
        problems = [error.message for error in validator(document, content["schema"]).iter_errors(content["example"])]
        assert problems == [], name


def numbers(value: Any) -> Iterator[float]:
    """All numbers in a JSON value."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from numbers(inner)
    elif isinstance(value, int | float):
        yield value


def test_no_time_in_an_example_is_a_number(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        contents = [content for r in operation["responses"].values() for content in r.get("content", {}).values()]
        shown = [content.get("example") for content in contents]
        assert [number for number in numbers(shown) if number > 1e9] == [], name


def test_every_body_that_is_sent_has_an_example_that_fits_its_schema(document: dict[str, Any]) -> None:
    bodies = {
        name: operation["requestBody"]["content"]["application/json"]
        for name, operation in operations(document)
        if "requestBody" in operation
    }
    assert set(bodies) == {
        "post /models/{model_name}/{model_version}/monitor",
        "patch /models/{model_name}/{model_version}/monitor",
        "post /models/{model_name}/{model_version}/monitor/preview",
        "post /models/{model_name}/{model_version}/acknowledgement",
        "post /models/{model_name}/{model_version}/mutes",
        "post /models/{model_name}/{model_version}/comments",
        "post /observations",
        "post /monitoring/rules",
        "post /model/{model_name}/promotions",
        "post /model/{model_name}/promotions/{promotion_id}/approvals",
        "post /model/{model_name}/rollback",
        "put /monitoring/rules/{rule_name}",
        "post /models/{model_name}/{model_version}/observations",
        "put /models/{model_name}/{model_version}/reference",
        "post /models/{model_name}/{model_version}/batches",
        "post /models/{model_name}/{model_version}/labels",
        *(
            f"{method} /models/{{model_name}}/{where}/{what}"
            for where in ("aliases/{alias}", "stages/{stage}")
            for method, what in (("post", "monitor"), ("patch", "monitor"), ("post", "observations"))
        ),
    }
    for content in bodies.values():
        named = content.get("examples", {}).values()
        examples = [example["value"] for example in named] or [content["example"]]
        assert [list(validator(document, content["schema"]).iter_errors(one)) for one in examples] == [[]] * len(
            examples
        )


def test_every_operation_documents_its_errors_each_with_an_example(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        errors = {status: r for status, r in operation["responses"].items() if status >= "400"}
        needed = set() if operation["x-role"] == OPEN else {"401", "403", "500"}
        if "{" in name and not name.endswith("/status"):
            needed.add("404")
        if "parameters" in operation or "requestBody" in operation or "{" in name:
            needed.add("400")
        assert needed <= set(errors), name
        for error in errors.values():
            content = error["content"]["application/json"]
            assert content["schema"] == {"$ref": "#/components/schemas/Error"}, name
            assert content["example"]["detail"], name


def test_every_cached_get_documents_its_304(document: dict[str, Any]) -> None:
    cached = {name for name, operation in operations(document) if "304" in operation["responses"]}
    assert cached == {
        "get /models", "get /models/production", "get /models/staging", "get /models/all", "get /models/monitored",
        "get /models/monitored/classifier", "get /models/monitored/regressor", "get /model/{model_name}/versions",
        "get /experiments", "get /dashboard/summary", "get /monitoring", "get /monitoring/history",
        "get /models/findings", "get /fleet", "get /fleet/models", "get /fleet/summary",
        "get /history", "get /model/{model_name}/history", "get /model/{model_name}/state",
        "get /model/{model_name}/holders", "get /monitoring/rules",
        "get /monitoring/rules/{rule_name}/versions", "get /promotions", "get /model/{model_name}/promotions",
        "get /monitoring/watches",
        "get /models/{model_name}/{model_version}/reference", "get /models/{model_name}/{model_version}/data-drift",
        "get /model/{model_name}/data-drift",
    }  # fmt: skip


def test_every_field_and_parameter_is_described(document: dict[str, Any]) -> None:
    missing = [
        f"{name}.{field}"
        for name, schema in document["components"]["schemas"].items()
        if name != "PaginationMetadata"  # flask-smorest's own
        for field, told in schema["properties"].items()
        if "description" not in told and "$ref" not in json.dumps(told)
    ]
    missing += [
        f"{name} {parameter['name']}"
        for name, operation in operations(document)
        for parameter in operation.get("parameters", [])
        if "description" not in parameter
    ]
    assert missing == []


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_the_pages_load_what_the_service_itself_serves(shared: Service, path: str) -> None:
    page = shared.get(path).text
    loaded = re.findall(r'(?:src|href|spec-url|data-url)="([^"]*)"', page)
    assert len(loaded) >= 3
    for address in loaded:
        assert address.startswith("/"), address
        assert not address.startswith("//"), address
        assert shared.get(address).status_code == 200, address


def test_the_document_refers_to_no_other_host(document: dict[str, Any]) -> None:
    assert "servers" not in document
    addresses = set(re.findall(r"https?://[^\s\"`]+", json.dumps(document)))
    assert addresses == {"https://your-mlflow-server.com"}  # an example of a tracking URI
