"""Work around every request: its id, its duration, reading its body, security headers, the audit log of writes."""

import logging
import re
from random import getrandbits
from time import perf_counter
from typing import TYPE_CHECKING

from flask import Flask, Response, request

from app.access import WRITES, role_of, who
from app.logs import request_id
from app.parsing import refuse_broken_path, take_body
from app.replies import Ready
from app.row_bodies import drain_rows, is_read_by_its_view
from app.wiring.worker import Worker, serve_with

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

audit = logging.getLogger("app.audit")

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z", re.ASCII)
_BEGAN = "control_tower.began"
# Pages load nothing from another host; Swagger UI and ReDoc need inline styles.
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; worker-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)


class Around:
    """Runs before and after every request, whether or not Flask dispatches it. Kept cheap."""

    def __init__(self, worker: Worker) -> None:
        self._tower = worker.tower
        self._request_ended = worker.world.instruments.request_ended

    def begin(self, environ: "WSGIEnvironment") -> None:
        """Before anything else: start the clock, set the request's id, and give views what they may call."""
        environ[_BEGAN] = perf_counter()
        given = environ.get("HTTP_X_REQUEST_ID")
        request_id.set(given if given and _ID.match(given) else f"{getrandbits(64):016x}")
        serve_with(self._tower)

    def end(self, environ: "WSGIEnvironment", route: str | None, status: int) -> None:
        """Before the response is sent: count the request under its route in Flask's notation; None is no route."""
        self._request_ended(route, environ["REQUEST_METHOD"], status, perf_counter() - environ[_BEGAN])


def register_hooks(app: Flask, around: Around) -> None:
    """Register Flask's part: it reads bodies, refuses malformed paths, and completes headers of uncached answers."""

    @app.before_request
    def take() -> None:
        environ = request.environ
        if ("CONTENT_LENGTH" in environ or "HTTP_TRANSFER_ENCODING" in environ) and not is_read_by_its_view():
            take_body()
        if not environ["PATH_INFO"].isascii():
            refuse_broken_path()

    @app.after_request
    def end(response: Response) -> Response:
        drain_rows()
        rule = request.url_rule
        around.end(request.environ, rule.rule if rule else None, response.status_code)
        if isinstance(response, Ready):
            # The answer of a cached GET has all its headers.
            return response
        headers = response.headers
        headers.add("X-Request-ID", request_id.get())
        headers.add("X-Content-Type-Options", "nosniff")
        if response.mimetype == "text/html":
            headers.setdefault("Content-Security-Policy", _CSP)
            headers["Referrer-Policy"] = "no-referrer"
        if request.method in WRITES and not (request.endpoint and role_of(app, request.endpoint) == "read"):
            audit.info("%s %s %s: %d", who() or "anonymous", request.method, request.path, response.status_code)
        return response
