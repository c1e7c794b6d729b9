"""`deploy/Dockerfile` built by buildah and run on a read-only root, without a container engine.

The base image comes from Debian's packages, since no registry of images is asked: Debian's own Python instead of that
of Docker's image. Both have what the Dockerfile asks of its base.
"""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.servers import HANGS_AFTER_SECONDS, HOST, ROOT, Tower, answers, free_port, process, until

TOOLS = ("buildah", "debootstrap", "unshare", "chroot")
# What the builder needs of this machine to reach the package index.
LENT = ("/etc/ssl/certs", "/etc/pip.conf")
A_USER = 23456

ON_A_READ_ONLY_ROOT = """
set -eu
root=$1; user=$2; shift 2
mount --bind "$root" "$root"
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o mode=0770,gid=0 tmpfs "$root/var/cache/control-tower"
mount -o remount,bind,ro "$root"
exec env -i "$@" chroot --userspec="$user:0" --groups= "$root" sh -c \
    'cd /opt/control-tower; ! touch written 2>/dev/null || exit 9; exec gunicorn wsgi:app'
"""


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    done = subprocess.run([str(part) for part in command], check=False, capture_output=True, text=True, cwd=cwd)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout.strip()


def buildah(folder: Path, *arguments: str | Path) -> str:
    places = ("--root", folder / "storage", "--runroot", folder / "runroot")
    return run("buildah", "--storage-driver", "vfs", *places, *arguments)


def build(folder: Path) -> Path:
    """The root file system of a container of the image."""
    packages = "--include=python3,python3-venv,ca-certificates"
    run("debootstrap", "--variant=minbase", packages, "bookworm", folder / "root")
    (folder / "Base").write_text("FROM scratch\nCOPY root /\n")
    building = ("build", "--isolation", "chroot", "--format", "docker", "--quiet")
    buildah(folder, *building, "--file", folder / "Base", "--tag", "tower-base", folder)
    lent = [f"--volume={place}:{place}:ro" for place in LENT if Path(place).exists()]
    base = "--build-arg=BASE=localhost/tower-base"
    buildah(folder, *building, *lent, base, "--file", ROOT / "deploy" / "Dockerfile", "--tag", "control-tower", ROOT)
    return Path(buildah(folder, "mount", buildah(folder, "from", "localhost/control-tower")))


def check(folder: Path, root: Path, mlflow: str) -> None:
    """Run the image as a user that it does not know, and hold what it says of itself."""
    image = json.loads(buildah(folder, "inspect", "--type", "image", "localhost/control-tower"))["Docker"]["config"]
    assert (image["User"], image["Cmd"], image["StopSignal"]) == ("10001:0", ["gunicorn", "wsgi:app"], "SIGTERM")
    assert "/livez" in image["Healthcheck"]["Test"][-1]
    assert [str(file) for file in root.joinpath("opt/control-tower").rglob("*") if file.stat().st_mode & 0o002] == []
    port = free_port()
    settings = [f"API_PORT={port}", f"MLFLOW_TRACKING_URI={mlflow}", "WEB_CONCURRENCY=2", "MONITORING_EXPERIMENT=image"]
    command = [
        "unshare", "--mount", "sh", "-c", ON_A_READ_ONLY_ROOT, "sh", str(root), str(A_USER), *image["Env"], *settings,
    ]  # fmt: skip
    with process(command, folder / "log", folder, dict(os.environ)) as started:
        running = Tower(started, port, folder / "log", root, {})
        until(lambda: answers(f"http://{HOST}:{port}/readyz") or started.poll() is not None, "the service")
        assert started.poll() is None, running.text()
        assert running.register("seed-00002", 1).status_code == 201, running.text()
        healthy = ["env", "-i", *image["Env"], *settings, "chroot", str(root), *image["Healthcheck"]["Test"][1:]]
        run(*healthy)
        started.send_signal(signal.SIGTERM)
        assert started.wait(HANGS_AFTER_SECONDS) == 0
    assert '"level": "ERROR"' not in running.text()


def test_the_image_is_built_and_runs_on_a_read_only_root_as_any_user(tmp_path: Path, seeded_url: str) -> None:
    missing = [tool for tool in TOOLS if shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin") is None]
    if missing or os.geteuid():
        pytest.skip(f"needs root, {TOOLS[0]} and {TOOLS[1]} (Debian: apt-get install {TOOLS[0]} {TOOLS[1]})")
    check(tmp_path, build(tmp_path), seeded_url)
