"""What the world provides: MLflow, the shared cache, locks, the clock. Tests hand in fakes here."""

import hashlib
import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from app.domain.ports import Clock, Locks, Monotonic, OwnGateway, StoredCache
from app.domain.redact import without_userinfo
from app.services.data_drift.counting import Count, Counting
from app.services.data_drift.judges import Judge, judge_elsewhere
from app.services.host.file_cache import FileCache
from app.services.host.file_locks import FileLocks, lock_directory
from app.services.host.marks import Marks
from app.services.host.temporary_directory import temporary_directory
from app.services.mlflow_gateway.gateway import MlflowGateway
from app.services.telemetry.files import VARIABLE, reserve, shared_place
from config import Settings

if TYPE_CHECKING:
    from app.services.telemetry.instruments import Instruments

log = logging.getLogger(__name__)

_LONGEST_DIRECTORY = 70


def now_ms() -> int:
    """The time of day, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Host:
    """What the processes of this host share: directories, and marks where the system supports them."""

    locks: Path
    sockets: Path
    cache: Path
    marks: Marks | None = None


@dataclass(frozen=True)
class World:
    """What the world provides, and what tests replace.

    `gateway` talks to MLflow from this process; a worker's services use another, which asks the agent. `host` is None
    where no agent can be kept. `instruments` include the counters of `gateway`. `count` and `judge` have processes of
    their own for that.
    """

    gateway: OwnGateway
    cache: StoredCache
    refresh_locks: Locks
    monitoring_locks: Locks
    instruments: "Instruments"
    count: Count
    clock: Clock = now_ms
    monotonic: Monotonic = time.monotonic
    host: Host | None = None
    judge: Judge = judge_elsewhere


def real_world(settings: Settings, marks: Marks | None) -> World:
    """The world of the real service on one host."""
    source = source_of(settings)
    directory = settings.cache_directory
    if not settings.enable_cache_persistence:
        # The workers share this directory too, but each start makes a new one.
        directory = temporary_directory()
    try:
        locks = lock_directory()
        # The path of a socket has at most 107 bytes.
        is_short = len(os.fsencode(locks)) <= _LONGEST_DIRECTORY
        sockets = locks if is_short else lock_directory(Path("/tmp"))  # noqa: S108 - it makes a directory of its own
    except OSError as error:
        raise SystemExit(f"There is no place for lock files: {error}. Set TMPDIR to a directory of your own.") from None
    counting = instruments()
    return World(
        gateway=_gateway(settings, counting),
        cache=FileCache(directory, marks),
        refresh_locks=FileLocks(locks, f"{directory.resolve()}\n{source}"),
        # Instances with different cache directories may serve the same MLflow. They exclude each other by these locks.
        monitoring_locks=FileLocks(locks, f"{source}\n{settings.monitoring_experiment}"),
        instruments=counting,
        count=Counting(FileLocks(locks, "rows")).count,
        host=Host(locks, sockets, directory, marks),
    )


def source_of(settings: Settings) -> str:
    """The id of the mirrored MLflow: a hash of its address without credentials, and of its workspace."""
    parts = [without_userinfo(settings.tracking_uri)]
    if settings.mlflow_workspace:
        parts.append(settings.mlflow_workspace)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def patience_of(settings: Settings) -> float:
    """The longest that one call to MLflow may take with all its retries, in seconds."""
    # The half second is for connecting and parsing.
    return settings.mlflow_request_timeout_seconds * (settings.mlflow_request_max_retries + 1) + 0.5


def instruments() -> "Instruments":
    """The counters of this process. They add to those of others where the environment names a directory with room."""
    place = shared_place()
    if place is not None:
        try:
            reserve(place, os.getpid())
        except OSError as error:
            log.warning("This process counts for itself: there is no room in %s (%s)", place, error)
            place = None
            del os.environ[VARIABLE]
    # prometheus_client reads the environment only when it is imported.
    from app.services.telemetry.instruments import Instruments  # noqa: PLC0415 - see above

    return Instruments(place, counting_locks(place) if place else None)


def counting_locks(place: Path) -> FileLocks:
    """The locks of the processes whose counts are added up."""
    return FileLocks(place, "counting")


def agent_locks(host: Host) -> FileLocks:
    """The locks of the workers that keep an agent."""
    return FileLocks(host.locks, "agent")


def _gateway(settings: Settings, counting: "Instruments") -> MlflowGateway:
    password, token = settings.mlflow_tracking_password, settings.mlflow_tracking_token
    return MlflowGateway.connect(
        settings.tracking_uri,
        username=settings.mlflow_tracking_username,
        password=password.get_secret_value() if password else None,
        token=token.get_secret_value() if token else None,
        workspace=settings.mlflow_workspace,
        timeout=settings.mlflow_request_timeout_seconds,
        retries=settings.mlflow_request_max_retries,
        monitoring_experiment=settings.monitoring_experiment,
        clock=now_ms,
        telemetry=counting,
    )
