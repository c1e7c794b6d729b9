"""The documentation names everything that a user can set, call or read, and nothing that is not there."""

import ast
import importlib
import os
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

import click
import pytest
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families
from werkzeug.exceptions import HTTPException

from app.domain.findings import FINDINGS
from app.domain.monitoring.rules import RULES
from app.domain.monitoring.verdicts import VERDICTS
from app.domain.updates import KINDS
from app.factory import create_app
from app.services.host.file_cache import FileCache
from app.services.host.marks import shared_marks
from app.services.host.other_hosts import HostsRecord
from app.services.telemetry.state import gauges_of_hosts
from config import RELEASE, ROOT, Settings, load_settings, secret_settings
from tests.documents import BY_NAME, PAGES, Page

# Variables of other programs, and of the scripts.
OTHERS_VARIABLES = {
    "CERTIFICATE_VERIFY_FAILED",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "INSTALL_SYSTEM_PACKAGES",
    "TOWER_KEY",
    "TOWER_URL",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES",
    "MLFLOW_HTTP_REQUEST_TIMEOUT",
    "MLFLOW_TRACKING_CLIENT_CERT_PATH",
    "MLFLOW_TRACKING_SERVER_CERT_PATH",
    "MLFLOW_WEBHOOK_ALLOWED_SCHEMES",
    "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS",
    "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY",
    "NO_PROXY",
    "PROMETHEUS_MULTIPROC_DIR",
    "REQUESTS_CA_BUNDLE",
    "SCRIPT_NAME",
}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    directory = tmp_path_factory.mktemp("cache")
    # With a secret, since without one there is nothing at `/webhooks/mlflow`.
    given = {"mlflow_tracking_uri": "http://mlflow", "mlflow_webhook_secret": "sixteen or longer"}
    return create_app(load_settings(_env_file=None, cache_directory=directory, **given))


@pytest.mark.parametrize("setting", [name.upper() for name in Settings.model_fields])
def test_every_setting_is_documented_and_in_the_example_of_a_dotenv_file(setting: str) -> None:
    assert f"| `{setting}` |" in BY_NAME["settings.md"].text
    # With a line of its own that says what it is.
    assert re.search(rf"^# .*\n#{setting}=", (ROOT / ".env.example").read_text(), re.MULTILINE)


def test_the_settings_page_names_each_secret_that_may_be_in_a_file() -> None:
    (part,) = re.findall(r"^## Secrets in files\n(.*?)^## ", BY_NAME["settings.md"].text, re.MULTILINE | re.DOTALL)
    named = set(re.findall(r"`([A-Z_]+)_FILE`", part))
    assert {name.upper() for name in secret_settings()} <= named


def test_the_example_of_a_dotenv_file_holds_the_defaults(tmp_path: Path) -> None:
    example = (ROOT / ".env.example").read_text()
    (tmp_path / ".env").write_text(re.sub(r"^#([A-Z_]+=)", r"\1", example, flags=re.MULTILINE))
    assert load_settings(_env_file=tmp_path / ".env") == load_settings(_env_file=None)


def test_every_endpoint_is_in_the_table_of_the_reference_with_its_role(app: Flask) -> None:
    rows = [cells for heading, cells in BY_NAME["reference.md"].tables if heading == "method"]
    documented = {(row[0], path): row[2] for row in rows for path in re.findall(r"`([^`]+)`", row[1])}
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            if rule.endpoint != "static":
                role = getattr(app.view_functions[rule.endpoint], "required_role", "read")
                assert documented.pop((method, path)) == role, f"{method} {path}"
    assert not documented


@pytest.mark.parametrize("page", PAGES, ids=repr)
def test_what_a_page_calls_can_be_called(page: Page, app: Flask) -> None:
    for method, address in _calls(page):
        path = re.sub(r"\{\w+\}", "1", urlsplit(address).path)
        # What several addresses begin with stands for all of them.
        is_shared = method == "" and any(rule.rule.startswith(path) for rule in app.url_map.iter_rules())
        assert is_shared or _is_route(app, method, path), f"{method} {address}"


def _calls(page: Page) -> Iterator[tuple[str, str]]:
    """The requests that a page names, each with its method, or none where it names none."""
    for address in re.findall(r"(?<![A-Z]=)http://localhost:8000(/[^\s\"<>)`]*)", page.text):
        yield "", address
    variables: dict[str, str] = {}
    for written in page.commands:
        variables |= re.findall(r"^([A-Z]+)=(http\S+)$", written)
        line = written
        for name, value in variables.items():
            line = line.replace(f"${name}", value)
        if found := re.search(r"^curl .*http://localhost:8000(/[^\s\"]*)", line):
            named = re.search(r"-X ([A-Z]+)", line)
            yield named[1] if named else "GET", found[1]
        # `/etc/…` and the like are in blocks of other kinds.
        if found := re.fullmatch(r"(?:([A-Z]+) )?(/[a-z][^ …]*)", line):
            yield found[1] or "", found[2]


def _is_route(app: Flask, method: str, path: str) -> bool:
    try:
        app.url_map.bind("localhost").match(path, method=method or "GET")
    except HTTPException as error:
        return not method and error.code == HTTPStatus.METHOD_NOT_ALLOWED
    return True


@pytest.mark.parametrize("page", PAGES, ids=repr)
def test_every_command_that_a_page_names_exists_with_its_options(page: Page, app: Flask) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in page.commands:
        for target in re.findall(r"(?:^|run: )make (?:PYTHON=\S+ )?([a-z][a-z-]*)\b", line.partition("#")[0]):
            assert target in targets, line
        for words in re.findall(r"\bflask ((?:[a-z]+\b ?)+)([^#|]*)", line):
            _check_command(app, words[0].split(), re.findall(r"--[a-z-]+", words[1]), line)


def _check_command(app: Flask, words: list[str], options: list[str], line: str) -> None:
    command: click.Command = app.cli
    for word in words:
        if not isinstance(command, click.Group):
            break
        if word in ("run", "db"):
            return
        assert word in command.commands, line
        command = command.commands[word]
    known = {name for parameter in command.params for name in parameter.opts}
    assert set(options) <= known, line


def test_every_metric_is_in_the_table_and_every_metric_named_exists(app: Flask, tmp_path: Path) -> None:
    text = app.test_client().get("/metrics").get_data(as_text=True)
    kinds = {family.name: family.type for family in text_string_to_metric_families(text)}
    exposed = {f"{name}_total" if kind == "counter" else name for name, kind in kinds.items()}
    exposed = {name for name in exposed if name.startswith("control_tower_")}
    rows = [cells[0].strip("`") for heading, cells in BY_NAME["operations.md"].tables if heading == "metric"]
    assert set(rows) == exposed
    marks = shared_marks()
    assert marks is not None
    of_hosts = {gauge.name for gauge in gauges_of_hosts(HostsRecord(FileCache(tmp_path), marks, time.monotonic))}
    assert {cells[0].strip("`") for heading, cells in BY_NAME["hosts.md"].tables if heading == "metric"} == of_hosts
    exposed |= of_hosts
    for page in PAGES:
        assert set(re.findall(r"\bcontrol_tower_\w+", page.text)) <= exposed


@pytest.mark.parametrize("page", PAGES, ids=repr)
def test_every_variable_that_a_page_names_is_a_setting_or_known_as_anothers(page: Page) -> None:
    settings = {name.upper() for name in Settings.model_fields}
    settings |= {f"{name.upper()}_FILE" for name in secret_settings()}
    spans = [span for _, body in page.blocks for span in re.findall(r"\b[A-Z][A-Z]+_[A-Z_]+\b", body)]
    spans += [name for span in page.code_spans for name in re.findall(r"\b[A-Z][A-Z]+_[A-Z_]+\b", span)]
    assert set(spans) <= settings | OTHERS_VARIABLES


def test_tables_of_kinds_have_every_kind() -> None:
    assert _first_column("monitoring.md", "verdict") == list(VERDICTS)
    assert _first_column("monitoring.md", "finding") == list(FINDINGS)
    names = [cell.split("`")[0] for cell in _first_column("monitoring.md", "rule")]
    assert list(dict.fromkeys(names)) == [rule.name for rule in RULES]
    alerts = (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text()
    assert _first_column("operations.md", "alert") == re.findall(r"- alert: (\w+)", alerts)
    (row,) = [cells for _, cells in BY_NAME["operations.md"].tables if "refresh_duration_seconds" in cells[0]]
    assert re.findall(r"`([^`]+)`", row[2]) == list(KINDS)


def _first_column(page: str, heading: str) -> list[str]:
    return [cells[0].strip("`") for found, cells in BY_NAME[page].tables if found == heading]


def test_the_newest_release_in_the_changelog_is_the_one_that_the_service_shows() -> None:
    sections = re.findall(r"^## (\S+) - (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    # What comes after the release stands in one section above it.
    released = sections[1:] if sections[0][1] == "unreleased" else sections
    assert released[0][0] == RELEASE
    assert all(date != "unreleased" for _, date in released)


def test_the_script_shows_the_release_and_the_version_of_the_api(tmp_path: Path) -> None:
    # No settings are needed, and bad ones do no harm.
    shown = subprocess.run(
        [sys.executable, str(ROOT / "wsgi.py"), "--version"],
        capture_output=True, text=True, check=True, cwd=tmp_path, env={**os.environ, "API_PORT": "x"},
    )  # fmt: skip
    assert shown.stdout == f"MLOps Control Tower {RELEASE} (API 1.0.0)\n"


@pytest.mark.parametrize("walk", ["A list request", "A webhook", "An observation", "A sweep"])
def test_a_walk_through_the_rooms_has_at_most_eight_steps_and_names_the_file_of_each(walk: str) -> None:
    (part,) = re.findall(rf"^### {walk}[^\n]*\n\n(.*?)\n\n", BY_NAME["architecture.md"].prose, re.MULTILINE | re.DOTALL)
    steps = part.splitlines()
    assert [step.partition(".")[0] for step in steps] == [str(number) for number in range(1, len(steps) + 1)]
    assert len(steps) <= 8
    for step in steps:
        named = re.findall(r"`(app/[^`]+)`", step)
        assert named, step
        assert [name for name in named if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize(("heading", "method"), [("lock", "hold"), ("key", "mark")])
def test_the_architecture_lists_every_lock_and_every_value_of_the_shared_cache(heading: str, method: str) -> None:
    rows = [cells[0] for first, cells in BY_NAME["architecture.md"].tables if first == heading]
    listed = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    listed |= set(re.findall(r"The mark `([^`]+)`", BY_NAME["architecture.md"].prose))
    used = {name for file in sorted((ROOT / "app").rglob("*.py")) for name in _first_arguments(file, method)}
    assert len(used) > 5
    assert sorted(name for name in used if not any(row == name or row.startswith(f"{name}-") for row in listed)) == []


def _first_arguments(file: Path, method: str) -> Iterator[str]:
    """The names, or how the names begin, that a module hands to a method first; those that it computes are left out."""
    module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
    for call in ast.walk(ast.parse(file.read_text())):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == method):
            continue
        first = call.args[0] if call.args else None
        if isinstance(first, ast.JoinedStr):
            first, *_ = first.values
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            yield first.value.rstrip("-")
        elif isinstance(first, ast.Name) and first.id.isupper():
            yield getattr(importlib.import_module(module), first.id)


@pytest.mark.parametrize("room", sorted(path.name for path in (ROOT / "app" / "services").iterdir() if path.is_dir()))
def test_the_architecture_names_every_module_of_a_room_of_the_services(room: str) -> None:
    text = BY_NAME["architecture.md"].text
    described = re.findall(rf"^app/services/{room}/\S* (.*?)(?=^\S)", text, re.MULTILINE | re.DOTALL)
    modules = {file.stem for file in (ROOT / "app" / "services" / room).glob("*.py")} - {"__init__"}
    assert sorted(modules - set(re.findall(r"\w+", " ".join(described)))) == []


def test_the_architecture_names_what_each_wall_keeps_out() -> None:
    rows = {cells[0]: " ".join(cells) for first, cells in BY_NAME["architecture.md"].tables if first == "contract"}
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    for contract in settings["contracts"]:
        (row,) = [words for name, words in rows.items() if contract["name"].startswith(name)]
        # The last layer has what all others may import, and is described as a whole.
        kept_out = re.findall(
            r"[\w.]+", " ".join([*contract.get("forbidden_modules", ()), *contract.get("layers", ())[:-1]])
        )
        names = {module.rpartition(".")[2] for module in kept_out}
        assert sorted(names - set(re.findall(r"\w+", row))) == [], contract["name"]
