"""A real receiver of alerts: an HTTP server in a thread that takes, refuses, hangs or drips on command."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.servers import HOST


class Receiver:
    """What arrived, and how it was answered: `status`, or `mode` `hang`, `drip` or `close`."""

    def __init__(self) -> None:
        self.arrived: list[tuple[dict[str, str], bytes]] = []
        self.status = 200
        self.mode = "answer"
        self.closing = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                receiver.arrived.append(({k.lower(): v for k, v in self.headers.items()}, body))
                with suppress(OSError):
                    receiver.answer(self)

        self.server = ThreadingHTTPServer((HOST, 0), Handler)
        self.server.daemon_threads = True
        self.address = f"{HOST}:{self.server.server_address[1]}"
        self.url = f"http://{self.address}/hook?token=hidden-token"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        if self.mode == "hang":
            self.closing.wait(300)
        elif self.mode == "drip":
            while not self.closing.wait(0.05):
                request.wfile.write(b"H")
        elif self.mode == "answer":
            request.send_response(self.status)
            if self.status == 302:
                request.send_header("Location", self.url)
            request.send_header("Content-Length", "0")
            request.end_headers()

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in list(self.arrived)]

    def changes(self) -> list[tuple[str, str]]:
        """Name and verdict of each change that arrived."""
        return [(one["name"], one["verdict"]) for body in self.bodies() for one in body["changes"]]

    def close(self) -> None:
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    try:
        yield made
    finally:
        made.close()
