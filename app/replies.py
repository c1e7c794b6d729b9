"""Making responses from prepared answers: headers with the data's age, ETag and 304; declaring such views."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache, partial, wraps
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import orjson
from flask import Response, request
from marshmallow import Schema
from werkzeug.datastructures import Headers
from werkzeug.http import parse_accept_header, parse_etags

from app.access import requires
from app.domain.messages import (
    BEING_CHANGED,
    MODEL_NOT_FOUND,
    NEEDS_ACCESS_KEY,
    OTHER_CONTENT,
    other_role_needed,
    too_slow,
)
from app.domain.times import rfc3339
from app.errors import BAD_INPUT, ErrorSchema
from app.logs import request_id
from app.parsing import TowerBlueprint
from app.schemas.base import PageQuerySchema
from app.services.answers.prepared import CODINGS, Answer, Prepared
from app.wiring.worker import tower

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

F = TypeVar("F", bound=Callable[..., Any])

JSON = "application/json"
# The key in the environ of the error that a prepared answer has raised.
FAILURE = "control_tower.failure"

_TEXT = {
    400: ("Bad input", BAD_INPUT),
    401: ("No access key, or an unknown one", NEEDS_ACCESS_KEY),
    403: ("The key's role does not allow this", other_role_needed("write", "read")),
    404: ("Not found", MODEL_NOT_FOUND),
    500: ("MLflow cannot be reached, or an internal error", too_slow(20)),
    413: ("The body is too large", "The request body is too large: at most 32 MiB. Send the rows in several requests."),
    409: ("The request contradicts what is there by now", OTHER_CONTENT),
    503: ("Nothing was done, since others are at it: try again", BEING_CHANGED),
}

AGE_HEADERS = {
    "X-Data-As-Of": {
        "description": "Time of the data, RFC 3339; absent where the clock was wrong when it was read",
        "schema": {"type": "string", "format": "date-time"},
    },
    "X-Data-Stale": {
        "description": "`true` when the data is older than `CACHE_MAX_AGE_HOURS`, or of an unknown age; else absent",
        "schema": {"type": "string"},
    },
    "X-Data-Source": {
        "description": "`mock` for the sample fleet; else absent",
        "schema": {"type": "string"},
    },
    "Vary": {
        "description": "`Accept-Encoding`: a body of 1 KiB or more comes in gzip or zstd to who takes it",
        "schema": {"type": "string"},
    },
    "ETag": {"description": "Send it as `If-None-Match` to get a 304", "schema": {"type": "string"}},
}
RETRY_HEADERS = {
    "Retry-After": {"description": "Seconds until a try may succeed", "schema": {"type": "integer"}},
}
PAGE_HEADERS = {
    **AGE_HEADERS,
    "X-Pagination": {
        "description": 'JSON: `{"total": 784, "total_pages": 16, "page": 1, "next_page": 2, ...}`',
        "schema": {"type": "string"},
    },
}


class Reply(NamedTuple):
    """A response as WSGI sends it: the status, the complete headers, and the pieces of the body."""

    status: int
    headers: list[tuple[str, str]]
    body: tuple[bytes, ...]


class Ready(Response):
    """A reply that Flask sends. It skips werkzeug's second pass over headers and body."""

    # A 304 has no Content-Type; werkzeug would say that it is HTML.
    default_mimetype = None

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.body, reply.status, _ReadyHeaders(reply.headers))

    def get_wsgi_headers(self, environ: "WSGIEnvironment") -> Headers:  # noqa: ARG002 - werkzeug hands it over
        return self.headers

    def get_app_iter(self, environ: "WSGIEnvironment") -> Iterable[bytes]:  # noqa: ARG002 - as above
        # werkzeug's type allows text as well; a `Reply` has bytes only.
        return self.response  # type: ignore[return-value]  # always bytes here


class _ReadyHeaders(Headers):
    """Headers from pairs that are known to be valid."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._list = pairs


def reply_to(environ: "WSGIEnvironment", answer: Answer) -> Reply:
    """A prepared answer in the coding that the client prefers, or 304 when the client has the body already."""
    prepared = answer.prepared
    coding = _accepted(environ.get("HTTP_ACCEPT_ENCODING", "")) if prepared.is_long() else None
    head = prepared.heads.get(coding)
    if head is None:
        head = prepared.heads[coding] = _head_of(prepared, coding)
    known = environ.get("HTTP_IF_NONE_MATCH")
    if known is not None and _has(known, prepared):
        reply = _reply(environ, 304, head.not_modified, b"")
    else:
        reply = _reply(environ, 200, head.full, prepared.coded(coding) if coding else prepared.body)
    if answer.stale:
        reply.headers.append(("X-Data-Stale", "true"))
    if answer.mock:
        reply.headers.append(("X-Data-Source", "mock"))
    return reply


def _reply(environ: "WSGIEnvironment", status: int, headers: list[tuple[str, str]], body: bytes) -> Reply:
    has_body = status != HTTPStatus.NOT_MODIFIED and environ["REQUEST_METHOD"] != "HEAD"
    return Reply(status, [*headers, ("X-Request-ID", request_id.get())], (body,) if has_body else ())


def asset(prepared: Prepared, kind: str, lasts: bool) -> Response:
    """A file of the pages, of the content type `kind`. Browsers keep a file that `lasts` and never ask again."""
    environ = request.environ
    coding = _accepted(environ.get("HTTP_ACCEPT_ENCODING", "")) if prepared.is_long() else None
    body = prepared.coded(coding) if coding else prepared.body
    headers = [
        ("ETag", prepared.tag(coding)),
        ("Vary", "Accept-Encoding"),
        ("Cache-Control", "public, max-age=31536000, immutable" if lasts else "no-cache"),
        ("X-Content-Type-Options", "nosniff"),
    ]
    known = environ.get("HTTP_IF_NONE_MATCH")
    if known is not None and _has(known, prepared):
        return Ready(_reply(environ, 304, headers, b""))
    return Ready(_reply(environ, 200, _entity(kind, body, coding) + headers, body))


@dataclass(frozen=True, slots=True)
class _Head:
    """The headers of a prepared body in one coding."""

    full: list[tuple[str, str]]
    not_modified: list[tuple[str, str]]


def _head_of(prepared: Prepared, coding: str | None) -> _Head:
    body = prepared.coded(coding) if coding else prepared.body
    both = [
        ("ETag", prepared.tag(coding)),
        ("Vary", "Accept-Encoding"),
        ("Cache-Control", "no-cache"),
        ("X-Content-Type-Options", "nosniff"),
    ]
    as_of = rfc3339(prepared.as_of)
    if as_of is not None:
        both.append(("X-Data-As-Of", as_of))
    if prepared.pagination is not None:
        both.append(("X-Pagination", orjson.dumps(prepared.pagination).decode()))
    return _Head(_entity(JSON, body, coding) + both, both)


def _entity(kind: str, body: bytes, coding: str | None) -> list[tuple[str, str]]:
    headers = [("Content-Type", kind), ("Content-Length", str(len(body)))]
    return [*headers, ("Content-Encoding", coding)] if coding else headers


def _has(known: str, prepared: Prepared) -> bool:
    """Whether `If-None-Match` names the body, in whatever coding."""
    if known in prepared.tags:
        return True
    listed = parse_etags(known)
    return any(listed.contains_weak(tag[1:-1]) for tag in prepared.tags)


@lru_cache(maxsize=256)
def _accepted(header: str) -> str | None:
    """The coding to answer in for an `Accept-Encoding` (RFC 9110, 12.5.3); None is plain."""
    wanted = parse_accept_header(header)
    quality, number = max((wanted.quality(coding), -number) for number, coding in enumerate(CODINGS))
    plain = wanted.quality("identity") if "identity" in wanted.values() else 0
    return CODINGS[-number] if quality > 0 and quality >= plain else None


def live(body: Any, status: int = 200) -> Response:
    """A response with data that was read just now; `body` is JSON-shaped."""
    response = Response(orjson.dumps(body), status, mimetype=JSON)
    response.headers["X-Data-As-Of"] = rfc3339(tower().clock())
    return response


def errors(blp: TowerBlueprint, *statuses: int, not_found: str | None = None) -> Callable[[F], F]:
    """Document an operation's errors, and the errors that every operation with a role has."""

    def document(view: F) -> F:
        # A host among several refuses all requests with a 503 until it has what the others have.
        for status in sorted({*statuses, 401, 403, 500, 503}):
            description, example = _TEXT[status]
            if status == HTTPStatus.NOT_FOUND and not_found:
                example = not_found
            view = blp.alt_response(
                status,
                schema=ErrorSchema,
                description=description,
                example={"detail": example},
                headers=RETRY_HEADERS if status == HTTPStatus.SERVICE_UNAVAILABLE else None,
            )(view)
        return view

    return document


def cached(
    blp: TowerBlueprint, path: str, schema: Any, query: type[Schema] | None = None
) -> Callable[[Callable[..., Answer]], Callable[..., Response]]:
    """Declare a GET whose view returns a prepared answer: its address, its role, and its OpenAPI documentation.

    `schema` describes the answer, `query` the parameters that the view gets. Pages are documented if the query has
    pages, a 400 if there are parameters, and a 404 if the path has a variable part. A view without one gets an
    `answer`, the function of the answer without a query, which `app/prepared_lists.py` calls before Flask dispatches.
    So no parameter may be required.
    """
    names_something = "<" in path
    has_pages = query is not None and issubclass(query, PageQuerySchema)
    statuses = [400] * bool(query or names_something) + [404] * names_something

    def declare(give: Callable[..., Answer]) -> Callable[..., Response]:
        @wraps(give)
        def view(*args: Any, **kwargs: Any) -> Response:
            environ = request.environ
            if FAILURE in environ:
                # `prepared_lists` has tried already: asking MLflow again would double the bounded waiting time.
                raise environ[FAILURE]
            return Ready(reply_to(environ, give(*args, **kwargs)))

        decorators = [
            blp.response(200, schema, headers=PAGE_HEADERS if has_pages else AGE_HEADERS),
            *([blp.arguments(query, location="query")] if query else []),
            blp.alt_response(304, description="You have it already", success=True),
            errors(blp, *statuses),
            requires("read"),
        ]
        for decorate in decorators:
            view = decorate(view)
        if not names_something:
            # `prepared_lists` looks for this attribute.
            view.answer = partial(give, query().load({})) if query else give  # type: ignore[attr-defined]  # for prepared_lists
        return blp.route(path)(view)  # type: ignore[no-any-return]  # of flask-smorest

    return declare
