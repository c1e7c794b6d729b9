"""The world of a measurement: a real MLflow filled with versions, the service before it, a bare Flask beside it."""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from mlflow import MlflowClient

from tests.seeding import seed
from tests.servers import HOST, ROOT, answers, clean_environment, free_port, mlflow_server, process, until

LOCAL_WEBHOOKS = {
    "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
    "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
}
# MLflow over SQLite needs more than 10 s for a page of 50,000 versions.
PATIENT = {"MLFLOW_REQUEST_TIMEOUT_SECONDS": "60"}
# Nothing but what is measured.
QUIET = {"CHANGE_POLL_SECONDS": "0", "ALIAS_POLL_SECONDS": "0", "CACHE_REFRESH_INTERVAL_MINUTES": "600"}


@contextmanager
def mlflow_with(models: int, **environment: str) -> Iterator[tuple[str, Path]]:
    """A real MLflow server that holds so many models of three versions each, and a folder for the measurement."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        with mlflow_server(folder / "mlflow", server="uvicorn", **environment) as url:
            seed(folder / "mlflow" / "mlflow.db", models=models)
            yield url, folder


class Bare(NamedTuple):
    """A running bare application: its address, and its gunicorn's master."""

    url: str
    pid: int


@contextmanager
def bare(folder: Path, body: bytes, workers: int, app: str = "bench.bare:app") -> Iterator[Bare]:
    """The bare application under the service's own gunicorn settings."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "body").write_bytes(body)
    # The service's settings, without what starts and stops its own processes.
    settings = (ROOT / "gunicorn.conf.py").read_text().partition("\ndef on_starting")[0]
    (folder / "bare.conf.py").write_text(settings)
    port = free_port()
    env = clean_environment(
        BARE_BODY=str(folder / "body"), API_HOST=HOST, API_PORT=str(port), WEB_CONCURRENCY=str(workers)
    )
    command = [sys.executable, "-m", "gunicorn", "-c", str(folder / "bare.conf.py"), app]
    with process(command, folder / "bare.log", folder, env) as started:
        until(lambda: answers(f"http://{HOST}:{port}/models"), "the bare application")
        yield Bare(f"http://{HOST}:{port}", started.pid)


def bare_sweep(url: str) -> float:
    """Seconds of the same large MLflow calls that a sweep makes, and nothing else."""
    client = MlflowClient(url, url)
    began = time.perf_counter()
    experiments = [e.experiment_id for e in client.search_experiments(view_type=3, max_results=10_000)]
    list(_pages(client.search_registered_models, 1000, order_by=["name ASC"]))
    versions = list(_pages(client.search_model_versions, 10_000, order_by=["name ASC"]))
    runs = sorted({row.run_id for row in versions if row.run_id})
    for start in range(0, len(runs), 2000):
        listed = ",".join(f"'{run}'" for run in runs[start : start + 2000])
        condition = f"attributes.run_id IN ({listed})"
        list(_pages(client.search_runs, 2000, experiment_ids=experiments, filter_string=condition, run_view_type=3))
    return time.perf_counter() - began


def _pages(search: Callable[..., Any], size: int, **arguments: object) -> Iterator[Any]:
    token = None
    while True:
        page = search(max_results=size, page_token=token, **arguments)
        yield from page
        token = page.token
        if not token:
            return


def memory_of(pid: int) -> float:
    """Megabytes of a process and all that it started, shared pages by their share (PSS)."""
    total = 0
    for one in _tree(pid):
        try:
            rollup = Path(f"/proc/{one}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total / 1024


def processor_seconds(pid: int) -> float:
    """Processor time of a process and all that it started, user and system, those that have ended included."""
    ticks = 0
    for one in _tree(pid):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        # utime, stime, cutime, cstime: fields 14 to 17 of proc(5).
        ticks += sum(int(field) for field in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def processor_seconds_in(folder: Path) -> float:
    """Processor time of the processes whose working directory this is, and of their children that have ended."""
    seconds = 0.0
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with suppress(OSError):
                if (path / "cwd").readlink() == folder:
                    seconds += processor_seconds(int(path.name))
    return seconds


def _tree(pid: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            parents.setdefault(parent, []).append(int(path.name))
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    return found
