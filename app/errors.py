"""The one place that turns errors into responses: a status and `{"detail": "..."}`."""

import logging
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, jsonify
from flask_smorest import Api
from marshmallow import Schema, fields
from werkzeug.exceptions import HTTPException

from app.domain.errors import Busy, Conflict, Forbidden, InvalidInput, NotFound, TooLarge, TowerError, Unauthorized
from app.domain.messages import BODY_TOO_LARGE, WHOLE
from app.logs import request_id

log = logging.getLogger(__name__)

# Subclasses have the status of their base. All other errors are MLflow's or this service's fault: 500.
_STATUS: dict[type[TowerError], int] = {
    InvalidInput: 400,
    Unauthorized: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    TooLarge: 413,
    Busy: 503,
}

_DETAILS = {
    404: "There is nothing at this address. /docs lists what there is.",
    413: BODY_TOO_LARGE,
}

BAD_INPUT = "page: Not a valid integer."
"""An example of what a 400 says."""


class ErrorSchema(Schema):
    """Every error."""

    detail = fields.String(
        required=True,
        metadata={
            "description": "What is wrong and what to do about it",
            "example": BAD_INPUT,
        },
    )


class TowerApi(Api):  # type: ignore[misc]  # flask-smorest has no types
    """flask-smorest with the contract's errors."""

    ERROR_SCHEMA = ErrorSchema
    # Every operation documents its own errors; a default response would hide a missing one.
    DEFAULT_ERROR_RESPONSE_NAME = None

    def handle_http_exception(self, error: HTTPException) -> Response:
        """Answer what Flask, werkzeug and webargs raise, and any crash, which Flask turns into a 500."""
        status = error.code or 500
        response: Response = jsonify(detail=_detail(error, status))
        # A body that is too large or malformed is bad input like any other.
        response.status_code = 400 if status in (413, 415, 422) else status
        for name, value in error.get_headers():
            if name not in ("Content-Type", "Content-Length"):
                response.headers[name] = value
        return response


def register_errors(app: Flask) -> None:
    """Have domain errors of all views answered."""

    @app.errorhandler(TowerError)
    def tower_error(error: TowerError) -> Response:
        response: Response = jsonify(detail=error.detail)
        response.status_code = status_of(error)
        if isinstance(error, Busy):
            response.headers["Retry-After"] = str(error.retry_after)
        return response


def status_of(error: TowerError) -> int:
    """The HTTP status of a domain error."""
    return next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 500)


def _detail(error: HTTPException, status: int) -> str:
    data: dict[str, Any] = getattr(error, "data", None) or {}
    if "messages" in data:
        lines = list(dict.fromkeys(_flat(data["messages"])))
        return next((line for line in lines if line in WHOLE), "; ".join(lines))
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = ", ".join(sorted(getattr(error, "valid_methods", None) or ()))
        return f"This address does not take that method. It takes {allowed}."
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return f"Internal error. The log says more at request id {request_id.get()}."
    return _DETAILS.get(status, error.description or error.name)


def _flat(messages: Any, field: str = "") -> list[str]:
    """webargs nests messages by place and field: `{"query": {"page": ["..."]}}`."""
    if isinstance(messages, dict):
        flat: list[str] = []
        for key, value in messages.items():
            inside = field if key in ("json", "query", "_schema") or isinstance(key, int) else str(key)
            flat += _flat(value, inside)
        return flat
    lines = messages if isinstance(messages, list) else [messages]
    return [str(line) if not field or line in WHOLE else f"{field}: {line}" for line in lines]
