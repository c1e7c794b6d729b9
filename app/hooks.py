"""What happens around every request: its id, its security headers, the record of writes."""

import logging
import re
from collections.abc import Callable
from random import getrandbits
from time import perf_counter

from flask import Flask, Request, Response, request

from app.access import who
from app.logs import request_id
from app.parsing import refuse_broken_path, take_body
from app.replies import Ready
from app.wiring.worker import Worker

audit = logging.getLogger("app.audit")

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z", re.ASCII)
_BEGAN = "control_tower.began"
# Each look through the proxy costs half a microsecond.
_asked: Callable[[], Request] = request._get_current_object  # type: ignore[attr-defined]
_WRITES = ("POST", "PUT", "PATCH", "DELETE")
# Nothing is loaded from another host; Swagger UI and ReDoc style themselves inline.
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; worker-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)


def register_hooks(app: Flask) -> None:
    """Add the hooks; they run at every request, so they are kept cheap."""
    worker: Worker = app.extensions["control_tower"]
    request_ended = worker.world.instruments.request_ended

    @app.before_request
    def begin() -> None:
        environ = _asked().environ
        environ[_BEGAN] = perf_counter()
        given = environ.get("HTTP_X_REQUEST_ID")
        request_id.set(given if given and _ID.match(given) else f"{getrandbits(64):016x}")
        if "CONTENT_LENGTH" in environ or "HTTP_TRANSFER_ENCODING" in environ:
            take_body()
        if not environ["PATH_INFO"].isascii():
            refuse_broken_path()

    @app.after_request
    def end(response: Response) -> Response:
        asked = _asked()
        rule = asked.url_rule
        took = perf_counter() - asked.environ[_BEGAN]
        request_ended(rule.rule if rule else None, asked.method, response.status_code, took)
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
