"""The keeper: of the workers of one gunicorn, one keeps the agent running; when it dies, another does."""

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

# An agent that ends at once is not started again at once.
_BETWEEN_STARTS_SECONDS = 1.0
# How long to wait for a sign of life, and after how long without one the agent is taken for stuck.
_SIGN_SECONDS = 1.0
_SILENCE_SECONDS = 30.0
_ROOT = Path(__file__).resolve().parents[3]


class Keeper:
    """Holds the lock of the agent, and starts it whenever it is not there.

    The agent's socket lies in `directory`; `settings` are those of the agent, as JSON.
    `marks`: what it is to share, if any.
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
        self._stopped = False

    def address(self) -> str:
        """The socket of this gunicorn's agent: all its workers have the same parent."""
        scope = hashlib.sha256(f"{socket.gethostname()}\n{os.getppid()}".encode()).hexdigest()[:16]
        return str(self._directory / f"agent-{scope}.sock")

    def tick(self) -> None:
        """See to it that there is an agent, if no other worker does."""
        with self._changing:
            self._give_up_what_was_removed()
            if self._stopped or not self._is_keeper():
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
            self._let_go()

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

    def _is_keeper(self) -> bool:
        if self._lock is None:
            if self._child is not None and self._child.poll() is None:
                # The agent of the lock that was lost ends what it is at.
                return False
            try:
                self._lock = self._held.enter_context(self._locks.hold(self.address(), 0))
            except (LockTimeout, OSError):
                return False
        return True

    def _give_up_what_was_removed(self) -> None:
        """A cleaner of temporary files may take the lock, which then excludes nobody, or the socket."""
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
        # Its input is its lifeline: when this worker is gone, however it went, that ends, and so does the agent.
        self._child = subprocess.Popen(
            [sys.executable, "-m", "app.agent"],
            stdin=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
            pass_fds=() if self._marks is None else (self._marks,),
        )
        _hand_over(self._child, Handover(self.address(), self._settings, self._marks))


def remove_abandoned_sockets(directory: Path, locks: Locks) -> None:
    """Remove the sockets, and the locks, of agents that have no keeper and answer nobody."""
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
    # Not in the environment or among the arguments, where others could read the secrets.
    try:
        if child.stdin is not None:
            child.stdin.write(msgspec.json.encode(handover) + b"\n")
            child.stdin.flush()
    except OSError:
        log.warning("The process that talks to MLflow did not start")
