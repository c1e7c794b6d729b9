"""Marks: a change is seen by every process at once; what others did to the files, with the next look."""

import errno
import os
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path

import pytest

from app.services.host.file_cache import FileCache
from app.services.host.marks import Marks, shared_marks


@pytest.fixture(params=[True, False], ids=["marks", "files"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[FileCache, FileCache]:
    """The caches of two processes."""
    marks = shared_marks() if request.param else None
    assert (marks is not None) is request.param
    return FileCache(tmp_path / "cache", marks), FileCache(tmp_path / "cache", marks)


def test_a_mark_changes_with_each_writing_and_removal_by_whomever_and_not_else(
    pair: tuple[FileCache, FileCache],
) -> None:
    one, two = pair
    before = two.mark("key")
    for change in (lambda: one.set("key", 1), lambda: two.set("key", 2), lambda: one.delete("key")):
        change()
        changed = two.mark("key")
        two.look()
        assert before != changed == two.mark("key")
        before = changed
    one.set("other", 5)
    assert two.mark("key") == before


@pytest.mark.parametrize("written_between", [False, True])
def test_a_look_sees_what_somebody_else_did_to_the_file_once(
    pair: tuple[FileCache, FileCache], tmp_path: Path, written_between: bool
) -> None:
    one, two = pair
    one.set("key", 1)
    before = two.mark("key")
    two.look()
    if written_between:
        one.set("key", 2)
        before = two.mark("key")
    path = next(path for path in (tmp_path / "cache").iterdir())
    os.replace(_copy(path), path)
    two.look()
    after = two.mark("key")
    two.look()
    assert before != after == two.mark("key")


def test_what_this_service_writes_is_not_read_twice(tmp_path: Path) -> None:
    one, two = (FileCache(tmp_path / "cache", shared_marks()) for _ in range(2))
    two.mark("key")
    one.set("key", 1)
    after = two.mark("key")
    two.look()
    assert two.mark("key") == after


def _copy(path: Path) -> Path:
    copied = path.with_suffix(".copy")
    copied.write_bytes(path.read_bytes())
    return copied


def test_marks_are_shared_with_a_fork_and_with_who_is_handed_the_descriptor() -> None:
    marks = shared_marks()
    assert marks is not None
    before = marks.of("key")
    child = get_context("fork").Process(target=marks.change, args=("key", 1))
    child.start()
    child.join()
    now = marks.of("key")
    assert now != before
    change = f"from app.services.host.marks import Marks; Marks({marks.descriptor}).change('key', 2)"
    env = {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    subprocess.run([sys.executable, "-c", change], pass_fds=(marks.descriptor,), env=env, check=True)
    assert marks.of("key") != now


def test_nobody_can_cut_the_memory_that_marks_lie_in() -> None:
    marks = shared_marks()
    assert marks is not None
    for cut in (lambda: os.truncate(marks.descriptor, 0), lambda: os.truncate(f"/proc/self/fd/{marks.descriptor}", 0)):
        with pytest.raises(PermissionError):
            cut()
    assert marks.of("key") == marks.of("key")


def test_without_memory_to_share_the_files_tell_what_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOMEM, "full")

    monkeypatch.setattr(os, "memfd_create", full)
    shared_marks.cache_clear()
    try:
        assert shared_marks() is None
    finally:
        shared_marks.cache_clear()


def test_what_the_agent_notes_of_writes_every_process_reads() -> None:
    marks = shared_marks()
    assert marks is not None
    marks.note_writes(7, 3)
    assert marks.writes() == (7, 3)
    assert Marks(os.dup(marks.descriptor)).writes() == (7, 3)
    marks.note_writes(0, 0)
