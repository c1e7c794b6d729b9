"""Servers that are forked from a process that has imported all they need, which takes most of the time of a start.

`python -m MODULE SOCKET` is that process. Who connects and sends a `Start` gets a server, forked from it, in a session
of its own, for as long as the connection is open. The process ends with its last connection.
"""

import fcntl
import gc
import json
import os
import random
import select
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Start:
    """Where a server runs and logs, its environment, and what it is called with."""

    folder: str
    log: str
    env: dict[str, str]
    arguments: list[str]


class Forked:
    """A process that another one has forked, with the methods of `subprocess.Popen` that tests use.

    It has no exit code: only its parent gets that.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._descriptor = os.pidfd_open(pid)

    def poll(self) -> int | None:
        """0 if it has ended, however it did."""
        return 0 if select.select([self._descriptor], [], [], 0)[0] else None

    def wait(self, seconds: float | None = None) -> None:
        if not select.select([self._descriptor], [], [], seconds)[0]:
            raise subprocess.TimeoutExpired(str(self.pid), seconds or 0)

    def terminate(self) -> None:
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def close(self) -> None:
        os.close(self._descriptor)

    def _send(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, number)


@contextmanager
def forked(module: str, start: Start) -> Iterator[Forked]:
    """A server of this module; at the end it is killed with all that it started."""
    with _asked(module, start) as connection:
        started = Forked(int(connection.recv(20)))
        try:
            yield started
        finally:
            connection.shutdown(socket.SHUT_WR)
            # Its other end is closed when the server has ended.
            connection.recv(1)
            started.close()


def _asked(module: str, start: Start) -> socket.socket:
    """A connection to the process that forks this server."""
    # All processes of a test run share that one.
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or str(os.getpid())
    folder = Path(tempfile.gettempdir()) / f"control-tower-tests-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    path = folder / f"{module}-{run[:16]}.sock"
    with (folder / f"{module}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        while True:
            connection = socket.socket(socket.AF_UNIX)
            with suppress(OSError):
                connection.connect(str(path))
                connection.sendall(json.dumps(asdict(start)).encode() + b"\n")
                # Nothing comes from a process that was about to end.
                if connection.recv(20, socket.MSG_PEEK):
                    return connection
            connection.close()
            _begin(module, path, start)


def _begin(module: str, path: Path, start: Start) -> None:
    """Start the process that forks; it listens when this returns."""
    with Path(start.log).open("ab") as log, subprocess.Popen(
        [sys.executable, "-m", module, str(path)],
        cwd=ROOT, env=start.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, start_new_session=True,
    ) as started:  # fmt: skip
        assert started.stdout
        assert started.stdout.readline(), Path(start.log).read_text()


def detach() -> None:
    """Go on in another process: who started this one waits for its own child, and no longer."""
    if os.fork():
        os._exit(0)


def fork_for(path: Path, run: Callable[[Start], None]) -> None:
    """Fork a server for each connection until there is none; `run` is the server."""
    path.unlink(missing_ok=True)
    # All that was imported stays for good: no server looks through it.
    gc.collect()
    gc.freeze()
    selector, servers = selectors.DefaultSelector(), dict[socket.socket, int]()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        selector.register(listening, selectors.EVENT_READ)
        os.write(sys.stdout.fileno(), b"listening\n")
        os.close(sys.stdout.fileno())
        while True:
            for key, _ in selector.select():
                connection = key.fileobj
                assert isinstance(connection, socket.socket)
                if connection is not listening:
                    selector.unregister(connection)
                    _kill(servers.pop(connection))
                    connection.close()
                    if not servers:
                        path.unlink(missing_ok=True)
                        return
                    continue
                connection, _ = listening.accept()
                start = Start(**json.loads(connection.makefile().readline()))
                pid = os.fork()
                if not pid:
                    selector.close()
                    _become(start, (listening, connection, *servers))
                    run(start)
                    os._exit(0)
                servers[connection] = pid
                selector.register(connection, selectors.EVENT_READ)
                connection.sendall(str(pid).encode())


def _become(start: Start, others: Sequence[socket.socket]) -> None:
    """Have this process log, and know its environment, as if it had been started for this server."""
    for other in others:
        other.close()
    os.setsid()
    os.chdir(start.folder)
    log = os.open(start.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    know(start.env)


def know(env: dict[str, str]) -> None:
    """Take this environment, and forget what was made of another one."""
    os.environ.clear()
    os.environ.update(env)
    tempfile.tempdir = None
    random.seed()


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
