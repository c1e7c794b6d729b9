"""The file of access keys: what it may hold, how keys are added, and what a change of it does."""

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.services.keys import ROLES, BadKeyFile, Key, KeyRing, read_keys

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
    assert read_keys(file) == (Key("ada", "read", DIGEST),)
    assert KeyRing(file).check() == 1


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("ada", "line 2"),
        (f"ada read {DIGEST} extra", "line 2"),
        (f"ada owner {DIGEST}", "read, write, admin"),
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
    assert len(set(tokens.values())) == 3
    found = {role: ring.find(token) for role, token in tokens.items()}
    assert {role: key.name for role, key in found.items() if key} == {role: role for role in ROLES}
    assert found["read"] is not None
    assert found["read"].roles == ("read",)
    assert found["admin"] is not None
    assert found["admin"].roles == ("read", "write", "admin")


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
