"""Processor time: what a request of a hot list costs the whole process tree, beside the least that could answer it."""

import statistics
from collections.abc import Callable
from functools import partial

from bench import load, world
from bench.report import Line
from tests.servers import tower

# Short turns and many: what else the machine does then weighs on all alike.
_TURNS = 3
PLAIN = {"Accept-Encoding": "identity"}


def processor(rounds: int) -> list[Line]:
    """`/models` with 1000 versions and one worker; the service, a Flask view and a WSGI function take turns.

    A rate depends on what else the machine does, the processor time of a request hardly.
    """
    with (
        world.mlflow_with(1000) as (mlflow, folder),
        tower(folder / "tower", mlflow, workers=1, CHECK_INTERVAL_MINUTES="0", **world.QUIET) as here,
    ):
        whole = here.get("/models", headers=PLAIN)
        with (
            world.bare(folder / "flask", whole.content, workers=1) as flask,
            world.bare(folder / "wsgi", whole.content, workers=1, app="bench.bare:wsgi") as wsgi,
        ):

            def asked(path: str, *headers: str) -> list[Callable[[], float]]:
                """One turn of each: the service, Flask, WSGI."""
                ours = partial(_microseconds, here.process.pid, f"{here.url}/models", *headers)
                return [ours, *(partial(_microseconds, bare.pid, f"{bare.url}{path}") for bare in (flask, wsgi))]

            kinds = {
                "plain": asked("/models"),
                "304": asked("/304", f"If-None-Match: {whole.headers['ETag']}"),
                "gzip": asked("/gzip", "Accept-Encoding: gzip"),
            }
            looking = partial(_microseconds, flask.pid, f"{flask.url}/files")
            return [
                *(_line(name, turns, rounds) for name, turns in kinds.items()),
                _looking([looking, kinds["plain"][1]], rounds),
            ]


def _in_turns(turns: list[Callable[[], float]], rounds: int) -> list[list[float]]:
    for turn in turns:
        turn()
    return [[turn() for turn in turns] for _ in range(rounds * _TURNS)]


def _looking(turns: list[Callable[[], float]], rounds: int) -> Line:
    found = _in_turns(turns, rounds)
    return Line(
        "a bare Flask view that looks at two files: requests a second of processor time, of one that does not",
        None,
        [plain / looking for looking, plain in found],
        at_least=True,
        note="what the marks in shared memory save",
    )


def _line(name: str, turns: list[Callable[[], float]], rounds: int) -> Line:
    found = _in_turns(turns, rounds)
    ours, flask, wsgi = (statistics.median(column) for column in zip(*found, strict=True))
    return Line(
        f"1000 versions, {name}: requests a second of processor time, of a bare Flask view's",
        1.05,
        [theirs / mine for mine, theirs, _ in found],
        at_least=True,
        note=f"{ours:.0f} µs a request, Flask {flask:.0f}, a WSGI function {wsgi:.0f} ({flask / wsgi:.2f} ×)",
    )


def _microseconds(pid: int, url: str, *headers: str) -> float:
    """Processor time of the whole tree for one request."""
    before = world.processor_seconds(pid)
    answered = load.answered(url, *headers)
    return (world.processor_seconds(pid) - before) / answered * 1e6
