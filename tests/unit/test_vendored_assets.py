"""The files of others that the service ships are those that were reviewed."""

import hashlib
import json
from pathlib import Path

VENDOR = Path(__file__).parents[2] / "app" / "static" / "vendor"


def test_every_vendored_file_is_the_one_in_the_manifest() -> None:
    manifest = json.loads((VENDOR / "MANIFEST.json").read_text())
    listed = {name: digest for package in manifest.values() for name, digest in package["sha256"].items()}
    shipped = {
        str(path.relative_to(VENDOR)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.rglob("*")
        if path.is_file() and path.name != "MANIFEST.json"
    }
    assert shipped == listed


def test_every_vendored_package_names_its_licence_and_ships_it() -> None:
    manifest = json.loads((VENDOR / "MANIFEST.json").read_text())
    for folder, package in manifest.items():
        assert package["version"]
        assert package["license"]
        assert f"{folder}/LICENSE" in package["sha256"]


def test_a_vendored_file_that_was_changed_is_upstreams_but_for_that_change() -> None:
    manifest = json.loads((VENDOR / "MANIFEST.json").read_text())
    for package in manifest.values():
        for name, change in package.get("changed", {}).items():
            ours = (VENDOR / name).read_bytes()
            assert ours.count(change["to"].encode()) == 1
            theirs = ours.replace(change["to"].encode(), change["from"].encode())
            assert hashlib.sha256(theirs).hexdigest() == change["upstream"]
