"""A version's data in one sentence, and what the verdict says of it, both made from the summary of its report."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.domain.data_drift.bounds import FEWEST_FIRST_ROWS, FEWEST_ROWS
from app.domain.data_drift.plural import many
from app.domain.data_drift.series import FIRST_WINDOWS
from app.domain.registry.models import Registration, VersionKey
from app.domain.times import day_in_words, parse_rfc3339

Summary = Mapping[str, Any]
ASSUMPTION = "This assumes that inputs that look the same still have the same label as often as in the reference."
"""What an estimate rests on."""


def summary_of(registration: Registration, summaries: Mapping[VersionKey, Summary]) -> Summary | None:
    """The summary of a registered version; None if nothing is known of its data."""
    summary = summaries.get(registration.key)
    # Another version may have had that number before.
    return summary if summary and summary["created"] == registration.version_created else None


def sentence(summary: Summary | None, now: int) -> str:
    """As "3 of 17 inputs moved since 21 November, `loan_length` most; estimated AUC 0.971 → 0.961"."""
    if summary is None:
        return "Nothing was judged yet."
    parts = [part for part in (inputs_in_words(summary, now), outputs_in_words(summary, now)) if part]
    if fall := summary["estimated_fall"]:
        parts.append(fall_in_words(fall))
    if parts:
        text = "; ".join(parts)
        return text[0].upper() + text[1:]
    return _unjudged(summary) or "No input and no prediction moved."


def _unjudged(summary: Summary) -> str | None:
    """Why nothing can be called moved; None if it can."""
    if summary["is_learning"] and summary["learnt_windows"] < FIRST_WINDOWS and summary["learnt_windows"]:
        return f"Learning: {summary['learnt_windows']} of the {FIRST_WINDOWS} windows that become the reference came."
    if summary["reference_rows"] < FEWEST_ROWS:
        return (
            f"Nothing is judged, since the reference has only {many(summary['reference_rows'], 'row')}: send another "
            f"one of at least {FEWEST_ROWS}."
        )
    if summary["rows"] is not None and summary["rows"] < FEWEST_ROWS:
        return (
            f"The newest window has only {many(summary['rows'], 'row')}, and fewer than {FEWEST_ROWS} are not judged: "
            "send more, or choose longer windows."
        )
    if summary["is_learning"] and summary["learnt_windows"]:
        return (
            f"Learning: the first {FIRST_WINDOWS} windows are the reference, and nothing is called moved before "
            f"{FIRST_WINDOWS} quiet ones after them are known."
        )
    if summary["is_learning"]:
        return f"Learning: nothing is called moved before {FIRST_WINDOWS} quiet windows are known."
    return None


def few_rows(rows: int | None) -> str | None:
    """What to know of a reference by which nothing is judged; None of one that has enough rows."""
    if rows is None or rows >= FEWEST_ROWS:
        return None
    return (
        f"The reference has {many(rows, 'row')}: by fewer than {FEWEST_ROWS} nothing is judged. PUT …/reference sends "
        f"another one; {FEWEST_FIRST_ROWS} rows or more show smaller changes."
    )


def inputs_in_words(summary: Summary, now: int) -> str:
    """Which inputs moved; empty if none did."""
    moved: Sequence[Summary] = summary["moved_inputs"]
    if not moved:
        return ""
    count = columns_of(moved)
    verb = f"{count} of {summary['inputs']} inputs moved since {_since(moved, now)}"
    return f"{verb}, `{moved[0]['name']}` most" if len(moved) > 1 else f"{verb}: `{moved[0]['name']}`"


def outputs_in_words(summary: Summary, now: int) -> str:
    """Whether the predictions moved; empty if they did not."""
    moved: Sequence[Summary] = summary["moved_outputs"]
    if not moved:
        return ""
    return f"predictions moved since {_since(moved, now)}: {moved[0]['words']}"


def columns_of(moved: Sequence[Summary]) -> int:
    """How many columns moved, over all rows or in a segment of them."""
    return len({one["column"] for one in moved})


def fall_in_words(fall: Summary) -> str:
    """The estimate that fell."""
    return f"estimated {fall['label']} {fall['before']:.3f} → {fall['now']:.3f}"


def began(moved: Sequence[Summary]) -> int:
    """Since when the first of them moved, in milliseconds."""
    return min(parse_rfc3339(one["since"], "since") for one in moved)


def _since(moved: Sequence[Summary], now: int) -> str:
    return day_in_words(began(moved), now)
