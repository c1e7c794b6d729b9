"""Clocks, and how long calls may take."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

Clock = Callable[[], int]
"""The time in milliseconds since 1970: for people, for MLflow, and for the age of stored values."""


Monotonic = Callable[[], float]
"""Seconds that never go back, even if somebody sets the clock: for intervals and pauses in one process."""


class Operation(Protocol):
    """Several MLflow calls that share one time budget."""

    requests: int


class TimeBounds(Protocol):
    """How long calls may take. It applies to the calling process; other processes never call it."""

    patience: float
    """The longest that one call may take, in seconds, including retries."""

    def within(self, seconds: float) -> AbstractContextManager[Operation]:
        """Bound the time of all calls inside the block together."""
        ...

    def stop(self) -> None:
        """Make every call under way fail at once, since the process is about to end."""
        ...


class Telemetry(Protocol):
    """Counts for Prometheus. Every method is cheap and never raises."""

    def mlflow_called(self, failed: bool) -> None:
        """Count a request to MLflow."""
        ...

    def refreshed(self, kind: str, seconds: float, failed: bool) -> None:
        """Record how long a reading of MLflow took, and count it if it failed."""
        ...
