"""`make sbom`: the SBOM has what the lock file pins, and nothing else."""

import json
import re
import subprocess
from pathlib import Path

from config import RELEASE, ROOT


def test_the_sbom_has_every_package_of_the_lock_file_with_its_version_and_hashes(tmp_path: Path) -> None:
    lock, output = ROOT / "requirements.lock", tmp_path / "sbom.cdx.json"
    made = subprocess.run([ROOT / "scripts" / "sbom.sh", lock, output], check=False, capture_output=True, text=True)
    assert (made.returncode, made.stdout, made.stderr) == (0, "", "")
    sbom = json.loads(output.read_text())
    assert (sbom["bomFormat"], sbom["metadata"]["component"]["version"]) == ("CycloneDX", RELEASE)
    pinned = {
        f"pkg:pypi/{name}@{version}": set(re.findall(r"sha256:(\w+)", hashes))
        for name, version, hashes in re.findall(
            r"^([\w.-]+)(?:\[[\w,-]+\])?==(\S+)(.*?)^    #", lock.read_text(), re.MULTILINE | re.DOTALL
        )
    }
    listed = {
        component["purl"].partition("?")[0]: {
            part["content"] for reference in component["externalReferences"] for part in reference["hashes"]
        }
        for component in sbom["components"]
    }
    assert len(pinned) > 50
    assert listed == pinned
