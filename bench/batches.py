"""Batches of data: what counting costs beside bare parsing, how much memory it takes, and what lists feel of it."""

import io
import math
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import numpy as np
import orjson
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import requests

from app.services.data_drift.job import done
from app.services.data_drift.order import CSV, JSON, NDJSON, PARQUET, Order
from bench import load, world
from bench.report import Line
from tests.seeding import seed_data, seed_monitored
from tests.servers import ROOT, Tower, tower, until

# As many as 32 MiB of JSON hold, a million in all; and those of a batch of Parquet beside which lists are asked for.
ROWS, _REQUESTS = 62_500, 16
_ROWS_BESIDE = 100_000
_NAMES = {PARQUET: "Parquet", CSV: "CSV", NDJSON: "NDJSON", JSON: "JSON"}
_SECONDS = 8
_VERSIONS, _WINDOWS, _COLUMNS = 100, 90, 30
Body = dict[str, bytes]


def batches(rounds: int) -> list[Line]:
    """All about batches: 20 features, of which 4 are texts, with a prediction and a score among them."""
    bodies = _bodies(ROWS)
    layout = done(Order(PARQUET, prediction="said", score="probability"), bodies[PARQUET]).layout
    return [
        *_cost(rounds, bodies, layout),
        *_memory(bodies, layout),
        *_felt(rounds, _bodies(_ROWS_BESIDE)[PARQUET]),
        *_read(min(rounds, 3)),
    ]


def _cost(rounds: int, bodies: Body, layout: dict[str, Any]) -> list[Line]:
    edges = {name: np.array(one["edges"]) for name, one in layout["columns"].items() if "edges" in one}
    lines = []
    for media_type, body in bodies.items():
        ratios, ours, bare = [], [], []
        for _ in range(rounds):
            bare.append(_processor_time(lambda m=media_type, b=body: _bare(m, b, edges)))
            ours.append(_processor_time(lambda m=media_type, b=body: done(Order(m, layout=layout), b)))
            ratios.append(ours[-1] / bare[-1])
        note = f"{min(ours):.2f} s and {min(bare):.2f} s for {len(body) >> 20} MiB"
        goal = f"{ROWS} rows of 20 columns in {_NAMES[media_type]} counted, of bare parsing with searchsorted"
        lines.append(Line(goal, 2, ratios, note=note))
    return lines


def _memory(bodies: Body, layout: dict[str, Any]) -> list[Line]:
    """A million rows."""
    lines = []
    for media_type, body in bodies.items():
        order = msgspec.json.encode(Order(media_type, layout=layout))
        taken = [_peak_of_counting(order, body) for _ in range(_REQUESTS)]
        goal = f"a million rows of 20 columns in {_NAMES[media_type]}, {_REQUESTS} requests: memory of the counting"
        lines.append(Line(goal, 512, taken, "MB", note=f"{len(body) >> 20} MiB a request"))
    return lines


def _felt(rounds: int, body: bytes) -> list[Line]:
    """The p99 of lists while batches arrive, and beside a process that takes as much processor time."""
    ratios, many, shares = [], [], []
    with (
        world.mlflow_with(1000) as (mlflow, folder),
        tower(folder / "tower", mlflow, workers=2, **world.QUIET, **world.PATIENT) as here,
    ):
        model = here.get("/models?page_size=1").json()[0]
        version = f"{here.url}/models/{model['name']}/{model['version']}"
        requests.post(f"{version}/monitor", json={"model_type": "classifier"}, timeout=60).raise_for_status()
        query = {"prediction": "said", "score": "probability"}
        headers = {"Content-Type": PARQUET}
        reference = requests.put(f"{version}/reference", data=body, params=query, headers=headers, timeout=60)
        reference.raise_for_status()

        def seconds() -> float:
            """Of the tower and of MLflow, which both work for a batch."""
            return world.processor_seconds(here.process.pid) + world.processor_seconds_in(folder / "mlflow")

        for _ in range(rounds):
            before, began = seconds(), time.perf_counter()
            with _sending(f"{version}/batches", body, headers) as sent:
                while_batches = load.p99(load.delays(f"{here.url}/models", load.for_seconds(_SECONDS)))
            # The last batch ends after the last list, so only the sums may be compared, not the rates.
            lasted, with_batches = time.perf_counter() - began, seconds() - before
            before = seconds()
            load.delays(f"{here.url}/models", load.for_seconds(_SECONDS))
            of_lists = seconds() - before
            share = max(0.0, (with_batches - of_lists) / lasted)
            with _burning(share):
                beside = load.p99(load.delays(f"{here.url}/models", load.for_seconds(_SECONDS)))
            ratios.append(while_batches / beside)
            many.append(sent[0])
            shares.append(share)
    goal = f"p99 of /models while batches of {_ROWS_BESIDE} rows arrive, of that beside a process that burns as much"
    note = f"{min(many)} to {max(many)} batches in {_SECONDS} s; {max(shares):.0%} of a core"
    return [Line(goal, 1, ratios, note=note)]


def _read(rounds: int) -> list[Line]:
    """How long after its start a tower without a cache has judged what MLflow holds of the data of many versions."""
    seconds, processor = [], []
    with world.mlflow_with(_VERSIONS) as (mlflow, folder):
        store = folder / "mlflow" / "mlflow.db"
        seed_monitored(store, _VERSIONS, metrics=1, points=1)
        seed_data(store, _VERSIONS, _WINDOWS, _COLUMNS)
        for number in range(rounds):
            began = time.perf_counter()
            with tower(folder / f"fresh-{number}", mlflow, workers=2, **world.QUIET, **world.PATIENT) as here:
                until(lambda h=here: _judged(h) == _VERSIONS, "the data of all versions to be judged")
                seconds.append(time.perf_counter() - began)
                processor.append(world.processor_seconds(here.process.pid))
                for model in range(_VERSIONS):
                    report = here.get(f"/models/seed-{model:05d}/1/data-drift?days={_WINDOWS}").json()
                    assert len(report["windows"]) == report["judged_batches"] == _WINDOWS
                    assert all(len(window["columns"]) == _COLUMNS for window in report["windows"])
    goal = f"{_VERSIONS} versions with {_WINDOWS} windows of {_COLUMNS} columns: judged by a fresh tower"
    return [Line(goal, 60, seconds, "s", note=f"{min(processor):.0f} s of processor time")]


def _judged(here: Tower) -> int:
    """Of how many versions a scrape has what moved."""
    return len(re.findall(rb"^control_tower_model_moved_inputs\{", here.get("/metrics").content, re.MULTILINE))


@contextmanager
def _sending(url: str, body: bytes, headers: dict[str, str]) -> Iterator[list[int]]:
    """Send batches one after another, and count those that were taken."""
    sent, is_over = [0], threading.Event()

    def send() -> None:
        while not is_over.is_set():
            answer = requests.post(url, data=body, headers=headers, timeout=120)
            answer.raise_for_status()
            sent[0] += 1

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield sent
    finally:
        is_over.set()
        thread.join()


@contextmanager
def _burning(share: float) -> Iterator[None]:
    """A process that takes so much of a core; where that is more than one, as many processes as are needed."""
    program = (
        "import sys, time\nshare = float(sys.argv[1])\nwhile True:\n    end = time.perf_counter() + share / 10\n"
        "    while time.perf_counter() < end: pass\n    time.sleep((1 - share) / 10)"
    )
    many = max(1, math.ceil(share))
    processes = [subprocess.Popen([sys.executable, "-c", program, str(share / many)]) for _ in range(many)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _bodies(rows: int) -> Body:
    rng = np.random.default_rng(1)
    columns: dict[str, Any] = {f"number {n}": rng.normal(size=rows) for n in range(14)}
    columns |= {f"text {n}": rng.choice(["a", "b", "cc", "dé"], rows) for n in range(4)}
    columns |= {"said": rng.choice(["yes", "no"], rows), "probability": rng.random(rows)}
    table = pa.table(columns)
    parquet, text = io.BytesIO(), io.BytesIO()
    pq.write_table(table, parquet)
    pcsv.write_csv(table, text)
    objects = table.to_pylist()
    return {
        PARQUET: parquet.getvalue(),
        CSV: text.getvalue(),
        NDJSON: b"\n".join(map(orjson.dumps, objects)),
        JSON: orjson.dumps({"rows": objects}),
    }


def _bare(media_type: str, body: bytes, edges: dict[str, Any]) -> None:
    if media_type in (NDJSON, JSON):
        rows = orjson.loads(body)["rows"] if media_type == JSON else list(map(orjson.loads, body.splitlines()))
        for name, of_column in edges.items():
            np.searchsorted(of_column, np.array([row[name] for row in rows], dtype=np.float64), side="right")
        return
    if media_type == PARQUET:
        file = pq.ParquetFile(pa.BufferReader(body), pre_buffer=False)
        parts = file.iter_batches(50_000, use_threads=False)
    else:
        parts = pcsv.open_csv(io.BytesIO(body), read_options=pcsv.ReadOptions(use_threads=False))
    for part in parts:
        for name, of_column in edges.items():
            np.searchsorted(of_column, part.column(name).to_numpy(zero_copy_only=False), side="right")


def _processor_time(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _peak_of_counting(order: bytes, body: bytes) -> float:
    """Megabytes at the most, of a process that counts one body."""
    # A small process starts it, since a new process begins with the peak of the one that starts it.
    program = (
        "import resource, subprocess, sys\n"
        "command = [sys.executable, '-m', 'app.counting', sys.argv[1]]\n"
        "subprocess.run(command, check=True, pass_fds=[int(sys.argv[1])])\n"
        "sys.stderr.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))"
    )
    environment = {**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system", "OPENBLAS_NUM_THREADS": "1"}
    with tempfile.TemporaryFile() as file:
        file.write(body)
        file.seek(0)
        command, passed = [sys.executable, "-c", program, str(file.fileno())], [file.fileno()]
        found = subprocess.run(
            command, input=order, capture_output=True, pass_fds=passed, cwd=ROOT, env=environment, check=True
        )
    assert b'"refused":null' in found.stdout, found.stdout[:300]
    return int(found.stderr) / 1024
