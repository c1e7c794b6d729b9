"""The server record: what the MLflow server said of itself, asked by the agent and shared with the workers."""

import logging
from typing import Any

from app.domain.errors import TowerError
from app.domain.ports import Monotonic, OwnGateway, SharedCache, WritableCache
from app.domain.registry.server import MlflowServer
from app.services.host.scheduler import RETRY_SECONDS

log = logging.getLogger(__name__)

KEY = "server"
# Servers are upgraded, and workspaces are made, while the service runs.
_EVERY_SECONDS = 1800.0
_WAIT_SECONDS = 10.0


class ServerRecord:
    """The last answer, in the shared cache, with the id of the MLflow that gave it."""

    def __init__(self, cache: SharedCache, source: str) -> None:
        self._cache = cache
        self._source = source

    def last(self) -> MlflowServer:
        """The server as it was last known; without a version and workspaces before it was asked."""
        value = self._cache.get(KEY)
        if not isinstance(value, dict) or value.get("source") != self._source:
            return MlflowServer(None)
        version, workspaces = value.get("version"), value.get("workspaces")
        # Another version of the service may have stored another shape.
        names = workspaces if isinstance(workspaces, list) else []
        return MlflowServer(
            version if isinstance(version, str) else None, tuple(name for name in names if isinstance(name, str))
        )


class ServerRecorder(ServerRecord):
    """The agent's record: it asks the server, and writes the answer."""

    def __init__(self, cache: WritableCache, source: str, monotonic: Monotonic) -> None:
        super().__init__(cache, source)
        self._writable = cache
        self._monotonic = monotonic
        self._due: float | None = None

    def update(self, gateway: OwnGateway) -> None:
        """The agent's tick: ask the server every half hour. A failure is logged, and the last answer stays."""
        now = self._monotonic()
        if self._due is not None and now < self._due:
            return
        self._due = now + RETRY_SECONDS
        try:
            with gateway.within(_WAIT_SECONDS):
                server = gateway.server()
        except TowerError as error:
            log.debug("MLflow's version could not be read: %s", error.detail)
            return
        self._due = now + _EVERY_SECONDS
        value: dict[str, Any] = {
            "source": self._source,
            "version": server.version,
            "workspaces": list(server.workspaces),
        }
        if self._cache.get(KEY) != value:
            self._writable.set(KEY, value)
            log.info("MLflow's version is %s", server.version or "unknown")
