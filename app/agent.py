"""The agent's process (`python -m app.agent`), started by a worker; see `app/services/agent`."""

import logging.config
import os
import signal
import sys
import threading

import msgspec

from app.logs import logging_config
from app.services.agent import AgentServer, Handover
from app.services.host.marks import Marks
from app.services.host.temporary_directory import end_without_leftovers
from app.wiring.agent import build_agent
from app.wiring.world import real_world
from config import from_json

# As long as gunicorn's `graceful_timeout` gives workers to finish their requests.
_LEAVING_SECONDS = 10.0


def main() -> None:
    """Serve the workers until the keeper, which holds the other end of stdin, is gone."""
    handover = msgspec.json.decode(sys.stdin.buffer.readline(), type=Handover)
    settings = from_json(handover.settings)
    # Ctrl-C reaches the whole process group; the workers still need the agent to finish their requests.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.config.dictConfig(logging_config(settings.log_level, settings.log_format))
    marks = None if handover.marks is None else Marks(handover.marks)
    agent = build_agent(settings, real_world(settings, marks))
    server = AgentServer(handover.address, agent.world.gateway.within, agent.exposed())

    def leave_with_the_keeper() -> None:
        while os.read(sys.stdin.fileno(), 1 << 16):
            pass
        # The master may remove the directory of the counts at any time, and nobody waits for a sweep any more.
        agent.retire()
        # Other workers may still be finishing requests: their calls are answered.
        server.wait_for_the_last(_LEAVING_SECONDS)
        agent.hosts.stop()
        # A normal exit would wait for threads that hang in MLflow. Whatever this process counted or stored after the
        # master removed its directories made them again.
        end_without_leftovers()

    threading.Thread(target=leave_with_the_keeper, name="lifeline", daemon=True).start()
    agent.start()
    server.serve()


if __name__ == "__main__":
    main()
