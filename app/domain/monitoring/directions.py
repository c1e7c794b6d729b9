"""Whether a metric is better when it is higher or lower, by the words in its name; settings may say otherwise."""

import re
from functools import lru_cache

HIGHER, LOWER = "higher", "lower"
DIRECTIONS = (HIGHER, LOWER)


def word_set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_HIGHER = word_set(
    "accuracy acc precision recall f1 f2 fbeta auc auroc auprc roc ap map ndcg mrr r2 r2score sensitivity "
    "specificity tpr tnr ppv npv kappa mcc iou jaccard dice bleu rouge gini lift correlation uplift"
)
_LOWER = word_set(
    "rmse mse mae mape smape wape msle rmsle medae loss logloss error err deviance perplexity brier wer cer fpr fnr "
    "latency ece hinge rmspe residual"
)
_WORDS = re.compile(r"[a-z]+[0-9]*", re.ASCII)


def words_of(metric: str) -> set[str]:
    """The words in a metric's name, in lower case: `val_F1Score` has `val`, `f1` and `score`."""
    return set(_WORDS.findall(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", metric).lower()))


# Cached, since a list of the fleet asks for the same few metrics many times.
@lru_cache(maxsize=4096)
def direction_of(metric: str) -> str | None:
    """Whether `higher` or `lower` is better, by the words in a metric's name; None where they do not say.

    Words for losses and errors win: `f1_error` is an error. scikit-learn's prefix `neg_` reverses the direction.
    """
    words = words_of(metric)
    squared = "squared" in words and "r" in words
    if words & _LOWER and not squared:
        return HIGHER if "neg" in words else LOWER
    return HIGHER if words & _HIGHER or squared else None
