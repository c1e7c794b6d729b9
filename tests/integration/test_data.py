"""Data on real servers: hostile bodies count nothing, no row stays anywhere, and shards from two hosts add up."""

import gzip
import io
import json
import re
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests
from mlflow import MlflowClient

from app.domain.data_drift.series import inflated, series_from
from app.domain.own_runs import OwnRun
from tests.servers import QUIET, ROOT, Tower, tower, until

MIB = 1 << 20
CSV, NDJSON, PARQUET = "text/csv", "application/x-ndjson", "application/vnd.apache.parquet"
# In every row that is sent, and in none of what is kept.
MARK = "marked-7f3a9c"


def prepared(mlflow_url: str, running: Tower, name: str) -> str:
    """The address of a version that is monitored."""
    from tests.contract.real_world import RealWorld

    RealWorld(mlflow_url).add_version(name)
    assert running.register(name).status_code == 201
    return f"{running.url}/models/{name}/1"


def rows(count: int, seed: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    return [
        {"age": float(age), "who": f"{MARK}-{seed}-{number}", "rare": MARK if number < 10 else "usual"}
        for number, age in enumerate(rng.normal(40, 10, count))
    ]


def parquet(table: dict[str, Any], **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(table), file, **options)
    return file.getvalue()


def bomb() -> bytes:
    """Parquet of some kilobytes that is 30 gigabytes of text."""
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(500_000, np.int32)), ["x" * 60_000])
    return parquet({"age": column}, store_schema=False)


def test_the_documented_way_with_curl_sends_data_reads_what_moved_and_withdraws_a_batch(
    tmp_path: Path, mlflow_url: str, written_tower: Tower
) -> None:
    from tests.contract.real_world import RealWorld

    for _ in range(3):
        RealWorld(mlflow_url).add_version("wine-cultivar")
    rng = np.random.default_rng(1)
    names = ["age", "job", "said", "probability", "true"]
    table = [
        [f"{rng.normal(40, 10):.1f}", "nurse", "yes" if p > 0.5 else "no", f"{p:.3f}", "yes" if p > 0.4 else "no"]
        for p in rng.random(2000)
    ]
    for file, rows_of, columns in (("reference", table, 5), ("scored", table[:500], 4), ("labels", table[:500], -3)):
        lines = [",".join(row[:columns] if columns > 0 else row[columns:]) for row in (names, *rows_of)]
        (tmp_path / f"{file}.csv").write_text("\n".join(lines))
    block = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "data-drift.md").read_text(), re.DOTALL)[0]
    curl = 'curl() { command curl -sS --fail-with-body -w "\\n" "$@"; }\n'
    script = curl + block.replace("http://localhost:8000", written_tower.url)
    ran = subprocess.run(["/bin/sh", "-ec", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    registered, reference, batch, labels, report, column, withdrawn = map(json.loads, ran.stdout.splitlines())
    assert registered["model_version"] == "3"
    assert (reference["rows"], reference["layout"]["classes"]) == (2000, ["no", "yes"])
    assert (batch["rows"], batch["features"], batch["batch_id"]) == (500, 2, "2026-11-21")
    assert (labels["rows"], labels["labelled_rows"], labels["window"]) == (0, 500, batch["window"])
    assert (report["reference"]["id"], report["batches"]) == (batch["reference"], 2)
    assert (column["counts"]["rows"], withdrawn["rows"]) == (500, 500)


def test_hostile_bodies_are_refused_with_the_reason_and_nothing_of_them_counts(
    mlflow_url: str, written_tower: Tower
) -> None:
    version = prepared(mlflow_url, written_tower, "hostile-data")
    made = requests.put(f"{version}/reference", json={"rows": rows(1000, 1)}, timeout=60)
    assert made.status_code == 200, made.text
    good = "\n".join(json.dumps(row) for row in rows(50_000, 2)).encode()
    bodies = [
        (413, "memory", PARQUET, bomb(), {}),
        (413, "10000001 rows", PARQUET, parquet({"age": pa.nulls(10_000_001)}), {}),
        (413, "32 MiB", CSV, iter([b"age\n", *[b"1\n" * (MIB // 2)] * 36]), {}),
        (400, "columns", CSV, ",".join(f"c{n}" for n in range(100_000)).encode() + b"\n", {}),
        (400, "65536", "application/json", json.dumps({"rows": [{"rare": "x" * 10_000_000}]}).encode(), {}),
        (400, "NaN", "application/json", b'{"rows": [{"age": NaN}]}', {}),
        (400, "twice", CSV, b"age,age\n1,2\n", {}),
        # What comes first is good, and the rest is not.
        (400, "Line 50001", NDJSON, good + b"\n}", {}),
        (400, "gzip", NDJSON, gzip.compress(good)[:-20], {"Content-Encoding": "gzip"}),
    ]
    for status, reason, kind, body, more in bodies:
        answer = requests.post(f"{version}/batches", data=body, headers={"Content-Type": kind, **more}, timeout=120)
        assert (answer.status_code, reason in answer.json()["detail"]) == (status, True), (reason, answer.text)
    report = requests.get(f"{version}/data-drift", timeout=30).json()
    assert (report["batches"], report["windows"]) == (0, [])
    assert requests.post(f"{version}/batches", data=good, headers={"Content-Type": NDJSON}, timeout=60).json()["rows"]


def test_a_body_that_says_it_has_a_gigabyte_is_refused_before_it_is_sent(mlflow_url: str, written_tower: Tower) -> None:
    version = prepared(mlflow_url, written_tower, "large-data")
    host, port = written_tower.url.removeprefix("http://").split(":")
    path = version.removeprefix(written_tower.url)
    head = f"POST {path}/batches HTTP/1.1\r\nHost: {host}\r\nContent-Type: {CSV}\r\nContent-Length: {1 << 30}\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=60) as client:
        client.sendall(head.encode())
        sent = iter(range(8))
        # The service reads some of it, so that a client that sends first and then reads gets the answer.
        for _ in sent:
            client.sendall(b"1" * MIB)
        assert client.recv(64).startswith(b"HTTP/1.1 413 ")


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A short one: the addresses of local sockets have a limit."""
    with tempfile.TemporaryDirectory(prefix="data-") as folder:
        yield Path(folder)


def test_of_rows_nothing_is_left_but_counts(
    tmp_path: Path, temporary: Path, mlflow_url: str, mlflow_folder: Path
) -> None:
    settings = {"MONITORING_EXPERIMENT": "traceless", "TMPDIR": str(temporary), "LOG_LEVEL": "DEBUG", **QUIET}
    with tower(tmp_path / "tower", mlflow_url, workers=1, forked=True, **settings) as running:
        version = prepared(mlflow_url, running, "traceless-data")
        assert requests.put(f"{version}/reference", json={"rows": rows(1000, 1)}, timeout=60).status_code == 200
        as_lines = "\n".join(json.dumps(row) for row in rows(500, 2)).encode()
        as_columns = {name: [row[name] for row in rows(500, 3)] for name in ("age", "who", "rare")}
        sent = [
            (201, NDJSON, as_lines),
            (201, PARQUET, parquet(as_columns)),
            (201, CSV, f"age,who,rare\n1,{MARK},{MARK}\n".encode()),
            (400, NDJSON, as_lines + f'\n{{"age": {MARK}'.encode()),
            (400, CSV, f"age,who\n1,{MARK},{MARK}\n".encode()),
            (400, "application/json", json.dumps({"rows": [{"age": [MARK]}]}).encode()),
            (400, PARQUET, parquet(as_columns)[:-9]),
        ]
        for status, kind, body in sent:
            answer = requests.post(f"{version}/batches", data=body, headers={"Content-Type": kind}, timeout=60)
            assert (answer.status_code, MARK in answer.text) == (status, False), answer.text
        assert MARK not in requests.get(f"{version}/data-drift", timeout=60).text
        assert MARK not in requests.get(f"{version}/reference", timeout=60).text
        files = [path for top in (tmp_path, temporary, mlflow_folder) for path in top.rglob("*") if path.is_file()]
        assert len(files) > 3
        assert [path for path in files if MARK.encode() in path.read_bytes()] == []
    (series,) = series_of(mlflow_url, "traceless")
    bodies = [series.layout, series.reference or b"", *(batch.body for batch in series.counted)]
    assert len(bodies) == 5
    assert all(MARK not in json.dumps(inflated(body)) for body in bodies)


def series_of(mlflow_url: str, experiment: str) -> list[Any]:
    """What MLflow holds, as another program reads it."""
    client = MlflowClient(mlflow_url, mlflow_url)
    found = client.get_experiment_by_name(f"{experiment}-data-drift")
    runs = client.search_runs([found.experiment_id])
    return [series_from(OwnRun(run.info.run_id, run.info.start_time, True, run.data.tags)) for run in runs]


def test_shards_of_windows_from_two_hosts_at_once_out_of_order_and_again_are_judged_as_if_sent_in_one_piece(
    tmp_path: Path, mlflow_url: str
) -> None:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)

    def window(back: int) -> dict[str, str]:
        return {
            "window_start": (today - timedelta(days=back)).isoformat(),
            "window_end": (today - timedelta(days=back - 1)).isoformat(),
        }

    columns = {"age": {"kind": "numeric", "edges": [30.0, 40.0, 50.0]}}
    whole = {back: np.random.default_rng(back).integers(20, 90, 4).tolist() for back in range(4)}
    reference = {"layout": {"columns": columns}, "counts": counts([900, 1000, 1100, 1000])}

    def send(version: str, back: int, cells: list[int], batch_id: str) -> None:
        def reference_id() -> Any:
            # A host that has too much to do says so, as it does below, and a client asks it again.
            answer = requests.get(f"{version}/reference", timeout=60)
            assert answer.status_code in (200, 503), answer.text
            return answer.status_code == 200 and answer.json()["id"]

        by = until(reference_id, "the reference")
        body = {"counts": counts(cells), "reference": by, "batch_id": batch_id, **window(back)}

        def is_taken() -> bool:
            # A host that has others to count says so, and a client sends it again.
            answer = requests.post(f"{version}/batches", json=body, timeout=120)
            assert answer.status_code in (201, 503), answer.text
            return answer.status_code == 201

        until(is_taken, "a shard to be taken")

    def windows(version: str) -> Any:
        return requests.get(f"{version}/data-drift", timeout=60).json()["windows"]

    settings = {"MONITORING_EXPERIMENT": "shards", **QUIET}
    with (
        tower(tmp_path / "one", mlflow_url, workers=1, forked=True, **settings) as one,
        tower(tmp_path / "two", mlflow_url, workers=1, forked=True, **settings) as two,
    ):
        version = prepared(mlflow_url, one, "shards")
        other = version.replace(one.url, two.url)
        assert requests.put(f"{version}/reference", json=reference, timeout=60).status_code == 200
        # A shard of each bin, every second one by the other host, the newest window first, and all of it twice.
        shards = [(back, cell) for back in range(4) for cell in range(4)] * 2
        with ThreadPoolExecutor(4) as pool:
            list(
                pool.map(
                    lambda shard: send(
                        version if sum(shard) % 2 else other,
                        shard[0],
                        [n if place == shard[1] else 0 for place, n in enumerate(whole[shard[0]])],
                        f"{shard}",
                    ),
                    shards,
                )
            )
        in_one_piece = prepared(mlflow_url, one, "in-one-piece")
        assert requests.put(f"{in_one_piece}/reference", json=reference, timeout=60).status_code == 200
        for back, cells in whole.items():
            send(in_one_piece, back, cells, f"{back}")
        until(lambda: len(windows(in_one_piece)) == 4, "the whole windows to be judged")
    with tower(tmp_path / "fresh", mlflow_url, workers=1, forked=True, **settings) as fresh:
        found = windows(version.replace(one.url, fresh.url))
        assert [window["rows"] for window in found] == [sum(whole[back]) for back in range(3, -1, -1)]
        assert found == windows(in_one_piece.replace(one.url, fresh.url))


def counts(cells: list[int]) -> dict[str, Any]:
    return {"rows": sum(cells), "columns": {"age": {"cells": cells}}}
