"""MLflow servers of other versions, on other databases and behind other doors: `make kinds` runs them."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers import HOST, ROOT, answers, clean_environment, free_port, process, until, without_coverage

OWN = importlib.metadata.version("mlflow")
_INSTALLED = ROOT / "var" / "kinds"
# MLflow before 3.3 does not start with the newest SQLAlchemy, and MLflow 2 neither with the newest setuptools, nor
# without flask-wtf, which it does not name.
_OF_OLD_MLFLOW = ("sqlalchemy<2.1",)
_OF_MLFLOW_2 = ("setuptools<81", "flask-wtf")
_DRIVERS = ("psycopg[binary]", "pymysql", "cryptography")
# Databases are started as this user where the tests run as root, which PostgreSQL refuses.
_NOBODY = 65534

ADMIN = ("admin", "a-long-password")
NGINX = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen {host}:{port};
    location /ml/flow/ {{ proxy_pass {target}; proxy_buffering off; }}
  }}
}}
"""


@dataclass(frozen=True)
class Kind:
    """One kind of MLflow; with a `prefix` the server has a path of its own, and `proxied` is behind nginx."""

    name: str
    version: str = OWN
    database: str = "sqlite"
    prefix: str = ""
    proxied: bool = False
    auth: bool = False
    default_right: str = "NO_PERMISSIONS"
    workspaces: bool = False
    lacks: tuple[str, ...] = ()


def need(command: str, package: str) -> str:
    """The path of a command; the test is skipped, with what to install, where it is missing."""
    found = shutil.which(command, path=os.pathsep.join((os.environ["PATH"], "/usr/sbin", *_homes_of_postgresql())))
    if found is None:
        pytest.skip(f"{command} is not there. Install it (Debian: apt-get install {package}).")
    return found


def _homes_of_postgresql() -> list[str]:
    """Debian keeps PostgreSQL's programs outside every PATH."""
    return [str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"))]


def installed(version: str) -> Path:
    """The programs of an environment with this version of MLflow; made by uv where it is missing."""
    folder = _INSTALLED / version
    if not (folder / "bin" / "mlflow").exists():
        uv = [str(Path(sys.executable).parent / "uv")]
        extra = (*_OF_OLD_MLFLOW, *(_OF_MLFLOW_2 if version.startswith("2.") else ())) if version != OWN else ()
        subprocess.run([*uv, "venv", "--quiet", "--python", "3.11", str(folder)], check=True)
        wanted = [f"mlflow[auth]=={version}" if version == OWN else f"mlflow=={version}", *extra, *_DRIVERS]
        subprocess.run([*uv, "pip", "install", "--quiet", "--python", str(folder), *wanted], check=True)
    return folder / "bin"


@contextmanager
def running(kind: Kind, folder: Path) -> Iterator[str]:
    """A server of this kind; its address, without credentials."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        port = free_port()
        command = [
            str(installed(kind.version) / "mlflow"), "server", "--host", HOST, "--port", str(port), "--workers", "1",
            "--backend-store-uri", stack.enter_context(database(kind.database, folder)),
            "--artifacts-destination", str(folder / "artifacts"),
        ]  # fmt: skip
        command += ["--static-prefix", kind.prefix] if kind.prefix else []
        command += ["--app-name", "basic-auth"] if kind.auth else []
        command += ["--enable-workspaces"] if kind.workspaces else []
        env = without_coverage(clean_environment(MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false", **_auth(kind, folder)))
        env["PATH"] = f"{installed(kind.version)}{os.pathsep}{env['PATH']}"
        env.pop("PYTHONPATH")
        started = stack.enter_context(process(command, folder / "mlflow.log", folder, env))
        url = f"http://{HOST}:{port}{kind.prefix}"
        until(lambda: answers(f"{url}/health") or started.poll() is not None, kind.name)
        assert started.poll() is None, (folder / "mlflow.log").read_text()
        yield stack.enter_context(_behind_nginx(url, folder)) if kind.proxied else url


def _auth(kind: Kind, folder: Path) -> dict[str, str]:
    if not kind.auth:
        return {}
    user, password = ADMIN
    (folder / "auth.ini").write_text(
        f"[mlflow]\ndefault_permission = {kind.default_right}\n"
        f"database_uri = sqlite:///{folder}/auth.db\nadmin_username = {user}\nadmin_password = {password}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        # Otherwise it hashes the password for each request, which is slow on purpose.
        "auth_cache_ttl_seconds = 60\n"
    )
    return {"MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"), "MLFLOW_FLASK_SERVER_SECRET_KEY": "some-secret"}


@contextmanager
def _behind_nginx(target: str, folder: Path) -> Iterator[str]:
    nginx, port = need("nginx", "nginx"), free_port()
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, host=HOST, port=port, target=f"{target}/"))
    with process([nginx, "-c", str(folder / "nginx.conf"), "-p", str(folder)], folder / "nginx.log", folder, {}):
        until(lambda: answers(f"http://{HOST}:{port}/ml/flow/health"), "nginx")
        yield f"http://{HOST}:{port}/ml/flow"


@contextmanager
def _sqlite(folder: Path) -> Iterator[str]:
    yield f"sqlite:///{folder}/mlflow.db"


@contextmanager
def _postgresql(folder: Path) -> Iterator[str]:
    initdb, server = need("initdb", "postgresql"), need("postgres", "postgresql")
    port, env, log = free_port(), {"PATH": os.environ["PATH"], "LC_ALL": "C"}, folder / "postgresql.log"
    with _data(folder) as data:
        command = [*_as_nobody(), initdb, "-D", str(data), "-U", "ada", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(command, check=True, capture_output=True, env=env, cwd=data)
        options = ["-p", str(port), "-k", str(data), "-c", f"listen_addresses={HOST}", "-c", "fsync=off"]
        with process([*_as_nobody(), server, "-D", str(data), *options], log, data, env):
            until(lambda: "ready to accept" in log.read_text(), "PostgreSQL")
            # Every PostgreSQL has this database.
            yield f"postgresql+psycopg://ada@{HOST}:{port}/postgres"


@contextmanager
def _mariadb(folder: Path) -> Iterator[str]:
    install, server = need("mariadb-install-db", "mariadb-server-core"), need("mariadbd", "mariadb-server-core")
    # mariadb-install-db calls it.
    need("my_print_defaults", "mariadb-client-core")
    port, env, log = free_port(), {"PATH": os.environ["PATH"]}, folder / "mariadb.log"
    with _data(folder) as data:
        start = data / "start.sql"
        # One statement a line.
        start.write_text(
            "CREATE DATABASE mlflow CHARACTER SET utf8mb4;\nCREATE USER ada@'%';\nGRANT ALL ON mlflow.* TO ada@'%';\n"
        )
        files = ["--no-defaults", f"--datadir={data}/data"]
        command = [*_as_nobody(), install, *files, "--auth-root-authentication-method=normal", "--skip-test-db"]
        subprocess.run(command, check=True, capture_output=True, env=env, cwd=data)
        options = [f"--port={port}", f"--bind-address={HOST}", f"--socket={data}/s", f"--init-file={start}"]
        with process(
            [*_as_nobody(), server, *files, *options, "--skip-log-bin", "--skip-name-resolve"], log, data, env
        ):
            until(lambda: "ready for connections" in log.read_text(), "MariaDB")
            yield f"mysql+pymysql://ada@{HOST}:{port}/mlflow"


_DATABASES = {"sqlite": _sqlite, "postgresql": _postgresql, "mariadb": _mariadb}


def database(kind: str, folder: Path) -> AbstractContextManager[str]:
    """A running `sqlite`, `postgresql` or `mariadb` without tables; its address for SQLAlchemy."""
    return _DATABASES[kind](folder)


@contextmanager
def _data(folder: Path) -> Iterator[Path]:
    """A directory for a database, outside pytest's own, which other users may not enter."""
    data = Path(tempfile.gettempdir()) / f"control-tower-kinds-{os.getpid()}-{folder.name}"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir()
    if os.getuid() == 0:
        os.chown(data, _NOBODY, _NOBODY)
    try:
        yield data
    finally:
        shutil.rmtree(data, ignore_errors=True)


def _as_nobody() -> list[str]:
    if os.getuid() != 0:
        return []
    return [need("setpriv", "util-linux"), f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"]
