"""The key metric: of all metrics of a version the one to look at first."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.domain.monitoring.directions import HIGHER
from app.domain.monitoring.evidence import is_of_machine
from app.domain.monitoring.verdicts import severity
from app.domain.registry.models import Metrics

# Best known first; what is not here comes after, by name.
_KNOWN = ("accuracy", "f1_score", "f1", "roc_auc", "auc", "rmse", "mae", "r2", "precision", "recall", "loss")
_PLACES = {name: place for place, name in enumerate(_KNOWN)}


@dataclass(frozen=True, slots=True)
class KeyMetric:
    """One metric of a version. What only a check can tell is None where there was none.

    `direction` says whether `higher` or `lower` is better; `last_at` and `baseline` are JSON-shaped.
    """

    name: str
    last: float | None
    direction: str | None
    last_at: str | None = None
    verdict: str | None = None
    baseline: Mapping[str, Any] | None = None
    recent: Sequence[float] = ()

    @property
    def change(self) -> float | None:
        """How far the last value is from the baseline's mean."""
        return None if self.last is None or self.baseline is None else self.last - self.baseline["mean"]

    @property
    def worse(self) -> bool | None:
        """Whether that is to the worse side; None where there is no change, or nobody knows which side that is."""
        change = self.change
        if not change or self.direction is None:
            return None
        return (change < 0) == (self.direction == HIGHER)


def key_metric(
    checked: Mapping[str, Mapping[str, Any]], logged: Metrics, direction_of: Callable[[str], str | None]
) -> KeyMetric | None:
    """Of the metrics that were checked the worst, then the best known; where none was, the best known of those logged.

    `checked` is as `Check.metrics`, `logged` are last values. None where there is no metric at all.
    """
    name = worst(checked)
    if name is not None:
        told = checked[name]
        return KeyMetric(
            name,
            told.get("last"),
            direction_of(name),
            told.get("last_at"),
            told.get("verdict"),
            told.get("baseline"),
            told.get("recent") or (),
        )
    name = best_known(logged)
    return None if name is None else KeyMetric(name, logged[name], direction_of(name))


def worst(checked: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The metric with the worst verdict, of several the best known."""
    return min(checked, key=lambda name: (-severity(checked[name]["verdict"]), *_fame(name)), default=None)


def best_known(names: Iterable[str]) -> str | None:
    """The best known name; the machine's figures come last."""
    return min(names, key=_fame, default=None)


def _fame(name: str) -> tuple[int, bool, str]:
    return _PLACES.get(name, len(_KNOWN)), is_of_machine(name), name
