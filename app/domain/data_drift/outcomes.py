"""Outcomes: counts of what a classifier said, and of what was true, and the figures that follow from them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.domain.errors import InvalidInput

Floats = NDArray[np.float64]
BINARY = 2


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Counts of the shape (predicted classes, score bins, true classes); (predicted classes, score bins, 1) unlabelled.

    `classes` has the order of both. Of two classes the second is the positive one, and the score is its probability;
    of more, the score is that of the predicted class. `unknown` are rows whose prediction is none of the classes.
    """

    classes: tuple[str, ...]
    counts: tuple[tuple[tuple[int, ...], ...], ...]
    unknown: int = 0

    def __add__(self, other: "Outcomes") -> "Outcomes":
        if self.classes != other.classes:
            raise InvalidInput("The classes of the counts differ.")
        added = (self.cells + other.cells).astype(np.int64).tolist()
        counts = tuple(tuple(tuple(cell) for cell in of_class) for of_class in added)
        return Outcomes(self.classes, counts, self.unknown + other.unknown)

    @property
    def cells(self) -> Floats:
        """The counts as an array."""
        return np.array(self.counts, dtype=np.float64)

    @property
    def rows(self) -> int:
        """All rows."""
        return int(self.cells.sum()) + self.unknown


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
    return figures(labelled.cells)


def _roc_auc(bins: Floats) -> float | None:
    negative, positive = bins[:, 0], bins[:, 1]
    pairs = negative.sum() * positive.sum()
    above = positive.sum() - np.cumsum(positive)
    return float((negative * (above + positive / 2)).sum() / pairs) if pairs else None


def _share(part: Floats, whole: Floats) -> Floats:
    return np.asarray(part / np.where(whole > 0, whole, 1))
