"""The documentation names everything that a user can set or call, and nothing that is not there."""

import json
import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

import click
import pytest
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families
from werkzeug.exceptions import HTTPException

from app import create_app
from app.domain.alerts import VerdictChange, message
from app.domain.findings import FINDINGS
from app.domain.verdicts import VERDICTS
from app.parsing import example_of
from app.schemas.comparison import ComparisonSchema
from app.services.telemetry import REFRESHES
from config import ROOT, Settings, load_settings
from tests.documents import Page, is_said, messages, pages

PAGES = pages()
# What was decided stays as it was written: it may name what is gone.
DECISIONS = [Page(path) for path in sorted((ROOT / "docs" / "decisions").glob("*.md"))]
BY_NAME = {page.path.name: page for page in PAGES}
OLD_NAMES = "coming-from-the-old-service.md"
# What other programs say, and variables that are theirs.
OTHERS_SAY = (
    "API_PORT='abc': must be",
    "CERTIFICATE_VERIFY_FAILED",
    "Connection in use",
    "HTTP 404",
    "Invalid Host header",
    "ProxyError",
)
OTHERS_VARIABLES = {
    "CERTIFICATE_VERIFY_FAILED",
    "HTTPS_PROXY",
    "HTTP_PROXY",
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
# Files that a running service makes, or that belong to another program.
MADE_AT_RUNTIME = {"mlflow.db", "var", "artifacts"}
A_FILE = re.compile(r"(?:[\w.-]+/)*[\w-]*\.?[\w.-]+\.(?:py|md|toml|txt|sh|js|json|ya?ml|lock|png|example)")
A_FOLDER = re.compile(r"(?:app|bench|demo|deploy|docs|scripts|tests|var)(?:/[\w-]+)*/?")
A_LOG_LINE = re.compile(r"(?:DEBUG|INFO|WARNING|ERROR) \d+ ([\w.]+) \[[^]]*\] (.+)")
LONGEST_README, LONGEST_LINE = 170, 120


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
    for address in re.findall(r"http://localhost:8000(/[^\s\"<>)`]*)", page.text):
        yield "", address
    for line in page.commands:
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


def test_every_metric_is_in_the_table_and_every_metric_named_exists(app: Flask) -> None:
    text = app.test_client().get("/metrics").get_data(as_text=True)
    kinds = {family.name: family.type for family in text_string_to_metric_families(text)}
    exposed = {f"{name}_total" if kind == "counter" else name for name, kind in kinds.items()}
    exposed = {name for name in exposed if name.startswith("control_tower_")}
    rows = [cells[0].strip("`") for heading, cells in BY_NAME["operations.md"].tables if heading == "metric"]
    assert set(rows) == exposed
    for page in PAGES:
        assert set(re.findall(r"\bcontrol_tower_\w+", page.text)) <= exposed


@pytest.mark.parametrize("page", PAGES, ids=repr)
def test_every_variable_that_a_page_names_is_a_setting_or_known_as_anothers(page: Page) -> None:
    settings = {name.upper() for name in Settings.model_fields}
    spans = [span for _, body in page.blocks for span in re.findall(r"\b[A-Z][A-Z]+_[A-Z_]+\b", body)]
    spans += [name for span in page.code_spans for name in re.findall(r"\b[A-Z][A-Z]+_[A-Z_]+\b", span)]
    assert set(spans) <= settings | OTHERS_VARIABLES


@pytest.mark.parametrize("page", [page for page in PAGES if page.path.name != OLD_NAMES], ids=repr)
def test_every_file_and_folder_that_a_page_names_exists(page: Page) -> None:
    there = [str(file.relative_to(ROOT)) for file in _files()]
    drawn = [word.strip(",;:()") for kind, body in page.blocks if not kind for word in body.split() if "/" in word]
    for span in [*page.code_spans, *drawn]:
        if A_FILE.fullmatch(span) and span not in MADE_AT_RUNTIME:
            assert any(f"/{file}".endswith(f"/{span}") for file in there), span
        elif A_FOLDER.fullmatch(span) and span.partition("/")[0] not in MADE_AT_RUNTIME and "/" in span:
            assert (ROOT / span).exists() or (ROOT / "app" / span).exists(), span


def _files() -> Iterator[Path]:
    for top in ROOT.iterdir():
        if top.is_file():
            yield top
        elif top.name in ("app", "bench", "demo", "deploy", "docs", "scripts", "tests", ".ci"):
            yield from (file for file in top.rglob("*") if file.is_file())


@pytest.mark.parametrize("page", [*PAGES, *DECISIONS], ids=repr)
def test_every_link_leads_to_a_file_and_a_heading(page: Page) -> None:
    for link in page.links:
        path, _, anchor = link.partition("#")
        if urlsplit(link).scheme:
            continue
        target = (page.path.parent / path).resolve() if path else page.path
        assert target.exists(), link
        assert not anchor or anchor in Page(target).anchors, link


@pytest.mark.parametrize("page", PAGES, ids=repr)
def test_every_log_line_that_a_page_quotes_is_one_that_its_logger_writes(page: Page) -> None:
    names = {name for texts in messages().values() for name in texts}
    quoted = [found for line in page.text.splitlines() if (found := A_LOG_LINE.search(line.strip("` ")))]
    for line in quoted:
        # A logger is named after its module, but for those that are named by hand.
        texts = messages().get(line[1]) or frozenset(
            text for said in messages().values() if line[1] in said for text in said
        )
        assert is_said(line[2], texts, whole=True, least=0 if line[1] in names else 8), line[0]
    loggers = {span for span in page.code_spans if re.fullmatch(r"app(\.\w+)+", span)}
    assert loggers <= {*messages(), *names}


@pytest.mark.parametrize("page", PAGES, ids=repr)
def test_every_message_that_a_page_quotes_is_one_that_the_code_can_say(page: Page) -> None:
    everything = frozenset(text for texts in messages().values() for text in texts)
    in_tables = [span for heading, cells in page.tables if heading == "message" for span in _spans(cells[0])]
    sentences = [span for span in page.code_spans if re.match(r"[A-Z][a-z]+(?: \S+){3}", span)]
    for quoted in [*in_tables, *sentences]:
        if not quoted.startswith(OTHERS_SAY) and not A_LOG_LINE.match(quoted):
            assert is_said(quoted.rstrip("…"), everything), quoted


def _spans(cell: str) -> list[str]:
    return [span for span in re.findall(r"`([^`]+)`", cell) if not span.startswith("/")]


def test_the_examples_of_answers_have_the_fields_of_the_answers() -> None:
    compared = _json_block("monitoring.md", "non_inferior")
    assert _shape(compared) == _shape(example_of(ComparisonSchema()))
    alert = _json_block("alerts.md", "verdict_changed")
    change = VerdictChange("m", 1, "classifier", "0f3c", "healthy", "drifting", 0, ("a reason",))
    assert _shape(alert) == _shape(message([change], 0))


def _json_block(name: str, word: str) -> object:
    (block,) = [body for kind, body in BY_NAME[name].blocks if kind == "json" and word in body]
    return json.loads(block)


def _shape(value: object) -> object:
    """The fields of an answer, and those of what is in them."""
    if isinstance(value, dict):
        return {name: _shape(inner) for name, inner in value.items()}
    return [_shape(value[0])] if isinstance(value, list) and value else None


def test_tables_of_kinds_have_every_kind() -> None:
    assert _first_column("monitoring.md", "verdict") == list(VERDICTS)
    assert _first_column("monitoring.md", "finding") == list(FINDINGS)
    rules = (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text()
    assert _first_column("operations.md", "alert") == re.findall(r"- alert: (\w+)", rules)
    (row,) = [cells for _, cells in BY_NAME["operations.md"].tables if "refresh_duration_seconds" in cells[0]]
    assert _spans(row[2]) == list(REFRESHES)


def _first_column(page: str, heading: str) -> list[str]:
    return [cells[0].strip("`") for found, cells in BY_NAME[page].tables if found == heading]


def test_the_readme_is_short_and_names_the_two_commands() -> None:
    text = BY_NAME["README.md"].text
    assert len(text.splitlines()) <= LONGEST_README
    assert "make run" in text
    assert "make test" in text
    for page in (ROOT / "docs").glob("*.md"):
        assert f"docs/{page.name}" in text


@pytest.mark.parametrize("page", [*PAGES, *DECISIONS], ids=repr)
def test_lines_of_prose_are_wrapped(page: Page) -> None:
    # A row of a table cannot be wrapped; in a block a line is as long as it is.
    long = [line for line in page.prose.splitlines() if len(line) > LONGEST_LINE and not line.startswith("|")]
    assert not long
