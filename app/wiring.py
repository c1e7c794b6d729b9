"""Wiring: the one place where objects are built and handed to each other. Tests hand in fakes here."""

import atexit
import hashlib
import logging
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import current_app

from app.domain.alerts import VerdictChange
from app.domain.codec import Source
from app.domain.errors import InvalidInput, TowerError
from app.domain.ports import Checked, Clock, Gateway, Locks, Observers, SharedCache, Updates
from app.domain.redact import without_userinfo
from app.domain.stages import stage_rules
from app.services.agent import Agent, Elsewhere, Keeper
from app.services.alerts import Announcer, AppriseReceiver, Receiver, WebhookReceiver, kind_of, not_understood
from app.services.assets import Assets
from app.services.cache_report import CacheReport, ReportOptions
from app.services.catalogue import Catalogue, CatalogueOptions
from app.services.checker import Checker
from app.services.checks import Checks
from app.services.comparison import Comparison
from app.services.drift import Drift
from app.services.file_cache import FileCache
from app.services.file_locks import FileLocks, lock_directory
from app.services.generations import Generations
from app.services.health import Health
from app.services.health_report import HealthReport
from app.services.journal import Journal
from app.services.keys import KeyRing
from app.services.marks import marks_at
from app.services.mlflow_gateway import MlflowGateway
from app.services.mlflow_store import ensure_store
from app.services.model_tracker import ModelTracker, TrackerOptions
from app.services.monitoring_manager import MonitoringManager
from app.services.monitoring_report import MonitoringReport
from app.services.refresher import Refresher
from app.services.run_counter import RunCounter
from app.services.runs import Runs
from app.services.scheduler import TICK_SECONDS, Scheduler
from app.services.snapshots import Snapshots
from app.services.telemetry.files import VARIABLE, reserve, shared_place
from app.services.updater import Updater, UpdaterOptions
from app.services.watcher import Watcher
from config import ROOT, VERSION, BadSetting, Settings

if TYPE_CHECKING:
    from app.services.telemetry.exposition import Exposition
    from app.services.telemetry.instruments import Instruments

log = logging.getLogger(__name__)

_NAME = "control_tower"
_HOUR_MS = 3_600_000
_LONGEST_DIRECTORY = 70
# A worker's snapshot that is so much older than the interval did not come through the cache.
_OVERDUE_SECONDS = 60


def now_ms() -> int:
    """The clock of the running service."""
    return time.time_ns() // 1_000_000


# What the workers have the agent do, by object; `within` and `stop` are theirs.
AGENT_METHODS = {
    "gateway": frozenset(name for name in vars(Gateway) if not name.startswith("_")) - {"within", "stop", "patience"},
    "updater": frozenset({"read", "first", "held", "look_up"}),
    "refresher": frozenset({"refresh", "pushed"}),
    "checker": frozenset({"observed"}),
}


@dataclass(frozen=True)
class Host:
    """Directories that the processes of this host share."""

    locks: Path
    sockets: Path
    cache: Path


@dataclass(frozen=True)
class Parts:
    """What the world provides, and what tests replace.

    `host` is where an agent may be kept; without, this process talks to MLflow itself. `instruments` are those
    that the gateway counts with.
    """

    gateway: Gateway
    cache: SharedCache
    refresh_locks: Locks
    monitoring_locks: Locks
    clock: Clock = now_ms
    host: Host | None = None
    instruments: "Instruments | None" = None


@dataclass(frozen=True)
class Tower:
    """Everything that a view may call, and what is done at the start and the end of a process."""

    settings: Settings
    gateway: Gateway
    cache: SharedCache
    tracker: ModelTracker
    manager: MonitoringManager
    catalogue: Catalogue
    drift: Drift
    comparison: Comparison
    runs: Runs
    health_report: HealthReport
    updates: Updates
    refresher: Refresher
    updater: Updater
    watcher: Watcher
    observers: Observers
    announcer: Announcer
    checker: Checker
    checks: Checks
    monitoring: MonitoringReport
    cache_report: CacheReport
    scheduler: Scheduler
    agent: Agent
    keeper: Keeper | None
    keys: KeyRing | None
    assets: Assets
    clock: Clock
    instruments: "Instruments"
    exposition: "Exposition"

    def observed(self, name: str, version: int) -> None:
        """Have a version judged soon. What was observed is written: a failure here is mended by the next round."""
        try:
            self.observers.observed(name, version)
        except TowerError as error:
            log.warning("A version is checked with the next round: %s", error.detail)

    def webhook_secret(self) -> str:
        """What MLflow signs its deliveries with."""
        secret = self.settings.mlflow_webhook_secret
        if secret is None:
            raise InvalidInput("Set MLFLOW_WEBHOOK_SECRET to receive deliveries.")
        return secret.get_secret_value()

    def prepare(self) -> None:
        """Before any worker is forked: make the embedded store, check the keys and the addresses of alerts."""
        check_alert_urls(self.settings)
        if self.keys:
            count = self.keys.check()
            log.info("Access keys: %d", count)
        ensure_store(self.settings.tracking_uri)

    def serve(self) -> None:
        """In each worker, after the fork: leave what concerns MLflow to the agent of this host."""
        if self.keeper is None:
            self.start()
            return
        self.instruments.begin()
        self.agent.use(self.keeper.address())
        looks = {self.keys.look: 1} if self.keys else {}
        self.scheduler.start({self.keeper.tick: 1, self.cache.look: 1, self.tracker.catch_up: TICK_SECONDS, **looks})

    def start(self) -> None:
        """In the process that talks to MLflow."""
        self.instruments.begin()
        # An agent that ended before this one is nobody's child whose end gunicorn would tell.
        self.instruments.fold()
        if isinstance(self.gateway, MlflowGateway):
            threading.Thread(target=self.gateway.warm, name="mlflow-client", daemon=True).start()
        self.watcher.start()
        self.announcer.start()
        self.checker.start()
        self.scheduler.start(
            {
                self.checker.round: self.settings.check_interval_minutes * 60,
                self.cache.look: 1,
                self.refresher.tick: TICK_SECONDS,
                self.watcher.poll_changes: self.settings.change_poll_seconds if self.tracker.cached else 0,
                self.watcher.poll_aliases: self.settings.alias_poll_seconds if self.tracker.cached else 0,
            }
        )

    def stop(self) -> None:
        """Before a process ends."""
        self.gateway.stop()
        self.scheduler.stop()
        self.watcher.stop()
        self.checker.stop()
        self.announcer.stop()
        if self.keeper:
            self.keeper.stop()


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
        directory = passing_directory()
    try:
        locks = lock_directory()
        # The path of a socket has at most 107 bytes.
        sockets = locks if len(os.fsencode(locks)) <= _LONGEST_DIRECTORY else lock_directory(Path("/tmp"))  # noqa: S108
    except OSError as error:
        raise SystemExit(f"There is no place for lock files: {error}. Set TMPDIR to a directory of your own.") from None
    cache = hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:16]
    counting = instruments()
    return Parts(
        gateway=_gateway(settings, counting),
        cache=FileCache(directory, marks_at(locks / f"marks-{cache}")),
        refresh_locks=FileLocks(locks, f"{directory.resolve()}\n{source}"),
        # Instances with other cache directories may serve the same MLflow: they exclude each other here.
        monitoring_locks=FileLocks(locks, f"{source}\n{settings.monitoring_experiment}"),
        host=Host(locks, sockets, directory),
        instruments=counting,
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


def check_alert_urls(settings: Settings) -> None:
    """See to it that Apprise can use each of `ALERT_URLS`. Raises `BadSetting`, which does not repeat them."""
    if not settings.apprise_urls:
        return
    try:
        bad = not_understood(settings.apprise_urls)
    except (OSError, subprocess.SubprocessError):
        raise BadSetting("ALERT_URLS=(hidden): Apprise, which is to use them, cannot be loaded") from None
    if bad:
        raise BadSetting(f"ALERT_URLS=(hidden): Apprise does not understand number {bad[0]} of them")


def source_of(settings: Settings) -> str:
    """A name for the MLflow that is mirrored, without its credentials."""
    return hashlib.sha256(without_userinfo(settings.tracking_uri).encode()).hexdigest()[:16]


def instruments() -> "Instruments":
    """What this process counts with; together with others where there is a directory for that, and room in it."""
    place = shared_place()
    if place is not None:
        try:
            reserve(place, os.getpid())
        except OSError as error:
            log.warning("This process counts for itself: there is no room in %s (%s)", place, error)
            place = None
            del os.environ[VARIABLE]
    # It looks at the environment when it is imported, and never again.
    from app.services.telemetry.instruments import Instruments  # noqa: PLC0415

    return Instruments(place, counting_locks(place) if place else None)


def counting_locks(place: Path) -> FileLocks:
    """The locks of those who count together."""
    return FileLocks(place, "counting")


def passing_directory() -> Path:
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
    agent = Agent()
    counting = parts.instruments or instruments()

    def elsewhere(target: str, here: Any) -> Any:
        return Elsewhere(agent, target, here, AGENT_METHODS[target]) if parts.host else here

    gateway: Gateway = elsewhere("gateway", parts.gateway)
    snapshots = Snapshots(parts.cache, parts.refresh_locks, Source(source, rules))
    journal = Journal(parts.cache, parts.clock, timeout, counting)
    updater = Updater(
        gateway, snapshots, journal, parts.refresh_locks, rules, parts.clock, UpdaterOptions(interval, timeout, cached)
    )
    tracker = ModelTracker(
        snapshots,
        elsewhere("updater", updater),
        rules,
        parts.clock,
        TrackerOptions(cached, settings.enable_mock_data, interval + _OVERDUE_SECONDS),
    )
    manager = MonitoringManager(gateway, parts.cache, parts.monitoring_locks, parts.clock, source, cached, tracker)
    counter = RunCounter(gateway, parts.cache, parts.clock, source, cached)
    max_age = int(settings.cache_max_age_hours * _HOUR_MS)
    checks = Checks(parts.cache, parts.monitoring_locks, source)
    generations = Generations(tracker, manager, checks, rules, settings.stale_after_days)
    lists = CatalogueOptions(settings.max_models_returned, max_age)
    catalogue = Catalogue(tracker, manager, generations, counter, parts.clock, lists)
    watcher = Watcher(gateway, snapshots, updater, journal, parts.clock, timeout)
    refresher = Refresher(updater, watcher if cached else None, manager, counter, parts.clock, timeout)

    def told(receiver_id: str, changes: Sequence[VerdictChange]) -> None:
        checker.told(receiver_id, changes)

    announcer = Announcer(_receivers(settings, parts.clock), told)
    checker = Checker(
        gateway, tracker, manager, checks, announcer, parts.monitoring_locks, journal, parts.clock, timeout
    )
    health = Health(gateway, parts.cache, parts.refresh_locks, parts.clock)
    report = ReportOptions(
        settings.enable_cache_persistence,
        str(settings.cache_directory),
        settings.cache_max_age_hours,
        {
            "push": settings.mlflow_webhook_secret is not None,
            "changes": cached and settings.change_poll_seconds > 0,
            "aliases": cached and settings.alias_poll_seconds > 0,
            "sweep": cached,
            "checks": settings.check_interval_minutes > 0,
        },
    )
    return Tower(
        settings=settings,
        gateway=gateway,
        cache=parts.cache,
        tracker=tracker,
        manager=manager,
        catalogue=catalogue,
        drift=Drift(gateway, tracker, manager, parts.clock),
        comparison=Comparison(gateway, rules, parts.clock),
        runs=Runs(gateway),
        health_report=HealthReport(health, tracker, journal, manager, catalogue),
        updates=elsewhere("refresher", refresher),
        refresher=refresher,
        updater=updater,
        watcher=watcher,
        observers=elsewhere("checker", checker),
        announcer=announcer,
        checker=checker,
        checks=checks,
        monitoring=MonitoringReport(
            gateway, tracker, manager, checks, generations, parts.clock, settings.max_models_returned
        ),
        cache_report=CacheReport(snapshots, journal, tracker, catalogue, health, parts.clock, report),
        scheduler=Scheduler(),
        agent=agent,
        keeper=_keeper(settings, parts.host) if parts.host else None,
        keys=KeyRing(settings.api_tokens_file) if settings.api_tokens_file else None,
        assets=Assets(ROOT / "app" / "static"),
        clock=parts.clock,
        instruments=counting,
        exposition=_exposition(counting, tracker, manager, checks, journal, health, parts.clock, interval),
    )


def _receivers(settings: Settings, clock: Clock) -> list[Receiver]:
    """Who is told of changes of verdict."""
    receivers: list[Receiver] = []
    url, secret = settings.alert_webhook_url, settings.alert_webhook_secret
    if url:
        receivers.append(WebhookReceiver(url.get_secret_value(), secret.get_secret_value() if secret else None, clock))
    kinds = [kind_of(one) for one in settings.apprise_urls]
    for place, (kind, one) in enumerate(zip(kinds, settings.apprise_urls, strict=True), 1):
        # Two of a kind are told apart by their places in ALERT_URLS.
        receivers.append(AppriseReceiver(one, kind if kinds.count(kind) == 1 else f"{kind} (number {place})"))
    return receivers


def _exposition(
    counting: "Instruments",
    tracker: ModelTracker,
    manager: MonitoringManager,
    checks: Checked,
    journal: Journal,
    health: Health,
    clock: Clock,
    interval: float,
) -> "Exposition":
    # Here for the same reason as above.
    from app.services.telemetry.exposition import Exposition  # noqa: PLC0415
    from app.services.telemetry.state import State  # noqa: PLC0415

    return Exposition(counting, State(tracker, manager, checks, journal, health, clock, interval))


def _keeper(settings: Settings, host: Host) -> Keeper:
    # The agent shares this cache, also where it is one that passes.
    agents = settings.model_copy(update={"cache_directory": host.cache, "enable_cache_persistence": True})
    return Keeper(host.sockets, FileLocks(host.locks, "agent"), agents)


def _gateway(settings: Settings, counting: "Instruments") -> MlflowGateway:
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
        telemetry=counting,
    )
