"""Real servers for tests: MLflow, the tower under gunicorn, and a proxy between them that misbehaves on command."""

import fcntl
import http.client
import os
import random
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any

import redis
import requests

from tests.forked_tower import AGENT
from tests.forking import Forked, Start, forked

ROOT = Path(__file__).resolve().parents[1]
HOST = "127.0.0.1"
# What could hang fails after this long, and nothing else does: a busy machine takes its time. How fast things are is
# measured by `make bench`.
HANGS_AFTER_SECONDS = 180
# Longer than anything that is tested may wait for MLflow.
_HELD_AT_MOST_SECONDS = 300
# Below those that the system gives to whoever asks for any.
PORTS = (20_000, 32_000)
# In the MLflow that most tests only read; each has three versions.
SEEDED_MODELS = 100
# Nothing asks MLflow of its own accord but the first sweep, so that requests can be counted.
QUIET = {
    "CHANGE_POLL_SECONDS": "0",
    "ALIAS_POLL_SECONDS": "0",
    "CHECK_INTERVAL_MINUTES": "0",
    "CACHE_REFRESH_INTERVAL_MINUTES": "600",
}


def until(condition: Callable[[], Any], what: str = "condition") -> Any:
    """Poll until the condition holds, and give what it gave."""
    end, pause = time.monotonic() + HANGS_AFTER_SECONDS, 0.02
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(pause)
        # Asking often takes processor time from what is awaited.
        pause = min(pause * 1.3, 0.25)
    raise AssertionError(f"{what} did not come about in {HANGS_AFTER_SECONDS} s")


# Held until this process ends: tests that run beside it get others.
_claims: list[IO[str]] = []


def free_port() -> int:
    """A port that nothing listens on, and that the system gives nobody who asks for any."""
    folder = Path(tempfile.gettempdir()) / f"control-tower-tests-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    while True:
        port = random.randrange(*PORTS)
        claim = (folder / f"port-{port}.lock").open("a")
        with socket.socket() as tried, suppress(OSError):
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((HOST, port))
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _claims.append(claim)
            return port
        claim.close()


def answers(url: str, status: int = 200) -> bool:
    try:
        return requests.get(url, timeout=5).status_code == status
    except requests.RequestException:
        return False


def clean_environment(**more: str) -> dict[str, str]:
    """The environment without what would configure MLflow or the tower, and with a few settings."""
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "API_", "CACHE_", "ENABLE_", "PROMETHEUS_"))
    }
    return {**kept, "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONPATH": str(ROOT), **more}


def without_coverage(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for a program that coverage would make slower and learn nothing of."""
    return {name: value for name, value in environment.items() if not name.startswith("COVERAGE_")}


@contextmanager
def process(command: list[str], log: Path, cwd: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own, killed with all its children at the end."""
    with log.open("ab") as file:
        started = subprocess.Popen(command, cwd=cwd, env=env, stdout=file, stderr=file, start_new_session=True)
    try:
        yield started
    finally:
        _end(started)
        kill_group(started)


def _end(started: subprocess.Popen[bytes] | Forked) -> None:
    """Have a process end in order, and wait for that, though not for long."""
    started.terminate()
    with suppress(subprocess.TimeoutExpired):
        started.wait(15)


def kill_group(started: subprocess.Popen[bytes] | Forked) -> None:
    with suppress(ProcessLookupError):
        os.killpg(started.pid, signal.SIGKILL)
    started.wait(15)


@contextmanager
def mlflow_server(folder: Path, store: str | None = None, server: str = "gunicorn", **more: str) -> Iterator[str]:
    """A real MLflow over a SQLite store or another one, with more in its environment; its address.

    By gunicorn a request takes two thirds of the processor time that it takes by uvicorn, MLflow's default, which
    measurements ask for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    # As the command `mlflow server` sets it, which itself takes as long again to load as the server.
    env = clean_environment(
        MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
        _MLFLOW_SERVER_FILE_STORE=store or f"sqlite:///{folder}/mlflow.db",
        _MLFLOW_SERVER_SERVE_ARTIFACTS="true",
        _MLFLOW_SERVER_ARTIFACT_ROOT="mlflow-artifacts:/",
        _MLFLOW_SERVER_ARTIFACT_DESTINATION=str(folder / "artifacts"),
        **more,
    )
    start = Start(str(folder), str(folder / "mlflow.log"), without_coverage(env), [HOST, str(port), server])
    with forked("tests.forked_mlflow", start):
        url = f"http://{HOST}:{port}"
        until(lambda: answers(f"{url}/health"), "MLflow")
        # The command would make both stores before it listens. Here each is made when it is first needed, and requests
        # that make the same one at once break it: every later request is a 500.
        for first in ("experiments", "registered-models"):
            page = f"{url}/api/2.0/mlflow/{first}/search?max_results=1"
            requests.get(page, timeout=HANGS_AFTER_SECONDS).raise_for_status()
        yield url


def certify(folder: Path) -> None:
    """Make `cert.pem` and `key.pem` of this address."""
    subprocess.run(
        [
            str(shutil.which("openssl")), "req", "-x509", "-subj", "/CN=tower.example.com", "-newkey", "rsa:2048",
            "-addext", f"subjectAltName=IP:{HOST}", "-nodes", "-keyout", "key.pem", "-out", "cert.pem",
        ],
        check=True, cwd=folder, capture_output=True,
    )  # fmt: skip


NO_POSTGRES = "PostgreSQL is not there. Install it (Debian: apt-get install postgresql)."


def postgres_commands() -> Path | None:
    """Where PostgreSQL's own commands are, which Debian keeps out of the path."""
    initdb = shutil.which("initdb")
    places = [Path(initdb).resolve().parent] if initdb else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return places[-1] if places else None


@contextmanager
def postgres_server(folder: Path) -> Iterator[str]:
    """A real PostgreSQL with an empty database; its address for SQLAlchemy."""
    commands, data, port = postgres_commands(), folder / "data", free_port()
    assert commands, NO_POSTGRES
    data.mkdir(parents=True)
    # It refuses to run as root: its package has a user for it, who must be let through to the folder.
    user = "postgres" if os.getuid() == 0 else None
    if user:
        shutil.chown(data, user)
        for parent in data.parents[:-2]:
            parent.chmod(parent.stat().st_mode | 0o711)
    options = ["-D", str(data), "-U", "tower", "--auth=trust", "--no-sync"]
    subprocess.run([commands / "initdb", *options], user=user, cwd=data, check=True, stdout=subprocess.DEVNULL)
    command = [str(commands / "postgres"), "-D", str(data), "-h", HOST, "-p", str(port), "-k", str(data)]
    with (folder / "postgres.log").open("ab") as log:
        started = subprocess.Popen(command, user=user, cwd=data, stdout=log, stderr=log, start_new_session=True)
    try:
        until(lambda: "ready to accept connections" in (folder / "postgres.log").read_text(), "PostgreSQL")
        yield f"postgresql+psycopg://tower@{HOST}:{port}/postgres"
    finally:
        # A fast stop: it waits for no client.
        started.send_signal(signal.SIGINT)
        started.wait(30)


class Redis:
    """A real Redis of a test's own, which can be stopped and started at the same address."""

    def __init__(self, folder: Path, *options: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._options = options
        self.port = free_port()
        self.url = f"redis://:secret@{HOST}:{self.port}/0"
        self._running = ExitStack()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; nothing is kept from the last time."""
        command = [
            "redis-server", "--port", str(self.port), "--bind", HOST, "--save", "", "--requirepass", "secret",
            *self._options,
        ]  # fmt: skip
        assert shutil.which(command[0]), "redis-server is not there. Install it (Debian: apt-get install redis-server)."
        env = without_coverage(clean_environment())
        self.process = self._running.enter_context(process(command, self._folder / "redis.log", self._folder, env))
        until(self.answers, "Redis")

    def stop(self) -> None:
        """Kill it; what it held is lost."""
        if self.process is not None:
            kill_group(self.process)
        self._running.close()

    def answers(self) -> bool:
        try:
            return bool(self.client().ping())
        except redis.RedisError:
            return False

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url, socket_timeout=5, decode_responses=True)


def start_serving(server: socketserver.BaseServer) -> None:
    """Have a server of this process serve until its `shutdown`, which by default waits for half a second."""
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()


class SlowLine:
    """A line to a server, on which everything that is sent arrives `delay` seconds later; answers come at once."""

    def __init__(self, port: int) -> None:
        self.delay = 0.0
        line = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with suppress(OSError), socket.create_connection((HOST, port)) as there:
                    back = threading.Thread(target=line.carry, args=(there, self.request), daemon=True)
                    back.start()
                    line.carry(self.request, there, is_slow=True)

        self._server = socketserver.ThreadingTCPServer((HOST, 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        start_serving(self._server)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def carry(self, one: socket.socket, other: socket.socket, is_slow: bool = False) -> None:
        with suppress(OSError):
            while content := one.recv(1 << 16):
                if is_slow:
                    time.sleep(self.delay)
                other.sendall(content)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def redis_server(folder: Path, *options: str) -> Iterator[Redis]:
    """A real Redis with a password, and further options of the command."""
    running = Redis(folder, *options)
    running.start()
    try:
        yield running
    finally:
        running.stop()


def tree(pid: int) -> list[int]:
    """A process and all that it started, as far as they run."""
    pids = [pid]
    for one in pids:
        for thread in Path(f"/proc/{one}/task").glob("*/children"):
            with suppress(OSError):
                pids += [int(child) for child in thread.read_text().split()]
    return pids


def agents(running: "Tower") -> list[int]:
    """The process that talks to MLflow; while another takes its place there may be none, or two."""
    return agents_of(running.process.pid)


def agents_of(master: int) -> list[int]:
    found = []
    for pid in tree(master):
        with suppress(OSError):
            command, name = (Path(f"/proc/{pid}/{file}").read_bytes() for file in ("cmdline", "comm"))
            # One that has ended, and that nobody has waited for, has no command line any more.
            if b"app.agent" in command or (command and name.strip() == AGENT.encode()):
                found.append(pid)
    return found


class Tower:
    """A running tower: its address, log, and ways to ask and to kill it."""

    def __init__(
        self, started: subprocess.Popen[bytes] | Forked, port: int, log: Path, cache: Path, headers: Mapping[str, str]
    ) -> None:
        self.process = started
        self.url = f"http://{HOST}:{port}"
        self.log = log
        self.cache = cache
        self.headers = headers

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        headers = {**self.headers, **more.pop("headers", {})}
        return requests.request(method, self.url + path, timeout=HANGS_AFTER_SECONDS, headers=headers, **more)

    def get(self, path: str, **more: Any) -> requests.Response:
        return self.ask("GET", path, **more)

    def post(self, path: str, **more: Any) -> requests.Response:
        return self.ask("POST", path, **more)

    def patch(self, path: str, **more: Any) -> requests.Response:
        return self.ask("PATCH", path, **more)

    def delete(self, path: str, **more: Any) -> requests.Response:
        return self.ask("DELETE", path, **more)

    def register(self, name: str, version: int | str = 1, model_type: str = "classifier") -> requests.Response:
        return self.post(f"/models/{name}/{version}/monitor", json={"model_type": model_type})

    def kill(self) -> None:
        """kill -9 of the master and every worker."""
        kill_group(self.process)

    def text(self) -> str:
        return self.log.read_text(errors="replace")


def _gunicorn(log: Path, folder: Path, env: dict[str, str]) -> AbstractContextManager[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py"), "wsgi:app"]
    return process(command, log, folder, env)


@contextmanager
def _forked_gunicorn(log: Path, folder: Path, env: dict[str, str]) -> Iterator[Forked]:
    with forked("tests.forked_tower", Start(str(folder), str(log), env, [])) as started:
        try:
            yield started
        finally:
            _end(started)


@contextmanager
def tower(
    folder: Path,
    mlflow: str | None,
    workers: int = 2,
    ready: bool = True,
    port: int | None = None,
    covered: bool = False,
    headers: Mapping[str, str] | None = None,
    forked: bool = False,
    **settings: str,
) -> Iterator[Tower]:
    """The tower under gunicorn; with `ready` it has read MLflow when this returns. It is asked with these headers.

    A `forked` one shares its imports with others (see `tests/forked_tower.py`). Coverage sees what a `covered` tower
    runs, which makes its start half as long again, and which it cannot see in a forked one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    cache = Path(settings.get("CACHE_DIRECTORY", str(folder / "cache")))
    log = folder / f"tower-{port}.log"
    env = clean_environment(
        API_HOST=HOST, API_PORT=str(port), WEB_CONCURRENCY=str(workers), CACHE_DIRECTORY=str(cache),
        **({"MLFLOW_TRACKING_URI": mlflow} if mlflow else {}),
    )  # fmt: skip
    env = (env if covered else without_coverage(env)) | settings
    forked = forked and not any(name.startswith("COVERAGE_") for name in env)
    # Started elsewhere than in the repository, so that nobody's .env is read.
    with _forked_gunicorn(log, folder, env) if forked else _gunicorn(log, folder, env) as started:
        running = Tower(started, port, log, cache, headers or {})
        page = "/readyz" if ready else "/livez"
        until(lambda: answers(running.url + page) or started.poll() is not None, f"tower {page}")
        assert started.poll() is None, running.text()
        yield running


class Proxy:
    """Stands before MLflow: counts requests, delays, hangs, refuses, drips or empties the answers."""

    def __init__(self, target: str) -> None:
        self.target = target.removeprefix("http://")
        self.mode = "up"
        self.delay = 0.0
        # As MLflow's own gunicorn does, refuse what has a longer first line.
        self.longest_line = self.refused_lines = 0
        # Hold the answers to requests with this in their body, after MLflow has done what they ask for.
        self.loses = b""
        # Keep requests with this in their body from MLflow.
        self.withholds = b""
        # How many requests were kept from MLflow, or lost their answer, up to now.
        self.lost = 0
        # How many requests were under way at once, at most.
        self.peak = self._under_way = 0
        self._counting = threading.Lock()
        self.paths: list[str] = []
        self.closing = threading.Event()
        # While a test keeps it closed, every request waits before it.
        self.gate = threading.Event()
        self.gate.set()
        self._held: set[object] = set()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def handle_any(self) -> None:
                # The tower may have given up and gone.
                with suppress(OSError, http.client.HTTPException):
                    proxy.handle(self)

            do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = handle_any

        self.server = ThreadingHTTPServer((HOST, 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://{HOST}:{self.server.server_address[1]}"
        start_serving(self.server)

    def close(self) -> None:
        self.closing.set()
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()

    @property
    def held(self) -> int:
        """How many requests wait for their answer now: who has one was not held by MLflow."""
        return len(self._held)

    def count(self, part: str) -> int:
        """How many requests of this kind have come."""
        return sum(part in path for path in list(self.paths))

    @contextmanager
    def holding(self) -> Iterator[None]:
        mark = object()
        self._held.add(mark)
        try:
            yield
        finally:
            self._held.discard(mark)

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        self.paths.append(f"{request.command} {request.path.partition('?')[0]}")
        if not self.gate.is_set():
            with self.holding():
                self.gate.wait(_HELD_AT_MOST_SECONDS)
        with self._counting:
            self._under_way += 1
            self.peak = max(self.peak, self._under_way)
        try:
            self.closing.wait(self.delay)
            self.misbehave(request, body)
        finally:
            with self._counting:
                self._under_way -= 1

    def misbehave(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        """Answer as the mode says."""
        if self.longest_line and len(request.raw_requestline) > self.longest_line:
            self.refused_lines += 1
            self.answer(request, 400, b"<html>Request Line is too large</html>", "text/html")
        elif self.mode == "hang":
            with self.holding():
                self.closing.wait(_HELD_AT_MOST_SECONDS)
        elif self.mode == "drip":
            with self.holding():
                self.drip(request)
        elif self.mode == "refuse":
            self.answer(request, 503, b"")
        elif self.mode == "empty":
            self.answer(request, 200, b"{}")
        elif self.withholds and self.withholds in body:
            self.lost += 1
            with self.holding():
                self.closing.wait(_HELD_AT_MOST_SECONDS)
        elif self.loses and self.loses in body:
            self.asked(request, body)
            self.lost += 1
            with self.holding():
                self.closing.wait(_HELD_AT_MOST_SECONDS)
        else:
            self.forward(request, body)

    def forward(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        self.answer(request, *self.asked(request, body))

    def asked(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes, str]:
        """MLflow's answer: status, body, type."""
        headers = {k: v for k, v in request.headers.items() if k.lower() not in ("host", "connection")}
        with closing(http.client.HTTPConnection(self.target, timeout=120)) as connection:
            connection.request(request.command, request.path, body, {**headers, "Host": self.target})
            answer = connection.getresponse()
            status, content = answer.status, answer.read()
            return status, content, answer.getheader("Content-Type") or "application/json"

    def answer(
        self, request: BaseHTTPRequestHandler, status: int, body: bytes, content_type: str = "application/json"
    ) -> None:
        request.send_response(status)
        request.send_header("Content-Type", content_type)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def drip(self, request: BaseHTTPRequestHandler) -> None:
        """A byte now and then: no read of the socket ever times out."""
        request.send_response(200)
        request.send_header("Content-Length", "100000")
        request.end_headers()
        for _ in range(5 * _HELD_AT_MOST_SECONDS):
            if self.closing.wait(0.2):
                return
            request.wfile.write(b" ")
