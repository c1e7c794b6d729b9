"""Making responses of answers: headers that tell the data's age, ETag and 304."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, TypeVar

import orjson
from flask import Response, request

from app.domain.times import rfc3339
from app.errors import ErrorSchema
from app.parsing import TowerBlueprint
from app.services.catalogue import Answer
from app.wiring import tower

F = TypeVar("F", bound=Callable[..., Any])

JSON = "application/json"

_TEXT = {
    400: ("Bad input", "page: Not a valid integer."),
    401: (
        "No access key, or an unknown one",
        "This needs an access key: send it as Authorization: Bearer KEY.",
    ),
    403: ("The key's role does not allow this", "This needs a key with the role write; yours has read."),
    404: ("Not found", "Model not found in MLflow"),
    500: (
        "MLflow cannot be reached, or an internal error",
        "MLflow did not answer within 20 s. Try again later.",
    ),
    503: ("Nothing to serve yet", "Nothing has been read from MLflow yet. Try again shortly."),
}

AGE_HEADERS = {
    "X-Data-As-Of": {
        "description": "Time of the data, RFC 3339",
        "schema": {"type": "string", "format": "date-time"},
    },
    "X-Data-Stale": {
        "description": "`true` when the data is older than `CACHE_MAX_AGE_HOURS`; else absent",
        "schema": {"type": "string"},
    },
    "X-Data-Source": {
        "description": "`mock` for the sample fleet; else absent",
        "schema": {"type": "string"},
    },
    "ETag": {"description": "Send it as `If-None-Match` to get a 304", "schema": {"type": "string"}},
}
PAGE_HEADERS = {
    **AGE_HEADERS,
    "X-Pagination": {
        "description": 'JSON: `{"total": 784, "total_pages": 16, "page": 1, "next_page": 2, ...}`',
        "schema": {"type": "string"},
    },
}


def answered(answer: Answer) -> Response:
    """A cached answer: its bytes, or 304 when the client has them."""
    response = Response(answer.body, mimetype=JSON)
    response.set_etag(answer.etag)
    headers = response.headers
    headers["Cache-Control"] = "no-cache"
    headers["X-Data-As-Of"] = rfc3339(answer.as_of)
    if answer.stale:
        headers["X-Data-Stale"] = "true"
    if answer.mock:
        headers["X-Data-Source"] = "mock"
    if answer.pagination is not None:
        headers["X-Pagination"] = orjson.dumps(answer.pagination).decode()
    response.make_conditional(request)
    return response


def live(body: Any, status: int = 200) -> Response:
    """What was read just now."""
    response = Response(orjson.dumps(body), status, mimetype=JSON)
    response.headers["X-Data-As-Of"] = rfc3339(tower().clock())
    return response


def errors(blp: TowerBlueprint, *statuses: int, not_found: str | None = None) -> Callable[[F], F]:
    """Document an operation's errors, and those that every operation with a role has."""

    def document(view: F) -> F:
        for status in sorted({*statuses, 401, 403, 500}):
            description, example = _TEXT[status]
            if status == HTTPStatus.NOT_FOUND and not_found:
                example = not_found
            view = blp.alt_response(status, schema=ErrorSchema, description=description, example={"detail": example})(
                view
            )
        return view

    return document


def not_modified(blp: TowerBlueprint) -> Callable[[F], F]:
    """Document the 304 of a cached GET."""
    decorate: Callable[[F], F] = blp.alt_response(304, description="You have it already", success=True)
    return decorate
