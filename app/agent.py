"""The agent's process (`python -m app.agent`), started by a worker; see `app/services/agent`."""

import logging.config
import os
import pickle
import signal
import sys
import threading

from app.logs import logging_config
from app.services.agent import Handover, Server
from app.wiring import AGENT_METHODS, real_parts, wire

# As long as gunicorn lets its workers end what they are at.
_LEAVING_SECONDS = 10.0


def main() -> None:
    """Serve the workers until the keeper is gone."""
    handover: Handover = pickle.load(sys.stdin.buffer)  # noqa: S301 - the parent's pipe
    settings = handover.settings
    # Ctrl-C reaches the whole group; the workers first end what they are at.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.config.dictConfig(logging_config(settings.log_level, settings.log_format))
    built = wire(settings, real_parts(settings))
    server = Server(handover.address, built.gateway.within)

    def leave_with_the_keeper() -> None:
        while os.read(sys.stdin.fileno(), 1 << 16):
            pass
        # Other workers may still end what they are at: their calls are answered.
        server.leave(_LEAVING_SECONDS)

    threading.Thread(target=leave_with_the_keeper, name="lifeline", daemon=True).start()
    built.start()
    objects = {
        "gateway": built.gateway,
        "updater": built.updater,
        "refresher": built.refresher,
        "checker": built.checker,
    }
    server.serve({name: (objects[name], methods) for name, methods in AGENT_METHODS.items()})


if __name__ == "__main__":
    main()
