"""Serving: rates beside a bare view, pages of filtered lists, delays during a sweep, the start, the memory."""

import shutil
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import requests

from bench import load, world
from bench.report import Line
from tests.servers import HOST, ROOT, Tower, answers, clean_environment, free_port, process, tower, until

PLAIN = {"Accept-Encoding": "identity"}


def rates(rounds: int) -> list[Line]:
    """`/models` with 1000 versions, beside views that return the same."""
    with world.mlflow_with(1000) as (mlflow, folder), tower(folder / "tower", mlflow, workers=2, **world.QUIET) as here:
        whole = here.get("/models", headers=PLAIN)
        with world.bare(folder / "bare", whole.content, workers=2) as beside:
            pairs: dict[str, tuple[Callable[[], float], Callable[[], float]]] = {
                "plain": (lambda: load.rate(f"{here.url}/models"), lambda: load.rate(f"{beside.url}/models")),
                "304": (
                    lambda: load.rate(f"{here.url}/models", f"If-None-Match: {whole.headers['ETag']}"),
                    lambda: load.rate(f"{beside.url}/304"),
                ),
                "gzip": (
                    lambda: load.rate(f"{here.url}/models", "Accept-Encoding: gzip"),
                    lambda: load.rate(f"{beside.url}/gzip"),
                ),
            }
            lines = []
            for name, (ours, theirs) in pairs.items():
                ours(), theirs()
                found = [(ours(), theirs()) for _ in range(rounds)]
                fastest = max(a for a, _ in found), max(b for _, b in found)
                lines.append(
                    Line(
                        f"1000 versions, {name}: rate, of a bare Flask view's", 0.9, [a / b for a, b in found],
                        at_least=True, note=f"best round {fastest[0]:.0f}/s and {fastest[1]:.0f}/s",
                    )
                )  # fmt: skip
            return lines


def filtered(rounds: int, models: int) -> list[Line]:
    """A page of 50, each with another filter, of all versions."""
    queries = [
        "name=seed-0{n}&page_size=50&page=2", "stage=Production&sort=-last_updated_timestamp&page_size=50&page={n}",
        "alias=champion&name={n}&page_size=50", "sort=creation_timestamp&page_size=50&page={n}0",
        "model_type=classifier&name=1{n}&sort=-name&page_size=50",
    ]  # fmt: skip
    with (
        world.mlflow_with(models) as (mlflow, folder),
        tower(folder / "tower", mlflow, workers=2, **world.QUIET, **world.PATIENT) as here,
        requests.Session() as session,
    ):

        def took(path: str) -> float:
            began = time.perf_counter()
            answer = session.get(f"{here.url}{path}", headers=PLAIN)
            assert answer.status_code == 200, answer.text
            return (time.perf_counter() - began) * 1000

        for query in queries:
            for _ in range(8):
                took(f"/models/all?{query.format(n=1)}")
        found = [took(f"/models/all?{query.format(n=n)}") for n in range(2, 2 + rounds * 8) for query in queries]
        body = session.get(f"{here.url}/models/all?page_size=50", headers=PLAIN).content
        with world.bare(folder / "bare", body, workers=2) as beside:
            bare = []
            for _ in found:
                began = time.perf_counter()
                session.get(f"{beside.url}/models", headers=PLAIN)
                bare.append((time.perf_counter() - began) * 1000)
    note = f"a bare view of that size {statistics.median(bare):.2f} ms"
    return [Line(f"page of 50 filtered from {models * 3} versions", 5, found, "ms", note=note)]


def sweep(rounds: int, models: int) -> list[Line]:
    """The 99th percentile of `/models` while everything is read anew, and without."""
    with (
        world.mlflow_with(models) as (mlflow, folder),
        tower(folder / "tower", mlflow, workers=2, **world.QUIET, **world.PATIENT) as here,
        world.bare(folder / "bare", here.get("/models", headers=PLAIN).content, workers=2) as beside,
    ):
        ours, theirs = [], []
        for _ in range(rounds):
            for url, ratios in ((f"{here.url}/models", ours), (f"{beside.url}/models", theirs)):
                idle = load.p99(load.delays(url, load.for_seconds(8)))
                refresh = threading.Thread(target=here.post, args=("/cache/refresh",))
                refresh.start()
                ratios.append(load.p99(load.delays(url, refresh.is_alive)) / idle)
                refresh.join()
    note = f"a bare view beside the same sweep {statistics.median(theirs):.2f} ×"
    return [Line(f"p99 of /models during a sweep of {models * 3} versions, of its idle p99", 3, ours, note=note)]


def start(rounds: int, models: int) -> list[Line]:
    """From the command to the first answer, with a snapshot on disk."""
    with world.mlflow_with(models) as (mlflow, folder):
        with tower(folder / "tower", mlflow, workers=2, **world.PATIENT) as here:
            body = here.get("/models", headers=PLAIN).content
        body_file = folder / "bare" / "body"
        with world.bare(folder / "bare", body, workers=2):
            pass
        found = []
        for _ in range(rounds):
            bare = until_answered("bench.bare:app", folder / "bare" / "bare.conf.py", folder, BARE_BODY=str(body_file))
            ours = until_answered(
                "wsgi:app", ROOT / "gunicorn.conf.py", folder,
                MLFLOW_TRACKING_URI=mlflow, CACHE_DIRECTORY=str(here.cache),
            )  # fmt: skip
            found.append(ours - bare)
    return [Line(f"restart with {models * 3} versions: later than a bare Flask's start", 1.5, found, "s")]


def until_answered(app: str, settings: Path, folder: Path, page: str = "/models", **environment: str) -> float:
    """Seconds from the command until a page is answered."""
    port = free_port()
    env = clean_environment(API_HOST=HOST, API_PORT=str(port), WEB_CONCURRENCY="2", **environment)
    began = time.perf_counter()
    with process([sys.executable, "-m", "gunicorn", "-c", str(settings), app], folder / "start.log", folder, env):
        until(lambda: answers(f"http://{HOST}:{port}{page}"), app)
        return time.perf_counter() - began


def memory(rounds: int) -> list[Line]:
    """The whole process tree after every kind of request."""
    with world.mlflow_with(1000) as (mlflow, folder), tower(folder / "tower", mlflow, workers=4) as here:
        found = []
        for number in range(rounds):
            _exercise(here, number)
            found.append(world.memory_of(here.process.pid))
    return [Line("4 workers with 1000 models, the whole process tree (PSS)", 500, found, "MB")]


def _exercise(here: Tower, number: int) -> None:
    here.register(f"seed-{number:05d}", 1)
    paths = ["/models", "/models/all", "/models/monitored", "/experiments", "/dashboard/summary", "/cache/info"]
    paths += ["/health", "/runs/0?limit=500", f"/model/seed-{number:05d}/drift", "/models/all?name=9", "/openapi.json"]
    for _ in range(25):
        for path in paths:
            answer = here.get(path)
            assert answer.status_code == 200, answer.text
    here.post("/cache/refresh")


def installed() -> bool:
    """Whether wrk is there."""
    return shutil.which("wrk") is not None
