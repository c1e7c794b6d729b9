"""Observations: metric values that a client sends for a monitored version. All or none are taken."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.domain.errors import InvalidInput
from app.domain.monitoring.evidence import is_own
from app.domain.registry.names import LONGEST_NAME, is_metric_name
from app.domain.times import is_future, parse_rfc3339

MOST_VALUES = 1000
_MOST_TOLD = 20
_FIELDS = ("metrics", "timestamp")
# MLflow keeps infinity as the largest double.
_LARGEST = 1.797e308


@dataclass(frozen=True, slots=True)
class Observation:
    """One value of one metric at a time in milliseconds."""

    metric: str
    time: int
    value: float


def observations_of(body: Mapping[str, Any], now: int) -> list[Observation]:
    """The values of a request. Raises `InvalidInput` that names the place of each bad one by its index."""
    if "observations" not in body:
        rows: Any = [body]
    elif len(body) > 1:
        raise InvalidInput("Send either observations, or metrics and a timestamp.")
    else:
        rows = body["observations"]
    if not isinstance(rows, list):
        raise InvalidInput("observations: Not a list.")
    wrong: list[str] = []
    found: list[Observation] = []
    for index, row in enumerate(rows):
        place = f"observations[{index}]" if "observations" in body else ""
        # Those that come together without a time keep the order they were sent in.
        found += _observation(row, place, now, now - (len(rows) - 1 - index), wrong)
    if wrong:
        more = len(wrong) - _MOST_TOLD
        raise InvalidInput("; ".join(wrong[:_MOST_TOLD]) + (f"; and {more} more" if more > 0 else ""))
    if not found:
        raise InvalidInput('There is no value to take. Send {"metrics": {"accuracy": 0.93}}.')
    if len(found) > MOST_VALUES:
        raise InvalidInput(f"At most {MOST_VALUES} metric values a request; there are {len(found)}. Send several.")
    return found


def _observation(row: Any, place: str, now: int, unnamed: int, wrong: list[str]) -> list[Observation]:
    """The values of one observation; `unnamed` is its time where it names none."""
    dot = f"{place}." if place else ""
    if not isinstance(row, dict):
        wrong.append(f"{place}: Not an object.")
        return []
    wrong.extend(f"{dot}{name[:60]}: Unknown field." for name in row if name not in _FIELDS)
    time = unnamed
    if row.get("timestamp") is not None:
        try:
            time = parse_rfc3339(row["timestamp"], f"{dot}timestamp")
            if time < 0 or is_future(time, now):
                raise InvalidInput(f"{dot}timestamp: must be from 1970 to five minutes from now.")
        except InvalidInput as error:
            wrong.append(error.detail)
    metrics = row.get("metrics")
    if not isinstance(metrics, dict) or not metrics:
        wrong.append(f'{dot}metrics: Needed, as {{"accuracy": 0.93}}.')
        return []
    found = []
    for metric, value in metrics.items():
        problem = _problem(metric, value)
        if problem:
            wrong.append(f"{dot}metrics.{metric[:60]}: {problem}")
        else:
            found.append(Observation(metric, time, float(value)))
    return found


def _problem(metric: str, value: Any) -> str | None:
    if is_own(metric):
        return "names that begin with control_tower. are the service's own."
    if not is_metric_name(metric):
        letters = f"letters, digits, _ - . / : and blanks, at most {LONGEST_NAME}"
        return f"MLflow takes no metric of this name: {letters}."
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "Not a number."
    return None if abs(value) < _LARGEST else "Not a finite number."
