"""The key metric: the metric of a version to look at first."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.domain.monitoring.directions import HIGHER
from app.domain.monitoring.evidence import is_system_metric
from app.domain.monitoring.verdicts import severity
from app.domain.registry.models import Metrics

# Best known first; other metrics come after these, by name.
_KNOWN = ("accuracy", "f1_score", "f1", "roc_auc", "auc", "rmse", "mae", "r2", "precision", "recall", "loss")
_PLACES = {name: place for place, name in enumerate(_KNOWN)}


@dataclass(frozen=True, slots=True)
class KeyMetric:
    """The key metric of a version. The fields that a check fills are None before the first check.

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
        """Whether the change is for the worse; None if there is no change, or the direction is not known."""
        change = self.change
        if not change or self.direction is None:
            return None
        return (change < 0) == (self.direction == HIGHER)


def key_metric(
    checked: Mapping[str, Mapping[str, Any]], logged: Metrics, direction_of: Callable[[str], str | None]
) -> KeyMetric | None:
    """The worst of the checked metrics, or, if none was checked, the best known of the logged metrics.

    `checked` is as `Check.metrics`, `logged` are last values. None if there is no metric at all.
    """
    name = worst(checked)
    if name is not None:
        figures = checked[name]
        return KeyMetric(
            name,
            figures.get("last"),
            direction_of(name),
            figures.get("last_at"),
            figures.get("verdict"),
            figures.get("baseline"),
            figures.get("recent") or (),
        )
    name = best_known(logged)
    return None if name is None else KeyMetric(name, logged[name], direction_of(name))


def worst(checked: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The metric with the worst verdict: of several, the one that is farthest out, and then the best known."""

    def badness(name: str) -> tuple[Any, ...]:
        figures = checked[name]
        verdict = figures["verdict"]
        # The first reason names the same metric: `alarms.badness` sorts alike.
        excess = max((row["excess"] for row in figures.get("alarms", ()) if row["verdict"] == verdict), default=0)
        return -severity(verdict), -excess, *fame(name)

    return min(checked, key=badness, default=None)


def best_known(names: Iterable[str]) -> str | None:
    """The best known name; system metrics come last."""
    return min(names, key=fame, default=None)


def fame(name: str) -> tuple[int, bool, str]:
    """Sorts names of metrics, the best known first, then by name."""
    return _PLACES.get(name, len(_KNOWN)), is_system_metric(name), name
