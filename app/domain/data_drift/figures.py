"""The figures of a classifier, such as accuracy, from counts of what it said and of what was true."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.domain.data_drift.outcomes import Outcomes

Floats = NDArray[np.float64]
BINARY = 2


def cells_of(outcomes: Outcomes) -> Floats:
    """The counts as an array of the shape (predicted, score bin, true)."""
    return np.array(outcomes.counts, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Figures:
    """Accuracy; precision, recall and F1 of the positive class, or their means over more than two classes; ROC AUC.

    `roc_auc` is None for more than two classes, and where a class is missing.
    """

    accuracy: float
    precision: float
    recall: float
    f1: float
    roc_auc: float | None


def figures(cells: Floats) -> Figures:
    """The figures of (predicted, score bin, true) counts, which may be expected ones. Two scores in one bin tie."""
    confusion = cells.sum(axis=1)
    right, said, true = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    precision, recall = _share(right, said), _share(right, true)
    f1 = _share(2 * right, said + true)
    of = slice(1, 2) if len(confusion) == BINARY else slice(None)
    return Figures(
        float(right.sum() / confusion.sum()),
        float(precision[of].mean()),
        float(recall[of].mean()),
        float(f1[of].mean()),
        _roc_auc(cells.sum(axis=0)) if len(confusion) == BINARY else None,
    )


def realised(labelled: Outcomes) -> Figures:
    """The figures of rows whose labels are known, of which there is at least one."""
    return figures(cells_of(labelled))


def _roc_auc(bins: Floats) -> float | None:
    negative, positive = bins[:, 0], bins[:, 1]
    pairs = negative.sum() * positive.sum()
    above = positive.sum() - np.cumsum(positive)
    return float((negative * (above + positive / 2)).sum() / pairs) if pairs else None


def _share(part: Floats, whole: Floats) -> Floats:
    return np.asarray(part / np.where(whole > 0, whole, 1))
