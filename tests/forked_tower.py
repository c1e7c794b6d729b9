"""Towers under gunicorn that share one import of the service, and agents that share one import of MLflow's client.

Only the imports differ from `gunicorn wsgi:app`. Workers are children of the master, agents are its grandchildren, and
both are killed and replaced as they are there.
"""

import fcntl
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.forking import ROOT, Forked, Start, detach, fork_for, know

# What such an agent is called in /proc/PID/comm: its command line is that of the process that it was forked from.
AGENT = "app.agent"
# Beyond the descriptors that a process has when it starts.
_BEYOND = 200


def main(path: Path) -> None:
    for module in ("app.agent", "app.factory", "app.worker"):
        importlib.import_module(module)
    from app.services.mlflow_gateway.importing import lean_import, set_before_import

    set_before_import()
    with lean_import(for_server=True):
        from mlflow import MlflowClient  # noqa: F401 - every agent needs it
    # It reads its directory when it is imported, and each tower has its own.
    assert "prometheus_client" not in sys.modules
    detach()
    fork_for(path, run)


def run(start: Start) -> None:
    """Be the master of a gunicorn."""
    from gunicorn.app.wsgiapp import WSGIApplication

    _fork_agents_for(importlib.import_module("app.services.agent.keeper"))
    sys.argv = ["gunicorn", "-c", str(ROOT / "gunicorn.conf.py"), "wsgi:app"]
    WSGIApplication("%(prog)s [OPTIONS] [APP_MODULE]", prog="gunicorn").run()


def _fork_agents_for(keeper: Any) -> None:
    """Have the keepers of this gunicorn get their agents from a child of this process, which has no threads."""
    asking, asked = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if not os.fork():
        asking.close()
        _fork_agents(asked)
        os._exit(0)
    asked.close()

    def popen(command: Sequence[str], stdin: int, env: dict[str, str], pass_fds: Sequence[int]) -> "_Agent":
        assert (list(command[1:]), stdin) == (["-m", "app.agent"], subprocess.PIPE)
        return _Agent(asking, env, pass_fds)

    keeper.subprocess = SimpleNamespace(Popen=popen, PIPE=subprocess.PIPE)


class _Agent(Forked):
    """An agent as its keeper sees it."""

    def __init__(self, asking: socket.socket, env: dict[str, str], passed: Sequence[int]) -> None:
        reading, writing = os.pipe()
        answer, answered = socket.socketpair()
        with answer, answered:
            message = json.dumps([env, list(passed)]).encode()
            socket.send_fds(asking, [message], [reading, answered.fileno(), *passed])
            os.close(reading)
            answered.close()
            super().__init__(int(answer.recv(20)))
        self.stdin = os.fdopen(writing, "wb")
        self.returncode: int | None = None

    def poll(self) -> int | None:
        self.returncode = super().poll()
        return self.returncode


def _fork_agents(asked: socket.socket) -> None:
    """Fork an agent for each request, until the gunicorn has ended."""
    while True:
        if select.select([asked], [], [], 1)[0]:
            message, descriptors, _, _ = socket.recv_fds(asked, 1 << 18, 10)
            if not message:
                return
            env, numbers = json.loads(message)
            reading, answered, *passed = descriptors
            pid = os.fork()
            if not pid:
                asked.close()
                os.close(answered)
                _be_agent(env, [reading, *passed], [0, *numbers])
            os.write(answered, str(pid).encode())
            for descriptor in descriptors:
                os.close(descriptor)
        _reap()


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _be_agent(env: dict[str, str], descriptors: Sequence[int], numbers: Sequence[int]) -> None:
    """Be an agent, which gets these descriptors under these numbers."""
    from app.agent import main

    # None of them may be overwritten before it has its number.
    away = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, _BEYOND) for descriptor in descriptors]
    for descriptor in descriptors:
        os.close(descriptor)
    for descriptor, number in zip(away, numbers, strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)
    know(env)
    Path("/proc/self/comm").write_text(AGENT)
    sys.stdin = os.fdopen(0)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    main()
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
