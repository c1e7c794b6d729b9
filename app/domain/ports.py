"""What services need of each other and of the world, as interfaces. Wiring hands in what fits."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from app.domain.fleet import Fleet
from app.domain.models import (
    Experiment,
    Inventory,
    MetricPoint,
    ModelReading,
    ModelVersion,
    Registration,
    Run,
    TrackedModel,
)
from app.domain.monitored import Monitored

Clock = Callable[[], int]
"""The time, in milliseconds since 1970."""


class Operation(Protocol):
    """Several MLflow calls that share one time budget."""

    requests: int


class Gateway(Protocol):
    """The only way to MLflow. Every method may raise `MlflowUnavailable`, with no credential in it."""

    patience: float
    """The longest that one call may take, in seconds, all retries together."""

    def within(self, seconds: float) -> AbstractContextManager[Operation]:
        """Bound all calls inside the block together."""
        ...

    def ping(self) -> int:
        """Ask MLflow for a sign of life: how many experiments are active."""
        ...

    def read_inventory(self) -> Inventory: ...

    def read_model(self, name: str) -> ModelReading: ...

    def find_version(self, name: str, version: int) -> ModelVersion | None:
        """The version without its metrics; None when MLflow does not know it."""
        ...

    def find_experiment(self, experiment_id: str) -> Experiment | None: ...

    def list_runs(self, experiment_id: str, limit: int, page_token: str | None) -> tuple[Sequence[Run], str | None]:
        """Runs, newest first, and the token of the next page. A bad token raises `InvalidInput`."""
        ...

    def count_runs(self, started_after: int | None = None) -> int:
        """How many runs are not deleted, or how many of those started after a time (milliseconds)."""
        ...

    def metric_points(self, rows: Sequence[ModelVersion]) -> dict[int, list[MetricPoint]]:
        """Every point of the source run and of the evaluation runs of versions of one model, by version."""
        ...

    def open_registrations(self) -> Sequence[Registration] | None:
        """Every open monitor run; None when the experiment that should hold them is deleted or gone."""
        ...

    def find_registrations(self, name: str, version: int) -> Sequence[Registration]:
        """The open monitor runs of one version, the one that counts first."""
        ...

    def open_monitor_run(self, wanted: Registration) -> Registration:
        """Open a monitor run; the answer carries its id."""
        ...

    def end_monitor_run(self, run_id: str, by: str, reason: str) -> None: ...

    def stop(self) -> None:
        """Let every call under way fail at once: the process is about to end."""
        ...


class SharedCache(Protocol):
    """What the workers share. Values are JSON-shaped; a value that cannot be read is a miss."""

    def get(self, key: str) -> Any: ...

    def set(self, key: str, value: Any) -> bool:
        """Whether the value was kept: a full or read-only disk is False, never an exception."""
        ...

    def delete(self, key: str) -> bool: ...

    def token(self, key: str) -> object | None:
        """Something that changes whenever the value is written; None when there is none. Costs microseconds."""
        ...

    def facts(self, key: str) -> tuple[int, float] | None:
        """Size in bytes and time of writing (seconds since 1970) of the stored value."""
        ...


class Locks(Protocol):
    """Locks that hold between threads and processes."""

    def hold(self, name: str, timeout: float) -> AbstractContextManager[None]:
        """Hold a lock, or raise `LockTimeout` after so many seconds (0: do not wait)."""
        ...


class Mirror(Protocol):
    """The mirror of the registry, as other services see it."""

    @property
    def cached(self) -> bool: ...

    def peek(self) -> Fleet | None: ...

    def fleet(self) -> Fleet: ...

    def versions(self, name: str) -> Sequence[TrackedModel]: ...

    def ensure_known(self, name: str, version: int, created: int) -> None:
        """See to it that a version that MLflow has is in the mirror."""
        ...

    def refresh(self) -> Fleet: ...

    def refresh_if_due(self) -> Fleet | None: ...

    def state(self) -> dict[str, Any]: ...

    def is_refreshing(self) -> bool: ...

    def shows_mock(self) -> bool: ...


class Register(Protocol):
    """The registrations, as other services see them."""

    def peek(self) -> Monitored:
        """What is known, marked stale where nothing is."""
        ...

    def monitored(self) -> Monitored: ...

    def reconcile(self, fleet: Fleet) -> None: ...


class RunCount(Protocol):
    """How many runs there are, as other services see it."""

    def counted(self) -> tuple[int, int] | None:
        """The count, and the time of it in milliseconds; None where there could be none."""
        ...

    def update(self, seconds: float) -> None: ...


class Liveness(Protocol):
    """Whether MLflow answers, as other services see it."""

    def mlflow(self) -> tuple[bool, int | None]:
        """Whether it does, and how many active experiments it has."""
        ...
