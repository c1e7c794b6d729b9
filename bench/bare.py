"""The honest neighbour: a plain Flask application whose views return what the service returns, and no more."""

import gzip
import os
from pathlib import Path

from flask import Flask, Response

body = Path(os.environ["BARE_BODY"]).read_bytes()
zipped = gzip.compress(body, 6, mtime=0)
app = Flask(__name__)


@app.get("/models")
def plain() -> Response:
    return Response(body, mimetype="application/json")


@app.get("/gzip")
def compressed() -> Response:
    return Response(zipped, mimetype="application/json", headers={"Content-Encoding": "gzip"})


@app.get("/304")
def not_modified() -> Response:
    return Response(status=304)
