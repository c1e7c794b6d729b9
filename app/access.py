"""Access control: every route declares the role it needs; Flask-HTTPAuth implements the protocol."""

from collections.abc import Callable, Collection
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from apispec import BasePlugin
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
WRITES = ("POST", "PUT", "PATCH", "DELETE")

OPEN = "open"

# Routes that Flask and flask-smorest create, which therefore carry no `requires`.
_ROLES_OF_LIBRARY_ROUTES = {
    "static": OPEN,
    "api-docs.openapi_json": "read",
    "api-docs.openapi_redoc": "read",
    "api-docs.openapi_swagger_ui": "read",
}


class WithoutKeys(BasePlugin):
    """For OpenAPI where the service has no access keys: no operation needs one."""

    def operation_helper(
        self,
        path: str | None = None,  # noqa: ARG002 - apispec passes it
        operations: dict[Any, Any] | None = None,
        **kwargs: Any,  # noqa: ARG002 - apispec passes them
    ) -> None:
        """Change the operations of a path, as apispec is about to add them."""
        for operation in (operations or {}).values():
            operation["security"] = []


def requires(role: str) -> Callable[[F], F]:
    """Declare the role that a view needs, in the code and in OpenAPI; `open` admits everybody."""
    if role not in (OPEN, *ROLES):
        raise ValueError(role)

    def declare(view: F) -> F:
        view.required_role = role  # type: ignore[attr-defined]  # read back by this module
        docs = view.__dict__.setdefault("_apidoc", {}).setdefault("manual_doc", {})
        docs["security"] = [] if role == OPEN else [{"bearer": []}]
        docs["x-role"] = role
        return view

    return declare


def role_of(app: Flask, endpoint: str) -> str | None:
    """The role that an endpoint declares; None where it declares none."""
    return _ROLES_OF_LIBRARY_ROUTES.get(endpoint) or getattr(app.view_functions[endpoint], "required_role", None)


def who() -> str | None:
    """The name of the access key that this request carries; None without one."""
    key: AccessKey | None = g.get("key")
    return key.name if key else None


def may(role: str) -> bool:
    """Whether the access key of this request has a role."""
    key: AccessKey | None = g.get("key")
    return key is not None and role in key.roles


def needed_role(app: Flask, endpoint: str) -> str:
    """The role that an endpoint needs. A route that declares none is open to administrators only."""
    return role_of(app, endpoint) or "admin"


def guard(app: Flask, ring: KeyRing) -> Admits:
    """Check the access key of every request. Returns the check of one request (environ) against a role."""
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
            return redirect(url_for("ui.sign_in", next=_address())), 303
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


def _address() -> str:
    """The path and query of the request, encoded: a name in the path may have a `?` or a `#`."""
    query = request.query_string.decode("latin-1")
    return quote(request.path) + (f"?{query}" if query else "")


def everybody(environ: "WSGIEnvironment", role: str) -> bool:  # noqa: ARG001 - the signature of `Admits`
    """Admit every request: without access keys the service is open."""
    return True


def refuse_other_origins(app: Flask, allowed: Collection[str]) -> None:
    """Refuse writes from pages of other origins: the user's browser would send its cookie along."""

    @app.before_request
    def check() -> tuple[Response, int] | None:
        if request.method not in WRITES or not _is_foreign(request.headers, request.host, allowed):
            return None
        return jsonify(detail="A page of another origin may not do this. CORS_ORIGINS names those that may."), 403


def _is_foreign(headers: Headers, host: str, allowed: Collection[str]) -> bool:
    """Whether a browser reports a page of another origin; programs send neither header."""
    origin, site = headers.get("Origin"), headers.get("Sec-Fetch-Site")
    if origin in allowed:
        return False
    if site is not None:
        return site not in ("same-origin", "none")
    # An origin is exactly `scheme://host:port`, so no parser is needed that could fail.
    return origin is not None and origin.partition("://")[2] != host


def wants_page() -> bool:
    """Whether the client is a browser: those name HTML in `Accept`; programs accept anything or name JSON."""
    return "text/html" in request.headers.get("Accept", "")


def token_of(environ: "WSGIEnvironment") -> str | None:
    """The access key of a request: from the `Authorization` header, else from the cookie of the sign-in page."""
    try:
        header = Authorization.from_header(environ.get("HTTP_AUTHORIZATION"))
    except ValueError:
        # werkzeug takes all that follows "Basic" for ASCII.
        header = None
    if header is not None and header.type == "bearer":
        return header.token
    return parse_cookie(environ).get(KEY_COOKIE)


class _HeaderOrCookie(HTTPTokenAuth):  # type: ignore[misc]  # Flask-HTTPAuth has no types
    """Flask-HTTPAuth that takes the access key from `token_of`."""

    def get_auth(self) -> Authorization | None:
        token = token_of(request.environ)
        return Authorization("bearer", token=token) if token else None


def default_registrant() -> str:
    """`registered_by` where the request does not name anybody: the key's name, or `anonymous` without keys."""
    return who() or "anonymous"
