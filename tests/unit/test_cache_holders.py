"""Instances that share a cache directory must share their locks, which lie in the directory for temporary files."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.servers import ROOT, clean_environment, kill_group

_HOLD = """
import sys, pathlib
from app.services.host.cache_holders import hold_cache_directory
hold_cache_directory(pathlib.Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""

Start = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a process that holds the cache directory, with a directory for temporary files of this name."""
    (tmp_path / "cache").mkdir()
    with ExitStack() as stack:

        def start(temporary: str) -> "subprocess.Popen[str]":
            (tmp_path / temporary).mkdir(exist_ok=True)
            started = subprocess.Popen(
                [sys.executable, "-c", _HOLD, str(tmp_path / "cache")],
                cwd=ROOT, env=clean_environment(TMPDIR=str(tmp_path / temporary)), start_new_session=True, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
            stack.enter_context(started)
            stack.callback(kill_group, started)
            return started

        yield start


def holds(started: "subprocess.Popen[str]") -> bool:
    assert started.stdout is not None
    return started.stdout.readline() == "held\n"


def test_instances_with_the_same_temporary_directory_share_a_cache_directory(start: Start) -> None:
    assert holds(start("one"))
    assert holds(start("one"))


def test_an_instance_with_another_temporary_directory_is_refused_while_the_first_one_runs(start: Start) -> None:
    first = start("one")
    assert holds(first)
    second = start("two")
    assert not holds(second)
    assert "CacheHeldElsewhere" in second.communicate()[1]
    kill_group(first)
    assert holds(start("two"))


def test_a_cache_directory_that_cannot_be_written_is_no_obstacle(start: Start, tmp_path: Path) -> None:
    (tmp_path / "cache").rmdir()
    (tmp_path / "cache").write_text("a file")
    assert holds(start("one"))
