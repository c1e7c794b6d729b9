"""Estimating how good a classifier is before the labels come.

From labelled reference rows it is known how often the model is right at each score. If the relation of the inputs to
the label is the same, the scores of a window say what its confusion matrix is expected to be. Where that does not hold,
or is not known, there is a reason instead of figures. docs/decisions/0040 has what was measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.domain.data_drift.figures import BINARY, Figures, Floats, cells_of, figures
from app.domain.data_drift.outcomes import Outcomes
from app.domain.data_drift.plural import many

FEWEST_LABELLED = 200
_OF_A_GROUP = 30
_OF_A_CELL = 5
_BESIDE = 3
_TIMES = 20
_OUTSIDE = 0.1
_CLEARLY = 4
_MATTERS = 0.02


@dataclass(frozen=True, slots=True)
class Calibration:
    """How often each class is true, of the shape (predicted, score bin, true), and from how many labelled rows.

    `reason` says why nothing can be estimated from it.
    """

    classes: tuple[str, ...]
    shares: Floats
    labelled: Floats
    reason: str | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """The expected figures of a window, or the reason why there are none."""

    figures: Figures | None
    reason: str | None


def calibrated(reference: Outcomes) -> Calibration:
    """What labelled reference rows say; the shares rise with the score (isotonic regression)."""
    cells = cells_of(reference)
    labelled = cells.sum(axis=2)
    shares = _of_two(cells) if len(reference.classes) == BINARY else _of_many(cells)
    return Calibration(reference.classes, shares, labelled, _why_not(cells, shares))


def estimated(calibration: Calibration, window: Outcomes) -> Estimate:
    """The figures to expect of a window's predictions and scores."""
    if calibration.reason:
        return Estimate(None, calibration.reason)
    rows = cells_of(window).sum(axis=2)
    if not rows.sum():
        return Estimate(None, "No row has a prediction and a score.")
    outside = (window.unknown + rows[_is_outside(calibration.labelled, rows)].sum()) / window.rows
    if outside > _OUTSIDE:
        return Estimate(None, f"{100 * outside:.0f} % of the rows have a score that the labelled reference hardly has.")
    return Estimate(figures(rows[:, :, None] * calibration.shares), None)


def contradicted(calibration: Calibration, cells: Floats) -> str | None:
    """Why labels that came later contradict the calibration: the reason, or None if they agree with it.

    `cells` are the counts of the labelled rows, as `cells_of` has them.
    """
    rows = cells.sum(axis=2)
    right = np.eye(len(calibration.classes))[:, None, :]
    for what, weights in (("right", right), ("of the last class", right[-1:])):
        expected = (calibration.shares * weights).sum(axis=2)
        seen = float((cells * weights).sum())
        by_chance = rows * expected * (1 - expected) * (1 + rows / np.maximum(calibration.labelled, 1))
        away = seen - float((rows * expected).sum())
        if abs(away) > _CLEARLY * np.sqrt(by_chance.sum() + 1) and abs(away) > _MATTERS * rows.sum():
            return (
                f"Labels that came later contradict the reference: {100 * seen / rows.sum():.0f} % of the rows were "
                f"{what}, and {100 * (seen - away) / rows.sum():.0f} % were expected."
            )
    return None


def _is_outside(labelled: Floats, rows: Floats) -> NDArray[np.bool_]:
    """Cells with too few labelled rows in them and beside them, or with a far greater share than in the reference.

    Of more than two classes the bins are looked at over all predicted classes, since these share what is known.
    """
    is_rare = labelled.sum(axis=1, keepdims=True) < _OF_A_GROUP
    if len(labelled) > BINARY:
        labelled, rows = labelled.sum(axis=0, keepdims=True), rows.sum(axis=0, keepdims=True)
    until = np.pad(np.cumsum(labelled, axis=1), ((0, 0), (1, 0)))
    bins = np.arange(labelled.shape[1])
    near = until[:, np.minimum(bins + _BESIDE, bins[-1]) + 1] - until[:, np.maximum(bins - _BESIDE, 0)]
    times = (rows / rows.sum()) / ((labelled + 1) / labelled.sum())
    return np.asarray((near < _OF_A_CELL) | (times > _TIMES) | is_rare)


def _of_two(cells: Floats) -> Floats:
    """The positive class is the more frequent, the higher the score; at one score, if it is predicted."""
    ordered = cells.transpose(1, 0, 2).reshape(-1, 2)
    positive = _rising(ordered[:, 1], ordered.sum(axis=1)).reshape(cells.shape[1], 2).T
    return np.stack([1 - positive, positive], axis=2)


def _of_many(cells: Floats) -> Floats:
    """Of each predicted class: right the more often, the higher the score; if wrong, as in the whole reference.

    To each class thirty rows are added that are as often right as those of all classes, for classes of few rows.
    """
    shares = np.zeros(cells.shape)
    rows = cells.sum(axis=(0, 2))
    right_of_all = sum(of_class[:, said] for said, of_class in enumerate(cells))
    usual = _rising(right_of_all, rows)
    as_if = _OF_A_GROUP * rows / max(rows.sum(), 1)
    for said, of_class in enumerate(cells):
        right = _rising(of_class[:, said] + as_if * usual, of_class.sum(axis=1) + as_if)
        wrong = of_class.sum(axis=0) + 1 / len(cells)
        wrong[said] = 0
        shares[said] = (1 - right)[:, None] * wrong / wrong.sum()
        shares[said][:, said] = right
    return shares


def _rising(some: Floats, rows: Floats) -> Floats:
    """The shares some / rows as the nearest sequence that never falls (pool adjacent violators)."""
    blocks: list[tuple[float, float, int]] = []
    for part, whole in zip(some.tolist(), rows.tolist(), strict=True):
        blocks.append((part, whole, 1))
        while len(blocks) > 1 and blocks[-2][0] * blocks[-1][1] >= blocks[-1][0] * blocks[-2][1]:
            last = blocks.pop()
            blocks[-1] = (blocks[-1][0] + last[0], blocks[-1][1] + last[1], blocks[-1][2] + last[2])
    return np.repeat(
        [part / whole if whole else 0.5 for part, whole, _ in blocks], [many for _, _, many in blocks]
    ).astype(np.float64)


def _why_not(cells: Floats, shares: Floats) -> str | None:
    """Too few labels, or scores with which the model is not right the more often, the higher they are."""
    rows = int(cells.sum())
    if rows < FEWEST_LABELLED:
        return f"The reference has {many(rows, 'labelled row')}; an estimate takes {FEWEST_LABELLED} or more."
    away, by_chance, groups = 0.0, 0.0, 0
    for said in range(len(cells)):
        true = 1 if len(cells) == BINARY else said
        for group in _groups(cells[said].sum(axis=1)):
            n = cells[said, group].sum()
            seen, expected = (
                cells[said, group, true].sum(),
                (cells[said, group].sum(axis=1) * shares[said, group, true]).sum(),
            )
            away += abs(seen - expected)
            by_chance += (seen - expected) ** 2 / max(expected * (1 - expected / n), 1)
            groups += 1
    is_clear = by_chance > groups + _CLEARLY * np.sqrt(2 * groups)
    if is_clear and away > _MATTERS * rows:
        return "The scores are not usable: in the reference, a higher score is not right more often."
    return None


def _groups(rows: Floats) -> Sequence[slice]:
    """Neighbouring bins with thirty rows or more together."""
    groups, start = [], 0
    for end in range(1, len(rows) + 1):
        if rows[start:end].sum() >= _OF_A_GROUP:
            groups.append(slice(start, end))
            start = end
    return groups
