"""Judging: which columns of which windows moved, over all columns and segments of a version at once.

A column is out in a window if it differs from the reference by more than chance, by more than earlier quiet windows
differed, and by enough to matter, allowing for how many columns are judged. It moved if it is out in two of the last
three windows. docs/decisions/0038 has the simulations.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from app.domain.data_drift.counts import ColumnCounts
from app.domain.data_drift.distances import Distance, shape, share, stacked
from app.domain.data_drift.limits import FEWEST_WINDOWS, Learnt, learnt, predicted

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
TOO_FEW_ROWS, QUIET, OUT, MOVED = "too_few_rows", "quiet", "out", "moved"
_OF, _AMONG = 2, 3
RATIO = 0.5
_OF_OUTPUTS = 0.2


@dataclass(frozen=True, slots=True)
class Rules:
    """What a difference must be: `floor`, the least share of the mass that matters, and the false-discovery rate.

    Of missing and unknown values a fifth of the floor matters. A category matters as well whose share changed by half.
    """

    floor: float = 0.05
    false_discoveries: float = 0.05

    @property
    def share_floor(self) -> float:
        """The least change of the share of missing or unknown values that matters."""
        return self.floor / 5


@dataclass(frozen=True, slots=True)
class Column:
    """A column in all windows, oldest first, over all rows or over one segment of them (else `segment` is "").

    `is_output` if it is what the model says: a fifth of the allowed false discoveries is kept for outputs.
    """

    name: str
    segment: str
    is_categorical: bool
    reference: ColumnCounts
    windows: Sequence[ColumnCounts]
    is_output: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """A column in one window. `p_chance` is against the reference, `p_history` against earlier quiet windows;
    both of the aspect that differs most, and None where there is nothing to compare.

    `moved` is the share of the mass that is elsewhere. A provisional judgement has no limits from quiet windows yet.
    """

    verdict: str
    is_provisional: bool
    moved: float
    missing_change: float
    unknown_change: float
    p_chance: float | None
    p_history: float | None
    quiet_windows: int


@dataclass(frozen=True, slots=True)
class _Measured:
    """All columns in all windows: arrays of the shape (columns, aspects, windows), or (columns, windows)."""

    distance: Distance
    matters: Bools
    moved: Floats
    missing: Floats
    unknown: Floats


@dataclass(frozen=True, slots=True)
class _Tested:
    """All columns in one window, an entry a column; `is_learning` says it of each aspect."""

    is_out: Bools
    is_firm: Bools
    p_chance: Floats
    p_history: Floats
    quiet_windows: Integers
    is_learning: Bools


_OF_TESTS = ("is_out", "is_firm", "p_chance", "p_history", "quiet_windows")
# A column in a window: whether it is judged, its three changes, and what `_OF_TESTS` names.
_Window = tuple[bool, float, float, float, bool, bool, float, float, int]


def judge(columns: Sequence[Column], rules: Rules) -> list[list[Judgement]]:
    """For each column a judgement a window. The columns are one family: what is rare by chance allows for all."""
    if not columns or not columns[0].windows:
        return [[] for _ in columns]
    measured, weights = _measured(columns, rules), _weights(columns)
    is_quiet = np.zeros(measured.distance.p.shape, bool)
    tests = []
    quiet = None
    for window in range(len(columns[0].windows)):
        quiet = learnt(measured.distance, window, is_quiet, quiet)
        tested = _tested(measured, quiet, window, weights, rules.false_discoveries)
        is_quiet[..., window] = tested.is_learning | ~tested.is_out[:, None]
        tests.append(tested)
    is_judged: Bools = np.asarray((measured.distance.size > 0).any(axis=1))
    changes = (measured.moved, measured.missing, measured.unknown)
    of_tests = [np.stack([getattr(test, name) for test in tests], axis=1) for name in _OF_TESTS]
    rows = zip(*(array.tolist() for array in (is_judged, *changes, *of_tests)), strict=True)
    return [_judgements(zip(*row, strict=True)) for row in rows]


def _tested(measured: _Measured, quiet: Learnt, window: int, weights: Floats, rate: float) -> _Tested:
    history = predicted(measured.distance, window, quiet)
    chance, is_judged = measured.distance.p[..., window], (measured.distance.size[..., window] > 0).any(axis=1)
    can_differ = np.isfinite(chance)
    p = np.where(can_differ & measured.matters[..., window], np.fmax(chance, history.p), 1)
    best = np.arange(len(p)), p.argmin(axis=1)
    is_out = np.zeros(len(p), bool)
    together = np.minimum(1, p[best] * np.maximum(1, can_differ.sum(axis=1))) / weights
    is_out[is_judged] = discovered(together[is_judged], rate)
    is_known: Bools = np.asarray(np.isfinite(history.p))
    is_firm = np.where(is_out, is_known[best], np.any(is_known, axis=1))
    is_learning = history.windows < FEWEST_WINDOWS
    return _Tested(is_out, is_firm, chance[best], history.p[best], history.windows.max(axis=1), is_learning)


def _judgements(windows: Iterable[_Window]) -> list[Judgement]:
    """The judgements of a column, oldest window first."""
    judgements: list[Judgement] = []
    firmly_out: list[bool] = []
    for is_judged, moved, missing, unknown, is_out, is_firm, p_chance, p_history, quiet_windows in windows:
        verdict = QUIET if is_judged else TOO_FEW_ROWS
        if is_judged:
            firmly_out.append(is_out and is_firm)
        if is_out:
            verdict = MOVED if firmly_out[-1] and sum(firmly_out[-_AMONG:]) >= _OF else OUT
        chance, history = _probability(p_chance), _probability(p_history)
        judgements.append(Judgement(verdict, not is_firm, moved, missing, unknown, chance, history, quiet_windows))
    return judgements


def _probability(p: float) -> float | None:
    return p if isfinite(p) else None


def discovered(p: Floats, rate: float) -> Bools:
    """Which of the probabilities are too small for chance, at a rate of false discoveries (Benjamini and Hochberg)."""
    if not len(p):
        return np.zeros(0, bool)
    ordered = np.sort(p)
    passing = np.flatnonzero(ordered <= rate * np.arange(1, len(p) + 1) / len(p))
    return np.asarray(p <= (ordered[passing[-1]] if len(passing) else -1))


def _weights(columns: Sequence[Column]) -> Floats:
    """Weights of the columns that are 1 on average (Genovese, Roeder and Wasserman: False discovery control with
    p-value weighting, Biometrika 93, 2006)."""
    is_output = np.array([column.is_output for column in columns])
    outputs, inputs = is_output.sum(), (~is_output).sum()
    if not outputs or not inputs:
        return np.ones(len(columns))
    share_of_outputs = max(_OF_OUTPUTS, outputs / len(columns))
    return np.asarray(np.where(is_output, share_of_outputs / outputs, (1 - share_of_outputs) / inputs) * len(columns))


def _measured(columns: Sequence[Column], rules: Rules) -> _Measured:
    shapes = [shape(column.reference, column.windows) for column in columns]
    missing = share(
        [(column.reference.missing, column.reference.rows) for column in columns],
        [[(one.missing, one.rows) for one in column.windows] for column in columns],
    )
    unknown = share(
        [(column.reference.unknown, column.reference.present) for column in columns],
        [[(one.unknown, one.present) for one in column.windows] for column in columns],
    )
    moved = np.array([form.moved for form in shapes])
    is_categorical = np.array([column.is_categorical for column in columns])
    of_shape = moved >= rules.floor
    of_shape |= is_categorical[:, None] & (np.array([form.ratio for form in shapes]) >= RATIO)
    of_shares = [np.abs(one.change) >= rules.share_floor for one in (missing, unknown)]
    aspects = [
        stacked([form.broad for form in shapes]),
        stacked([form.narrow for form in shapes]),
        missing.distance,
        unknown.distance,
    ]
    return _Measured(
        stacked(aspects, axis=1),
        np.stack([of_shape, of_shape, *of_shares], axis=1),
        moved,
        missing.change,
        unknown.change,
    )
