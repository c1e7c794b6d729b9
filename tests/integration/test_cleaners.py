"""Cleaners of temporary files and kill -9: what they take comes back, and what is left behind goes."""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import (
    HANGS_AFTER_SECONDS,
    HOST,
    ROOT,
    SEEDED_MODELS,
    Tower,
    agents,
    agents_of,
    clean_environment,
    free_port,
    process,
    tower,
    tree,
    until,
    without_coverage,
)


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A directory for temporary files. Its path is short, since the path of a socket is bounded."""
    with tempfile.TemporaryDirectory(prefix="c-", dir="/tmp") as name:
        yield Path(name)


def removed(directory: Path) -> bool:
    """Remove a directory as a cleaner does; False where the service wrote into it meanwhile."""
    shutil.rmtree(directory, ignore_errors=True)
    return not directory.exists()


def counted(running: Tower) -> int:
    """How many requests for the fleet have been counted, all workers together."""
    lines = [line for line in running.get("/metrics").text.splitlines() if 'route="/models"' in line]
    return sum(int(float(line.split()[-1])) for line in lines if "_count{" in line)


def test_a_cleaner_takes_every_temporary_file_and_the_service_is_whole_again_in_seconds(
    temporary: Path, tmp_path: Path, seeded_url: str
) -> None:
    settings = {"TMPDIR": str(temporary), "ENABLE_CACHE_PERSISTENCE": "false"}
    with tower(tmp_path, seeded_url, workers=2, **settings) as running:
        (before,) = until(lambda: agents(running), "the agent")
        workers = {pid for pid in tree(running.process.pid)[1:] if pid != before}
        for made in list(temporary.iterdir()):
            until(lambda directory=made: removed(directory), f"{made} to be removed")
        until(lambda: agents(running) and before not in agents(running), "another agent")
        assert len(running.get("/models").json()) == SEEDED_MODELS
        # Ready is who answers this: it takes the agent.
        assert running.register("seed-00080", 1).status_code == 201
        shown = {running.get("/models/seed-00080/1/monitor").status_code for _ in range(12)}
        assert shown == {200}
        assert running.delete("/models/seed-00080/1/monitor").status_code == 200
        until(lambda: running.get("/models") and counted(running) > 0, "requests counted anew")
        assert len(agents(running)) == 1
        assert workers <= set(tree(running.process.pid))


def test_files_that_somebody_cut_kill_no_worker(temporary: Path, tmp_path: Path, seeded_url: str) -> None:
    with tower(tmp_path, seeded_url, workers=2, TMPDIR=str(temporary)) as running:
        until(lambda: agents(running), "the agent")
        before = set(tree(running.process.pid))
        for file in temporary.rglob("*"):
            # What counts for Prometheus is mapped into memory: see the test of the instruments.
            if file.is_file() and file.suffix != ".db":
                os.truncate(file, 0)
        assert {len(running.get("/models").json()) for _ in range(24)} == {SEEDED_MODELS}
        assert running.register("seed-00081", 1).status_code == 201
        assert running.delete("/models/seed-00081/1/monitor").status_code == 200
        assert before <= set(tree(running.process.pid))


def test_a_killed_service_leaves_no_process_and_its_files_go_with_the_next_start(
    temporary: Path, tmp_path: Path, seeded_url: str
) -> None:
    settings = {"TMPDIR": str(temporary), "ENABLE_CACHE_PERSISTENCE": "false", "WEB_CONCURRENCY": "2"}
    with tower(tmp_path, seeded_url, **settings) as living:
        own = until(lambda: whole(temporary), "directories and the agent's socket")
        left: set[Path] = set()
        for killed in ("the group", "the master"):
            with tower(tmp_path, seeded_url, **settings) as running:
                until(lambda gone=left: not whole(temporary) & gone, "what was left to be removed")
                until(lambda: len(whole(temporary)) >= 2 * len(own), "those of the second")
                members = tree(running.process.pid)
                if killed == "the group":
                    running.kill()
                else:
                    # As by the kernel that runs out of memory.
                    os.kill(running.process.pid, signal.SIGKILL)
                    running.process.wait()
                until(lambda pids=members: not any(Path(f"/proc/{pid}").exists() for pid in pids), "the end")
                left = whole(temporary) - own
                assert left
        with tower(tmp_path, seeded_url, **settings) as last:
            until(lambda: not whole(temporary) & left, "what was left to be removed")
            assert own <= whole(temporary)
            until(lambda: len(whole(temporary)) == 2 * len(own), "only what is of the living")
            assert len(last.get("/models").json()) == len(living.get("/models").json()) == SEEDED_MODELS


@pytest.mark.parametrize("moment", ["its first directory is there", "its agent begins"])
def test_a_service_that_is_stopped_while_it_starts_leaves_no_directory(
    temporary: Path, tmp_path: Path, seeded_url: str, moment: str
) -> None:
    env = clean_environment(
        TMPDIR=str(temporary), MLFLOW_TRACKING_URI=seeded_url, API_HOST=HOST, API_PORT=str(free_port()),
        WEB_CONCURRENCY="2", ENABLE_CACHE_PERSISTENCE="false",
    )  # fmt: skip
    command = [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py"), "wsgi:app"]
    with process(command, tmp_path / "log", tmp_path, without_coverage(env)) as started:
        if moment == "its agent begins":
            until(lambda: agents_of(started.pid), moment)
        else:
            until(lambda: list(temporary.glob("control-tower-run-*")), moment)
        members = tree(started.pid)
        started.terminate()
        assert started.wait(HANGS_AFTER_SECONDS) == 0
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in members), "the end of all processes")
    assert list(temporary.glob("control-tower-run-*")) == []


def whole(temporary: Path) -> set[Path]:
    """What one service makes: two directories, a socket; empty where not all of it is there."""
    made = {*temporary.glob("control-tower-run-*"), *temporary.glob("*/agent-*.sock")}
    return made if len(made) >= 3 else set()
