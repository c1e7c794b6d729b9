"""The agent: the only process of a gunicorn that talks to MLflow, on behalf of all its workers.

Importing mlflow takes a second or more and 60 MB of memory, and reading a registry takes processor time. Neither
happens in a process that answers requests.
"""

from app.services.agent.client import AgentLink, remote
from app.services.agent.keeper import Keeper, remove_abandoned_sockets
from app.services.agent.server import AgentServer, Handover

__all__ = ["AgentLink", "AgentServer", "Handover", "Keeper", "remote", "remove_abandoned_sockets"]
