"""What a worker and the agent both have: the stores that they share on this host, and the services over them."""

from dataclasses import dataclass

from app.domain.ports import CheckTrigger, Gateway, HistorySource, Holder, RefreshTrigger, SnapshotSource
from app.domain.registry.codec import Source
from app.domain.registry.stages import StageRules, stage_rules
from app.services.host.holding_cache import HoldingCache
from app.services.mirror.journal import Journal
from app.services.mirror.model_tracker import ModelTracker, TrackerOptions
from app.services.mirror.run_counter import RunCounter
from app.services.mirror.snapshots import Snapshots
from app.services.monitoring.checks import Checks
from app.services.monitoring.histories import Histories
from app.services.monitoring.monitor_run_writer import MonitorRunWriter
from app.services.monitoring.registration_list import RegistrationList
from app.wiring.world import World, source_of
from config import Settings


@dataclass(frozen=True)
class AgentApi:
    """Everything that a worker may have the agent do, in whatever process the agent is."""

    gateway: Gateway
    snapshot_source: SnapshotSource
    refresh_trigger: RefreshTrigger
    check_trigger: CheckTrigger
    history_source: HistorySource
    holder: Holder


@dataclass(frozen=True)
class Stores:
    """This process's view of what the processes of a host share. `interval` between sweeps in seconds."""

    source: str
    rules: StageRules
    interval: float
    cache: HoldingCache
    snapshots: Snapshots
    journal: Journal
    checks: Checks
    histories: Histories


@dataclass(frozen=True)
class Services:
    """The registry, the registrations and the count of runs, as this process knows them; and what writes to MLflow."""

    tracker: ModelTracker
    registrations: RegistrationList
    writer: MonitorRunWriter
    counter: RunCounter


def rules_of(settings: Settings) -> StageRules:
    """Which aliases stand for which stage."""
    return stage_rules(settings.production_aliases, settings.staging_aliases)


def stores(settings: Settings, world: World, holder: Holder | None = None) -> Stores:
    """The stores; nothing of them asks MLflow. `holder` is the agent's cache, for a worker."""
    cache = HoldingCache(world.cache, holder)
    source = source_of(settings)
    rules = rules_of(settings)
    return Stores(
        source=source,
        rules=rules,
        # A snapshot that counts as stale is due, however rarely one is to be read otherwise.
        interval=min(settings.cache_refresh_interval_minutes * 60, settings.cache_max_age_hours * 3600),
        cache=cache,
        snapshots=Snapshots(cache, world.refresh_locks, Source(source, rules)),
        journal=Journal(cache, world.clock, settings.cache_timeout_seconds, world.instruments),
        checks=Checks(cache, world.monitoring_locks, source),
        # Two instances with other cache directories have a history each.
        histories=Histories(world.cache, world.refresh_locks, source),
    )


def services(
    settings: Settings, world: World, shared: Stores, gateway: Gateway, snapshot_source: SnapshotSource
) -> Services:
    """The services; `gateway` and `snapshot_source` are this process's ways to MLflow."""
    cached = settings.enable_cache
    options = TrackerOptions(cached, settings.enable_mock_data)
    tracker = ModelTracker(shared.snapshots, snapshot_source, shared.rules, world.clock, options)
    locks = world.monitoring_locks
    registrations = RegistrationList(gateway, shared.cache, locks, world.monotonic, shared.source, cached, tracker)
    writer = MonitorRunWriter(gateway, registrations, tracker, locks, world.clock)
    counter = RunCounter(gateway, shared.cache, world.clock, world.monotonic, shared.source, cached)
    return Services(tracker, registrations, writer, counter)
