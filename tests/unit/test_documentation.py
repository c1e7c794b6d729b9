"""The documentation names everything that a user can set or call."""

import re
from pathlib import Path

import pytest

from app import create_app
from config import ROOT, Settings, load_settings

README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("setting", [name.upper() for name in Settings.model_fields])
def test_every_setting_is_in_the_readme_and_in_the_example_of_a_dotenv_file(setting: str) -> None:
    assert f"| `{setting}` |" in README
    assert re.search(rf"^#{setting}=", (ROOT / ".env.example").read_text(), re.MULTILINE)


def test_the_example_of_a_dotenv_file_holds_the_defaults(tmp_path: Path) -> None:
    example = (ROOT / ".env.example").read_text()
    (tmp_path / ".env").write_text(re.sub(r"^#([A-Z_]+=)", r"\1", example, flags=re.MULTILINE))
    assert load_settings(_env_file=tmp_path / ".env") == load_settings(_env_file=None)


def test_every_endpoint_is_in_the_readmes_table(tmp_path: Path) -> None:
    app = create_app(load_settings(_env_file=None, mlflow_tracking_uri="http://mlflow", cache_directory=tmp_path))
    rows = [line for line in README.splitlines() if line.startswith(("| GET |", "| POST |", "| PATCH |", "| DELETE |"))]
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            if rule.endpoint != "static":
                assert any(row.startswith(f"| {method} |") and f"`{path}`" in row for row in rows), f"{method} {path}"
