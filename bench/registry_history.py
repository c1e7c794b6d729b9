"""The history of the registry: what a page of it costs, and when a service that lost its cache has it."""

import itertools
import os
import shutil
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import requests

from bench import world
from bench.report import Line
from tests.seeding import seed_registry_history
from tests.servers import Tower, tower

_OF_FIRST = 10_000
_PAGES = 300
_READ_WITHIN_SECONDS = 900
_IDLE_SECONDS = 0.05


def registry_history(rounds: int, models: int) -> list[Line]:
    """A page of the changes of one model, and the start without a cache, beside the same start without changes."""
    with world.mlflow_with(models) as (mlflow, folder):
        events = seed_registry_history(folder / "mlflow" / "mlflow.db", "control-tower-history", _OF_FIRST, 2)
        with tower(folder / "tower", mlflow, workers=1, ready=False, **world.QUIET, **world.PATIENT) as here:
            _history_of(here, time.monotonic())
            pages = _asked(here, rounds)
            bare = _bare(folder / "bare", here, rounds)
        # What the first look finds is written once.
        _start(folder / "without", mlflow, "empty", _recorded)
        known: list[float] = []
        starts = [
            (
                _start(folder / "with", mlflow, "control-tower", lambda *at: known.append(_history_of(*at))),
                _start(folder / "without", mlflow, "empty"),
            )
            for _ in range(rounds)
        ]
    size = f"{models} models, {events} changes"
    seconds, processor = (
        [(getattr(ready, what), getattr(without, what)) for ready, without in starts] for what in Start._fields
    )
    return [
        Line(
            f"{size}, {_OF_FIRST} of one model: processor time of a page of 30 of them",
            10,
            pages,
            "ms",
            note=f"a bare Flask view of that size {statistics.median(bare):.2f} ms",
        ),
        _beside(f"{size}: ready without a cache, beside a start without changes", seconds),
        _beside(f"{size}: processor time until then, MLflow's too, beside a start without changes", processor),
        Line(f"{size}: the history after that start", 60, known, "s"),
    ]


class Start(NamedTuple):
    """Seconds from the command until the service is ready, and those of processor time that it and MLflow took."""

    seconds: float
    processor: float


def _beside(what: str, pairs: list[tuple[float, float]]) -> Line:
    """What starts with changes took, of what those without took."""
    medians = [statistics.median(values) for values in zip(*pairs, strict=True)]
    return Line(
        what, 1.2, [one / other for one, other in pairs], note=f"medians {medians[0]:.1f} s and {medians[1]:.1f} s"
    )


def _start(
    folder: Path, mlflow: str, experiment: str, then: Callable[[Tower, float], object] = lambda *_: None
) -> Start:
    """Start a service without a cache. When it is ready, `then` gets it, and when it began to start."""
    shutil.rmtree(folder, ignore_errors=True)
    # MLflow may still work for the service before.
    _until(_is_idle)
    # MLflow and the service are children of this process.
    began, used = time.monotonic(), world.processor_seconds(os.getpid())
    settings = {**world.QUIET, **world.PATIENT, "MONITORING_EXPERIMENT": experiment}
    with tower(folder, mlflow, workers=1, ready=False, **settings) as here:
        _until(lambda: here.get("/readyz").ok)
        ready = Start(time.monotonic() - began, world.processor_seconds(os.getpid()) - used)
        then(here, began)
    return ready


def _is_idle() -> bool:
    """Whether this process and its children did next to nothing for a second."""
    before = world.processor_seconds(os.getpid())
    time.sleep(1)
    return world.processor_seconds(os.getpid()) - before < _IDLE_SECONDS


def _recorded(here: Tower, _: float) -> None:
    _until(lambda: here.get("/history?page_size=1").headers.get("X-Data-As-Of"))


def _history_of(here: Tower, began: float) -> float:
    """Seconds until the service has the changes."""
    _until(lambda: (answer := here.get("/history?page_size=1")).ok and answer.json())
    return time.monotonic() - began


def _until(condition: Callable[[], object]) -> None:
    """A sweep of so many versions takes minutes on a busy machine."""
    end = time.monotonic() + _READ_WITHIN_SECONDS
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("nothing was read")


def _asked(here: Tower, rounds: int) -> list[float]:
    """Milliseconds of processor time that the whole process tree takes for a request, each for another page."""
    pages = itertools.cycle(1 + number * 7919 % (_OF_FIRST // 30) for number in range(_OF_FIRST // 30))

    def ask(session: requests.Session) -> None:
        answer = session.get(f"{here.url}/model/seed-00000/history?page_size=30&page={next(pages)}")
        assert len(answer.json()) == 30

    return _processor_ms(here.process.pid, ask, rounds)


def _bare(folder: Path, here: Tower, rounds: int) -> list[float]:
    """The same of a bare Flask view whose body is such a page."""
    body = here.get("/model/seed-00000/history?page_size=30").content
    with world.bare(folder, body, workers=1) as bare:
        return _processor_ms(bare.pid, lambda session: session.get(f"{bare.url}/models").raise_for_status(), rounds)


def _processor_ms(pid: int, ask: Callable[[requests.Session], None], rounds: int) -> list[float]:
    found = []
    with requests.Session() as session:
        for number in range(rounds + 1):
            before = world.processor_seconds(pid)
            for _ in range(_PAGES):
                ask(session)
            if number:
                found.append((world.processor_seconds(pid) - before) * 1000 / _PAGES)
    return found
