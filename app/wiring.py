"""Wiring: the one place where objects are built and handed to each other. Tests hand in fakes here."""

import atexit
import hashlib
import logging
import os
import shutil
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import current_app

from app.domain.ports import Clock, Gateway, Locks, SharedCache
from app.domain.redact import without_userinfo
from app.domain.stages import stage_rules
from app.services.cache_report import CacheReport, PersistenceOptions
from app.services.catalogue import Catalogue, CatalogueOptions
from app.services.drift import Drift
from app.services.file_cache import FileCache
from app.services.file_locks import FileLocks, lock_directory
from app.services.health import Health
from app.services.health_report import HealthReport
from app.services.keys import KeyRing
from app.services.mlflow_gateway import MlflowGateway
from app.services.mlflow_store import ensure_store
from app.services.model_tracker import ModelTracker, TrackerOptions
from app.services.monitoring_manager import MonitoringManager
from app.services.refresher import Refresher
from app.services.run_counter import RunCounter
from app.services.runs import Runs
from app.services.scheduler import Scheduler
from config import VERSION, Settings

log = logging.getLogger(__name__)

_NAME = "control_tower"
_HOUR_MS = 3_600_000


def now_ms() -> int:
    """The clock of the running service."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Parts:
    """What the world provides, and what tests replace."""

    gateway: Gateway
    cache: SharedCache
    refresh_locks: Locks
    monitoring_locks: Locks
    clock: Clock = now_ms


@dataclass(frozen=True)
class Tower:
    """Everything that a view may call."""

    settings: Settings
    gateway: Gateway
    tracker: ModelTracker
    manager: MonitoringManager
    catalogue: Catalogue
    drift: Drift
    runs: Runs
    health_report: HealthReport
    refresher: Refresher
    cache_report: CacheReport
    scheduler: Scheduler
    keys: KeyRing | None
    clock: Clock

    def prepare(self) -> None:
        """Before any worker is forked: make the embedded store, check the keys, import mlflow."""
        if self.keys:
            count = self.keys.check()
            log.info("Access keys: %d", count)
        ensure_store(self.settings.tracking_uri)
        if isinstance(self.gateway, MlflowGateway):
            self.gateway.load()

    def start(self) -> None:
        """In each worker, after the fork."""
        if isinstance(self.gateway, MlflowGateway):
            threading.Thread(target=self.gateway.warm, name="mlflow-client", daemon=True).start()
        self.scheduler.start()

    def stop(self) -> None:
        """Before a worker ends."""
        self.gateway.stop()
        self.scheduler.stop()


def tower() -> Tower:
    """The objects of the application that serves this request."""
    found: Tower = current_app.extensions[_NAME]
    return found


def real_parts(settings: Settings) -> Parts:
    """The parts of the real service on one host."""
    source = source_of(settings)
    directory = settings.cache_directory
    if not settings.enable_cache_persistence:
        # The workers share it all the same; it is a new one at each start.
        directory = _passing_directory()
    try:
        locks = lock_directory()
    except OSError as error:
        raise SystemExit(f"There is no place for lock files: {error}. Set TMPDIR to a directory of your own.") from None
    return Parts(
        gateway=_gateway(settings),
        cache=FileCache(directory),
        refresh_locks=FileLocks(locks, f"{directory.resolve()}\n{source}"),
        # Instances with other cache directories may serve the same MLflow: they exclude each other here.
        monitoring_locks=FileLocks(locks, f"{source}\n{settings.monitoring_experiment}"),
    )


def public_config(settings: Settings) -> dict[str, Any]:
    """The configuration as anybody may see it: no credential, in the shape of `GET /config`."""
    uri = settings.tracking_uri
    shown = without_userinfo(uri)
    secrets = (settings.mlflow_tracking_password, settings.mlflow_tracking_token)
    return {
        "mlflow": {"tracking_uri": shown, "authentication": shown != uri or any(secrets)},
        "api": {"host": settings.api_host, "port": settings.api_port, "version": VERSION},
        "features": {
            "mock_data_enabled": settings.enable_mock_data,
            "debug_endpoints_enabled": settings.enable_debug_endpoints,
            "cache_enabled": settings.enable_cache,
            "access_keys_enabled": settings.api_tokens_file is not None,
        },
        # A value that cannot be used stops the start, so what runs is valid.
        "validation": {"mlflow_configured": True, "api_port_valid": True, "log_level_valid": True},
    }


def source_of(settings: Settings) -> str:
    """A name for the MLflow that is mirrored, without its credentials."""
    return hashlib.sha256(without_userinfo(settings.tracking_uri).encode()).hexdigest()[:16]


def _passing_directory() -> Path:
    """A new directory that goes when the process that made it ends, not when one of its workers does."""
    directory, maker = Path(tempfile.mkdtemp(prefix="control-tower-")), os.getpid()

    def remove() -> None:
        if os.getpid() == maker:
            shutil.rmtree(directory, ignore_errors=True)

    atexit.register(remove)
    return directory


def wire(settings: Settings, parts: Parts) -> Tower:
    """The service's objects, handed to each other."""
    source, cached = source_of(settings), settings.enable_cache
    timeout = settings.cache_timeout_seconds
    rules = stage_rules(settings.production_aliases, settings.staging_aliases)
    # A snapshot that counts as stale is due, however rarely one is to be read otherwise.
    interval = min(settings.cache_refresh_interval_minutes * 60, settings.cache_max_age_hours * 3600)
    options = TrackerOptions(source, interval, timeout, cached, settings.enable_mock_data)
    tracker = ModelTracker(parts.gateway, parts.cache, parts.refresh_locks, rules, parts.clock, options)
    manager = MonitoringManager(
        parts.gateway, parts.cache, parts.monitoring_locks, parts.clock, source, cached, tracker
    )
    counter = RunCounter(parts.gateway, parts.cache, parts.clock, source, cached)
    max_age = int(settings.cache_max_age_hours * _HOUR_MS)
    catalogue = Catalogue(
        tracker, manager, counter, parts.clock, CatalogueOptions(settings.max_models_returned, max_age)
    )
    refresher = Refresher(tracker, manager, counter, timeout)
    health = Health(parts.gateway, parts.cache, parts.refresh_locks, parts.clock)
    persistence = PersistenceOptions(
        settings.enable_cache_persistence, str(settings.cache_directory), settings.cache_max_age_hours
    )
    return Tower(
        settings,
        parts.gateway,
        tracker,
        manager,
        catalogue,
        Drift(parts.gateway, tracker, parts.clock),
        Runs(parts.gateway),
        HealthReport(health, tracker, manager, catalogue),
        refresher,
        CacheReport(parts.cache, tracker, catalogue, health, parts.clock, persistence),
        Scheduler(refresher.tick),
        KeyRing(settings.api_tokens_file) if settings.api_tokens_file else None,
        parts.clock,
    )


def _gateway(settings: Settings) -> MlflowGateway:
    password, token = settings.mlflow_tracking_password, settings.mlflow_tracking_token
    return MlflowGateway.connect(
        settings.tracking_uri,
        username=settings.mlflow_tracking_username,
        password=password.get_secret_value() if password else None,
        token=token.get_secret_value() if token else None,
        timeout=settings.mlflow_request_timeout_seconds,
        retries=settings.mlflow_request_max_retries,
        monitoring_experiment=settings.monitoring_experiment,
        clock=now_ms,
    )
