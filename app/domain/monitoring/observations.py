"""Observations: metric values that a client sends for a monitored version. Either all are accepted or none."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.domain.errors import InvalidInput
from app.domain.monitoring.evidence import CASES, is_own
from app.domain.registry.names import LONGEST_NAME, is_metric_name
from app.domain.times import is_future, parse_rfc3339

MOST_VALUES = 1000
_MOST_ERRORS = 20
MOST_CASES = 1_000_000_000
_FIELDS = ("metrics", "timestamp", "n")
# MLflow keeps infinity as the largest double.
_LARGEST = 1.797e308


@dataclass(frozen=True, slots=True)
class Observation:
    """One value of one metric at a time in milliseconds. `is_dated`: the client gave the time.

    `order` is that of the write, as in `corrections`; `n` is the number of cases behind the value, if it is known.
    """

    metric: str
    time: int
    value: float
    is_dated: bool = field(default=True, compare=False)
    order: int = 0
    n: int | None = None


def observations_of(body: Mapping[str, Any], now: int) -> list[Observation]:
    """The values in a request. Raises `InvalidInput`, which names each bad observation by its index."""
    if "observations" not in body:
        rows: Any = [body]
    elif len(body) > 1:
        raise InvalidInput("Send either observations, or metrics and a timestamp.")
    else:
        rows = body["observations"]
    if not isinstance(rows, list):
        raise InvalidInput("observations: Not a list.")
    errors: list[str] = []
    observations: list[Observation] = []
    for index, row in enumerate(rows):
        place = f"observations[{index}]" if "observations" in body else ""
        # Observations that are sent together without times keep their order.
        observations += _observation(row, place, now, now - (len(rows) - 1 - index), errors)
    if errors:
        more = len(errors) - _MOST_ERRORS
        raise InvalidInput("; ".join(errors[:_MOST_ERRORS]) + (f"; and {more} more" if more > 0 else ""))
    if not observations:
        raise InvalidInput('There is no metric value in the request. Send {"metrics": {"accuracy": 0.93}}.')
    if (count := len(observations)) > MOST_VALUES:
        raise InvalidInput(
            f"At most {MOST_VALUES} metric values a request, and this has {count}. Send several requests."
        )
    return observations


def _observation(row: Any, place: str, now: int, default_time: int, errors: list[str]) -> list[Observation]:
    """The values of one observation; adds what is wrong with it to `errors`."""
    dot = f"{place}." if place else ""
    if not isinstance(row, dict):
        errors.append(f"{place}: Not an object.")
        return []
    errors.extend(f"{dot}{name[:60]}: Unknown field." for name in row if name not in _FIELDS)
    time, is_dated = default_time, row.get("timestamp") is not None
    if is_dated:
        try:
            time = parse_rfc3339(row["timestamp"], f"{dot}timestamp")
            if time < 0 or is_future(time, now):
                raise InvalidInput(f"{dot}timestamp: must be from 1970 to five minutes from now.")
        except InvalidInput as error:
            errors.append(error.detail)
    cases = row.get("n")
    if cases is not None and (isinstance(cases, bool) or not isinstance(cases, int) or not 0 < cases <= MOST_CASES):
        errors.append(f"{dot}n: Not a whole number from 1 to {MOST_CASES}.")
        return []
    metrics = row.get("metrics")
    if not isinstance(metrics, dict) or not metrics:
        errors.append(f'{dot}metrics: Needed, as {{"accuracy": 0.93}}.')
        return []
    observations = []
    for metric, value in metrics.items():
        problem = _problem(metric, value) or (cases and _problem_of_cases(metric))
        if problem:
            errors.append(f"{dot}metrics.{metric[:60]}: {problem}")
        else:
            observations.append(Observation(metric, time, float(value), is_dated, n=cases))
    return observations


def _problem_of_cases(metric: str) -> str | None:
    longest = LONGEST_NAME - len(CASES)
    return f"with n, a name has at most {longest} characters." if len(metric) > longest else None


def _problem(metric: str, value: Any) -> str | None:
    if is_own(metric):
        return "names that begin with control_tower. are reserved for the service."
    if not is_metric_name(metric):
        letters = f"letters, digits, _ - . / : and blanks, {LONGEST_NAME} characters at most"
        return f"MLflow does not accept this name of a metric. Use {letters}."
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "Not a number."
    return None if abs(value) < _LARGEST else "Not a finite number."
