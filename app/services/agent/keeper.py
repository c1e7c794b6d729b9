"""The keeper: one worker of a gunicorn keeps the agent running. When that worker dies, another takes over."""

import hashlib
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import msgspec

from app.domain.errors import LockTimeout, TowerError
from app.domain.ports import HeldLock, Locks
from app.services.agent.client import AgentLink, remote
from app.services.agent.server import Alive, Handover
from app.services.host.marks import Marks

log = logging.getLogger(__name__)

# The pause before another start, so that an agent that ends at once is not restarted in a loop.
_BETWEEN_STARTS_SECONDS = 1.0
# How long to wait for a sign of life, and how long the agent may be silent before it counts as stuck.
_SIGN_SECONDS = 1.0
_SILENCE_SECONDS = 30.0
_ROOT = Path(__file__).resolve().parents[3]


class Keeper:
    """Holds the agent's lock, and starts the agent whenever it does not run.

    The agent's socket is in `directory`; `settings` are those of the agent, as JSON; `marks` are shared with it.
    """

    def __init__(self, directory: Path, locks: Locks, settings: str, marks: Marks | None = None) -> None:
        self._directory = directory
        self._locks = locks
        self._settings = settings
        self._marks = None if marks is None else marks.descriptor
        self._held = ExitStack()
        self._lock: HeldLock | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._started_at = self._answered_at = 0.0
        self._changing = threading.Lock()
        self._stopped = self._is_retiring = False

    def address(self) -> str:
        """The socket of this gunicorn's agent, named after the parent process that all its workers share."""
        scope = hashlib.sha256(f"{socket.gethostname()}\n{os.getppid()}".encode()).hexdigest()[:16]
        return str(self._directory / f"agent-{scope}.sock")

    def tick(self) -> None:
        """Make sure that the agent runs, unless another worker does so."""
        with self._changing:
            self._give_up_what_was_removed()
            if self._is_retiring and (self._child is None or self._child.poll() is not None):
                self._let_go()
                return
            if self._stopped or not self._is_keeper():
                return
            if self._child is None or self._child.poll() is not None:
                self._start()
            child = self._child
        if child is not None and not self._answers():
            log.error("The process that talks to MLflow does not answer for %d s: killing it", _SILENCE_SECONDS)
            child.kill()

    def retire(self) -> None:
        """Start no agent any more, since this worker is about to end: the agent would outlive the others."""
        self._is_retiring = True

    def stop(self) -> None:
        """Give up the agent, which then ends by itself. Another worker may start a new one."""
        with self._changing:
            self._stopped = True
            self._let_go()

    def _answers(self) -> bool:
        """Whether the agent has answered or was started recently enough not to count as stuck."""
        link = AgentLink(_SIGN_SECONDS)
        link.use(self.address())
        try:
            with link.within(_SIGN_SECONDS):
                remote(Alive, link).is_alive()
        except TowerError:
            return time.monotonic() - max(self._answered_at, self._started_at) < _SILENCE_SECONDS
        self._answered_at = time.monotonic()
        return True

    def _is_keeper(self) -> bool:
        if self._lock is None:
            if self._child is not None and self._child.poll() is None:
                # The agent of the lost lock still finishes its work.
                return False
            try:
                self._lock = self._held.enter_context(self._locks.hold(self.address(), 0))
            except (LockTimeout, OSError):
                return False
        return True

    def _give_up_what_was_removed(self) -> None:
        """Give up the agent where a cleaner of temporary files removed its socket or its lock."""
        if self._lock is None or (self._lock.stands() and not self._lost_its_socket()):
            return
        log.warning("The lock or the socket of the process that talks to MLflow was removed: starting anew")
        self._let_go()

    def _lost_its_socket(self) -> bool:
        return self._answered_at > self._started_at and not os.path.lexists(self.address())

    def _let_go(self) -> None:
        if self._child is not None and self._child.stdin is not None:
            self._child.stdin.close()
        self._held.close()
        self._lock = None

    def _start(self) -> None:
        if time.monotonic() - self._started_at < _BETWEEN_STARTS_SECONDS:
            return
        if self._child is not None:
            log.warning("The process that talks to MLflow has ended (%s): starting another", self._child.returncode)
            if self._child.stdin is not None:
                self._child.stdin.close()
        self._started_at = time.monotonic()
        path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
        # The agent's input is its lifeline: it closes however this worker ends, and then the agent ends too.
        self._child = subprocess.Popen(
            [sys.executable, "-m", "app.agent"],
            stdin=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
            pass_fds=() if self._marks is None else (self._marks,),
        )
        _hand_over(self._child, Handover(self.address(), self._settings, self._marks))


def remove_abandoned_sockets(directory: Path, locks: Locks) -> None:
    """Remove the sockets and the locks of agents that have no keeper and do not answer."""
    for file in directory.glob("agent-*.sock"):
        with suppress(LockTimeout, OSError), locks.hold(str(file), 0) as held:
            if _is_abandoned(file):
                file.unlink()
                held.remove()


def _is_abandoned(file: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as asking:
        try:
            asking.connect(str(file))
        except ConnectionRefusedError:
            return True
    return False


def _hand_over(child: subprocess.Popen[bytes], handover: Handover) -> None:
    # The settings go through a pipe: others could read secrets in the environment or the arguments.
    try:
        if child.stdin is not None:
            child.stdin.write(msgspec.json.encode(handover) + b"\n")
            child.stdin.flush()
    except OSError:
        log.warning("The process that talks to MLflow did not start")
