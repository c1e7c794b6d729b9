"""Taking requests apart: the contract's 400 for everything that cannot be used."""

from typing import Any

import marshmallow as ma
import orjson
from flask import Request, request
from flask_smorest import Blueprint
from webargs.flaskparser import FlaskParser

from app.domain.errors import InvalidInput


class Parser(FlaskParser):
    """webargs with 400 for 422, and with a body that must be a JSON object."""

    DEFAULT_VALIDATION_STATUS = 400
    # An unknown parameter is ignored, an unknown body field is a mistake worth telling.
    DEFAULT_UNKNOWN_BY_LOCATION = {"json": ma.RAISE, "query": ma.EXCLUDE}

    def load_json(self, req: Request, schema: ma.Schema) -> Any:
        if not req.is_json:
            raise InvalidInput("Send a JSON object, with the header Content-Type: application/json.")
        try:
            body = orjson.loads(req.get_data())
        except orjson.JSONDecodeError as error:
            raise InvalidInput(f"The body is not valid JSON: {error}.") from None
        if not isinstance(body, dict):
            raise InvalidInput("The body must be a JSON object.")
        return body


class TowerBlueprint(Blueprint):  # type: ignore[misc]
    """A flask-smorest blueprint that parses as the contract says."""

    ARGUMENTS_PARSER = Parser()


def refuse_broken_path() -> None:
    """A path that is not UTF-8 names nothing; werkzeug would put replacement characters in it."""
    try:
        request.environ["PATH_INFO"].encode("latin-1").decode("utf-8")
    except UnicodeError:
        raise InvalidInput("The path is not valid UTF-8. Percent-encode names as UTF-8.") from None
