"""The history of the registrations: what a page of it costs, however many events there are."""

import statistics
import time
from collections.abc import Callable

import requests

from bench import world
from bench.report import Line
from tests.seeding import seed_history
from tests.servers import Tower, tower

PLAIN = {"Accept-Encoding": "identity"}
_CHANGES = 9
_REQUESTS = 200
_READ_WITHIN_SECONDS = 900


def history(rounds: int, models: int) -> list[Line]:
    """A page of 30 of all events, another one each time, beside a page of the registrations and a bare view."""
    with world.mlflow_with(models) as (mlflow, folder):
        events = seed_history(folder / "mlflow" / "mlflow.db", _CHANGES)
        quiet = {**world.QUIET, **world.PATIENT, "CHECK_INTERVAL_MINUTES": "0"}
        with tower(folder / "tower", mlflow, workers=1, ready=False, **quiet) as here:
            _until_all_is_read(here)
            first = here.get("/monitoring/history?page_size=30", headers=PLAIN)
            assert f'"total":{events},' in first.headers["X-Pagination"]
            last = events // 30
            pages = {
                "ours": lambda n: f"{here.url}/monitoring/history?page_size=30&page={1 + n * 7919 % last}",
                "model": lambda n: f"{here.url}/monitoring/history?page_size=30&name=seed-{n % models:05d}",
                "monitoring": lambda n: f"{here.url}/monitoring?page_size=10&page={1 + n * 7919 % (models * 3 // 10)}",
            }
            with world.bare(folder / "bare", first.content, workers=1) as bare:
                pages["bare"] = lambda _: f"{bare.url}/models"
                took = {name: _asked(address_of, rounds) for name, address_of in pages.items()}
            cost = {name: _processor(here.process.pid, pages[name], rounds) for name in ("ours", "model", "monitoring")}
            memory = world.memory_of(here.process.pid)
    size = f"{models * 3} registrations, {events} events"
    median = {name: statistics.median(found) for name, found in took.items()}
    note = f"a bare view of that size {median['bare']:.2f} ms; 10 rows of /monitoring {median['monitoring']:.2f} ms"
    spent = f"10 rows of /monitoring {statistics.median(cost['monitoring']):.2f} ms; the whole tree {memory:.0f} MB"
    return [
        Line(f"{size}: a page of 30 of the history", 10, took["ours"], "ms", note=note),
        Line(f"{size}: the history of one model", 10, took["model"], "ms"),
        Line(f"{size}: processor time of a page", 10, cost["ours"], "ms", note=spent),
    ]


def _until_all_is_read(here: Tower) -> None:
    """MLflow gives ten thousand registrations and their verdicts in a minute or two, longer on a busy machine."""
    end = time.monotonic() + _READ_WITHIN_SECONDS
    while time.monotonic() < end:
        answer = here.get("/monitoring/history?page_size=1")
        if answer.ok and "X-Data-Stale" not in answer.headers and here.get("/readyz").ok:
            return
        time.sleep(1)
    raise AssertionError("the history was not read")


def _asked(address: Callable[[int], str], rounds: int) -> list[float]:
    """Milliseconds of requests, one after another, each for another page."""
    found = []
    with requests.Session() as session:
        for number in range(-10, rounds * 30):
            began = time.perf_counter()
            assert session.get(address(number + 10), headers=PLAIN).ok
            if number >= 0:
                found.append((time.perf_counter() - began) * 1000)
    return found


def _processor(pid: int, address: Callable[[int], str], rounds: int) -> list[float]:
    """Milliseconds of processor time of the whole tree for one request."""
    found = []
    with requests.Session() as session:
        for turn in range(rounds):
            before = world.processor_seconds(pid)
            for number in range(_REQUESTS):
                assert session.get(address(turn * _REQUESTS + number), headers=PLAIN).ok
            found.append((world.processor_seconds(pid) - before) / _REQUESTS * 1000)
    return found
