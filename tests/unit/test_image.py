"""`deploy/Dockerfile`: what holds for the image before it is built."""

import re
import subprocess
import sys
from pathlib import Path

from config import ROOT

DOCKERFILE = ROOT / "deploy" / "Dockerfile"


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [hadolint, "--failure-threshold", "style", DOCKERFILE], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_what_the_image_copies_is_there_and_the_builder_gets_nothing_else() -> None:
    copied = {
        name.rstrip("/")
        for names in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE.read_text(), re.MULTILINE)
        for name in names.split()
    }
    ignored = DOCKERFILE.with_name("Dockerfile.dockerignore").read_text().splitlines()
    assert {line.removeprefix("!") for line in ignored if line.startswith("!")} == copied
    assert [name for name in copied if not (ROOT / name).exists()] == []


def test_the_image_has_every_module_that_the_service_imports_from_the_checkout() -> None:
    tops = {file.stem for file in ROOT.glob("*.py")} | {file.parent.name for file in ROOT.glob("*/__init__.py")}
    imported = {
        name
        for file in (ROOT / "wsgi.py", ROOT / "config.py", ROOT / "gunicorn.conf.py", *Path(ROOT / "app").rglob("*.py"))
        for name in re.findall(r"^\s*(?:from|import) (\w+)", file.read_text(), re.MULTILINE)
    }
    assert imported & tops == {"app", "config"}
