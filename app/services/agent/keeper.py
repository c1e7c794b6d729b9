"""The keeper: of the workers of one gunicorn, one keeps the agent running; when it dies, another does."""

import hashlib
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import msgspec

from app.domain.errors import LockTimeout, TowerError
from app.domain.ports import Locks
from app.services.agent.client import AgentLink, remote
from app.services.agent.server import Alive, Handover

log = logging.getLogger(__name__)

# An agent that ends at once is not started again at once.
_BETWEEN_STARTS_SECONDS = 1.0
# How long to wait for a sign of life, and after how long without one the agent is taken for stuck.
_SIGN_SECONDS = 1.0
_SILENCE_SECONDS = 30.0
_ROOT = Path(__file__).resolve().parents[3]


class Keeper:
    """Holds the lock of the agent, and starts it whenever it is not there.

    The agent's socket lies in `directory`; `settings` are those of the agent, as JSON.
    """

    def __init__(self, directory: Path, locks: Locks, settings: str) -> None:
        self._directory = directory
        self._locks = locks
        self._settings = settings
        self._held = ExitStack()
        self._is_keeper = False
        self._child: subprocess.Popen[bytes] | None = None
        self._started_at = self._answered_at = 0.0
        self._changing = threading.Lock()
        self._stopped = False

    def address(self) -> str:
        """The socket of this gunicorn's agent: all its workers have the same parent."""
        scope = hashlib.sha256(f"{socket.gethostname()}\n{os.getppid()}".encode()).hexdigest()[:16]
        return str(self._directory / f"agent-{scope}.sock")

    def tick(self) -> None:
        """See to it that there is an agent, if no other worker does."""
        with self._changing:
            if self._stopped or not self._became_keeper():
                return
            if self._child is None or self._child.poll() is not None:
                self._start()
            child = self._child
        if child is not None and not self._answers():
            log.error("The process that talks to MLflow does not answer for %d s: killing it", _SILENCE_SECONDS)
            child.kill()

    def stop(self) -> None:
        """Let go: the agent ends by itself, and another worker may start a new one."""
        with self._changing:
            self._stopped = True
            if self._child is not None and self._child.stdin is not None:
                self._child.stdin.close()
            self._held.close()

    def _answers(self) -> bool:
        """Whether it has, within the time that even a start may take."""
        link = AgentLink(_SIGN_SECONDS)
        link.use(self.address())
        try:
            with link.within(_SIGN_SECONDS):
                remote(Alive, link).is_alive()
        except TowerError:
            return time.monotonic() - max(self._answered_at, self._started_at) < _SILENCE_SECONDS
        self._answered_at = time.monotonic()
        return True

    def _became_keeper(self) -> bool:
        if not self._is_keeper:
            try:
                self._held.enter_context(self._locks.hold(self.address(), 0))
            except (LockTimeout, OSError):
                return False
            self._is_keeper = True
        return True

    def _start(self) -> None:
        if time.monotonic() - self._started_at < _BETWEEN_STARTS_SECONDS:
            return
        if self._child is not None:
            log.warning("The process that talks to MLflow has ended (%s): starting another", self._child.returncode)
            if self._child.stdin is not None:
                self._child.stdin.close()
        self._started_at = time.monotonic()
        path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
        # Its input is its lifeline: when this worker is gone, however it went, that ends, and so does the agent.
        self._child = subprocess.Popen(
            [sys.executable, "-m", "app.agent"],
            stdin=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )
        _hand_over(self._child, Handover(self.address(), self._settings))


def _hand_over(child: subprocess.Popen[bytes], handover: Handover) -> None:
    # Not in the environment or among the arguments, where others could read the secrets.
    try:
        if child.stdin is not None:
            child.stdin.write(msgspec.json.encode(handover) + b"\n")
            child.stdin.flush()
    except OSError:
        log.warning("The process that talks to MLflow did not start")
