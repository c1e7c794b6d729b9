"""A receiver of alerts over HTTP that behaves on command, and changes to tell it of."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from app.domain.monitoring.alerts import VerdictChange
from tests.servers import HOST, start_serving

HOUR = 3_600_000
START = 1_795_473_514_000


def change(number: int = 0, **more: Any) -> VerdictChange:
    """The change number `number` of a version of its own."""
    values = {
        "name": f"model-{number}", "version": 3, "model_type": "classifier", "monitor_run_id": f"run-{number}",
        "before": "healthy", "verdict": "drifting", "at": START + number, "reasons": ("accuracy fell",),
    }  # fmt: skip
    return VerdictChange(**{**values, **more})


class HttpReceiver:
    """Its `mode` is how it answers, a status or `hang`, `drip`, `close`, `nonsense`; `then` is how after the first."""

    def __init__(self, mode: int | str = 200, then: int | str | None = None) -> None:
        self.mode, self.then = mode, then
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        # Those that were answered as taken: their headers and bodies.
        self.taken: list[tuple[dict[str, str], bytes]] = []
        self.closing = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

            def do_POST(self) -> None:
                # Who posts may have given up and gone.
                with suppress(OSError):
                    receiver.handle(self)

            do_GET = do_POST

        self.server = ThreadingHTTPServer((HOST, 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = f"http://{HOST}:{self.port}/services/path-token?key=query-token"
        start_serving(self.server)

    def close(self) -> None:
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, _, body in list(self.requests)]

    @property
    def names(self) -> list[str]:
        """The models that it was told of, as often as it was."""
        return [row["name"] for message in self.messages for row in message["changes"]]

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        mode = self.mode
        self.mode = mode if self.then is None else self.then
        self.requests.append((request.path, dict(request.headers.items()), body))
        if mode == "hang":
            self.closing.wait(60)
        elif mode == "drip":
            self.drip(request)
        elif mode == "nonsense":
            request.wfile.write(b"HTTP/1.1 500 No\r\nno header at all\r\n: : :\r\n\r\n")
        elif isinstance(mode, int):
            if mode < 300:
                self.taken.append((dict(request.headers.items()), body))
            request.send_response(mode)
            request.send_header("Content-Length", "2")
            if mode in range(300, 400):
                request.send_header("Location", self.url)
            request.end_headers()
            request.wfile.write(b"ok")

    def drip(self, request: BaseHTTPRequestHandler) -> None:
        """A byte of a header now and then: no read of the socket ever times out."""
        request.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while not self.closing.wait(0.05):
            request.wfile.write(b"a")


@contextmanager
def receiving(mode: int | str = 200, then: int | str | None = None) -> Iterator[HttpReceiver]:
    made = HttpReceiver(mode, then)
    try:
        yield made
    finally:
        made.close()
