"""A worker's objects: they answer requests. A worker leaves MLflow to the agent."""

import logging
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.domain.ports import (
    Clock,
    DataWrites,
    Gateway,
    HistorySource,
    MlflowFacts,
    OtherHosts,
    PromotionWrites,
    RefreshTrigger,
    RegistrationSource,
    RegistrationWrites,
    RegistryHistorySource,
    RuleWrites,
    SnapshotSource,
    ValueHolder,
    WatchWrites,
)
from app.domain.times import HOUR_MS
from app.domain.updates import ALIASES, CHANGES, CHECKS, PUSH, SWEEP
from app.services.agent import AgentLink, Keeper, remote
from app.services.answers.assets import Assets
from app.services.answers.cache_report import CacheReport, ReportOptions
from app.services.answers.catalogue import Catalogue, CatalogueOptions
from app.services.answers.coverage_report import CoverageReport
from app.services.answers.data_report import DataReport
from app.services.answers.generations import Generations
from app.services.answers.health_report import HealthReport
from app.services.answers.history_report import HistoryReport
from app.services.answers.monitoring_report import MonitoringReport
from app.services.answers.promotions_report import PromotionsReport
from app.services.answers.registry_history_report import RegistryHistoryReport
from app.services.answers.runs import Runs
from app.services.host.holding_cache import ReadingCache
from app.services.host.keys import KeyRing
from app.services.host.other_hosts import Following, HostsRecord
from app.services.host.scheduler import TICK_SECONDS, Jobs, Scheduler, together
from app.services.host.temporary_directory import keep_directories
from app.services.mirror.deliveries import DeliveryDesk
from app.services.mirror.health import Health
from app.services.mirror.journal import Journal
from app.services.mirror.model_tracker import ModelTracker
from app.services.mirror.registry_records import RegistryRecords
from app.services.mirror.run_counter import RunCount
from app.services.mirror.server_record import ServerRecord
from app.services.mirror.snapshots import Snapshots
from app.services.mlflow_gateway.store import ensure_store
from app.services.monitoring.checks import Checks
from app.services.monitoring.comparison import Comparison
from app.services.monitoring.data_reports import DataReports
from app.services.monitoring.data_requests import DataRequests
from app.services.monitoring.drift import Drift
from app.services.monitoring.histories import Histories
from app.services.monitoring.registration_list import RegistrationList
from app.services.monitoring.registration_requests import RegistrationRequests
from app.services.monitoring.rule_requests import RuleRequests
from app.services.monitoring.watch_list import WatchList
from app.services.monitoring.watch_requests import WatchRequests
from app.services.promotion.guard import OutsideMoves
from app.services.promotion.requests import PromotionRequests
from app.wiring.preparing import check_alert_urls, check_cache_directory, check_driver, check_hosts
from app.wiring.public_config import public_config
from app.wiring.shared import AgentApi, history_source_of, interval_of, rules_of, snapshot_source_of, tracker_options
from app.wiring.world import Host, World, agent_locks, patience_of, source_of
from config import ROOT, Settings, as_json

if TYPE_CHECKING:
    from app.services.telemetry.exposition import Exposition

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Copies:
    """This worker's copies of what the agent shares. `hosts` is None where there is one host."""

    cache: ReadingCache
    snapshots: Snapshots
    tracker: ModelTracker
    journal: Journal
    runs: RunCount
    server: ServerRecord
    health: Health
    registry_records: RegistryRecords
    registrations: RegistrationList
    watches: WatchList
    checks: Checks
    histories: Histories
    data: DataReports
    outside: OutsideMoves
    hosts: HostsRecord | None


@dataclass(frozen=True)
class Tower:
    """Everything that a view may call. `config` is the body of `GET /config`."""

    catalogue: Catalogue
    registrations: RegistrationRequests
    watches: WatchRequests
    rules: RuleRequests
    coverage: CoverageReport
    monitoring: MonitoringReport
    history: HistoryReport
    registry_history: RegistryHistoryReport
    promotions: PromotionRequests
    promotions_report: PromotionsReport
    drift: Drift
    comparison: Comparison
    runs: Runs
    mirror: ModelTracker
    refresh_trigger: RefreshTrigger
    deliveries: DeliveryDesk
    health_report: HealthReport
    cache_report: CacheReport
    exposition: "Exposition"
    keys: KeyRing | None
    assets: Assets
    config: dict[str, Any]
    mlflow_ui_url: str
    clock: Clock
    data: DataRequests
    data_report: DataReport
    max_batch_mb: int


@dataclass(frozen=True)
class Worker:
    """A process that answers requests: the objects that its views call, with its start and its end.

    `link` and `keeper` are None where the agent's objects are in this process, as in tests.
    """

    settings: Settings
    world: World
    tower: Tower
    scheduler: Scheduler
    jobs: Jobs
    link: AgentLink | None = None
    keeper: Keeper | None = None

    def prepare(self) -> None:
        """Make the embedded store; check the access keys and the alert URLs. Called before any worker is forked."""
        check_alert_urls(self.settings)
        check_driver(self.settings.tracking_uri)
        check_hosts(self.settings, self.world.host)
        check_cache_directory(self.world.host)
        if self.tower.keys:
            log.info("Access keys: %d", self.tower.keys.check())
        ensure_store(self.settings.tracking_uri)

    def serve(self) -> None:
        """Start the threads. Called after the fork, since threads do not survive it."""
        self.world.instruments.begin()
        if self.link is not None and self.keeper is not None:
            self.link.use(self.keeper.address())
        self.scheduler.start(self.jobs)

    def retire(self) -> None:
        """Begin to end: requests that have arrived are still answered."""
        if self.keeper is not None:
            self.keeper.retire()

    def stop(self) -> None:
        """Stop all threads, before the process ends."""
        if self.link is not None:
            self.link.stop()
        self.scheduler.stop()
        if self.keeper is not None:
            self.keeper.stop()


_serving: ContextVar[Tower] = ContextVar("tower")


def serve_with(tower: Tower) -> None:
    """Set what the view of this request may call. Called at the beginning of each request."""
    _serving.set(tower)


def tower() -> Tower:
    """What the views of the application that serves this request may call."""
    return _serving.get()


def build_worker(settings: Settings, world: World, agent: AgentApi | None = None) -> Worker:
    """Build a worker's objects and hand them to each other. `agent` is given where the agent is in this process."""
    link = keeper = None
    if agent is None:
        if world.host is None:
            raise ValueError("a worker needs an agent, or a host where one can be kept")
        link, keeper = AgentLink(patience_of(settings)), _keeper(settings, world.host)
        agent = remote_agent(link)
    copies = _copies(settings, world, agent)
    views = _tower(settings, world, agent, copies)
    looks = [world.instruments.look, keep_directories, *([views.keys.look] if views.keys else [])]
    jobs: dict[Any, float] = {
        # The last asks the agent, which may take a second.
        together(*looks, copies.cache.look): 1,
        copies.tracker.catch_up: TICK_SECONDS,
        views.history.catch_up: TICK_SECONDS,
        views.registry_history.catch_up: TICK_SECONDS,
    }
    if keeper is not None:
        jobs[keeper.tick] = 1
    return Worker(settings, world, views, Scheduler(), jobs, link, keeper)


def _copies(settings: Settings, world: World, agent: AgentApi) -> Copies:
    """Build what reads the values that the agent shares. Each asks the agent for what it lacks."""
    source, rules, cached = source_of(settings), rules_of(settings), settings.enable_cache
    marks = world.host.marks if world.host else None
    following = Following(marks, agent.other_hosts, world.monotonic) if settings.redis_url and marks else None
    cache = ReadingCache(world.cache, agent.holder, following.ensure if following else None)
    snapshots = Snapshots(cache, snapshot_source_of(settings))
    tracker = ModelTracker(snapshots, agent.snapshot_source, rules, world.clock, tracker_options(settings))
    return Copies(
        cache=cache,
        snapshots=snapshots,
        tracker=tracker,
        journal=Journal(cache, world.clock, settings.cache_timeout_seconds),
        runs=RunCount(cache, agent.mlflow_facts, world.monotonic, source, cached),
        server=ServerRecord(cache, source),
        health=Health(cache, agent.mlflow_facts, world.clock, world.monotonic, world.gateway.gives_sign, marks),
        registry_records=RegistryRecords(cache, history_source_of(settings)),
        registrations=RegistrationList(cache, agent.registration_source, world.monotonic, source, cached, tracker),
        watches=WatchList(cache, source, cached),
        checks=Checks(cache, source),
        # Instances with different cache directories keep separate histories.
        histories=Histories(cache, source),
        data=DataReports(cache, history_source_of(settings)),
        outside=OutsideMoves(cache, source, is_enabled=settings.enable_promotion),
        hosts=HostsRecord(cache, marks, world.monotonic) if following and marks else None,
    )


def _tower(settings: Settings, world: World, agent: AgentApi, copies: Copies) -> Tower:
    """Build what views may call: the requests to the agent, and the answers from what it shares."""
    clock, most, rules = world.clock, settings.max_models_returned, rules_of(settings)
    tracker, registrations, watches, checks = copies.tracker, copies.registrations, copies.watches, copies.checks
    max_age = int(settings.cache_max_age_hours * HOUR_MS)
    generations = Generations(
        tracker, registrations, watches, checks, rules, settings.stale_after_days, copies.outside, copies.data
    )
    options = CatalogueOptions(most, max_age)
    catalogue = Catalogue(tracker, registrations, generations, copies.runs, clock, options)
    history = HistoryReport(agent.gateway, tracker, copies.histories, agent.history_source, clock, most, max_age)
    registry_history = RegistryHistoryReport(
        agent.gateway,
        tracker,
        copies.registry_records,
        agent.registry_history_source,
        history,
        registrations,
        rules,
        clock,
        most,
        max_age,
    )
    data_requests = DataRequests(agent.data_writes, copies.data, registrations, world.count, clock)
    secret = settings.mlflow_webhook_secret
    return Tower(
        catalogue=catalogue,
        registrations=RegistrationRequests(agent.registration_writes, registrations, watches),
        watches=WatchRequests(agent.watch_writes, watches, registrations, tracker, checks),
        rules=RuleRequests(agent.rule_writes, watches),
        coverage=CoverageReport(watches, agent.watch_writes, tracker, generations, most),
        monitoring=MonitoringReport(tracker, registrations, watches, checks, generations, clock, most),
        history=history,
        registry_history=registry_history,
        promotions=PromotionRequests(
            agent.promotion_writes,
            is_enabled=settings.enable_promotion,
            has_keys=settings.api_tokens_file is not None,
        ),
        promotions_report=PromotionsReport(
            agent.gateway, tracker, registry_history.newest, clock, most, settings.promotion_expires_hours
        ),
        drift=Drift(agent.gateway, tracker, registrations, clock),
        comparison=Comparison(agent.gateway, rules, clock),
        runs=Runs(agent.gateway),
        mirror=tracker,
        refresh_trigger=agent.refresh_trigger,
        deliveries=DeliveryDesk(secret.get_secret_value() if secret else None, agent.refresh_trigger, clock),
        health_report=HealthReport(copies.health, tracker, copies.journal, registrations, catalogue, copies.hosts),
        cache_report=CacheReport(
            copies.snapshots,
            copies.journal,
            tracker,
            catalogue,
            copies.health,
            copies.server,
            clock,
            _report_options(settings),
        ),
        exposition=_exposition(world, interval_of(settings), copies),
        keys=KeyRing(settings.api_tokens_file) if settings.api_tokens_file else None,
        assets=Assets(ROOT / "app" / "static"),
        config=public_config(settings),
        mlflow_ui_url=settings.mlflow_ui_url or "",
        clock=clock,
        data=data_requests,
        data_report=DataReport(data_requests, copies.data, clock),
        max_batch_mb=settings.max_batch_mb,
    )


def remote_agent(link: AgentLink) -> AgentApi:
    """Stand-ins for the agent's objects, which are in another process of this host."""
    return AgentApi(
        remote(Gateway, link),
        remote(SnapshotSource, link),
        remote(RefreshTrigger, link),
        remote(RegistrationWrites, link),
        remote(RegistrationSource, link),
        remote(MlflowFacts, link),
        remote(HistorySource, link),
        remote(ValueHolder, link),
        remote(OtherHosts, link),
        remote(WatchWrites, link),
        remote(RegistryHistorySource, link),
        remote(RuleWrites, link),
        remote(DataWrites, link),
        remote(PromotionWrites, link),
    )


def _report_options(settings: Settings) -> ReportOptions:
    cached = settings.enable_cache
    return ReportOptions(
        settings.enable_cache_persistence,
        str(settings.cache_directory),
        settings.cache_max_age_hours,
        settings.mlflow_workspace,
        {
            PUSH: settings.mlflow_webhook_secret is not None,
            CHANGES: cached and settings.change_poll_seconds > 0,
            ALIASES: cached and settings.alias_poll_seconds > 0,
            SWEEP: cached,
            CHECKS: settings.check_interval_minutes > 0,
        },
    )


def _exposition(world: World, interval: float, copies: Copies) -> "Exposition":
    # prometheus_client reads the environment only when it is imported, so `count_together` must come first.
    from app.services.telemetry.exposition import Exposition  # noqa: PLC0415 - see above
    from app.services.telemetry.state import State  # noqa: PLC0415 - see above

    marks = world.host.marks if world.host else None
    state = State(
        copies.tracker,
        copies.registrations,
        copies.checks,
        copies.journal,
        copies.health,
        world.clock,
        interval,
        copies.hosts,
        marks.writes if marks else None,
        copies.data.summary,
    )
    return Exposition(world.instruments, state)


def _keeper(settings: Settings, host: Host) -> Keeper:
    # The agent uses this cache even where it is a temporary directory.
    agents = settings.model_copy(update={"cache_directory": host.cache, "enable_cache_persistence": True})
    return Keeper(host.sockets, agent_locks(host), as_json(agents), host.marks)
