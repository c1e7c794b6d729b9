"""Holds an answer against the OpenAPI document: documented status, documented shape, JSON that is valid."""

import gzip
import json
import re
from typing import Any

import zstandard
from flask import Flask
from jsonschema import FormatChecker
from openapi_schema_validator import OAS30Validator
from werkzeug.exceptions import HTTPException
from werkzeug.test import TestResponse

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z\Z", re.ASCII)
_METHODS = {"HEAD": "get"}
formats = FormatChecker(formats=())


@formats.checks("date-time")
def _is_moment(value: Any) -> bool:
    return not isinstance(value, str) or bool(_MOMENT.match(value))


def document_of(app: Flask) -> dict[str, Any]:
    """The OpenAPI document of an application; to make it takes as long as some hundred requests."""
    found: dict[str, Any] = app.extensions["flask-smorest"]["apis"][""]["ext_obj"].spec.to_dict()
    return found


def template_of(rule: str) -> str:
    """A route of Flask's as OpenAPI writes it."""
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule)


def validator(document: dict[str, Any], schema: dict[str, Any]) -> OAS30Validator:
    """Checks what the schema describes; its references are those of the document."""
    whole = {"allOf": [schema], "components": document["components"]}
    return OAS30Validator(whole, format_checker=formats)


def strict_json(text: str) -> Any:
    """JSON as the RFC has it: no NaN, no Infinity."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


# Documents differ only in which paths and which statuses they have: what one says of an answer, all say.
_documents: list[dict[str, Any]] = []
_validators: dict[tuple[str, str, int], tuple[str, OAS30Validator] | None] = {}


def _responses(document: dict[str, Any], template: str, method: str) -> dict[str, Any]:
    found: dict[str, Any] = document["paths"].get(template, {}).get(method, {}).get("responses", {})
    return found


def _documented(app: Flask, template: str, method: str, status: int) -> tuple[str, OAS30Validator] | None:
    """The media type that the document names, and what checks a body of it; None where there is no body."""
    key = (template, method, status)
    if key not in _validators:
        document = next((known for known in _documents if str(status) in _responses(known, template, method)), None)
        if document is None:
            document = document_of(app)
            _documents.append(document)
        responses = _responses(document, template, method)
        assert str(status) in responses, f"{method} {template} answers {status}, which is not documented"
        content = responses[str(status)].get("content")
        _validators[key] = None
        for media, told in (content or {}).items():
            _validators[key] = media, validator(document, told["schema"])
    return _validators[key]


def decoded(body: bytes, coding: str | None) -> bytes:
    """A body as it was before it was compressed."""
    if coding == "gzip":
        return gzip.decompress(body)
    return zstandard.ZstdDecompressor().decompress(body) if coding == "zstd" else body


def check(app: Flask, method: str, response: TestResponse) -> None:
    """Assert what holds for every answer, and what the document says of this one."""
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    is_page = response.mimetype == "text/html" and response.request.path.startswith("/ui/model/")
    if is_page and response.status_code >= 400:
        # Of all errors only this one is read by people: a page that says what is missing.
        assert (response.status_code, "There is no registered model" in response.text) == (404, True)
    if response.status_code >= 400 and method != "HEAD" and not is_page:
        error = strict_json(response.text)
        assert set(error) == {"detail"}
        assert error["detail"].strip()
    try:
        path = response.request.path
        rule, _ = app.url_map.bind("").match(path, method, return_rule=True)
    except HTTPException:
        return
    template = template_of(rule.rule)
    if method == "OPTIONS" or rule.endpoint.startswith(("static", "api-docs", "ui.")):
        return
    documented = _documented(app, template, _METHODS.get(method, method.lower()), response.status_code)
    if documented is not None and method != "HEAD":
        media, checker = documented
        assert response.mimetype == media
        text = decoded(response.data, response.headers.get("Content-Encoding")).decode()
        body = strict_json(text) if media == "application/json" else text
        problems = [f"{list(e.absolute_path)}: {e.message}" for e in checker.iter_errors(body)]
        assert not problems, f"{method} {response.request.path}: {problems}"
