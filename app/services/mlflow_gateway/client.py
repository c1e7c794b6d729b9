"""Creating the MLflow client with its address, credentials and limits, after the fork."""

import base64
import importlib
import logging
import os
import threading
import warnings
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from app.domain.redact import without_userinfo
from app.services.mlflow_gateway.importing import lean_import, set_before_import

if TYPE_CHECKING:
    from mlflow import MlflowClient

WORKSPACE_HEADER = "X-MLFLOW-WORKSPACE"


class MlflowConnection:
    """MLflow's address, credentials and workspace. Creates one client per process, when it is first needed."""

    def __init__(
        self,
        uri: str,
        username: str | None = None,
        password: str | None = None,
        token: str | None = None,
        timeout: int = 10,
        retries: int = 1,
        workspace: str | None = None,
    ) -> None:
        parts = urlsplit(uri)
        # User name and password are taken out of the address, since MLflow repeats it in its errors.
        self.uri = without_userinfo(uri) if parts.scheme in ("http", "https") else uri
        self._credentials = {
            "MLFLOW_TRACKING_USERNAME": username or (unquote(parts.username) if parts.username else None),
            "MLFLOW_TRACKING_PASSWORD": password or (unquote(parts.password) if parts.password else None),
            "MLFLOW_TRACKING_TOKEN": token,
        }
        self.workspace = workspace
        self._limits = {
            "MLFLOW_HTTP_REQUEST_TIMEOUT": str(timeout),
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": str(retries),
            "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
            "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0",
            "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
            "MLFLOW_HTTP_POOL_MAXSIZE": "64",
            "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        }
        self._lock = threading.Lock()
        self._client: MlflowClient | None = None
        self._pid: int | None = None

    @property
    def is_http(self) -> bool:
        return self.uri.startswith(("http://", "https://"))

    def headers(self) -> dict[str, str]:
        """The headers by which MLflow's own client logs in, by name rather than by token, and the workspace."""
        username, password, token = self._credentials.values()
        headers = {WORKSPACE_HEADER: self.workspace} if self.workspace else {}
        if username and password:
            headers["Authorization"] = "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
        elif token:
            headers["Authorization"] = f"Bearer {token}"
        return headers

    def _new_client(self) -> "MlflowClient":
        # MLflow reads these from the environment at each call; there is no other way to pass them.
        os.environ.update(self._limits)
        os.environ.update({key: value for key, value in self._credentials.items() if value})
        if self.workspace:
            os.environ["MLFLOW_WORKSPACE"] = self.workspace
        set_before_import()
        with lean_import(for_server=self.is_http):
            from mlflow import MlflowClient  # noqa: PLC0415 - the import takes a second or more, and 50 MB

            if not self.is_http:
                # Importing these takes half a second, which the first call would spend otherwise.
                for module in ("model_registry", "tracking"):
                    importlib.import_module(f"mlflow.store.{module}.sqlalchemy_store")
        _quiet()
        # Without `registry_uri` MLflow would take the registry's address from the environment.
        return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    def client(self) -> "MlflowClient":
        with self._lock:
            if self._client is None or self._pid != os.getpid():
                self._client = self._new_client()
                self._pid = os.getpid()
            return self._client

    def search_registered_models(self, **how: Any) -> Any:
        """MLflow's search, without the filter with which its client leaves out prompts.

        A server that knows prompts leaves them out by itself. A server before 2.21 does not know them, and finds no
        registered model at all with that filter.
        """
        registry = self.client()._get_registry_client()  # type: ignore[no-untyped-call]  # of mlflow
        return registry.store.search_registered_models(**how)

    def store(self) -> Any:
        """MLflow's tracking store behind the client, for reads that the client does not offer."""
        return self.client()._tracking_client.store


def _quiet() -> None:
    # MLflow deprecates stages and warns at each call; this service's contract has them.
    warnings.filterwarnings("ignore", category=FutureWarning, module="mlflow.*")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
