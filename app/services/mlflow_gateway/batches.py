"""Reads by many ids or names, in batches that fit into an address. A batch that fails is halved."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import partial
from typing import TypeVar
from urllib.parse import urlencode, urlsplit

from app.domain.errors import MlflowTooSlow, TowerError
from app.services.mlflow_gateway.calls import Calls

T = TypeVar("T", bound=Hashable)
R = TypeVar("R")

# Bytes of the first line of a request. MLflow's gunicorn takes 4094, and a proxy may lengthen the path.
LONGEST_LINE = 3600
# The number of failed calls that suffices to single out two failing items among a hundred. A call that timed out
# counts as four, since a server hangs after four time-outs.
_MOST_FAILURES, _TIMED_OUT = 16, 4


def room_for(uri: str, path: str, fixed: Sequence[tuple[str, str]]) -> int:
    """The number of bytes that the address of a GET leaves for a list of values, beside the fixed parameters."""
    prefix = urlsplit(uri).path.rstrip("/")
    return LONGEST_LINE - len(f"GET {prefix}{path}?{urlencode(fixed)}& HTTP/1.1\r\n".encode())


def batches(items: Sequence[T], most: int, room: int, size: Callable[[T], int]) -> Iterator[list[T]]:
    """Split items into batches of at most `most` items and `room` bytes. An item larger than that is alone."""
    batch: list[T] = []
    taken = 0
    for item in items:
        needed = size(item)
        if batch and (len(batch) == most or taken + needed > room):
            yield batch
            batch, taken = [], 0
        batch.append(item)
        taken += needed
    if batch:
        yield batch


def read_each(
    calls: Calls, work: Sequence[tuple[Callable[[Sequence[T]], R], Sequence[T]]]
) -> tuple[list[R], dict[T, TowerError]]:
    """Read batches. Returns the answers, and the items that could not be read, each with the reason."""
    tasks = [partial(_in_halves, read, batch, [_MOST_FAILURES]) for read, batch in work]
    answers: list[R] = []
    failures: dict[T, TowerError] = {}
    for (_, batch), outcome in zip(work, calls.together(tasks), strict=True):
        if isinstance(outcome, TowerError):
            failures |= dict.fromkeys(batch, outcome)
        else:
            answers += outcome[0]
            failures |= outcome[1]
    return answers, failures


def _in_halves(
    read: Callable[[Sequence[T]], R], items: Sequence[T], failures_left: list[int]
) -> tuple[list[R], dict[T, TowerError]]:
    try:
        return [read(items)], {}
    except TowerError as error:
        failures_left[0] -= _TIMED_OUT if isinstance(error, MlflowTooSlow) else 1
        failed = dict.fromkeys(items, error)
    answers: list[R] = []
    if len(items) > 1:
        for half in (items[: len(items) // 2], items[len(items) // 2 :]):
            if failures_left[0] <= 0:
                break
            more, still = _in_halves(read, half, failures_left)
            answers += more
            failed = {item: error for item, error in failed.items() if item not in half} | still
    return answers, failed
