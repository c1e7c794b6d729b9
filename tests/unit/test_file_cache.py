"""The cache on disk: shared, kept, checked when read, and never a reason to crash."""

import errno
import os
import pickle
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.services.host.file_cache import CheckedJson, FileCache

ROOT = Path(__file__).resolve().parents[2]


class Bomb:
    """What a planted pickle would do."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (Path.touch, (self._mark,))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "cache"


@pytest.fixture
def cache(directory: Path) -> FileCache:
    return FileCache(directory)


def only_file(directory: Path) -> Path:
    (found,) = directory.iterdir()
    return found


def test_what_one_process_keeps_another_finds_also_after_a_restart(cache: FileCache, directory: Path) -> None:
    assert cache.set("key", {"a": [1, None, "ü"]})
    assert FileCache(directory).get("key") == {"a": [1, None, "ü"]}
    assert FileCache(directory).get("other") is None


def test_more_than_five_hundred_keys_are_all_kept(cache: FileCache) -> None:
    for n in range(520):
        cache.set(str(n), n)
    assert [cache.get(str(n)) for n in range(520)] == list(range(520))


def test_only_this_user_may_look_into_the_directory(cache: FileCache, directory: Path) -> None:
    cache.set("key", 1)
    assert directory.stat().st_mode & 0o777 == 0o700
    assert only_file(directory).stat().st_mode & 0o777 == 0o600


def test_every_writing_changes_the_token_and_reading_does_not(cache: FileCache) -> None:
    assert cache.token("key") is None
    before = None
    for _ in range(20):
        cache.set("key", "the same value")
        token = cache.token("key")
        assert cache.get("key") == "the same value"
        assert cache.token("key") == token != before
        before = token


def test_facts_are_the_size_and_time_of_the_file(cache: FileCache, directory: Path) -> None:
    assert cache.facts("key") is None
    cache.set("key", "x" * 1000)
    size, written = cache.facts("key") or (0, 0.0)
    assert size == only_file(directory).stat().st_size > 1000
    assert abs(written - time.time()) < 60


def test_a_deleted_key_is_gone_and_deleting_it_again_is_well(cache: FileCache) -> None:
    cache.set("key", 1)
    cache.set("other", 2)
    assert cache.delete("key")
    assert (cache.get("key"), cache.get("other")) == (None, 2)
    assert cache.delete("key")


@given(body=st.binary(max_size=200), header=st.sampled_from([b"", struct.pack("I", 0), struct.pack("I", 2**32 - 1)]))
def test_any_bytes_in_a_file_are_a_miss(tmp_path_factory: pytest.TempPathFactory, body: bytes, header: bytes) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    cache = FileCache(folder)
    cache.set("key", 1)
    only_file(folder).write_bytes(header + body)
    assert cache.get("key") is None


@given(cut=st.integers(0, 80), flip=st.integers(0, 79))
def test_a_file_that_is_cut_or_changed_anywhere_is_a_miss(
    tmp_path_factory: pytest.TempPathFactory, cut: int, flip: int
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    cache = FileCache(folder)
    cache.set("key", {"value": "some text that is long enough"})
    whole = only_file(folder).read_bytes()
    only_file(folder).write_bytes(whole[: min(cut, len(whole) - 1)])
    assert cache.get("key") is None
    flip = 4 + flip % (len(whole) - 4)  # the first four bytes are cachelib's time of expiry: none
    only_file(folder).write_bytes(whole[:flip] + bytes([whole[flip] ^ 1]) + whole[flip + 1 :])
    assert cache.get("key") is None


@pytest.mark.parametrize("prefix", [b"", struct.pack("I", 0), struct.pack("I", 0) + b"control-tower 4\n" + b"\0" * 16])
def test_a_planted_pickle_is_a_miss_and_never_runs(
    cache: FileCache, directory: Path, tmp_path: Path, prefix: bytes
) -> None:
    mark = tmp_path / "it ran"
    payload = pickle.dumps(Bomb(mark))
    pickle.loads(payload)  # noqa: S301 - the bomb is a real one
    assert mark.exists()
    mark.unlink()
    cache.set("key", 1)
    only_file(directory).write_bytes(prefix + payload)
    assert cache.get("key") is None
    assert not mark.exists()


def test_an_old_format_is_a_miss_and_is_written_over(cache: FileCache, directory: Path) -> None:
    cache.set("key", 1)
    file = only_file(directory)
    file.write_bytes(file.read_bytes().replace(b"control-tower 4", b"control-tower 3"))
    assert cache.get("key") is None
    assert cache.set("key", 2)
    assert cache.get("key") == 2


def test_a_good_checksum_over_what_is_no_json_is_a_miss(directory: Path, cache: FileCache) -> None:
    class Foreign(CheckedJson):
        def dump(self, value: Any, file: IO[bytes]) -> None:
            import hashlib

            file.write(b"control-tower 4\n" + hashlib.blake2b(value, digest_size=16).digest() + value)

    cache.serializer = Foreign()  # type: ignore[assignment]
    cache.set("key", b"{no json")
    assert FileCache(directory).get("key") is None


def test_a_directory_in_place_of_a_file_is_a_miss(cache: FileCache, directory: Path) -> None:
    cache.set("key", 1)
    file = only_file(directory)
    file.unlink()
    file.mkdir()
    assert cache.get("key") is None
    assert cache.facts("key") is None
    assert cache.delete("key") is False
    assert cache.set("key", 2) is False


def test_a_disk_that_takes_nothing_is_a_warning_of_one_line_and_no_traceback(
    cache: FileCache, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache.set("key", 1)
    file = only_file(directory)
    file.unlink()
    file.mkdir()
    for _ in range(3):
        cache.set("key", 2)
        cache.delete("key")
    shutil.rmtree(directory)
    directory.write_text("in the way")
    cache.set("key", 3)
    assert cache.delete("key") is True
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1
    assert not any(record.exc_info for record in caplog.records)


@pytest.mark.parametrize("in_the_way", ["cache", "deep"])
def test_a_file_in_place_of_the_directory_means_that_nothing_is_kept(
    tmp_path: Path, directory: Path, in_the_way: str
) -> None:
    path = directory if in_the_way == "cache" else directory.parent
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text("in the way")
    cache = FileCache(directory)
    assert cache.set("key", 1) is False
    assert (cache.get("key"), cache.token("key"), cache.facts("key")) == (None, None, None)
    cache.delete("key")
    path.unlink()
    assert cache.set("key", 1) is True
    assert cache.get("key") == 1


def test_a_directory_removed_while_the_service_runs_is_made_again(cache: FileCache, directory: Path) -> None:
    cache.set("key", 1)
    shutil.rmtree(directory.parent)
    assert (cache.get("key"), cache.token("key"), cache.delete("key")) == (None, None, True)
    assert cache.set("key", 2)
    assert cache.get("key") == 2


def test_a_full_disk_leaves_the_old_value_and_no_litter(
    cache: FileCache, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.set("key", "old")
    token = cache.token("key")

    class Full(CheckedJson):
        def dump(self, value: Any, file: IO[bytes]) -> None:
            file.write(b"half of it")
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(FileCache, "serializer", Full())
        assert cache.set("key", "new") is False
    assert (cache.get("key"), cache.token("key")) == ("old", token)
    # Nothing is left of the half, which would keep the disk full.
    assert only_file(directory).read_bytes().endswith(b'"old"')


def test_a_disk_that_is_really_full_leaves_the_old_value(directory: Path) -> None:
    # A limit on the size of files stands for the disk, in a process of its own.
    code = """
import resource, signal, sys
from pathlib import Path
from app.services.host.file_cache import FileCache
cache = FileCache(Path(sys.argv[1]))
assert cache.set("key", "old")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
assert cache.set("key", "x" * 100_000) is False
assert cache.get("key") == "old"
print("held")
"""
    # It could not save what it covered either: it is not measured.
    env = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE_")}
    env["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(
        [sys.executable, "-c", code, str(directory)], env=env, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout == "held\n", done.stderr


def test_unfinished_files_of_a_dead_process_are_swept_and_young_ones_are_left(directory: Path) -> None:
    directory.mkdir(parents=True)
    old, young, foreign = directory / "a.__wz_cache", directory / "b.__wz_cache", directory / "notes.txt"
    for path in (old, young, foreign):
        path.write_text("x")
    for path in (old, foreign):
        os.utime(path, (time.time() - 3600, time.time() - 3600))
    stubborn = directory / "c.__wz_cache"
    stubborn.mkdir()
    os.utime(stubborn, (0, 0))
    FileCache(directory)
    assert sorted(path.name for path in directory.iterdir()) == ["b.__wz_cache", "c.__wz_cache", "notes.txt"]


def _waited(seconds: float) -> None:
    """cachelib tries ten seconds for a file that it may not open."""
    raise AssertionError("waited for a file")


def test_a_file_that_may_not_be_read_is_a_miss_at_once(
    cache: FileCache, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.set("key", 1)
    only_file(directory).chmod(0)
    if os.getuid() == 0:  # root may read everything: the system's answer is put in its mouth
        real = os.access
        monkeypatch.setattr(os, "access", lambda path, mode: real(path, mode) and not (mode & os.R_OK))
    monkeypatch.setattr("cachelib.file.sleep", _waited)
    assert cache.get("key") is None


def test_a_directory_that_may_not_be_written_keeps_nothing_and_says_so_at_once(
    cache: FileCache, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.set("key", 1)
    directory.chmod(0o500)
    if os.getuid() == 0:
        # To root nothing is forbidden: the same error, from where it would come.
        def refused(**_: Any) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(tempfile, "mkstemp", refused)
    monkeypatch.setattr("cachelib.file.sleep", _waited)
    assert cache.set("key", 2) is False
    assert cache.get("key") == 1
    directory.chmod(0o700)
