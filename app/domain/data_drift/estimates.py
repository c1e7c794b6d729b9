"""The performance of each window: estimated from scores, realised once labels came, and whether the estimate fell."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any

import numpy as np

from app.domain.data_drift.batch import Batch, Errors
from app.domain.data_drift.estimating import Calibration, calibrated, contradicted, estimated
from app.domain.data_drift.figures import Figures, Floats, cells_of, realised
from app.domain.data_drift.limits import FEWEST_WINDOWS, MOST_WINDOWS
from app.domain.data_drift.sentence import ASSUMPTION
from app.domain.students_t import quantile

_NO_LABELS = "The reference has no labels with scores, so nothing can be estimated."
_OF, _AMONG = 2, 3
_MATTERS = 0.02
_CERTAIN = 0.999
_FIGURES = {"accuracy": "accuracy", "roc_auc": "ROC AUC"}
_RECENT, _LAST = 30, 5


@dataclass(frozen=True, slots=True)
class Performance:
    """What is known of a window's performance. `reason` says why nothing is estimated.

    `fell` is None unless the estimate is lower than the quiet windows showed in two of the last three windows.
    """

    estimated: Figures | None
    reason: str | None
    realised: dict[str, Any] | None
    fell: dict[str, Any] | None


def performances(base: Batch, windows: Sequence[Batch]) -> list[Performance]:
    """The performance of each window, oldest first."""
    calibration = calibrated(base.labelled) if base.labelled and base.labelled.known else None
    results: list[Performance] = []
    labelled: list[Floats] = []
    estimates = [_Estimates(name, label) for name, label in _FIGURES.items()]
    for window in windows:
        if window.labelled and window.labelled.known:
            labelled.append(cells_of(window.labelled))
        figures, reason = _estimate(calibration, window, labelled[-_RECENT:])
        fell = None
        if figures:
            for of_figure in estimates:
                of_figure.take(figures)
            fell = next((fall for of_figure in estimates if (fall := of_figure.fall())), None)
        results.append(Performance(figures, reason, _realised(window), fell))
    return results


def _estimate(
    calibration: Calibration | None, window: Batch, labelled: Sequence[Floats]
) -> tuple[Figures | None, str | None]:
    if window.outcomes is None:
        return None, "No predictions with scores were counted."
    if calibration is None:
        return None, _NO_LABELS
    # Many windows show a little, and the last few that much was right before and is no more.
    for recent in (labelled, labelled[-_LAST:]) if not calibration.reason else ():
        if recent and (reason := contradicted(calibration, np.sum(recent, axis=0))):
            return None, reason
    estimate = estimated(calibration, window.outcomes)
    return estimate.figures, estimate.reason


def _realised(window: Batch) -> dict[str, Any] | None:
    if window.labelled and window.labelled.known:
        return asdict(realised(window.labelled)) | {"rows": window.labelled.known}
    if window.errors and window.errors.rows:
        return _of_regression(window.errors)
    return None


def _of_regression(errors: Errors) -> dict[str, Any]:
    return {
        "mae": errors.absolute[0] / errors.rows,
        "rmse": sqrt(errors.squared[0] / errors.rows),
        "bias": errors.signed[0] / errors.rows,
        "rows": errors.rows,
    }


class _Estimates:
    """The estimates of a figure, window by window: what quiet windows have, and which of the last ones are lower."""

    def __init__(self, name: str, label: str) -> None:
        self._name = name
        self._label = label
        self._quiet: list[float] = []
        # Of each window the mean of the quiet ones before it, if it is lower than they lead to expect.
        self._low: list[float | None] = []
        self._last = 0.0

    def take(self, figures: Figures) -> None:
        """Add a window. One without this figure changes nothing."""
        value: float | None = getattr(figures, self._name)
        if value is None:
            return
        self._last = value
        self._low.append(_below(value, self._quiet))
        if self._low[-1] is None and len(self._quiet) < MOST_WINDOWS:
            self._quiet.append(value)

    def fall(self) -> dict[str, Any] | None:
        """How far the last estimate is below the quiet windows, if two of the last three are."""
        recent = self._low[-_AMONG:]
        if not recent or recent[-1] is None or sum(one is not None for one in recent) < _OF:
            return None
        before, now = recent[-1], self._last
        return {"figure": self._name, "label": self._label, "before": before, "now": now, "assumption": ASSUMPTION}


def _below(value: float, quiet: Sequence[float]) -> float | None:
    """The mean of the quiet windows if the value is out of what they lead to expect, and lower; else None."""
    n = len(quiet)
    if n < FEWEST_WINDOWS:
        return None
    mean = sum(quiet) / n
    deviation = sqrt(sum((one - mean) ** 2 for one in quiet) / (n - 1))
    limit = mean - quantile(_CERTAIN, n - 1) * deviation * sqrt(1 + 1 / n)
    return mean if value < limit and mean - value >= _MATTERS else None
