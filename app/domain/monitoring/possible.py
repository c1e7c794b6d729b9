"""The values that are possible for a metric, by the words in its name: a share ends at 0 and 1, an error at 0."""

from collections.abc import Iterable

from app.domain.monitoring.directions import word_set, words_of
from app.domain.monitoring.weighing import is_share

Range = tuple[float | None, float | None]
"""The least and the most that is possible; None where that side is open."""

_FROM_0_TO_1 = word_set("auc auroc auprc roc ap map ndcg mrr iou jaccard dice bleu rouge brier ece")
_FROM_0 = word_set(
    "rmse mse mae mape smape wape msle rmsle medae loss logloss error err deviance perplexity wer cer latency hinge "
    "rmspe"
)
_FROM_MINUS_1_TO_1 = word_set("mcc kappa correlation gini")
_TO_1 = word_set("r2 r2score")


def possible_range(metric: str, values: Iterable[float | None]) -> Range:
    """The values that are possible for a metric. A bound that one of its values is beyond is none.

    So an accuracy in percent, and a loss that may be negative, have no bound that would mislead.
    """
    low, high = _by_name(metric)
    known = [value for value in values if value is not None]
    return (
        None if low is None or any(value < low for value in known) else low,
        None if high is None or any(value > high for value in known) else high,
    )


def _by_name(metric: str) -> Range:
    words = words_of(metric)
    if words & _FROM_0:
        # scikit-learn's prefix.
        return (None, 0.0) if "neg" in words else (0.0, None)
    if is_share(metric) or words & _FROM_0_TO_1:
        return 0.0, 1.0
    if words & _FROM_MINUS_1_TO_1:
        return -1.0, 1.0
    return (None, 1.0) if words & _TO_1 or {"r", "squared"} <= words else (None, None)
