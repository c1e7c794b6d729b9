"""`scripts/need.sh`: a tool that is missing, and that cannot be installed here, is told of with what to do."""

import subprocess
from pathlib import Path

from tests.servers import ROOT


def need(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", ROOT / "scripts" / "need.sh", *arguments],
        check=False,
        capture_output=True,
        text=True,
        env={"PATH": str(path)},
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
    done = need(tmp_path, "promtool", "prometheus")
    assert (done.returncode, done.stderr) == (
        1,
        "promtool is not there. Install it (Debian: apt-get install prometheus).\n",
    )


def test_where_there_is_no_apt_even_root_is_told(tmp_path: Path) -> None:
    command(tmp_path, "id", "echo 0")
    done = need(tmp_path, "wrk")
    assert (done.returncode, "apt-get install wrk" in done.stderr) == (1, True)


def test_root_installs_the_package_of_that_name(tmp_path: Path) -> None:
    command(tmp_path, "id", "echo 0")
    command(tmp_path, "apt-get", 'echo "$*"')
    done = need(tmp_path, "wrk")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["update -qq", "install -y -qq wrk"]


def test_an_installation_that_fails_is_no_success(tmp_path: Path) -> None:
    command(tmp_path, "id", "echo 0")
    command(tmp_path, "apt-get", "exit 100")
    assert need(tmp_path, "wrk").returncode != 0
