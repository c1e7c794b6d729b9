"""The file of access keys: what it may hold, how keys are added, and what a change of it does."""

import hashlib
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.services.host.keys import ROLES, AccessKey, BadKeyFile, KeyRing, read_keys
from tests.servers import HANGS_AFTER_SECONDS

DIGEST = hashlib.sha256(b"ct_secret").hexdigest()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def write(file: Path, text: str) -> None:
    """Write the file anew; a new file each time, so that a change is one also within a tick of the clock."""
    new = file.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    os.replace(new, file)


@pytest.mark.parametrize(
    "line",
    [
        f"ada read {DIGEST}",
        f"  ada\tREAD   {DIGEST.upper()}  ",
        f"ada:read:{DIGEST}",
        f"ada, read, {DIGEST}",
        f"# a comment\n\n   \nada read {DIGEST}\r\n#ada admin x",
    ],
)
def test_a_line_is_a_name_a_role_and_a_digest(file: Path, line: str) -> None:
    write(file, line)
    assert read_keys(file) == (AccessKey("ada", "read", DIGEST),)
    assert KeyRing(file).check() == 1


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("ada", "line 2"),
        (f"ada read {DIGEST} extra", "line 2"),
        (f"ada owner {DIGEST}", "read, write, approve, admin"),
        (f"ada read {DIGEST[:-1]}", "64 hexadecimal digits"),
        ("ada read ct_secret", "64 hexadecimal digits"),
        (f"ädä read {DIGEST}", "line 2"),
        (f"{'x' * 65} read {DIGEST}", "line 2"),
        (f"bob admin {DIGEST}", "two keys are named bob"),
    ],
)
def test_a_line_that_is_no_key_is_told_with_its_number(file: Path, line: str, told: str) -> None:
    write(file, f"bob read {DIGEST}\n{line}\n")
    with pytest.raises(BadKeyFile, match=told):
        KeyRing(file).check()


@pytest.mark.parametrize("content", [None, b"\xff\xfe", "directory"])
def test_a_file_that_cannot_be_read_is_told_by_its_name(file: Path, content: bytes | str | None) -> None:
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content:
        file.mkdir()
    with pytest.raises(BadKeyFile, match="keys cannot be read"):
        read_keys(file)


def test_no_complaint_repeats_what_may_be_a_token(file: Path) -> None:
    write(file, "ada read ct_secret_token_by_mistake\n")
    with pytest.raises(BadKeyFile) as caught:
        read_keys(file)
    assert "ct_secret" not in str(caught.value)


@given(st.text())
def test_only_the_token_itself_is_found(tmp_path_factory: pytest.TempPathFactory, token: str) -> None:
    file = tmp_path_factory.mktemp("keys") / "keys"
    write(file, f"ada write {DIGEST}\n")
    assert (KeyRing(file).find(token) is not None) is (token == "ct_secret")


def test_a_token_may_hold_what_no_text_may(file: Path) -> None:
    write(file, f"ada write {DIGEST}\n")
    assert KeyRing(file).find("\udcff") is None


def test_each_key_is_found_by_its_own_token_and_has_its_role_with_those_before_it(file: Path) -> None:
    ring = KeyRing(file)
    tokens = {role: ring.add(role, role) for role in ROLES}
    assert len(set(tokens.values())) == len(ROLES)
    found = {role: ring.find(token) for role, token in tokens.items()}
    assert {role: key.name for role, key in found.items() if key} == {role: role for role in ROLES}
    assert found["read"] is not None
    assert found["read"].roles == ("read",)
    assert found["admin"] is not None
    assert found["admin"].roles == ("read", "write", "approve", "admin")


def test_a_new_key_is_appended_and_its_token_is_kept_nowhere(tmp_path: Path) -> None:
    file = tmp_path / "new" / "keys"
    token = KeyRing(file).add("ada", "write")
    assert file.stat().st_mode & 0o777 == 0o600
    assert token not in file.read_text()
    file.write_text(file.read_text().rstrip("\n"))  # an editor that leaves the last line open
    KeyRing(file).add("bob", "read")
    assert [key.name for key in read_keys(file)] == ["ada", "bob"]
    assert KeyRing(file).find(token) is not None


@pytest.mark.parametrize("name", ["", "a b", "a\nb", "ä", "x" * 65, "a:b", "#a"])
def test_a_name_that_the_file_cannot_hold_is_refused(file: Path, name: str) -> None:
    with pytest.raises(BadKeyFile, match="1 to 64"):
        KeyRing(file).add(name, "read")
    assert not file.exists()


def test_a_name_is_given_once(file: Path) -> None:
    ring = KeyRing(file)
    ring.add("ada", "read")
    with pytest.raises(BadKeyFile, match="named ada already"):
        ring.add("ada", "admin")
    assert len(read_keys(file)) == 1


def test_a_change_counts_at_once_and_a_broken_file_leaves_the_last_good_keys(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(file, f"ada read {DIGEST}")
    ring = KeyRing(file)
    assert ring.find("ct_secret") is not None
    write(file, "nonsense")
    assert ring.find("ct_secret") is not None
    assert "last good keys stay" in caplog.text
    file.unlink()
    assert ring.find("ct_secret") is not None
    write(file, f"ada admin {DIGEST}")
    found = ring.find("ct_secret")
    assert found is not None
    assert found.role == "admin"
    write(file, "# nobody")
    assert ring.find("ct_secret") is None


class Ticks:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


KEYS = f"# keys\nada read {DIGEST}\nbob write {hashlib.sha256(b'ct_bob').hexdigest()}\n"


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


@pytest.fixture
def ring(file: Path, ticks: Ticks) -> KeyRing:
    """A ring that has read the keys of ada and bob, some time ago."""
    file.write_text(KEYS)
    ring = KeyRing(file, ticks)
    assert known(ring) == (True, True)
    ticks.now += 60
    return ring


def known(ring: KeyRing) -> tuple[bool, bool]:
    """Whether the tokens of ada and of bob are let in."""
    return ring.find("ct_secret") is not None, ring.find("ct_bob") is not None


@pytest.mark.parametrize("length", range(len(KEYS)))
def test_a_file_that_is_being_written_anew_revokes_nobody(file: Path, ticks: Ticks, ring: KeyRing, length: int) -> None:
    """Whether an editor, `cp` or `echo >>`, each of which empties the file first."""
    for upto in (0, length):
        file.write_text(KEYS[:upto])
        assert known(ring) == (True, True)
        ticks.now += 0.9
    file.write_text(KEYS)
    assert known(ring) == (True, True)
    ticks.now += 60
    assert known(ring) == (True, True)


@pytest.mark.parametrize(
    ("left", "remain"),
    [
        ("", (False, False)),
        (" \n", (False, False)),
        ("# keys\n", (False, False)),
        (KEYS[: KEYS.index("bob")], (True, False)),
    ],
)
def test_a_file_that_stays_empty_or_cut_for_two_seconds_revokes(
    file: Path, ticks: Ticks, ring: KeyRing, left: str, remain: tuple[bool, bool]
) -> None:
    file.write_text(left)
    assert known(ring) == (True, True)
    ticks.now += 1.9
    # Whatever else is done to it does not prolong that.
    os.utime(file)
    assert known(ring) == (True, True)
    ticks.now += 0.2
    assert known(ring) == remain
    file.write_text(KEYS)
    assert known(ring) == (True, True)


def test_a_file_that_was_emptied_long_ago_revokes_though_nobody_asked_since(
    file: Path, ticks: Ticks, ring: KeyRing
) -> None:
    file.write_text("")
    ring.look()  # as the worker does every second
    ticks.now += 3600
    assert known(ring) == (False, False)


def test_a_file_that_is_put_in_its_place_as_a_whole_counts_at_once(file: Path, ring: KeyRing) -> None:
    write(file, KEYS[: KEYS.index("bob")])
    assert known(ring) == (True, False)


def test_a_file_that_was_gone_for_a_moment_revokes_nobody(file: Path, ticks: Ticks, ring: KeyRing) -> None:
    file.unlink()
    assert known(ring) == (True, True)
    ticks.now += 5
    file.write_text("")
    assert known(ring) == (True, True)
    file.write_text(KEYS)
    assert known(ring) == (True, True)


@pytest.mark.parametrize("kind", ["a named pipe", "a device without an end", "a directory"])
def test_what_is_no_file_in_its_place_holds_up_nobody_and_revokes_nobody(
    file: Path, ring: KeyRing, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    file.unlink()
    if kind == "a named pipe":
        os.mkfifo(file)
    elif kind == "a directory":
        file.mkdir()
    else:
        file.symlink_to("/dev/zero")
    answers: list[tuple[bool, bool]] = []
    asking = threading.Thread(target=lambda: answers.append(known(ring)), daemon=True)
    asking.start()
    asking.join(HANGS_AFTER_SECONDS)
    assert answers == [(True, True)]
    assert "last good keys stay" in caplog.text


def test_a_change_counts_also_within_one_tick_of_the_file_systems_clock(file: Path, ring: KeyRing) -> None:
    found = file.stat()
    file.write_text(KEYS.replace("ada read", "eve read").replace(DIGEST, DIGEST[::-1]))
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert known(ring) == (False, True)
    file.write_text(KEYS)
    assert known(ring) == (True, True)


@pytest.mark.parametrize(("mode", "folder", "told"), [
    (0o600, 0o700, None), (0o640, 0o755, None), (0o644, 0o1777, None), (0o660, 0o700, "keys (mode 0660; chmod go-w"),
    (0o602, 0o700, "keys (mode 0602; chmod go-w"), (0o600, 0o775, "directory of keys (mode 0775; chmod go-w"),
    (0o600, 0o757, "directory of keys (mode 0757; chmod go-w"),
])  # fmt: skip
def test_who_starts_the_service_is_warned_of_a_file_that_others_may_write(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, folder: int, told: str | None
) -> None:
    file = tmp_path / "secrets" / "keys"
    file.parent.mkdir()
    file.write_text(KEYS)
    file.chmod(mode)
    file.parent.chmod(folder)
    KeyRing(file).check()
    assert (caplog.text == "") if told is None else (told in caplog.text)


def test_a_file_that_others_may_write_from_now_on_is_told_once(
    file: Path, ticks: Ticks, ring: KeyRing, caplog: pytest.LogCaptureFixture
) -> None:
    file.chmod(0o600)
    ring.look()
    assert caplog.text == ""
    file.chmod(0o666)
    for _ in range(3):
        ring.look()
        ticks.now += 10
    assert caplog.text.count("Others than the owner may write") == 1
    assert known(ring) == (True, True)
