"""`scripts/`: what is missing is told of with what to do, and installed only where that was asked for."""

import subprocess
from pathlib import Path

import pytest

from tests.servers import ROOT

ASKED = [{"CI": "true"}, {"INSTALL_SYSTEM_PACKAGES": "yes"}]


def need(path: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run(path, "need.sh", *arguments, **environment)


def run(path: Path, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", ROOT / "scripts" / script, *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=path,
        env={"PATH": str(path), **environment},
    )


def command(folder: Path, name: str, text: str = "exit 0") -> None:
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def test_a_tool_that_is_there_is_not_asked_for(tmp_path: Path) -> None:
    command(tmp_path, "promtool")
    done = need(tmp_path, "promtool", "prometheus")
    assert (done.returncode, done.stderr) == (0, "")


def test_who_may_not_install_a_missing_tool_is_told_its_package(tmp_path: Path) -> None:
    command(tmp_path, "id", "echo 1000")
    command(tmp_path, "apt-get", "echo called >&2")
    done = need(tmp_path, "promtool", "prometheus", CI="true")
    assert (done.returncode, done.stderr) == (
        1,
        "promtool is not there. Install it (Debian: apt-get install prometheus).\n",
    )


def test_where_there_is_no_apt_even_root_is_told(tmp_path: Path) -> None:
    command(tmp_path, "id", "echo 0")
    done = need(tmp_path, "wrk", CI="true")
    assert (done.returncode, "apt-get install wrk" in done.stderr) == (1, True)


@pytest.mark.parametrize("environment", [{}, {"CI": ""}, {"INSTALL_SYSTEM_PACKAGES": "no"}])
def test_nothing_is_installed_unasked(tmp_path: Path, environment: dict[str, str]) -> None:
    command(tmp_path, "id", "echo 0")
    command(tmp_path, "apt-get", "echo called >&2")
    done = need(tmp_path, "wrk", **environment)
    assert (done.returncode, done.stderr) == (1, "wrk is not there. Install it (Debian: apt-get install wrk).\n")
    command(tmp_path, "python3", 'case "$*" in *venv*) exit 1;; esac')
    done = run(tmp_path, "setup.sh", "requirements.lock", "stamp", PYTHON="python3", **environment)
    assert done.returncode == 1
    assert done.stderr.startswith("python3 cannot make virtual environments.")
    assert "called" not in done.stderr


@pytest.mark.parametrize("environment", ASKED)
def test_who_asks_gets_what_virtual_environments_need(tmp_path: Path, environment: dict[str, str]) -> None:
    command(tmp_path, "id", "echo 0")
    command(tmp_path, "apt-get", 'echo "$*"; [ "$1" = update ]')
    command(tmp_path, "python3", 'case "$*" in *venv*) exit 1;; esac')
    done = run(tmp_path, "setup.sh", "requirements.lock", "stamp", PYTHON="python3", **environment)
    assert done.stdout.splitlines() == ["update -qq", "install -y -qq python3-venv"]
    assert done.returncode != 0


@pytest.mark.parametrize("environment", ASKED)
def test_root_who_asks_gets_the_package_of_that_name(tmp_path: Path, environment: dict[str, str]) -> None:
    command(tmp_path, "id", "echo 0")
    command(tmp_path, "apt-get", 'echo "$*"')
    done = need(tmp_path, "wrk", **environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["update -qq", "install -y -qq wrk"]


def test_an_installation_that_fails_is_no_success(tmp_path: Path) -> None:
    command(tmp_path, "id", "echo 0")
    command(tmp_path, "apt-get", "exit 100")
    assert need(tmp_path, "wrk", CI="true").returncode != 0
