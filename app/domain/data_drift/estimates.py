"""The performance of each window: estimated from scores, realised once labels came, and whether the estimate fell."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any

from app.domain.data_drift.batch import Batch, Errors
from app.domain.data_drift.estimating import ASSUMPTION, Calibration, calibrated, contradicted, estimated
from app.domain.data_drift.figures import Figures, realised
from app.domain.data_drift.limits import FEWEST_WINDOWS, MOST_WINDOWS
from app.domain.data_drift.outcomes import Outcomes
from app.domain.students_t import quantile

_NO_LABELS = "The reference has no labels with scores, so nothing can be estimated."
_OF, _AMONG = 2, 3
_MATTERS = 0.02
_CERTAIN = 0.999
_FIGURES = {"accuracy": "accuracy", "roc_auc": "ROC AUC"}
_RECENT = 30


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
    calibration = calibrated(base.labelled) if base.labelled and base.labelled.rows else None
    found: list[Performance] = []
    labelled: list[Outcomes] = []
    for window in windows:
        if window.labelled and window.labelled.rows:
            labelled.append(window.labelled)
        figures, reason = _estimate(calibration, window, labelled[-_RECENT:])
        falls = [one.estimated for one in found if one.estimated] + ([figures] if figures else [])
        found.append(Performance(figures, reason, _realised(window), _fall(falls) if figures else None))
    return found


def _estimate(
    calibration: Calibration | None, window: Batch, labelled: Sequence[Outcomes]
) -> tuple[Figures | None, str | None]:
    if window.outcomes is None:
        return None, "No predictions with scores were counted."
    if calibration is None:
        return None, _NO_LABELS
    if labelled and not calibration.reason:
        together = labelled[0]
        for more in labelled[1:]:
            together = together + more
        if reason := contradicted(calibration, together):
            return None, reason
    estimate = estimated(calibration, window.outcomes)
    return estimate.figures, estimate.reason


def _realised(window: Batch) -> dict[str, Any] | None:
    if window.labelled and window.labelled.rows > window.labelled.unknown:
        return asdict(realised(window.labelled)) | {"rows": window.labelled.rows - window.labelled.unknown}
    if window.errors and window.errors.rows:
        return _of_regression(window.errors)
    return None


def _of_regression(errors: Errors) -> dict[str, Any]:
    return {
        "mae": errors.absolute / errors.rows,
        "rmse": sqrt(errors.squared / errors.rows),
        "bias": errors.signed / errors.rows,
        "rows": errors.rows,
    }


def _fall(estimates: Sequence[Figures]) -> dict[str, Any] | None:
    """How far the last estimate is below the quiet windows, if two of the last three are."""
    for name, label in _FIGURES.items():
        values = [getattr(one, name) for one in estimates]
        values = [value for value in values if value is not None]
        quiet: list[float] = []
        low: list[float | None] = []
        for value in values:
            before = _below(value, quiet)
            low.append(before)
            if before is None and len(quiet) < MOST_WINDOWS:
                quiet.append(value)
        if values and low[-1] is not None and sum(one is not None for one in low[-_AMONG:]) >= _OF:
            return {"figure": name, "label": label, "before": low[-1], "now": values[-1], "assumption": ASSUMPTION}
    return None


def _below(value: float, quiet: Sequence[float]) -> float | None:
    """The mean of the quiet windows if the value is out of what they lead to expect, and lower; else None."""
    n = len(quiet)
    if n < FEWEST_WINDOWS:
        return None
    mean = sum(quiet) / n
    deviation = sqrt(sum((one - mean) ** 2 for one in quiet) / (n - 1))
    limit = mean - quantile(_CERTAIN, n - 1) * deviation * sqrt(1 + 1 / n)
    return mean if value < limit and mean - value >= _MATTERS else None
