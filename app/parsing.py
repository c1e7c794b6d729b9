"""Parsing requests: whatever cannot be used is answered with the contract's 400."""

import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from io import BytesIO
from typing import TYPE_CHECKING, Any

import marshmallow as ma
import orjson
from flask import Request, request
from flask_smorest import Blueprint
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import ClientDisconnected

from app.domain.bodies import GZIP, GZIP_WINDOW, MOST_BODY_BYTES, MOST_DRAINED_BYTES, PLAIN
from app.domain.errors import InvalidInput
from app.domain.messages import BODY_CUT_SHORT, BODY_DAMAGED, BODY_TOO_LARGE, OTHER_CODING

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_INFLATES_TOO_LARGE = "The request body is too large after inflating: at most 1 MiB."
_ESCAPED_NUL = b"\\u0000"
_PIECE = 4096


class Parser(FlaskParser):
    """webargs that answers 400 instead of 422, and whose body must be a JSON object."""

    DEFAULT_VALIDATION_STATUS = 400
    # An unknown query parameter is ignored; an unknown body field is reported as a mistake.
    DEFAULT_UNKNOWN_BY_LOCATION = {"json": ma.RAISE, "query": ma.EXCLUDE}  # noqa: RUF012 - webargs has it so

    def load_json(self, req: Request, schema: ma.Schema) -> Any:  # noqa: ARG002 - webargs hands it over
        if not req.is_json:
            raise InvalidInput("Send a JSON object, with the header Content-Type: application/json.")
        try:
            data = req.get_data()
            body = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise InvalidInput(f"The body is not valid JSON: {error}.") from None
        if not isinstance(body, dict):
            raise InvalidInput("The body must be a JSON object.")
        if _ESCAPED_NUL in data and _has_nul(body):
            raise InvalidInput("The body has the character U+0000 in a text, which no database takes: leave it out.")
        return body


def _has_nul(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_nul(part) for pair in value.items() for part in pair)
    if isinstance(value, list):
        return any(map(_has_nul, value))
    return isinstance(value, str) and "\0" in value


class TowerBlueprint(Blueprint):  # type: ignore[misc]  # flask-smorest has no types
    """A flask-smorest blueprint that parses as the contract says, and shows an example of every answer."""

    ARGUMENTS_PARSER = Parser()

    def arguments(self, schema: type[ma.Schema], *, location: str = "json", **options: Any) -> Any:
        """As in flask-smorest; a request without a query string skips the parser, a third of its cost."""
        declare = super().arguments(schema, location=location, **options)
        if location != "query" or any(field.required for field in schema().fields.values()):
            return declare
        nothing = schema().load({})

        def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
            parsed = declare(view)

            @wraps(parsed)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                return parsed(*args, **kwargs) if request.query_string else view(*args, nothing, **kwargs)

            return wrapper

        return decorate

    def response(self, status_code: int, schema: Any = None, **options: Any) -> Any:
        """As in flask-smorest, but only documents; the example is built from the examples of the schema's fields."""
        made = schema() if isinstance(schema, type) else schema
        return _documented(super().response(status_code, made, example=example_of(made), **options))

    def text(self, status_code: int, example: str, **options: Any) -> Any:
        """Like `response`, for plain text."""
        plain = {"type": "string"}
        declare = super().response(status_code, plain, content_type="text/plain", example=example, **options)
        return _documented(declare)

    def alt_response(self, status_code: int, *args: Any, **options: Any) -> Any:
        """As in flask-smorest, but only documents."""
        return _documented(super().alt_response(status_code, *args, **options))

    @staticmethod
    def _make_doc_response_schema(schema: ma.Schema | None) -> ma.Schema | None:
        """Have all copies of the documentation share the schema.

        flask-smorest copies a view's documentation, deep, with each decorator: the schemas took half of the time and
        a fifth of the memory of a start.
        """
        if isinstance(schema, ma.Schema):
            schema.__deepcopy__ = lambda _: schema  # type: ignore[attr-defined]  # where `copy` looks for it
        return schema


def _documented(decorate: Callable[..., Any]) -> Callable[..., Any]:
    """Keep the documentation of a flask-smorest decorator, not its wrapper: views here make their responses.

    It decorates an empty function, since flask-smorest copies all documentation of a view with each decorator.
    """
    added = decorate(lambda: None)._apidoc

    def document(view: Callable[..., Any]) -> Callable[..., Any]:
        known = view.__dict__.setdefault("_apidoc", {})
        answers = known.setdefault("response", {}).setdefault("responses", {})
        for status, documents in added["response"]["responses"].items():
            answers.setdefault(status, []).extend(documents)
        known.setdefault("success_status_codes", []).extend(added.get("success_status_codes", ()))
        return view

    return document


def example_of(schema: ma.Schema) -> Any:
    """An example of a schema, built from the examples of its fields."""
    example = {field.data_key or name: _field_example(field) for name, field in schema.fields.items()}
    return [example] if schema.many else example


def _field_example(field: ma.fields.Field[Any]) -> Any:
    if isinstance(field, ma.fields.Nested):
        return example_of(field.schema)
    if isinstance(field, ma.fields.List) and isinstance(field.inner, ma.fields.Nested):
        return [example_of(field.inner.schema)]
    return field.metadata["example"]


def refuse_broken_path() -> None:
    """Raise `InvalidInput` for a path that is not UTF-8; werkzeug would put replacement characters in it."""
    try:
        request.environ["PATH_INFO"].encode("latin-1").decode("utf-8")
    except UnicodeError:
        raise InvalidInput("The path is not valid UTF-8. Percent-encode names as UTF-8.") from None


def take_body() -> None:
    """Read the body before anything is answered, whatever the answer will be. Raises `InvalidInput`.

    After its answer gunicorn drains only 64 KiB of an unread body and then closes the connection, on which the client
    may already have sent its next request.
    """
    environ = request.environ
    length = request.content_length or 0
    is_chunked = not length and "HTTP_TRANSFER_ENCODING" in environ
    coding = environ.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    try:
        if coding not in PLAIN and length <= MOST_BODY_BYTES:
            body = environ["wsgi.input"].read(MOST_BODY_BYTES + 1 if is_chunked else length)
            length = len(body)
            if length <= MOST_BODY_BYTES:
                _put(environ, decoded(body, coding))
        elif is_chunked:
            # A chunked body declares no length, and werkzeug silently cuts it at the limit.
            length = len(request.get_data()) + 1
        elif 0 < length <= MOST_BODY_BYTES:
            request.get_data()
    except (OSError, ClientDisconnected):
        raise InvalidInput(BODY_CUT_SHORT) from None
    if length > MOST_BODY_BYTES:
        # The answer is known, whatever becomes of the rest.
        with suppress(OSError):
            _drain(environ["wsgi.input"], MOST_DRAINED_BYTES)
        raise InvalidInput(BODY_TOO_LARGE)


def decoded(body: bytes, coding: str) -> bytes:
    """Decompress a body, which may have several gzip members. Raises `InvalidInput`, also beyond the limit."""
    if coding not in GZIP:
        raise InvalidInput(OTHER_CODING)
    plain, member = bytearray(), None
    # In pieces, since the end of each member copies the rest of the input it was given.
    for start in range(0, len(body), _PIECE):
        piece = body[start : start + _PIECE]
        while piece:
            member = member or zlib.decompressobj(GZIP_WINDOW)
            try:
                plain += member.decompress(piece, MOST_BODY_BYTES + 1 - len(plain))
            except zlib.error:
                raise InvalidInput(BODY_DAMAGED) from None
            if len(plain) > MOST_BODY_BYTES:
                raise InvalidInput(_INFLATES_TOO_LARGE)
            piece = member.unused_data
            member = None if member.eof else member
    if member is not None:
        raise InvalidInput(BODY_DAMAGED)
    return bytes(plain)


def _put(environ: "WSGIEnvironment", body: bytes) -> None:
    """Replace the request's body, for all later readers."""
    for name in ("HTTP_CONTENT_ENCODING", "HTTP_TRANSFER_ENCODING"):
        environ.pop(name, None)
    environ.update({"wsgi.input": BytesIO(body), "wsgi.input_terminated": True, "CONTENT_LENGTH": str(len(body))})


def _drain(stream: Any, left: int) -> None:
    while left > 0 and (piece := stream.read(min(left, 1 << 16))):
        left -= len(piece)
