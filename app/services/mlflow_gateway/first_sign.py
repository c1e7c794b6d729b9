"""The first sign of life of MLflow, asked without MLflow's client, which takes seconds to import."""

import json
import sqlite3
import urllib.request
from contextlib import closing

from app.services.mlflow_gateway.client import MlflowConnection

_SEARCH = "/api/2.0/mlflow/experiments/search"
_SQLITE = "sqlite:///"


def gives_sign(connection: MlflowConnection, seconds: float) -> bool:
    """Whether a server lists experiments, or an SQLite store has any. Where not, only MLflow's client can tell."""
    if connection.is_http:
        return _server_answers(connection, seconds)
    return connection.uri.startswith(_SQLITE) and _store_answers(connection.uri.removeprefix(_SQLITE))


def _server_answers(connection: MlflowConnection, seconds: float) -> bool:
    request = urllib.request.Request(  # noqa: S310 - http and https alone come here
        connection.uri.rstrip("/") + _SEARCH,
        json.dumps({"max_results": 1}).encode(),
        {"Content-Type": "application/json", **connection.headers()},
    )
    with urllib.request.urlopen(request, timeout=seconds) as answer:  # noqa: S310 - as above
        return "experiments" in json.loads(answer.read(1 << 20))


def _store_answers(path: str) -> bool:
    with closing(sqlite3.connect(f"file:{urllib.request.pathname2url(path)}?mode=ro", uri=True)) as store:
        return store.execute("SELECT 1 FROM experiments LIMIT 1").fetchone() is not None
