"""What is in `deploy/` for nginx and systemd, used as it is but for its paths and addresses."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from configparser import RawConfigParser
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import requests

from tests.servers import (
    HANGS_AFTER_SECONDS,
    HOST,
    QUIET,
    ROOT,
    Redis,
    Tower,
    agents,
    answers,
    certify,
    clean_environment,
    free_port,
    process,
    tower,
    until,
    without_coverage,
)

DEPLOY = ROOT / "deploy"
NGINX = DEPLOY / "nginx" / "control-tower.conf"
UNIT = DEPLOY / "systemd" / "control-tower.service"
# Calls before, while and after an instance stops.
CALLS = 300


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


@pytest.fixture(scope="module")
def nginx() -> str:
    done = subprocess.run([ROOT / "scripts" / "need.sh", "nginx"], check=False, capture_output=True, text=True)
    found = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    assert found, done.stderr
    return found


@contextmanager
def proxy_of(command: str, folder: Path, instances: list[str]) -> Iterator[str]:
    """nginx with the shipped file in front of these addresses; its own address."""
    port = free_port()
    certify(folder)
    text = NGINX.read_text()
    for old, new in {
        "/etc/ssl/certs/tower.example.com.pem": f"{folder}/cert.pem",
        "/etc/ssl/private/tower.example.com.key": f"{folder}/key.pem",
        "listen 443 ssl;": f"listen {HOST}:{port} ssl;",
        "    server 127.0.0.1:8000;\n": "".join(f"    server {address};\n" for address in instances),
    }.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    places = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log stderr;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{places}{text}\n}}\n"
    )
    arguments = [command, "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]
    subprocess.run([*arguments, "-t"], check=True, capture_output=True)
    with process(arguments, folder / "nginx.log", folder, clean_environment()):
        until(lambda: listens(port), "nginx")
        yield f"https://{HOST}:{port}"


def listens(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex((HOST, port)) == 0


class Client:
    """Calls again and again until it is told to stop, and keeps what did not succeed."""

    def __init__(self, certificate: Path, method: str, url: str, body: object = None) -> None:
        self.seen: Counter[str] = Counter()
        self.stopping = threading.Event()
        self._certificate = str(certificate)
        self._call = (method, url, body)
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Client":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._thread.join()

    def _run(self) -> None:
        method, url, body = self._call
        with requests.Session() as session:
            session.trust_env = False
            session.verify = self._certificate
            while not self.stopping.is_set():
                try:
                    answer = session.request(method, url, json=body, timeout=HANGS_AFTER_SECONDS)
                    self.seen[f"{answer.status_code}" if answer.ok else answer.text] += 1
                except requests.RequestException as error:
                    self.seen[repr(error)] += 1


def test_no_request_fails_while_one_of_three_hosts_stops_and_the_next_can_lead_at_once(
    tmp_path: Path, seeded_url: str, nginx: str, redis: Redis
) -> None:
    settings = {
        **QUIET,
        "REDIS_URL": redis.url,
        "MONITORING_EXPERIMENT": "stopping",
        "MLFLOW_REQUEST_TIMEOUT_SECONDS": "60",
    }
    with ExitStack() as stack:
        towers = []
        for number in range(3):
            # The path of a socket is bounded, so the directory's is short.
            temporary = stack.enter_context(TemporaryDirectory(prefix="h-", dir="/tmp"))
            running = tower(tmp_path / str(number), seeded_url, 2, TMPDIR=temporary, **settings)
            towers.append(stack.enter_context(running))
        assert towers[2].register("seed-00000", 1).status_code == 201
        address = stack.enter_context(proxy_of(nginx, tmp_path, [each.url.removeprefix("http://") for each in towers]))
        trusted = tmp_path / "cert.pem"
        drift = f"{address}/model/seed-00000/drift?version=1"
        observation = {"metrics": {"accuracy": 0.9}}
        clients = [
            *(stack.enter_context(Client(trusted, "GET", f"{address}/models")) for _ in range(6)),
            *(stack.enter_context(Client(trusted, "GET", drift)) for _ in range(2)),
            stack.enter_context(Client(trusted, "POST", f"{address}/models/seed-00000/1/observations", observation)),
        ]

        def called() -> int:
            return sum(client.seen.total() for client in clients)

        until(lambda: called() > CALLS and all(client.seen for client in clients), "load")
        for _ in range(2):
            before = called()
            stopping = until(lambda: next((each for each in towers if leads(each)), None), "a leader")
            (agent,) = agents(stopping)
            towers.remove(stopping)
            stopping.process.terminate()
            assert stopping.process.wait(HANGS_AFTER_SECONDS) == 0
            until(lambda agent=agent: not Path(f"/proc/{agent}").exists(), "the end of its agent")
            named = f":{stopping.url.rpartition(':')[2]}:"
            assert [key for key, value in held(redis).items() if named in value] == []
            until(lambda before=before: called() > before + CALLS, "load")
        for client in clients:
            client.stopping.set()
    assert {status for client in clients for status in client.seen} <= {"200", "201"}, [c.seen for c in clients]


def leads(host: Tower) -> bool:
    return bool(host.get("/health").json()["hosts"]["leads"])


def held(redis: Redis) -> dict[str, str]:
    """Who leads, and which hosts are alive, as Redis has it."""
    client = redis.client()
    found = {key: client.get(key) or "" for key in client.scan_iter("*:leader")}
    return found | {key: " ".join(client.zrange(key, 0, -1)) for key in client.scan_iter("*:alive")}


def unit() -> RawConfigParser:
    """The unit, with each setting that may be repeated as its lines."""
    parsed = RawConfigParser(strict=False, comment_prefixes=("#",), delimiters=("=",))
    parsed.optionxform = str  # type: ignore[method-assign, assignment]
    # The parser keeps the last of several.
    text = UNIT.read_text()
    environment = "\x00".join(re.findall(r"^Environment=(.*)$", text, re.MULTILINE))
    parsed.read_string(re.sub(r"^Environment=.*\n", "", text, flags=re.MULTILINE))
    parsed.set("Service", "Environment", environment)
    return parsed


def test_the_unit_starts_the_service_tells_when_it_is_ready_and_stops_it(tmp_path: Path) -> None:
    service = unit()["Service"]
    assert (service["User"], service["StateDirectory"]) == ("control-tower", "control-tower")
    assert service["EnvironmentFile"] == "/etc/control-tower.env"
    # The process that talks to MLflow is needed until the last request is answered.
    assert service["KillMode"] == "mixed"
    state = tmp_path / "state"
    (state / "control-tower").mkdir(parents=True)
    own = dict(line.replace("%S", str(state)).split("=", 1) for line in service["Environment"].split("\x00"))
    port = free_port()
    environment = clean_environment(API_HOST=HOST, API_PORT=str(port), ENABLE_MOCK_DATA="true", **own)
    command = service["ExecStart"].split()
    assert command[0] == f"{service['WorkingDirectory']}/.venv/bin/gunicorn"
    command[0] = str(Path(shutil.which("gunicorn", path=f"{ROOT}/.venv/bin") or ""))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(str(tmp_path / "notify"))
        notified.settimeout(HANGS_AFTER_SECONDS)
        environment.update(NOTIFY_SOCKET=str(tmp_path / "notify"), MLFLOW_TRACKING_URI="http://127.0.0.1:9")
        with process(command, tmp_path / "log", ROOT, environment) as started:
            assert service["Type"] == "notify"
            assert b"READY=1" in notified.recv(4096), (tmp_path / "log").read_text()
            until(lambda: answers(f"http://{HOST}:{port}/livez"), "the service")
            started.send_signal(signal.SIGTERM)
            assert started.wait(HANGS_AFTER_SECONDS) == 0


# The root file system read-only for a user that has no name, as on OpenShift; then the service without any capability.
ON_A_READ_ONLY_ROOT = """
set -eu
for place in "$CACHE_DIRECTORY" "$TMPDIR"; do mount --bind "$place" "$place"; done
mount -o remount,bind,ro /
if touch "$PWD/written" 2>/dev/null; then exit 9; fi
exec setpriv --inh-caps=-all --ambient-caps=-all --bounding-set=-all --no-new-privs "$@"
"""
ANY_USER = ["unshare", "--user", "--map-user=12345", "--map-group=0", "--keep-caps", "--mount"]


def test_the_service_needs_only_its_cache_and_temporary_directory_writable_and_any_user(
    tmp_path: Path, seeded_url: str, stack: ExitStack
) -> None:
    if subprocess.run([*ANY_USER, "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs `unshare` of util-linux, and a system that lets this user make user namespaces")
    image = dict(re.findall(r"^(?:ENV| {3}) ([A-Z]+)=(\S+)", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE))
    assert image["HOME"] == image["TMPDIR"] == "/tmp"
    cache = tmp_path / "cache"
    cache.mkdir()
    # Short, since a socket's path has at most 107 bytes.
    temporary = stack.enter_context(TemporaryDirectory(prefix="tower-"))
    places = {"CACHE_DIRECTORY": str(cache), "TMPDIR": temporary, "HOME": temporary}
    port = free_port()
    environment = {name: value for name, value in clean_environment().items() if name not in ("USER", "LOGNAME")}
    environment = without_coverage(environment) | {
        **{name: value for name, value in image.items() if name != "PATH"}, **places,
        "API_HOST": HOST, "API_PORT": str(port), "MLFLOW_TRACKING_URI": seeded_url, "WEB_CONCURRENCY": "2",
        "MONITORING_EXPERIMENT": "read-only",
    }  # fmt: skip
    command = [*ANY_USER, "sh", "-c", ON_A_READ_ONLY_ROOT, "sh", sys.executable, "-m", "gunicorn", "wsgi:app"]
    with process(command, tmp_path / "log", ROOT, environment) as started:
        running = Tower(started, port, tmp_path / "log", cache, {})
        until(lambda: answers(f"{running.url}/readyz") or started.poll() is not None, "the service")
        assert started.poll() is None, running.text()
        assert running.register("seed-00001", 1).status_code == 201, running.text()
        assert running.get("/metrics").status_code == 200
        started.send_signal(signal.SIGTERM)
        assert started.wait(HANGS_AFTER_SECONDS) == 0
    assert any(cache.iterdir())
    assert " ERROR " not in running.text()
    assert " WARNING " not in running.text().replace("Anybody who reaches", "")
