"""Lines of a report: a goal, what was measured, and how far it spread."""

import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from os import cpu_count
from pathlib import Path

RESULTS = Path(__file__).parent / "RESULTS.md"
_BY_HAND = "<!-- What follows is written by hand and kept. -->"


@dataclass(frozen=True)
class Line:
    """One goal. `at_least`: the more the better, else the less; `unit` of limit and values."""

    goal: str
    limit: float | None
    values: Sequence[float]
    unit: str = "×"
    at_least: bool = False
    note: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def met(self) -> str:
        if self.limit is None:
            return ""
        return "yes" if (self.median >= self.limit if self.at_least else self.median <= self.limit) else "**no**"

    def row(self) -> str:
        sign = "≥" if self.at_least else "≤"
        limit = "" if self.limit is None else f"{sign} {self.limit:g} {self.unit}"
        spread = f"{min(self.values):.3g}–{max(self.values):.3g}, {len(self.values)} rounds"
        return f"| {self.goal} | {limit} | {self.median:.3g} {self.unit} | {spread} | {self.met} | {self.note} |"


_HEAD = "| goal | limit | measured (median) | spread | met | beside it |\n|---|---|---|---|---|---|\n"


def table(lines: Sequence[Line]) -> str:
    """The report as a Markdown table."""
    return _HEAD + "\n".join(line.row() for line in lines) + "\n"


def save(lines: Sequence[Line]) -> None:
    """Write `RESULTS.md`, with what was written there by hand, and with earlier rows of goals not measured now."""
    old = RESULTS.read_text() if RESULTS.exists() else ""
    by_hand = old.partition(_BY_HAND)[2]
    rows = {
        row.split("|")[1].strip(): row for row in old.splitlines() if row.startswith("| ") and "| goal |" not in row
    }
    rows |= {line.goal: line.row() for line in lines}
    parts = ", ".join(f"{name} {version(name)}" for name in ("flask", "gunicorn", "mlflow"))
    machine = f"{cpu_count()} cores, Python {platform.python_version()}, {parts}"
    RESULTS.write_text(
        f"# What was measured\n\n`make bench` on {datetime.now(UTC):%Y-%m-%d}: {machine}.\n"
        "The machine is shared with others: read the ratios, not the times.\n\n"
        f"{_HEAD}{chr(10).join(rows.values())}\n\n{_BY_HAND}{by_hand}"
    )
