"""MLflow servers that share one import of MLflow and one empty database, which take most of the time of a start.

`python -m tests.forked_mlflow SOCKET` imports it once and makes the database, of which a server on a SQLite file that
does not exist gets a copy. Who connects and sends a `Server` gets that server, forked from
the process, for as long as the connection is open. The process ends with its last connection.
"""

import fcntl
import gc
import json
import os
import random
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_SQLITE = "sqlite:///"


@dataclass(frozen=True)
class Server:
    """Where a server listens and logs, and its environment."""

    host: str
    port: int
    log: str
    folder: str
    env: dict[str, str]


@contextmanager
def forked(server: Server) -> Iterator[None]:
    """That server; it is killed at the end."""
    with _asked(server) as connection:
        try:
            yield
        finally:
            connection.shutdown(socket.SHUT_WR)
            # Its other end is closed when the server has ended.
            connection.recv(1)


def _asked(server: Server) -> socket.socket:
    """A connection to the process that has forked this server."""
    # All processes of a test run share that one.
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or str(os.getpid())
    folder = Path(tempfile.gettempdir()) / f"control-tower-tests-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    path = folder / f"mlflow-{run[:16]}.sock"
    with (folder / "mlflow.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        while True:
            connection = socket.socket(socket.AF_UNIX)
            with suppress(OSError):
                connection.connect(str(path))
                connection.sendall(json.dumps(asdict(server)).encode() + b"\n")
                # Nothing comes from a process that was about to end.
                if connection.recv(100):
                    return connection
            connection.close()
            _start(path, server)


def _start(path: Path, server: Server) -> None:
    """Start the process; it listens when this returns."""
    with Path(server.log).open("ab") as log, subprocess.Popen(
        [sys.executable, "-m", "tests.forked_mlflow", str(path)],
        cwd=ROOT, env=server.env, stdout=subprocess.PIPE, stderr=log, start_new_session=True,
    ) as started:  # fmt: skip
        assert started.stdout
        assert started.stdout.readline(), Path(server.log).read_text()


def main(path: Path) -> None:
    """Fork a server for each connection until there is none."""
    import uvicorn
    from mlflow.server.fastapi_app import app
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    if os.fork():
        # The one who asked waits for its own child, and no longer.
        os._exit(0)
    # It misses a library. Each search for runs would read it again, in a third of its time, and fail.
    sys.modules["mlflow.server.auth"] = None  # type: ignore[assignment]
    path.unlink(missing_ok=True)
    empty = path.with_suffix(".db")
    empty.unlink(missing_ok=True)
    # With the root of artifacts that every server here has: the experiment "Default" keeps it.
    SqlAlchemyStore(f"{_SQLITE}{empty}", "mlflow-artifacts:/").engine.dispose()
    # All of it stays for good: no server looks through it.
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
                        for made in (path, empty):
                            made.unlink(missing_ok=True)
                        return
                    continue
                connection, _ = listening.accept()
                server = Server(**json.loads(connection.makefile().readline()))
                pid = os.fork()
                if not pid:
                    selector.close()
                    for other in (listening, connection, *servers):
                        other.close()
                    _become(server, empty)
                    uvicorn.run(app, host=server.host, port=server.port)
                    os._exit(0)
                servers[connection] = pid
                selector.register(connection, selectors.EVENT_READ)
                connection.sendall(str(pid).encode())


def _become(server: Server, empty: Path) -> None:
    """Have this process log, and know its environment, as if it had been started for this server.

    A store in a file that does not exist becomes a copy of the empty one.
    """
    os.setsid()
    os.chdir(server.folder)
    log = os.open(server.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    os.environ.clear()
    os.environ.update(server.env)
    random.seed()
    store = server.env["_MLFLOW_SERVER_FILE_STORE"]
    if store.startswith(_SQLITE) and not Path(store.removeprefix(_SQLITE)).exists():
        shutil.copy(empty, store.removeprefix(_SQLITE))


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
