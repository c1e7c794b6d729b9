"""Flask without the work per request that this application does not need."""

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import Flask, Request
from flask.sessions import NullSession, SessionInterface
from werkzeug.routing import MapAdapter, PathConverter, Rule

from app.hooks import Around
from app.prepared_lists import PreparedLists

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

# As werkzeug writes them.
_STATUS_LINES = {status.value: f"{status.value} {status.phrase.upper()}" for status in HTTPStatus}


class NoSession(SessionInterface):
    """No sessions: opening one does nothing."""

    _none = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:  # noqa: ARG002 - Flask hands them over
        return self._none

    def is_null_session(self, obj: object) -> bool:  # noqa: ARG002 - as above
        return True


class LateRule(Rule):
    """A route for which the function that builds its addresses is compiled when the first one is built.

    werkzeug compiles it when an application is made, which takes most of that time; few routes are ever built.
    """

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        compiled: Callable[..., tuple[str, str]] | None = None

        def build(rule: Rule, /, **values: Any) -> tuple[str, str]:
            # Threads may both compile it, and come to the same.
            nonlocal compiled
            if compiled is None:
                compiled = super(LateRule, self)._compile_builder(append_unknown)
            return compiled(rule, **values)

        return build


class AnyText(PathConverter):
    """The rest of an address, which may begin with a slash or have lines: werkzeug's own converter refuses both."""

    part_isolating = False
    regex = "(?s:.+?)"


class ControlTower(Flask):
    """A Flask application whose views are plain functions, whose routes ignore the host, and that has no session.

    `prepared_lists` answers before Flask dispatches; if it is None, Flask answers everything.
    """

    session_interface = NoSession()
    url_rule_class = LateRule
    around: Around
    prepared_lists: PreparedLists | None = None

    def wsgi_app(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Serve one request. It is timed and counted in the same way whether or not Flask answers it."""
        self.around.begin(environ)
        prepared = self.prepared_lists.reply(environ) if self.prepared_lists else None
        if prepared is None:
            return super().wsgi_app(environ, start_response)
        route, (status, headers, body) = prepared
        self.around.end(environ, route, status)
        start_response(_STATUS_LINES[status], headers)
        return body

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Skip Flask's check, at each request, whether a view is a coroutine: here none is."""
        return func

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Like Flask's, but without parsing the host to match it, which takes a seventh of a request's time."""
        if request is None:
            return super().create_url_adapter(request)
        environ = request.environ
        path = environ.get("PATH_INFO", "")
        return MapAdapter(
            self.url_map,
            server_name=environ.get("HTTP_HOST", ""),
            script_name=environ.get("SCRIPT_NAME", ""),
            subdomain="",
            url_scheme=environ["wsgi.url_scheme"],
            path_info=path if path.isascii() else path.encode("latin-1").decode(errors="replace"),
            default_method=environ["REQUEST_METHOD"],
        )
