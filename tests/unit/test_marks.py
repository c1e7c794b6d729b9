"""Marks: a change is seen by every process at once; what others did to the files, with the next look."""

import os
from multiprocessing import get_context
from pathlib import Path

import pytest

from app.services.file_cache import FileCache
from app.services.marks import Marks, marks_at


@pytest.fixture(params=[True, False], ids=["marks", "files"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[FileCache, FileCache]:
    """The caches of two processes."""
    one, two = (FileCache(tmp_path / "cache", Marks(tmp_path / "marks") if request.param else None) for _ in range(2))
    return one, two


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


def test_a_look_sees_what_somebody_else_did_to_the_file_once(tmp_path: Path) -> None:
    cache = FileCache(tmp_path / "cache", Marks(tmp_path / "marks"))
    cache.set("key", 1)
    before = cache.mark("key")
    path = next(path for path in (tmp_path / "cache").iterdir())
    os.replace(_copy(path), path)
    cache.look()
    after = cache.mark("key")
    cache.look()
    assert before != after == cache.mark("key")


def test_without_a_place_for_marks_the_files_tell_what_is_new(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert marks_at(tmp_path / "file" / "marks") is None


def _copy(path: Path) -> Path:
    copied = path.with_suffix(".copy")
    copied.write_bytes(path.read_bytes())
    return copied


def _change(path: Path) -> None:
    Marks(path).change("key")


def test_marks_are_shared_by_processes_also_after_their_file_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "marks"
    marks = Marks(path)
    before = marks.of("key")
    process = get_context("fork").Process(target=_change, args=(path,))
    process.start()
    process.join()
    assert marks.of("key") != before
    path.unlink()
    now = marks.of("key")
    child = get_context("fork").Process(target=marks.change, args=("key",))
    child.start()
    child.join()
    assert marks.of("key") != now
