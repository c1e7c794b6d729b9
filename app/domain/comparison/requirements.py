"""Requirements: how much worse than the baseline a candidate may be, and what it has to reach by itself.

A comparison alone lets anything pass while the baseline is bad, as on broken input.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from app.domain.errors import InvalidInput
from app.domain.numbers import DECIMAL
from app.domain.registry.names import is_metric_name

MOST_MARGIN = 1e9


@dataclass(frozen=True, slots=True)
class Requirements:
    """All in the unit of the metric. `margin` holds for metrics that `margins` does not name.

    `least` and `most` are the limits of the candidate's value, by metric.
    """

    margin: float = 0.0
    margins: Mapping[str, float] = field(default_factory=dict)
    least: Mapping[str, float] = field(default_factory=dict)
    most: Mapping[str, float] = field(default_factory=dict)

    def margin_of(self, metric: str) -> float:
        return self.margins.get(metric, self.margin)

    def limited(self) -> set[str]:
        """The metrics with a limit."""
        return {*self.least, *self.most}


def requirements(margins: Iterable[str], least: Iterable[str], most: Iterable[str]) -> Requirements:
    """From texts: `0.01` or `rmse=2` for margins, `accuracy=0.9` for limits. Raises `InvalidInput`."""
    by_metric = _by_metric("margin", margins, "a number, or METRIC=NUMBER")
    if not all(0 <= margin <= MOST_MARGIN for margin in by_metric.values()):
        raise InvalidInput("margin: Must be from 0 to 1e9.")
    lowest, highest = _limits("min", least), _limits("max", most)
    for metric, limit in lowest.items():
        if limit > highest.get(metric, limit):
            raise InvalidInput(f"min: Must not be above max for {metric}.")
    return Requirements(by_metric.pop("", 0.0), by_metric, lowest, highest)


def _limits(place: str, texts: Iterable[str]) -> dict[str, float]:
    limits = _by_metric(place, texts, "METRIC=NUMBER")
    if "" in limits:
        raise InvalidInput(f"{place}: Name the metric. Write METRIC=NUMBER.")
    return limits


def _by_metric(place: str, texts: Iterable[str], form: str) -> dict[str, float]:
    """Numbers by the metric before the last `=`; that without one under the empty name."""
    numbers: dict[str, float] = {}
    for text in texts:
        metric, equals, number = text.rpartition("=")
        if not DECIMAL.match(number):
            raise InvalidInput(f"{place}: Not a valid number. Write {form}.")
        if equals and not is_metric_name(metric):
            raise InvalidInput(f"{place}: This cannot be the name of a metric.")
        if metric in numbers:
            raise InvalidInput(f"{place}: {metric or 'A number without a metric'} is there twice.")
        numbers[metric] = float(number)
    return numbers
