"""What the documentation quotes and points at is there, and its pages are easy to read."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from app.domain.monitoring.alerts import VerdictChange, message
from app.parsing import example_of
from app.schemas.comparison import ComparisonSchema
from config import ROOT
from tests.documents import BY_NAME, DECISIONS, PAGES, Page, is_said, messages

OLD_NAMES = "coming-from-the-old-service.md"
# What other programs say.
OTHERS_SAY = (
    "API_PORT='abc': must be",
    "CERTIFICATE_VERIFY_FAILED",
    "Connection in use",
    "HTTP 404",
    "Invalid Host header",
    "ProxyError",
)
# Files that a running service or `make` makes, or that belong to another program.
MADE_AT_RUNTIME = {"mlflow.db", "var", "artifacts", "sbom.cdx.json"}
A_FILE = re.compile(r"(?:[\w.-]+/)*[\w-]*\.?[\w.-]+\.(?:py|md|toml|txt|sh|js|json|ya?ml|lock|png|example)")
A_FOLDER = re.compile(r"(?:app|bench|demo|deploy|docs|scripts|tests|var)(?:/[\w-]+)*/?")
A_LOG_LINE = re.compile(r"(?:DEBUG|INFO|WARNING|ERROR) \d+ ([\w.]+) \[[^]]*\] (.+)")
LONGEST_README, LONGEST_LINE = 170, 120


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


def test_lines_of_the_pages_files_the_makefile_and_scripts_have_120_characters_at_most() -> None:
    # Ruff holds those of Python.
    ours = [ROOT / "Makefile", *(ROOT / "scripts").glob("*.sh"), *(ROOT / "app" / "templates").rglob("*.html")]
    ours += [path for path in (ROOT / "app" / "static" / "ui").rglob("*") if path.suffix in (".js", ".css")]
    long = [
        f"{path.name}:{number}"
        for path in ours
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if len(line) > LONGEST_LINE
    ]
    assert not long
