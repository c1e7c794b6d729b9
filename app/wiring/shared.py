"""The objects that a worker and the agent both have: the stores shared on this host, and the services over them."""

from dataclasses import dataclass

from app.domain.ports import CheckTrigger, Gateway, HistorySource, Holder, RefreshTrigger, SnapshotSource
from app.domain.registry.codec import Source
from app.domain.registry.stages import StageRules, stage_rules
from app.services.host.holding_cache import HoldingCache
from app.services.mirror.journal import Journal
from app.services.mirror.model_tracker import ModelTracker, TrackerOptions
from app.services.mirror.run_counter import RunCounter
from app.services.mirror.server_record import ServerRecord
from app.services.mirror.snapshots import Snapshots
from app.services.monitoring.checks import Checks
from app.services.monitoring.histories import Histories
from app.services.monitoring.monitor_run_writer import MonitorRunWriter
from app.services.monitoring.registration_list import RegistrationList
from app.wiring.world import World, source_of
from config import Settings


@dataclass(frozen=True)
class AgentApi:
    """The agent's objects that a worker may call, in whatever process the agent runs."""

    gateway: Gateway
    snapshot_source: SnapshotSource
    refresh_trigger: RefreshTrigger
    check_trigger: CheckTrigger
    history_source: HistorySource
    holder: Holder


@dataclass(frozen=True)
class Stores:
    """This process's view of what the processes of a host share. `interval` is the time between sweeps, in seconds."""

    source: str
    rules: StageRules
    interval: float
    cache: HoldingCache
    snapshots: Snapshots
    journal: Journal
    checks: Checks
    histories: Histories
    server: ServerRecord


@dataclass(frozen=True)
class Services:
    """This process's view of the registry, the registrations and the number of runs; and the writer of monitor runs."""

    tracker: ModelTracker
    registrations: RegistrationList
    writer: MonitorRunWriter
    counter: RunCounter


def rules_of(settings: Settings) -> StageRules:
    """The rules that say which alias stands for which stage."""
    return stage_rules(settings.production_aliases, settings.staging_aliases)


def stores(settings: Settings, world: World, holder: Holder | None = None) -> Stores:
    """Build the stores, which never ask MLflow. A worker passes the agent's cache as `holder`."""
    cache = HoldingCache(world.cache, holder)
    source = source_of(settings)
    rules = rules_of(settings)
    return Stores(
        source=source,
        rules=rules,
        # A stale snapshot is due for a sweep, even where the refresh interval is longer.
        interval=min(settings.cache_refresh_interval_minutes * 60, settings.cache_max_age_hours * 3600),
        cache=cache,
        snapshots=Snapshots(cache, world.refresh_locks, Source(source, rules)),
        journal=Journal(cache, world.clock, settings.cache_timeout_seconds, world.instruments),
        checks=Checks(cache, world.monitoring_locks, source),
        # Instances with different cache directories keep separate histories.
        histories=Histories(world.cache, world.refresh_locks, source),
        server=ServerRecord(cache, source, world.monotonic),
    )


def services(
    settings: Settings, world: World, shared: Stores, gateway: Gateway, snapshot_source: SnapshotSource
) -> Services:
    """Build the services. `gateway` and `snapshot_source` are this process's ways to MLflow."""
    cached = settings.enable_cache
    options = TrackerOptions(cached, settings.enable_mock_data)
    tracker = ModelTracker(shared.snapshots, snapshot_source, shared.rules, world.clock, options)
    locks = world.monitoring_locks
    registrations = RegistrationList(gateway, shared.cache, locks, world.monotonic, shared.source, cached, tracker)
    writer = MonitorRunWriter(gateway, registrations, tracker, locks, world.clock)
    counter = RunCounter(gateway, shared.cache, world.clock, world.monotonic, shared.source, cached)
    return Services(tracker, registrations, writer, counter)
