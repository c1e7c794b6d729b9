"""The agent: the one process of this host that talks to MLflow, for all the workers.

mlflow takes seconds to import and 165 MB of memory, and reading a registry takes processor time: none of
that happens in a process that serves.
"""

from app.services.agent.client import AgentLink, remote
from app.services.agent.keeper import Keeper, remove_abandoned_sockets
from app.services.agent.server import Handover, Server

__all__ = ["AgentLink", "Handover", "Keeper", "Server", "remote", "remove_abandoned_sockets"]
