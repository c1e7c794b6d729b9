"""The process that counts a body: it answers, refuses, and is stopped when it takes too long or too much."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from app.domain.errors import Busy, Conflict, InvalidInput, TooLarge
from app.services.data_drift.counting import Counting
from app.services.data_drift.order import JSON, Order
from app.services.host.file_locks import FileLocks

ROWS = b'{"rows": [{"x": 1}, {"x": 2.5}, {"x": null}], "batch_id": "a"}'


@pytest.fixture
def locks(tmp_path: Path) -> FileLocks:
    return FileLocks(tmp_path, "test")


@pytest.fixture
def rows() -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile() as file:
        file.write(ROWS)
        yield file


def test_a_body_is_counted_in_another_process(locks: FileLocks, rows: BinaryIO) -> None:
    counted = Counting(locks).count(Order(JSON), rows)
    assert counted.batch["columns"]["x"]["missing"] == 1
    assert counted.fields == {"batch_id": "a"}


def test_a_body_that_takes_too_much_memory_is_refused(locks: FileLocks, rows: BinaryIO) -> None:
    program = "from app.counting import main; main(4 << 20)"
    rows.seek(0)
    rows.write(b'{"rows": [' + b",".join([b"{}"] * 300_000) + b"]}")
    with pytest.raises(TooLarge, match="memory"):
        Counting(locks, [sys.executable, "-c", program]).count(Order(JSON), rows)


def test_a_reason_to_refuse_comes_back(locks: FileLocks, rows: BinaryIO) -> None:
    rows.truncate(0)
    with pytest.raises(InvalidInput, match="empty"):
        Counting(locks).count(Order(JSON), rows)
    rows.write(b'{"counts": {"rows": 1}, "reference": "older"}')
    layout = {"columns": {"x": {"kind": "numeric", "edges": []}}}
    with pytest.raises(Conflict, match="Another reference"):
        Counting(locks).count(Order(JSON, layout=layout, reference="newer"), rows)


@pytest.mark.parametrize(
    ("program", "error", "reason"),
    [
        ("import time; time.sleep(60)", Busy, "too much to do"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGXCPU)", TooLarge, "too much time"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", Busy, "ended before it was done"),
        ("import os, signal; x = b'x' * (600 << 20); os.kill(os.getpid(), signal.SIGKILL)", TooLarge, "memory"),
        ("import os, sys; sys.stderr.write('std::bad_alloc'); sys.stderr.flush(); os.abort()", TooLarge, "memory"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", InvalidInput, "nested too deeply"),
        ("import os; os.abort()", Busy, "ended before it was done"),
        ("raise ValueError", Busy, "ended before it was done"),
    ],
)
def test_a_process_that_hangs_or_dies_counts_nothing(
    locks: FileLocks, rows: BinaryIO, program: str, error: Any, reason: str
) -> None:
    counting = Counting(locks, [sys.executable, "-c", program], seconds=0.3 if "sleep" in program else 5)
    with pytest.raises(error, match=reason):
        counting.count(Order(JSON), rows)


def test_a_process_that_takes_all_of_its_processor_time_is_a_body_too_large_also_where_it_is_killed(
    locks: FileLocks, rows: BinaryIO
) -> None:
    program = "import resource; resource.setrlimit(resource.RLIMIT_CPU, (1, 1))\nwhile True: pass"
    with pytest.raises(TooLarge, match="too much time"):
        Counting(locks, [sys.executable, "-c", program], most_seconds=1).count(Order(JSON), rows)


@pytest.mark.parametrize("end", ["os.abort()", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_a_process_that_aborts_or_is_killed_once_is_started_again(
    locks: FileLocks, rows: BinaryIO, tmp_path: Path, end: str
) -> None:
    ended = tmp_path / "ended"
    program = (
        "import os, pathlib, signal; from app.counting import main\n"
        f"ended = pathlib.Path({str(ended)!r})\n"
        f"if not ended.exists(): ended.touch(); {end}\n"
        "main()"
    )
    counted = Counting(locks, [sys.executable, "-c", program]).count(Order(JSON), rows)
    assert (counted.batch["rows"], ended.exists()) == (3, True)


def test_a_process_ends_without_waiting_for_threads_of_its_libraries(locks: FileLocks, rows: BinaryIO) -> None:
    program = "import atexit, os; atexit.register(os.abort); from app.counting import main; main()"
    assert Counting(locks, [sys.executable, "-c", program]).count(Order(JSON), rows).batch["rows"] == 3


def test_the_process_knows_no_secret(locks: FileLocks, rows: BinaryIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    program = (
        "import os, json; seen = 'MLFLOW_TRACKING_PASSWORD' in os.environ;"
        "print(json.dumps({'refused': {'detail': f'seen: {seen}'}}))"
    )
    with pytest.raises(InvalidInput, match="seen: False"):
        Counting(locks, [sys.executable, "-c", program]).count(Order(JSON), rows)


def test_bodies_are_counted_one_at_a_time(locks: FileLocks, rows: BinaryIO) -> None:
    counting = Counting(locks, wait=0)
    with locks.hold("counting", 0), pytest.raises(Busy, match="Other batches"):
        counting.count(Order(JSON), rows)
