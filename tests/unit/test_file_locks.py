"""Locks: one holder at a time, among threads and processes, and none after its death."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.domain.errors import LockTimeout
from app.services.host.file_locks import FileLocks, lock_directory
from tests.servers import HANGS_AFTER_SECONDS, ROOT

HOLDER = """
import sys, time
from pathlib import Path
from app.services.host.file_locks import FileLocks
with FileLocks(Path(sys.argv[1]), "scope").hold("name", 5):
    print("held", flush=True)
    sys.stdin.read()
"""
ADDER = """
import sys
from pathlib import Path
from app.services.host.file_locks import FileLocks
locks, counter = FileLocks(Path(sys.argv[1]), "scope"), Path(sys.argv[2])
for _ in range(50):
    with locks.hold("counter", 180):
        counter.write_text(str(int(counter.read_text()) + 1))
"""


@pytest.fixture
def locks(tmp_path: Path) -> FileLocks:
    return FileLocks(tmp_path / "locks", "scope")


@contextmanager
def python(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    # What is killed cannot save what it covered: it is not measured.
    env = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE_")}
    env["PYTHONPATH"] = str(ROOT)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code, *arguments], env=env, **pipes) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.kill()


def test_a_lock_that_is_held_is_not_given_and_the_time_to_wait_is_kept(locks: FileLocks) -> None:
    with locks.hold("name", 0):
        for timeout in (0, 0.05):
            with pytest.raises(LockTimeout), locks.hold("name", timeout):
                raise AssertionError("held twice")
    with locks.hold("name", 0):
        pass


def test_other_names_and_other_scopes_are_other_locks(locks: FileLocks, tmp_path: Path) -> None:
    other = FileLocks(tmp_path / "locks", "another scope")
    same = FileLocks(tmp_path / "locks", "scope")
    with (
        locks.hold("one", 0),
        locks.hold("two", 0),
        other.hold("one", 0),
        pytest.raises(LockTimeout),
        same.hold("one", 0),
    ):
        raise AssertionError("held twice")


def test_a_lock_is_given_back_when_its_holder_fails(locks: FileLocks) -> None:
    with pytest.raises(ZeroDivisionError), locks.hold("name", 0):
        raise ZeroDivisionError
    with locks.hold("name", 0):
        pass


def test_threads_and_processes_take_turns(locks: FileLocks, tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")

    def add() -> None:
        for _ in range(50):
            with locks.hold("counter", 180):
                counter.write_text(str(int(counter.read_text()) + 1))

    threads = [threading.Thread(target=add) for _ in range(3)]
    with (
        python(ADDER, str(tmp_path / "locks"), str(counter)) as one,
        python(ADDER, str(tmp_path / "locks"), str(counter)) as two,
    ):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (one.wait(HANGS_AFTER_SECONDS), two.wait(HANGS_AFTER_SECONDS)) == (0, 0)
    assert counter.read_text() == "250"


def test_a_lock_ends_with_the_process_that_held_it_even_by_kill(locks: FileLocks, tmp_path: Path) -> None:
    with python(HOLDER, str(tmp_path / "locks")) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(LockTimeout), locks.hold("name", 0):
            raise AssertionError("held twice")
        holder.kill()
        with locks.hold("name", HANGS_AFTER_SECONDS):
            assert holder.wait(HANGS_AFTER_SECONDS) == -9


def remove(file: Path) -> None:
    file.unlink()


def replace(file: Path) -> None:
    new = file.with_suffix(".new")
    new.touch()
    new.replace(file)


def remove_the_directory(file: Path) -> None:
    shutil.rmtree(file.parent)


def move_the_directory(file: Path) -> None:
    file.parent.rename(file.parent.with_suffix(".moved"))


DAMAGES = [remove, replace, remove_the_directory, move_the_directory]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_holder_can_tell_that_its_lock_was_removed_or_replaced(
    locks: FileLocks, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    with locks.hold("name", 0) as held:
        assert held.stands()
        damage(next((tmp_path / "locks").iterdir()))
        assert not held.stands()
        with locks.hold("name", 0) as later:
            assert later.stands()
            assert not held.stands()
            with pytest.raises(LockTimeout), locks.hold("name", 0.05):
                raise AssertionError("held twice")


@pytest.mark.parametrize("damage", DAMAGES)
def test_who_comes_while_a_lock_is_removed_gets_one_that_excludes_others(
    locks: FileLocks, tmp_path: Path, damage: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, damaged = fcntl.flock, []

    def flock(descriptor: int, operation: int) -> None:
        if not damaged:
            damaged.append(True)
            damage(next((tmp_path / "locks").iterdir()))
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    with locks.hold("name", 1) as held:
        assert damaged
        assert held.stands()
        with pytest.raises(LockTimeout), locks.hold("name", 0.05):
            raise AssertionError("held twice")


def test_the_directory_of_locks_is_private_and_always_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = lock_directory()
    assert found == lock_directory()
    assert found.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("trap", ["file", "link", "open to others"])
def test_what_somebody_else_put_in_its_place_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trap: str
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    place = tmp_path / f"control-tower-{os.getuid()}"
    if trap == "file":
        place.write_text("")
    elif trap == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        place.symlink_to(tmp_path / "elsewhere")
    else:
        place.mkdir()
        place.chmod(0o777)
    with pytest.raises(OSError, match="control-tower"):
        lock_directory()
