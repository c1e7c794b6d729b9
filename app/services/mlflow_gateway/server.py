"""Asking the MLflow server what it is: its version and its workspaces."""

import re
from typing import Any

from app.domain.errors import TowerError
from app.domain.registry.server import MlflowServer
from app.services.mlflow_gateway.calls import Calls
from app.services.mlflow_gateway.client import MlflowConnection

# Something between here and MLflow may answer any path with a page of its own.
_VERSION = re.compile(r"\d+\.\d+[0-9A-Za-z.+-]{0,40}")
_VERSION_PATH, _INFO_PATH = "/version", "/api/3.0/mlflow/server-info"


class ServerFacts:
    """Reads what the server says of itself, in two requests, or three where it has workspaces."""

    def __init__(self, connection: MlflowConnection, calls: Calls) -> None:
        self._connection = connection
        self._calls = calls

    def read(self) -> MlflowServer:
        """The server. Raises `MlflowUnavailable` where MLflow does not answer."""
        # The client first: it is imported under a lock, since two threads that import mlflow at once break it.
        self._connection.client()
        if not self._connection.is_http:
            # The client is the server, and none of its workspaces but the default one can be chosen.
            from mlflow.version import VERSION  # noqa: PLC0415 - it loads mlflow

            return MlflowServer(VERSION)
        version = self._calls.call(self._get, _VERSION_PATH).text.strip()
        return MlflowServer(version if _VERSION.fullmatch(version) else None, self._workspaces())

    def _workspaces(self) -> tuple[str, ...]:
        answer = self._calls.call(self._get, _INFO_PATH)
        # Servers before 3.10 do not have this path; some proxies answer it with a page.
        if not answer.ok or '"workspaces_enabled":true' not in answer.text.replace(" ", ""):
            return ()
        try:
            workspaces = self._calls.call(self._connection.client().list_workspaces)
        except TowerError:
            # A user may have the right to read a workspace, but not to list workspaces.
            return ()
        return tuple(sorted(str(workspace.name) for workspace in workspaces))

    def _get(self, path: str) -> Any:
        # MLflow's client has no call for these endpoints of its server's.
        from mlflow.utils.rest_utils import http_request  # noqa: PLC0415 - it loads mlflow

        return http_request(self._connection.store().get_host_creds(), path, "GET")  # type: ignore[no-untyped-call]  # of mlflow
