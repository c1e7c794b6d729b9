"""What moved in a column, in words: "18 % of the mass moved, mostly to 24 to 36; missing 0.1 % → 3.2 %; …"."""

import numpy as np

from app.domain.data_drift.bins import Bins, Categories
from app.domain.data_drift.counts import ColumnCounts
from app.domain.data_drift.judging import QUIET, RATIO, TOO_FEW_ROWS, Judgement, Rules
from app.domain.data_drift.plural import many

_GROUPS = 8
_BY_CHANCE = 0.05


def described(bins: Bins, reference: ColumnCounts, window: ColumnCounts, judgement: Judgement, rules: Rules) -> str:
    """A column's window against its reference: what differs by enough to matter, and what it was compared with."""
    if judgement.verdict == TOO_FEW_ROWS:
        return f"only {many(window.rows, 'row')}, too few to judge"
    parts = []
    # Where either has no value that the bins know, the shares of missing and unknown values say all.
    is_comparable = any(reference.cells) and any(window.cells)
    if is_comparable and judgement.moved >= rules.floor:
        parts.append(f"{_percent(judgement.moved)} of the mass moved, mostly to {_gaining(bins, reference, window)}")
    elif is_comparable and isinstance(bins, Categories):
        parts.extend(_changed_categories(bins, reference, window))
    if abs(judgement.missing_change) >= rules.share_floor:
        parts.append(_change("missing", *(_share(one.missing, one.rows) for one in (reference, window))))
    if abs(judgement.unknown_change) >= rules.share_floor:
        parts.append(_change("rare or new", *(_share(one.unknown, one.present) for one in (reference, window))))
    return "; ".join([*parts, _compared(judgement)]) if parts else "like the reference"


def _compared(judgement: Judgement) -> str:
    if judgement.verdict == QUIET:
        by_chance = judgement.p_chance is None or judgement.p_chance > _BY_CHANCE
        return "chance explains that" if by_chance else "earlier windows differed as much"
    if judgement.is_provisional:
        return f"provisional, with only {many(judgement.quiet_windows, 'comparable earlier window')}"
    return f"outside what {many(judgement.quiet_windows, 'earlier window')} showed"


def _gaining(bins: Bins, reference: ColumnCounts, window: ColumnCounts) -> str:
    """The part of the values that gained most: a category, or an eighth of a numeric reference."""
    base = np.array(reference.cells, dtype=float)
    gains = np.array(window.cells) / sum(window.cells) - base / base.sum()
    if isinstance(bins, Categories):
        return bins.label(int(gains.argmax()))
    groups = ((np.cumsum(base) - base / 2) / base.sum() * _GROUPS).astype(int)
    of_cells, places = np.unique(groups, return_inverse=True)
    best = np.flatnonzero(groups == of_cells[np.bincount(places, gains).argmax()])
    return bins.label(int(best[0]), int(best[-1]))


def _changed_categories(bins: Categories, reference: ColumnCounts, window: ColumnCounts) -> list[str]:
    """The category whose share changed most, if by half or more."""
    rows = max(sum(reference.cells), 1), max(sum(window.cells), 1)
    shares = {i: (a / rows[0], window.cells[i] / rows[1]) for i, a in enumerate(reference.cells) if a}
    changes = {cell: abs(after / before - 1) for cell, (before, after) in shares.items()}
    best = max(changes, key=changes.__getitem__, default=None)
    return [] if best is None or changes[best] < RATIO else [_change(bins.label(best), *shares[best])]


def _change(what: str, before: float, after: float) -> str:
    return f"{what} {_percent(before)} → {_percent(after)}"


def _share(some: int, rows: int) -> float:
    """The share of rows, which are none where a column has no value."""
    return some / max(rows, 1)


def _percent(share: float) -> str:
    percent = 100 * share
    return f"{percent:.0f} %" if percent >= 10 or percent == 0 else f"{percent:.2g} %"  # noqa: PLR2004 - digits
