"""The report on a series: each window judged against the reference, in figures and in words, as JSON."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from app.domain.data_drift.batch import Batch, Segment, whole
from app.domain.data_drift.bins import NumericBins
from app.domain.data_drift.bounds import FEWEST_ROWS
from app.domain.data_drift.estimates import Performance, performances
from app.domain.data_drift.histograms import counts_of
from app.domain.data_drift.judging import MOVED, OUT, TOO_FEW_ROWS, Column, Judgement, Rules, judge
from app.domain.data_drift.layout import INPUT, Layout
from app.domain.data_drift.plural import many
from app.domain.data_drift.series import FIRST_WINDOWS
from app.domain.data_drift.words import described
from app.domain.times import rfc3339

_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Window:
    """A window: its start and end in milliseconds, and the counts of all its batches."""

    start: int
    end: int
    batch: Batch


@dataclass(frozen=True, slots=True)
class _Judged:
    """A column, over all rows or of a segment, with a judgement a window."""

    name: str
    segment: Segment | None
    role: str
    column: Column
    judgements: Sequence[Judgement]

    @property
    def label(self) -> str:
        return self.name if self.segment is None else f"{self.name} where {self.segment[0]} is {self.segment[1]}"


def report(layout: Layout, reference: Batch | None, windows: Sequence[Window], rules: Rules) -> dict[str, Any]:
    """The report on a series whose windows are sorted by time.

    Without a reference the first ten windows are it, and are not judged themselves.
    """
    with_rows = [window for window in windows if window.batch.rows]
    learnt = [] if reference is not None else with_rows[:FIRST_WINDOWS]
    base = reference if reference is not None else whole(window.batch for window in learnt)
    with_rows = with_rows[len(learnt) :]
    judged = _judged(layout, base, with_rows, rules)
    performance = dict(zip(_keys(windows), performances(base, [window.batch for window in windows]), strict=True))
    places = {key: place for place, key in enumerate(_keys(with_rows))}
    reference_keys = set(_keys(learnt))
    rows = [
        _window_value(window, places.get(key), judged, performance[key], layout, rules, is_learnt=key in reference_keys)
        for window, key in zip(windows, _keys(windows), strict=True)
    ]
    return {
        "reference_rows": base.rows,
        "reference_windows": len(learnt),
        "inputs": layout.inputs,
        "limits": {"moved": rules.floor, "missing": rules.share_floor, "unknown": rules.share_floor},
        "windows": rows,
        "summary": _summary(
            layout, base, with_rows, judged, [performance[key] for key in _keys(windows)], windows, learnt, rules
        ),
    }


def _keys(windows: Iterable[Window]) -> list[tuple[int, int]]:
    return [(window.start, window.end) for window in windows]


def _judged(layout: Layout, base: Batch, windows: Sequence[Window], rules: Rules) -> list[_Judged]:
    segments: list[Segment | None] = [None]
    segments += [(column, value) for column, values in layout.segments.items() for value in values]
    wanted = [
        (name, segment) for segment in segments for name in layout.columns if segment is None or name != segment[0]
    ]
    columns = [
        Column(
            name,
            "" if segment is None else "=".join(segment),
            not isinstance(layout.columns[name], NumericBins),
            counts_of(base, segment, name, layout),
            [counts_of(window.batch, segment, name, layout) for window in windows],
            layout.role(name) != INPUT,
        )
        for name, segment in wanted
    ]
    judgements = judge(columns, rules)
    return [
        _Judged(name, segment, layout.role(name), column, of_column)
        for (name, segment), column, of_column in zip(wanted, columns, judgements, strict=True)
    ]


def _window_value(
    window: Window,
    place: int | None,
    judged: Sequence[_Judged],
    performance: Performance,
    layout: Layout,
    rules: Rules,
    *,
    is_learnt: bool,
) -> dict[str, Any]:
    value: dict[str, Any] = {
        "start": rfc3339(window.start),
        "end": rfc3339(window.end),
        "rows": window.batch.rows,
        "is_reference": is_learnt,
        "labelled_rows": window.batch.labelled_rows,
        "label_problem": _label_problem(window.batch),
        "unknown_columns": sorted(window.batch.unknown_columns),
        "missing_columns": _missing_columns(window.batch),
        "estimated": _figures(asdict(performance.estimated)) if performance.estimated else None,
        "no_estimate": performance.reason,
        "realised": _figures(performance.realised) if performance.realised else None,
    }
    columns = [] if place is None else [_column_value(one, place, layout, rules) for one in judged]
    return value | {"columns": columns}


def _label_problem(batch: Batch) -> str | None:
    """Why labels cannot be right. Labels whose rows were not counted at all can be."""
    if not batch.rows or batch.labelled_rows <= batch.rows:
        return None
    was = "was" if batch.rows == 1 else "were"
    return (
        f"{batch.labelled_rows} rows have labels, and {many(batch.rows, 'row')} {was} counted: labels came "
        "twice, or rows are missing. Until that is mended, the realised figures become no observations."
    )


def _missing_columns(batch: Batch) -> list[str]:
    """Columns that have no value in any row, as if they were renamed."""
    return sorted(name for name, counts in batch.counts.columns.items() if batch.rows and counts.is_empty)


def _column_value(one: _Judged, place: int, layout: Layout, rules: Rules) -> dict[str, Any]:
    judgement, window, reference = one.judgements[place], one.column.windows[place], one.column.reference
    words = described(layout.columns[one.name], reference, window, judgement, rules)
    if judgement.verdict == TOO_FEW_ROWS and reference.rows < FEWEST_ROWS:
        words = f"the reference has {many(reference.rows, 'row')}, too few to judge"
    return {
        "name": one.name,
        "role": one.role,
        "segment": {"column": one.segment[0], "value": one.segment[1]} if one.segment else None,
        "verdict": judgement.verdict,
        "is_provisional": judgement.is_provisional,
        "moved": _rounded(judgement.moved),
        "missing_change": _rounded(judgement.missing_change),
        "unknown_change": _rounded(judgement.unknown_change),
        "p_chance": _rounded(judgement.p_chance),
        "p_history": _rounded(judgement.p_history),
        "quiet_windows": judgement.quiet_windows,
        "words": words,
    }


def _figures(figures: Mapping[str, float | None]) -> dict[str, float | None]:
    return {name: _rounded(figure) for name, figure in figures.items()}


def _rounded(number: float | None) -> float | None:
    """A figure without the last digits, in which sums of the same parts in another order may differ."""
    return float(f"{number:.{_DIGITS}g}") if number and not isinstance(number, int) else number


def _summary(
    layout: Layout,
    base: Batch,
    windows: Sequence[Window],
    judged: Sequence[_Judged],
    performance: Sequence[Performance],
    all_windows: Sequence[Window],
    learnt: Sequence[Window],
    rules: Rules,
) -> dict[str, Any]:
    """The present state: which columns moved in the newest window that has rows, since when, and what is estimated."""
    last = len(windows) - 1
    moved = [one for one in judged if windows and one.judgements[last].verdict == MOVED]
    moved.sort(key=lambda one: -_strength(one.judgements[last]))
    inputs = [one for one in moved if one.role == INPUT]
    outputs = [one for one in moved if one.role != INPUT]
    fell = performance[-1].fell if performance else None
    since = min((_since(one, windows) for one in moved), default=None)
    return {
        "window": rfc3339(all_windows[-1].end) if all_windows else None,
        "at": rfc3339(all_windows[-1].start) if all_windows else None,
        "is_learning": not windows or all(one.judgements[last].is_provisional for one in judged),
        "learnt_windows": len(learnt),
        "reference_rows": base.rows,
        "rows": windows[-1].batch.rows if windows else None,
        "inputs": layout.inputs,
        "moved_inputs": [_moved_value(one, windows, layout, rules) for one in inputs],
        "moved_outputs": [_moved_value(one, windows, layout, rules) for one in outputs],
        "moved_since": rfc3339(since),
        "estimated_fall": fell,
    }


def _moved_value(one: _Judged, windows: Sequence[Window], layout: Layout, rules: Rules) -> dict[str, Any]:
    last = len(windows) - 1
    words = described(
        layout.columns[one.name], one.column.reference, one.column.windows[last], one.judgements[last], rules
    )
    return {
        "name": one.label,
        "column": one.name,
        "is_segment": one.segment is not None,
        "since": rfc3339(_since(one, windows)),
        "words": words,
    }


def _since(one: _Judged, windows: Sequence[Window]) -> int:
    """The start of the first of the windows, up to the last, in which the column was out without a break."""
    since = windows[-1].start
    for window, judgement in zip(reversed(windows), reversed(one.judgements), strict=True):
        if judgement.verdict == TOO_FEW_ROWS:
            continue
        if judgement.verdict not in (OUT, MOVED):
            break
        since = window.start
    return since


def _strength(judgement: Judgement) -> float:
    return max(judgement.moved, abs(judgement.missing_change), abs(judgement.unknown_change))
