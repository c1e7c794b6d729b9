"""What happens around every request: its id, its duration, its body read, security headers, the record of writes."""

import logging
import re
from random import getrandbits
from time import perf_counter
from typing import TYPE_CHECKING

from flask import Flask, Response, request

from app.access import who
from app.logs import request_id
from app.parsing import refuse_broken_path, take_body
from app.replies import Ready
from app.wiring.worker import Worker, serve_with

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

audit = logging.getLogger("app.audit")

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z", re.ASCII)
_BEGAN = "control_tower.began"
_WRITES = ("POST", "PUT", "PATCH", "DELETE")
# Nothing is loaded from another host; Swagger UI and ReDoc style themselves inline.
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; worker-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)


class Around:
    """What happens before and after every request, whether Flask dispatches it or not. Kept cheap."""

    def __init__(self, worker: Worker) -> None:
        self._tower = worker.tower
        self._request_ended = worker.world.instruments.request_ended

    def begin(self, environ: "WSGIEnvironment") -> None:
        """Before anything else: the clock starts, the request has its id, and its view what it may call."""
        environ[_BEGAN] = perf_counter()
        given = environ.get("HTTP_X_REQUEST_ID")
        request_id.set(given if given and _ID.match(given) else f"{getrandbits(64):016x}")
        serve_with(self._tower)

    def end(self, environ: "WSGIEnvironment", route: str | None, status: int) -> None:
        """Before the response is sent: the request is counted by its route, as Flask writes it."""
        self._request_ended(route, environ["REQUEST_METHOD"], status, perf_counter() - environ[_BEGAN])


def register_hooks(app: Flask, around: Around) -> None:
    """What Flask does beside that: it takes bodies and odd paths, and completes headers that are not complete yet."""

    @app.before_request
    def take() -> None:
        environ = request.environ
        if "CONTENT_LENGTH" in environ or "HTTP_TRANSFER_ENCODING" in environ:
            take_body()
        if not environ["PATH_INFO"].isascii():
            refuse_broken_path()

    @app.after_request
    def end(response: Response) -> Response:
        rule = request.url_rule
        around.end(request.environ, rule.rule if rule else None, response.status_code)
        if isinstance(response, Ready):
            # A cached GET: its headers are complete.
            return response
        headers = response.headers
        headers.add("X-Request-ID", request_id.get())
        headers.add("X-Content-Type-Options", "nosniff")
        if response.mimetype == "text/html":
            headers.setdefault("Content-Security-Policy", _CSP)
            headers["Referrer-Policy"] = "no-referrer"
        if request.method in _WRITES:
            audit.info("%s %s %s: %d", who() or "anonymous", request.method, request.path, response.status_code)
        return response
