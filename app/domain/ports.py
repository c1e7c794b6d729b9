"""What services need of the world (MLflow, the cache, locks, clocks), and of the agent, as interfaces.

A fake, or an object in another process, stands behind each of them. Services of one process know each other's classes.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from app.domain.errors import TowerError
from app.domain.held import News, Token
from app.domain.monitoring.monitor_runs import MonitorState, Verdict
from app.domain.monitoring.observations import Observation
from app.domain.registry.fleet import Edition, Fleet
from app.domain.registry.models import (
    Experiment,
    Inventory,
    MetricPoint,
    ModelReading,
    ModelVersion,
    Newest,
    RegisteredModel,
    Registration,
    Run,
    Subscription,
    VersionKey,
)

Clock = Callable[[], int]
"""The time, in milliseconds since 1970: for people, for what MLflow stores, and for how old a stored thing is."""

Monotonic = Callable[[], float]
"""Seconds that only grow, whatever is done to the clock: for intervals and pauses in one process."""


class Operation(Protocol):
    """Several MLflow calls that share one time budget."""

    requests: int


class TimeBounds(Protocol):
    """How long calls may take. It holds in the process that asks, and is never itself called from another one."""

    patience: float
    """The longest that one call may take, in seconds, all retries together."""

    def within(self, seconds: float) -> AbstractContextManager[Operation]:
        """Bound all calls inside the block together."""
        ...

    def stop(self) -> None:
        """Let every call under way fail at once: the process is about to end."""
        ...


class Gateway(TimeBounds, Protocol):
    """The only way to MLflow. Every method may raise `MlflowUnavailable`, with no credential in it."""

    def ping(self) -> int:
        """Ask MLflow for a sign of life: how many experiments are active."""
        ...

    def read_inventory(self) -> Inventory: ...

    def read_models(self, names: Sequence[str], experiments: Sequence[str]) -> dict[str, ModelReading]:
        """Some registered models by name, in three requests or four. `experiments`: where their runs likely are.

        One that cannot be read is left out; the failure is raised where none can be.
        """
        ...

    def read_versions(self, models: Sequence[RegisteredModel], experiments: Sequence[str]) -> dict[str, ModelReading]:
        """The versions of registered models that were read a moment ago, in two requests or three.

        What cannot be read is left out, as in `read_models`.
        """
        ...

    def newest(self, limit: int) -> Newest:
        """The registered models and the versions that were updated last, in two requests."""
        ...

    def registered_models(self) -> tuple[RegisteredModel, ...]:
        """Every registered model, without its versions."""
        ...

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

    def evidence(
        self,
        versions: Sequence[ModelVersion],
        monitor_runs: Mapping[VersionKey, str],
        metrics: Collection[str] = (),
    ) -> dict[VersionKey, list[MetricPoint]]:
        """Every metric point of each version, or those of some metrics, by the version's name and number.

        Of its source run, of its logged model, of each run tagged `control_tower.evaluates`, and of its monitor run,
        which `monitor_runs` names. Bounds its own time, by the number of requests that it takes.
        """
        ...

    def gone_runs(self, run_ids: Collection[str]) -> frozenset[str]:
        """Which of these runs no longer exist, as after `mlflow gc`; at most twenty are asked for."""
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

    def end_monitor_run(self, run_id: str, by: str, reason: str) -> int:
        """End a monitor run; the time of that, in milliseconds."""
        ...

    def monitor_states(self) -> Sequence[MonitorState] | None:
        """As `open_registrations`, with what their monitor runs hold beside the registration."""
        ...

    def monitor_history(self, name: str | None, version: int | None) -> Sequence[MonitorState]:
        """Open and ended monitor runs with every change of verdict; of one model or version, or of all."""
        ...

    def monitor_runs(self, run_ids: Sequence[str] | None) -> Sequence[MonitorState] | None:
        """Open and ended monitor runs with what their tags hold: all, or those named; None without the experiment."""
        ...

    def verdict_changes(self, run_ids: Sequence[str]) -> Mapping[str, Sequence[tuple[int, str]]]:
        """Every change of verdict (time, verdict) of some monitor runs."""
        ...

    def log_observations(self, run_id: str, found: Sequence[Observation]) -> None:
        """Write at most `MOST_VALUES` values to a monitor run, all or none.

        Raises `MlflowRefused` where the run is deleted.
        """
        ...

    def change_settings(self, run_id: str, settings: Mapping[str, Any]) -> None:
        """Replace the settings of a registration."""
        ...

    def write_verdict(self, run_id: str, verdicts: Sequence[Verdict], notified: Mapping[str, int]) -> None:
        """Write a change of verdict, the last of these, and up to when receivers were notified, in milliseconds."""
        ...

    def mark_notified(self, run_id: str, notified: Mapping[str, int]) -> None:
        """Note up to when receivers were notified, by their ids, in milliseconds."""
        ...

    def register_webhook(self, url: str, secret: str) -> Subscription:
        """Have MLflow deliver its registry's events to the address; once, however often it is asked."""
        ...

    def list_webhooks(self) -> Sequence[Subscription]:
        """Every webhook of MLflow's, others than the tower's too."""
        ...

    def remove_webhook(self, subscription_id: str) -> None:
        """Remove one of the tower's. `NotFound` without it, `InvalidInput` where it is somebody else's."""
        ...

    def test_webhook(self, subscription_id: str) -> tuple[bool, str]:
        """Have MLflow deliver an example to one of the tower's; whether it went well, and what came of it."""
        ...


class OwnGateway(Gateway, Protocol):
    """A gateway that talks to MLflow from this process."""

    def warm(self) -> None:
        """Make ready what the first call needs, which may take a second."""
        ...

    def gives_sign(self, seconds: float) -> bool:
        """Whether MLflow answers, asked from this process without MLflow's client; False also where nobody can tell."""
        ...

    def readable_evidence(
        self, versions: Sequence[ModelVersion], monitor_runs: Mapping[VersionKey, str]
    ) -> tuple[dict[VersionKey, list[MetricPoint]], dict[VersionKey, TowerError]]:
        """The evidence of the versions that could be read whole, and why each of the others could not be."""
        ...


class SharedCache(Protocol):
    """What the workers share. Values are JSON-shaped; a value that cannot be read is a miss."""

    def get(self, key: str) -> Any: ...

    def set(self, key: str, value: Any) -> bool:
        """Whether the others can see the value: a full or read-only disk is False, never an exception."""
        ...

    def delete(self, key: str) -> bool: ...

    def token(self, key: str) -> Token | None:
        """Something that changes whenever the value is written; None when there is none."""
        ...

    def mark(self, key: str) -> object:
        """The same for who asks at every request: less than a microsecond.

        What somebody else than this service did to the stored values shows with the next `look`.
        """
        ...

    def look(self) -> None:
        """See what others did to the stored values; once a second."""
        ...

    def facts(self, key: str) -> tuple[int, float] | None:
        """Size in bytes and time of writing (seconds since 1970) of the stored value."""
        ...


class HeldLock(Protocol):
    """A lock that is held."""

    def stands(self) -> bool:
        """Whether it still excludes others; who holds one for long asks now and then."""
        ...

    def remove(self) -> None:
        """Leave nothing of it behind: nobody will need it again."""
        ...


class StoredCache(SharedCache, Protocol):
    """A `SharedCache` that stores what it is given, or does not take it."""

    def announce(self, key: str) -> None:
        """Change the mark of a key in every process, though nothing is stored."""
        ...


class Holder(Protocol):
    """Holds for all processes of a host what could not be stored: in this process, or in the agent's."""

    def within(self, seconds: float) -> AbstractContextManager[Any]:
        """Bound the calls in the block together."""
        ...

    def news(self, holder: str, serial: int) -> News:
        """What is held, and the values after a serial of this holder's."""
        ...

    def put(self, key: str, body: bytes) -> None:
        """Store or hold a value, as JSON, that a worker could not store."""
        ...

    def delete(self, key: str) -> bool: ...


class Locks(Protocol):
    """Locks that hold between threads and processes."""

    def hold(self, name: str, timeout: float) -> AbstractContextManager[HeldLock]:
        """Hold a lock, or raise `LockTimeout` after so many seconds (0: do not wait)."""
        ...


class SnapshotSource(Protocol):
    """Where the mirror has its snapshot from: in this process, or in the agent's. All may raise `MlflowUnavailable`."""

    def read(self) -> Fleet:
        """All that MLflow says now, kept nowhere."""
        ...

    def first(self) -> Edition:
        """See to it that there is a snapshot, and give its edition; waits no longer than MLflow may take."""
        ...

    def edition(self) -> Edition | None:
        """The edition of the snapshot of the process that reads."""
        ...

    def share(self) -> None:
        """Publish the snapshot anew, as a whole, for who cannot read what is stored."""
        ...

    def held(self, edition: Edition) -> bytes | None:
        """The snapshot of the process that reads, as JSON, where it replaces the one of this edition."""
        ...

    def look_up(self, names: Sequence[str]) -> int:
        """Read some registered models anew; how many of them had changed."""
        ...


class HistorySource(Protocol):
    """Where a worker has the history of the registrations from: in this process, or in the agent's."""

    def first(self) -> None:
        """See to it that there is one, within one call's time. Raises `MlflowUnavailable`."""
        ...

    def held(self, seal: str) -> dict[str, Any] | None:
        """The history of the process that reads, as JSON, where it is another than the one with this seal."""
        ...


class RefreshTrigger(Protocol):
    """What requests to refresh and deliveries set going: in this process, or in the agent's."""

    def refresh(self) -> Edition:
        """Read everything now, and give the new edition. Raises `MlflowUnavailable`; the snapshot then stays."""
        ...

    def pushed(self, name: str | None, delivery_id: str, sent_at: int) -> bool:
        """Take a delivery of MLflow's webhooks; False where it was taken before. `sent_at` in milliseconds."""
        ...


class CheckTrigger(Protocol):
    """What a change to a registration sets going: in this process, or in the agent's."""

    def check_soon(self, name: str, version: int) -> None:
        """Have one version checked within seconds."""
        ...


class Telemetry(Protocol):
    """What is counted for Prometheus. Every method is cheap and never raises."""

    def mlflow_called(self, failed: bool) -> None:
        """Count a request to MLflow."""
        ...

    def refreshed(self, kind: str, seconds: float, failed: bool) -> None:
        """Time a reading of MLflow, and count it where it failed."""
        ...
