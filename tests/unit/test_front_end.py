"""How the modules of the pages are written."""

import re
from pathlib import Path

import pytest

from config import ROOT

MODULES = sorted((ROOT / "app" / "static" / "ui").rglob("*.js"))


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_a_module_of_the_pages_keeps_what_changes_in_functions_and_wraps_its_lines(module: Path) -> None:
    text = module.read_text()
    assert re.findall(r"^(?:export )?(?:let|var) .*", text, re.MULTILINE) == []
    assert [line for line in text.splitlines() if len(line) > 120] == []
