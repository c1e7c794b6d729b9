"""Access: every route declares the role it needs; Flask-HTTPAuth does the protocol."""

from collections.abc import Callable, Collection
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

from flask import Flask, Response, current_app, g, jsonify, redirect, request, url_for
from flask_httpauth import HTTPTokenAuth
from werkzeug.datastructures import Authorization, Headers
from werkzeug.http import parse_cookie
from werkzeug.wrappers import Response as AnyResponse

from app.domain.messages import NEEDS_ACCESS_KEY, other_role_needed
from app.services.host.keys import ROLES, AccessKey, KeyRing

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

F = TypeVar("F", bound=Callable[..., Any])
Admits = Callable[["WSGIEnvironment", str], bool]

KEY_COOKIE = "control_tower_key"
_WRITES = ("POST", "PUT", "PATCH", "DELETE")

OPEN = "open"

# Routes that Flask and flask-smorest make themselves.
_MADE_FOR_US = {
    "static": OPEN,
    "api-docs.openapi_json": "read",
    "api-docs.openapi_redoc": "read",
    "api-docs.openapi_swagger_ui": "read",
}


def requires(role: str) -> Callable[[F], F]:
    """Declare the role that a view needs, in the code and in OpenAPI; `open` for everybody."""
    if role not in (OPEN, *ROLES):
        raise ValueError(role)

    def declare(view: F) -> F:
        view.required_role = role  # type: ignore[attr-defined]
        docs = view.__dict__.setdefault("_apidoc", {}).setdefault("manual_doc", {})
        docs["security"] = [] if role == OPEN else [{"bearer": []}]
        docs["x-role"] = role
        return view

    return declare


def role_of(app: Flask, endpoint: str) -> str | None:
    """The role that an endpoint declares; None where it declares none."""
    return _MADE_FOR_US.get(endpoint) or getattr(app.view_functions[endpoint], "required_role", None)


def who() -> str | None:
    """The name of the key that this request came with."""
    key: AccessKey | None = g.get("key")
    return key.name if key else None


def needed_role(app: Flask, endpoint: str) -> str:
    """The role that an endpoint needs. A route that declares none is closed to all but administrators."""
    return role_of(app, endpoint) or "admin"


def guard(app: Flask, ring: KeyRing) -> Admits:
    """Let requests in by their key. Gives what tells whether a request is let in where a role is needed."""
    auth = _HeaderOrCookie(scheme="Bearer", realm="MLOps Control Tower")

    @auth.verify_token
    def find(token: str) -> AccessKey | None:
        key = ring.find(token) if token else None
        g.key = key
        return key

    @auth.get_user_roles
    def roles(key: AccessKey) -> tuple[str, ...]:
        return key.roles

    @auth.error_handler
    def refuse(status: int) -> tuple[AnyResponse, int]:
        if status == HTTPStatus.UNAUTHORIZED and request.method == "GET" and wants_page():
            return redirect(url_for("ui.sign_in", next=request.full_path.rstrip("?"))), 303
        if status == HTTPStatus.UNAUTHORIZED:
            return jsonify(detail=NEEDS_ACCESS_KEY), 401
        needed = role_of(current_app, request.endpoint or "")
        return jsonify(detail=other_role_needed(needed, g.key.role)), 403

    checks = {role: auth.login_required(role=[role])(lambda: None) for role in ROLES}

    @app.before_request
    def check() -> Any:
        if request.endpoint is None:
            return None
        role = needed_role(app, request.endpoint)
        return None if role == OPEN else checks[role]()

    def admits(environ: "WSGIEnvironment", role: str) -> bool:
        token = token_of(environ)
        key = ring.find(token) if token else None
        return key is not None and role in key.roles

    return admits


def everybody(environ: "WSGIEnvironment", role: str) -> bool:  # noqa: ARG001 - as `guard` gives it
    """Without keys the service is open."""
    return True


def refuse_other_origins(app: Flask, allowed: Collection[str]) -> None:
    """A page of another origin, which the user's browser has a way in from, may not act."""

    @app.before_request
    def check() -> tuple[Response, int] | None:
        if request.method not in _WRITES or not _is_foreign(request.headers, request.host, allowed):
            return None
        return jsonify(detail="A page of another origin may not do this. CORS_ORIGINS names those that may."), 403


def _is_foreign(headers: Headers, host: str, allowed: Collection[str]) -> bool:
    """Whether a browser says so; programs say nothing of the kind."""
    origin, site = headers.get("Origin"), headers.get("Sec-Fetch-Site")
    if origin in allowed:
        return False
    if site is not None:
        return site not in ("same-origin", "none")
    # An origin is `scheme://host:port` and no more, so nothing has to be parsed that could fail.
    return origin is not None and origin.partition("://")[2] != host


def wants_page() -> bool:
    """Whether a browser asks, which names HTML; programs take anything or name JSON."""
    return "text/html" in request.headers.get("Accept", "")


def token_of(environ: "WSGIEnvironment") -> str | None:
    """The access key that a request brings: in the header of programs, else in the cookie that the sign-in page set."""
    header = Authorization.from_header(environ.get("HTTP_AUTHORIZATION"))
    if header is not None and header.type == "bearer":
        return header.token
    return parse_cookie(environ).get(KEY_COOKIE)


class _HeaderOrCookie(HTTPTokenAuth):  # type: ignore[misc]
    """Flask-HTTPAuth with the access key of `token_of`."""

    def get_auth(self) -> Authorization | None:
        token = token_of(request.environ)
        return Authorization("bearer", token=token) if token else None


def default_registrant() -> str:
    """Who registers when the request does not say: the key's name, where there are keys."""
    return who() or "anonymous"
