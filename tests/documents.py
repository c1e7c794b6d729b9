"""The documentation taken apart, and the texts that the code can say: for tests that find where the two differ."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote

from config import ROOT

# What a placeholder of a message stands for: any text.
HOLE = "\0"
# %s and its like, {name} of str.format, and what a shell fills in.
_PLACEHOLDER = re.compile(r"%(?:\(\w+\))?[-#0-9.]*[a-zA-Z]|\{\w*\}|\$\(.*?\)|\$\w+")
_FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_SAYING = ("app", "demo", "scripts", "config.py", "wsgi.py")


class Page:
    """One page of the documentation."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text()
        self.blocks = [(kind, body) for kind, body in _FENCE.findall(self.text)]
        self.prose = _FENCE.sub("", self.text)

    def __repr__(self) -> str:
        return str(self.path.relative_to(ROOT))

    @property
    def code_spans(self) -> list[str]:
        """What stands between backticks, outside blocks."""
        return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", self.prose)]

    @property
    def commands(self) -> list[str]:
        """The lines of the shell blocks, continued ones as one, and the code spans."""
        blocks = [body.replace("\\\n", " ") for kind, body in self.blocks if kind in ("sh", "bash", "yaml")]
        return [*(line for block in blocks for line in block.splitlines()), *self.code_spans]

    @property
    def links(self) -> list[str]:
        return [unquote(link) for link in _LINK.findall(self.prose)]

    @property
    def anchors(self) -> set[str]:
        """The anchors of the headings, as GitHub makes them."""
        headings = re.findall(r"^#+ (.*)$", self.prose, re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

    @property
    def tables(self) -> Iterator[tuple[str, list[str]]]:
        """Each row as the first column's heading and the cells."""
        heading = ""
        for before, line in zip(["", *self.prose.splitlines()], self.prose.splitlines(), strict=False):
            if not line.startswith("|"):
                heading = ""
            elif not before.startswith("|"):
                heading = _cells(line)[0]
            elif not line.startswith("|---"):
                yield heading, _cells(line)


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split(" | ")]


# The pages for users, operators and developers.
PAGES = [Page(path) for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))]
BY_NAME = {page.path.name: page for page in PAGES}
# What was decided stays as it was written: it may name what is gone.
DECISIONS = [Page(path) for path in sorted((ROOT / "docs" / "decisions").glob("*.md"))]


@cache
def messages() -> dict[str, frozenset[str]]:
    """Every text in the code, its placeholders as holes, by the name of the module or the path of the script."""
    files = [file for name in _SAYING for file in [ROOT / name, *sorted((ROOT / name).rglob("*"))] if file.is_file()]
    return {_module(file): frozenset(_texts_of(file)) for file in files if file.suffix in (".py", ".sh")}


def _module(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def _texts_of(file: Path) -> Iterator[str]:
    text = file.read_text()
    if file.suffix == ".sh":
        found: Iterator[str] = iter(re.findall(r'"([^"\n]*(?:"\$[^"]*"[^"\n]*)?)"', re.sub(r'\\"', "'", text)))
        yield from (_PLACEHOLDER.sub(HOLE, one) for one in (*found, *re.findall(r'echo "(.*)" >&2', text)))
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else HOLE for part in node.values)
            yield "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield _PLACEHOLDER.sub(HOLE, node.value)


def is_said(quoted: str, texts: frozenset[str], *, whole: bool = False, least: int = 8) -> bool:
    """Whether the quoted text is one of these, or, unless it must be `whole`, the beginning of one.

    `least` letters of it must be the message's own, since a hole takes anything.
    """
    return any(_begins(text, quoted, whole, least) for text in texts)


def _begins(text: str, quoted: str, whole: bool, least: int) -> bool:
    # The places in `text` that may have been reached, each with how many letters were its own.
    places = {0: 0}
    for letter in quoted:
        following: dict[int, int] = {}
        for place, own in _past_holes(text, places).items():
            if place < len(text) and text[place] == HOLE:
                following[place] = max(own, following.get(place, 0))
            elif place < len(text) and text[place] == letter:
                following[place + 1] = max(own + letter.isalpha(), following.get(place + 1, 0))
        if not following:
            return False
        places = following
    reached = _past_holes(text, places)
    return any(own >= least and (place == len(text) or not whole) for place, own in reached.items())


def _past_holes(text: str, places: dict[int, int]) -> dict[int, int]:
    found = dict(places)
    for place, own in places.items():
        after = place
        while after < len(text) and text[after] == HOLE:
            after += 1
            found[after] = max(own, found.get(after, 0))
    return found
