"""Flask, without what it does at every request for applications that are not like this one."""

from collections.abc import Callable
from typing import Any

from flask import Flask, Request
from flask.sessions import NullSession, SessionInterface
from werkzeug.routing import MapAdapter


class NoSession(SessionInterface):
    """There is no session, and none is made."""

    _none = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:  # noqa: ARG002 - Flask hands them over
        return self._none

    def is_null_session(self, obj: object) -> bool:  # noqa: ARG002
        return True


class ControlTower(Flask):
    """All views are plain functions, no route depends on the host, there is no session."""

    session_interface = NoSession()

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Flask asks of each function at each request whether it is a coroutine; here none is."""
        return func

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """As Flask's, which also takes the host apart to match it; a seventh of a request's time."""
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
