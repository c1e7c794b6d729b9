"""The honest neighbours: a Flask application whose views return what the service returns, and no more.

Beside it `wsgi`, the least that gunicorn can run: what is left is gunicorn's own.
"""

import gzip
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from flask import Flask, Response

body = Path(os.environ["BARE_BODY"]).read_bytes()
zipped = gzip.compress(body, 6, mtime=0)
app = Flask(__name__)


@app.get("/models")
def plain() -> Response:
    return Response(body, mimetype="application/json")


@app.get("/files")
def looking_at_two_files() -> Response:
    """What a request would cost beside, if it looked whether two files are others."""
    os.stat(os.environ["BARE_BODY"])
    os.stat(__file__)
    return plain()


@app.get("/gzip")
def compressed() -> Response:
    return Response(zipped, mimetype="application/json", headers={"Content-Encoding": "gzip"})


@app.get("/304")
def not_modified() -> Response:
    return Response(status=304)


_JSON = ("Content-Type", "application/json")
_ANSWERS: dict[str, tuple[str, list[tuple[str, str]], list[bytes]]] = {
    "/models": ("200 OK", [_JSON, ("Content-Length", str(len(body)))], [body]),
    "/gzip": (
        "200 OK",
        [_JSON, ("Content-Length", str(len(zipped))), ("Content-Encoding", "gzip")],
        [zipped],
    ),
    "/304": ("304 Not Modified", [], []),
}


def wsgi(environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], object]) -> Iterable[bytes]:
    """The same answers without Flask."""
    status, headers, chunks = _ANSWERS[environ["PATH_INFO"]]
    start_response(status, headers)
    return chunks
