"""Taking requests apart: the contract's 400 for everything that cannot be used."""

import zlib
from collections.abc import Callable
from functools import wraps
from io import BytesIO
from typing import TYPE_CHECKING, Any

import marshmallow as ma
import orjson
from flask import Request, request
from flask_smorest import Blueprint
from webargs.flaskparser import FlaskParser

from app.domain.errors import InvalidInput

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

MOST_BODY_BYTES = 1 << 20
# Read and thrown away, so that the client reads the answer instead of a reset connection.
_MOST_DRAINED_BYTES = 8 << 20
_TOO_LARGE = "The request body is too large: at most 1 MiB."
_INFLATES_TOO_LARGE = "The request body is too large after inflating: at most 1 MiB."
_DAMAGED = "The body is not what its Content-Encoding says: it is no gzip, is damaged, or is cut short."
_PLAIN = ("", "identity")
_ESCAPED_NUL = b"\\u0000"
# zlib's number for gzip with its header and checksum.
_GZIP = 31
_PIECE = 4096


class Parser(FlaskParser):
    """webargs with 400 for 422, and with a body that must be a JSON object."""

    DEFAULT_VALIDATION_STATUS = 400
    # An unknown parameter is ignored, an unknown body field is a mistake worth telling.
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


class TowerBlueprint(Blueprint):  # type: ignore[misc]
    """A flask-smorest blueprint that parses as the contract says, and shows an example of every answer."""

    ARGUMENTS_PARSER = Parser()

    def arguments(self, schema: type[ma.Schema], *, location: str = "json", **told: Any) -> Any:
        """As in flask-smorest; a request without a query string skips the parser, a third of its cost."""
        declare = super().arguments(schema, location=location, **told)
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

    def response(self, status_code: int, schema: Any = None, **told: Any) -> Any:
        """As in flask-smorest, to document; the example is made of those of the schema's fields."""
        made = schema() if isinstance(schema, type) else schema
        return _documented(super().response(status_code, made, example=example_of(made), **told))

    def text(self, status_code: int, example: str, **told: Any) -> Any:
        """As `response`, for plain text."""
        plain = {"type": "string"}
        declare = super().response(status_code, plain, content_type="text/plain", example=example, **told)
        return _documented(declare)

    def alt_response(self, status_code: int, *args: Any, **told: Any) -> Any:
        """As in flask-smorest, to document."""
        return _documented(super().alt_response(status_code, *args, **told))


def _documented(decorate: Callable[..., Any]) -> Callable[..., Any]:
    """What a decorator of flask-smorest documents, without its wrapper: every view here makes its response itself."""

    def document(view: Callable[..., Any]) -> Callable[..., Any]:
        view._apidoc = decorate(view)._apidoc  # type: ignore[attr-defined]
        return view

    return document


def example_of(schema: ma.Schema) -> Any:
    """An example of what a schema describes, of the examples of its fields."""
    example = {name: _field_example(field) for name, field in schema.fields.items()}
    return [example] if schema.many else example


def _field_example(field: ma.fields.Field[Any]) -> Any:
    if isinstance(field, ma.fields.Nested):
        return example_of(field.schema)
    if isinstance(field, ma.fields.List) and isinstance(field.inner, ma.fields.Nested):
        return [example_of(field.inner.schema)]
    return field.metadata["example"]


def refuse_broken_path() -> None:
    """A path that is not UTF-8 names nothing; werkzeug would put replacement characters in it."""
    try:
        request.environ["PATH_INFO"].encode("latin-1").decode("utf-8")
    except UnicodeError:
        raise InvalidInput("The path is not valid UTF-8. Percent-encode names as UTF-8.") from None


def take_body() -> None:
    """Read the body before anything is answered, whatever the answer will be.

    Of what was left unread gunicorn drains 64 KiB after it has answered, and then ends the connection, on which the
    client may have sent its next request.
    """
    environ = request.environ
    length = request.content_length or 0
    is_chunked = not length and "HTTP_TRANSFER_ENCODING" in environ
    coding = environ.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    if coding not in _PLAIN and length <= MOST_BODY_BYTES:
        body = environ["wsgi.input"].read(MOST_BODY_BYTES + 1 if is_chunked else length)
        length = len(body)
        if length <= MOST_BODY_BYTES:
            _put(environ, decoded(body, coding))
    elif is_chunked:
        # A body in chunks tells no length, and werkzeug cuts it at the limit without a word.
        length = len(request.get_data()) + 1
    elif 0 < length <= MOST_BODY_BYTES:
        request.get_data()
    if length > MOST_BODY_BYTES:
        _drain(environ["wsgi.input"], _MOST_DRAINED_BYTES)
        raise InvalidInput(_TOO_LARGE)


def decoded(body: bytes, coding: str) -> bytes:
    """The body as it was before it was compressed, which is stopped at the limit. It may have several gzip members."""
    if coding not in ("gzip", "x-gzip"):
        raise InvalidInput("The body's Content-Encoding is not taken: send it in gzip, or plain without that header.")
    found, member = bytearray(), None
    # In pieces, since each member's end copies what is left of one.
    for start in range(0, len(body), _PIECE):
        piece = body[start : start + _PIECE]
        while piece:
            member = member or zlib.decompressobj(_GZIP)
            try:
                found += member.decompress(piece, MOST_BODY_BYTES + 1 - len(found))
            except zlib.error:
                raise InvalidInput(_DAMAGED) from None
            if len(found) > MOST_BODY_BYTES:
                raise InvalidInput(_INFLATES_TOO_LARGE)
            piece = member.unused_data
            member = None if member.eof else member
    if member is not None:
        raise InvalidInput(_DAMAGED)
    return bytes(found)


def _put(environ: "WSGIEnvironment", body: bytes) -> None:
    """Have everybody read this body."""
    for name in ("HTTP_CONTENT_ENCODING", "HTTP_TRANSFER_ENCODING"):
        environ.pop(name, None)
    environ.update({"wsgi.input": BytesIO(body), "wsgi.input_terminated": True, "CONTENT_LENGTH": str(len(body))})


def _drain(stream: Any, left: int) -> None:
    while left > 0 and (piece := stream.read(min(left, 1 << 16))):
        left -= len(piece)
