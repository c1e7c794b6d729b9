"""The agent's objects: they read MLflow on a schedule, judge the monitored versions and send alerts."""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.domain.errors import Busy
from app.domain.ports import (
    DataWrites,
    Gateway,
    HistorySource,
    MlflowFacts,
    OtherHosts,
    OwnGateway,
    PromotionWrites,
    RefreshTrigger,
    RegistrationSource,
    RegistrationWrites,
    RegistryHistorySource,
    RuleWrites,
    SnapshotSource,
    ValueHolder,
    WatchWrites,
    WritableCache,
)
from app.services.agent import remove_abandoned_sockets
from app.services.alerts import Announcer
from app.services.host.holding_cache import HoldingCache
from app.services.host.other_hosts import Alone, Leading
from app.services.host.scheduler import TICK_SECONDS, Jobs, Scheduler
from app.services.host.temporary_directory import remove_leftovers
from app.services.mirror.change_detector import ChangeDetector
from app.services.mirror.change_recorder import ChangeRecorder
from app.services.mirror.facts import SharedFacts
from app.services.mirror.health import Probe
from app.services.mirror.journal import JournalWriter
from app.services.mirror.model_tracker import ModelTracker
from app.services.mirror.registry_records import RegistryRecordStore
from app.services.mirror.run_counter import RunCounter
from app.services.mirror.server_record import ServerRecorder
from app.services.mirror.snapshot_publisher import PublisherOptions, SnapshotPublisher
from app.services.mirror.snapshots import SnapshotStore
from app.services.monitoring.checker import Checker
from app.services.monitoring.checks import CheckStore
from app.services.monitoring.data_reports import DataReportStore
from app.services.monitoring.historian import Historian
from app.services.monitoring.histories import HistoryStore
from app.services.monitoring.monitor_run_writer import MonitorRunWriter
from app.services.monitoring.reconciler import Reconciler
from app.services.monitoring.recording import recording
from app.services.monitoring.refresh_coordinator import RefreshCoordinator
from app.services.monitoring.registration_desk import RegistrationDesk
from app.services.monitoring.registration_list import RegistrationStore
from app.services.monitoring.rule_desk import RuleDesk
from app.services.monitoring.verdict_record import VerdictRecord
from app.services.monitoring.watch_list import WatchStore
from app.services.monitoring.watcher import Watcher
from app.services.promotion.desk import PromotionDesk
from app.services.promotion.guard import Guard
from app.services.promotion.teller import Teller
from app.wiring.alerts import filters, receivers
from app.wiring.data_drift import DataDrift, data_drift
from app.wiring.promotion import guard_of, promotion_desk
from app.wiring.shared import AgentApi, history_source_of, interval_of, rules_of, snapshot_source_of, tracker_options
from app.wiring.world import World, agent_locks, source_of
from config import Settings

if TYPE_CHECKING:
    from app.wiring.hosts import ManyHosts

log = logging.getLogger(__name__)

# The interval at which the leftovers of killed processes are removed.
_TIDY_SECONDS = 60
# How often the watches are followed without a mirror, which means that all of the registry is read.
_WATCH_SECONDS = 60
# How often is looked for promotions that were left in the middle, or that have waited for too long.
_PROMOTION_SECONDS = 15
# How often moves outside this service are sent again to receivers that did not take them.
_REPEAT_SECONDS = 15
# Importing mlflow takes a core for a second or more. A host among several is to have what the others have before
# that, if Redis answers within this time.
_WARM_AFTER_SECONDS = 5.0


@dataclass(frozen=True)
class Stores:
    """What the agent writes for all processes of this host, and of others where there are several hosts."""

    cache: WritableCache
    holding: HoldingCache
    snapshots: SnapshotStore
    journal: JournalWriter
    checks: CheckStore
    histories: HistoryStore
    registry_records: RegistryRecordStore
    server: ServerRecorder
    data_reports: DataReportStore


@dataclass(frozen=True)
class Services:
    """The registry, the registrations and the figures of MLflow, as the agent has them; the writer of monitor runs."""

    tracker: ModelTracker
    registrations: RegistrationStore
    writer: MonitorRunWriter
    counter: RunCounter
    probe: Probe


@dataclass(frozen=True)
class MirrorObjects:
    """What reads the registry: sweeps and look-ups, polls and deliveries, and the record of its changes."""

    publisher: SnapshotPublisher
    detector: ChangeDetector
    recorder: ChangeRecorder


@dataclass(frozen=True)
class MonitoringObjects:
    """What judges the monitored versions, and what keeps the registrations in line with MLflow."""

    reconciler: Reconciler
    announcer: Announcer
    checker: Checker
    check_soon: Callable[[str, int], None]
    watches: WatchStore
    watcher: Watcher
    rules: RuleDesk
    desk: RegistrationDesk


@dataclass(frozen=True)
class PromotionObjects:
    """What moves versions, and what notices moves outside this service."""

    desk: PromotionDesk
    guard: Guard


@dataclass(frozen=True)
class Agent:
    """The objects of the process that talks to MLflow, with its start and its end.

    MLflow's client is made once this host has what the others have, or when it is first needed.
    """

    settings: Settings
    world: World
    gateway: OwnGateway
    historian: Historian
    stores: Stores
    services: Services
    publisher: SnapshotPublisher
    detector: ChangeDetector
    recorder: ChangeRecorder
    reconciler: Reconciler
    watcher: Watcher
    rules: RuleDesk
    promotions: PromotionDesk
    guard: Guard
    coordinator: RefreshCoordinator
    checker: Checker
    announcer: Announcer
    hosts: Leading
    refresh_trigger: RefreshTrigger
    desk: RegistrationDesk
    data: DataDrift
    scheduler: Scheduler

    @property
    def api(self) -> AgentApi:
        """What workers may call."""
        return AgentApi(
            self.gateway,
            self.publisher,
            self.refresh_trigger,
            self.desk,
            self.services.registrations,
            SharedFacts(self.gateway, self.services.probe, self.services.counter),
            self.historian,
            self.stores.holding,
            self.hosts,
            self.watcher,
            self.recorder,
            self.rules,
            self.data.desk,
            self.promotions,
        )

    def exposed(self) -> Mapping[type, object]:
        """The objects of `api` by interface, for calls from other processes."""
        api = self.api
        return {
            Gateway: api.gateway,
            SnapshotSource: api.snapshot_source,
            RefreshTrigger: api.refresh_trigger,
            RegistrationWrites: api.registration_writes,
            RegistrationSource: api.registration_source,
            MlflowFacts: api.mlflow_facts,
            HistorySource: api.history_source,
            ValueHolder: api.holder,
            OtherHosts: api.other_hosts,
            WatchWrites: api.watch_writes,
            RegistryHistorySource: api.registry_history_source,
            RuleWrites: api.rule_writes,
            DataWrites: api.data_writes,
            PromotionWrites: api.promotion_writes,
        }

    def start(self) -> None:
        """Start to read MLflow, to judge and to send alerts."""
        self.world.instruments.begin()
        # No hook of gunicorn reports the end of an earlier agent, so its counts are folded here.
        self.world.instruments.fold()
        self.hosts.start()
        threading.Thread(target=self._warm, name="mlflow-client", daemon=True).start()
        self.detector.start()
        self.announcer.start()
        self.checker.start()
        self.data.judge.start()
        self.scheduler.start(self._jobs())

    def _jobs(self) -> Jobs:
        settings, cached = self.settings, self.settings.enable_cache
        promotes = settings.enable_promotion
        only_leader = {
            self.checker.round: settings.check_interval_minutes * 60,
            self.coordinator.tick: TICK_SECONDS,
            self.watcher.tick: 1 if cached else _WATCH_SECONDS,
            self.historian.tick: TICK_SECONDS if cached else 0,
            self.recorder.tick: 1 if cached else 0,
            self.promotions.tick: _PROMOTION_SECONDS if promotes else 0,
            self.guard.tick: 1 if promotes and cached else 0,
            self.guard.repeat: _REPEAT_SECONDS if promotes and cached else 0,
            lambda: self.stores.server.update(self.world.gateway): TICK_SECONDS,
            self.data.judge.tick: TICK_SECONDS,
            self.detector.poll_changes: settings.change_poll_seconds if cached else 0,
            self.detector.poll_aliases: settings.alias_poll_seconds if cached else 0,
        }
        return {
            self.stores.cache.look: 1,
            self.world.instruments.look: 1,
            lambda: tidy(self.world): _TIDY_SECONDS,
            self.coordinator.count: TICK_SECONDS,
            **{_as_leader(self.hosts, job): seconds for job, seconds in only_leader.items()},
        }

    def _warm(self) -> None:
        self.hosts.await_others(_WARM_AFTER_SECONDS)
        self.world.gateway.warm()

    def stop(self) -> None:
        """Stop all threads, before the process ends."""
        self.hosts.stop()
        self.world.gateway.stop()
        self.scheduler.stop()
        self.detector.stop()
        self.checker.stop()
        self.data.judge.stop()
        self.announcer.stop()


def build_agent(settings: Settings, world: World) -> Agent:
    """Build the agent's objects, room by room, and hand them to each other."""
    holding = HoldingCache(world.cache)
    many = _many_hosts(settings, world, holding)
    world = many.world if many else world
    hosts: Leading = many.hosts if many else Alone()
    stores = _stores(settings, world, world.cache if many else holding, holding)
    timeout = settings.cache_timeout_seconds
    historian = Historian(world.gateway, stores.histories, stores.snapshots, world.clock, timeout)
    gateway: OwnGateway = recording(world.gateway, historian) if settings.enable_cache else world.gateway
    mirror = _mirror(settings, world, stores, gateway)
    own = _services(settings, world, stores, gateway, mirror.publisher)
    monitoring = _monitoring(settings, world, stores, gateway, own, mirror.publisher, hosts, many)
    promotion = _promotion(settings, world, stores, gateway, own, mirror, monitoring.watches, hosts)
    data = data_drift(world, gateway, own, stores.data_reports, monitoring.check_soon, hosts.settle)
    detector = mirror.detector if settings.enable_cache else None
    coordinator = RefreshCoordinator(
        mirror.publisher,
        detector,
        monitoring.reconciler,
        monitoring.watcher,
        own.counter,
        stores.journal,
        world.clock,
        timeout,
    )
    refresh_trigger: RefreshTrigger = coordinator
    if many:
        refresh_trigger = _led(many, stores, coordinator, detector, monitoring.checker, historian)
    return Agent(
        settings=settings,
        world=world,
        gateway=gateway,
        historian=historian,
        stores=stores,
        services=own,
        publisher=mirror.publisher,
        detector=mirror.detector,
        recorder=mirror.recorder,
        reconciler=monitoring.reconciler,
        watcher=monitoring.watcher,
        rules=monitoring.rules,
        promotions=promotion.desk,
        guard=promotion.guard,
        coordinator=coordinator,
        checker=monitoring.checker,
        announcer=monitoring.announcer,
        hosts=hosts,
        refresh_trigger=refresh_trigger,
        desk=monitoring.desk,
        data=data,
        scheduler=Scheduler(),
    )


def _mirror(settings: Settings, world: World, stores: Stores, gateway: OwnGateway) -> MirrorObjects:
    """Build what reads the registry."""
    clock, timeout = world.clock, settings.cache_timeout_seconds
    publisher = SnapshotPublisher(
        gateway,
        stores.snapshots,
        stores.journal,
        world.refresh_locks,
        rules_of(settings),
        clock,
        world.monotonic,
        PublisherOptions(interval_of(settings), timeout, settings.enable_cache),
    )
    recorder = ChangeRecorder(
        world.gateway,
        stores.registry_records,
        stores.snapshots,
        publisher.looks,
        world.monitoring_locks,
        clock,
        timeout,
        int((settings.alias_poll_seconds or interval_of(settings)) * 1000),
    )
    return MirrorObjects(
        publisher, ChangeDetector(gateway, stores.snapshots, publisher, stores.journal, timeout), recorder
    )


def _monitoring(
    settings: Settings,
    world: World,
    stores: Stores,
    gateway: OwnGateway,
    own: Services,
    publisher: SnapshotPublisher,
    hosts: Leading,
    many: "ManyHosts | None",
) -> MonitoringObjects:
    """Build what judges the monitored versions, and what keeps the registrations in line with MLflow."""
    clock = world.clock
    reconciler = Reconciler(gateway, own.registrations, own.writer)
    announcer = Announcer(receivers(settings, clock), own.writer, may_send=hosts.may_lead)
    checker = Checker(
        gateway,
        own.tracker,
        stores.checks,
        VerdictRecord(own.writer, own.registrations, announcer.receiver_ids),
        announcer,
        world.monitoring_locks,
        stores.journal,
        clock,
        settings.cache_timeout_seconds,
        stores.snapshots.ticket,
        own.registrations,
        settings.public_url,
        filters(settings),
        stores.data_reports.summary,
    )
    check_soon = _check_soon(many, checker)
    watches = WatchStore(gateway, stores.cache, source_of(settings), settings.enable_cache)
    watcher = Watcher(
        gateway,
        watches,
        own.registrations,
        own.writer,
        own.tracker,
        publisher,
        world.monitoring_locks,
        clock,
        check_soon,
        hosts.settle,
        reconciler,
    )
    rules = RuleDesk(watcher, watches, own.writer, own.tracker, clock, hosts.settle)
    desk = RegistrationDesk(own.writer, rules, check_soon, hosts.settle)
    return MonitoringObjects(reconciler, announcer, checker, check_soon, watches, watcher, rules, desk)


def _promotion(
    settings: Settings,
    world: World,
    stores: Stores,
    gateway: OwnGateway,
    own: Services,
    mirror: MirrorObjects,
    watches: WatchStore,
    hosts: Leading,
) -> PromotionObjects:
    """Build what moves versions, and what notices moves outside this service."""
    teller = Teller(receivers(settings, world.clock), gateway, world.clock, settings.public_url)
    desk = promotion_desk(
        settings,
        world,
        gateway,
        own,
        mirror.publisher,
        mirror.recorder,
        watches,
        hosts.settle,
        teller,
        stores.data_reports,
    )
    guard = guard_of(settings, gateway, stores.registry_records, stores.cache, teller, own.tracker, filters(settings))
    return PromotionObjects(desk, guard)


def _many_hosts(settings: Settings, world: World, holding: HoldingCache) -> "ManyHosts | None":
    """What this host has of others; None where it is alone."""
    if settings.redis_url is None:
        return None
    # A host that is alone does without redis-py.
    from app.wiring.hosts import many_hosts  # noqa: PLC0415

    return many_hosts(settings, world, holding)


def _led(
    many: "ManyHosts",
    shared: Stores,
    coordinator: RefreshCoordinator,
    detector: ChangeDetector | None,
    checker: Checker,
    historian: Historian,
) -> RefreshTrigger:
    """Hand the leader its work. Returns what passes the refreshes of a host on to the leader."""
    # It imports redis-py, which a host that is alone does without.
    from app.services.monitoring.leader_tasks import HostsTriggers, LeaderTasks  # noqa: PLC0415

    many.hosts.lead_with(
        LeaderTasks(many.inbox, many.seed, shared.snapshots, coordinator, detector, checker, historian)
    )
    return HostsTriggers(many.inbox, coordinator, many.hosts.settle)


def _check_soon(many: "ManyHosts | None", checker: Checker) -> Callable[[str, int], None]:
    """What has a version checked within seconds: among several hosts by the leader."""
    if many is None:
        return checker.check_soon
    from app.services.monitoring.leader_tasks import checks_by_leader  # noqa: PLC0415

    return checks_by_leader(many.inbox)


def _as_leader(hosts: Leading, job: Callable[[], None]) -> Callable[[], None]:
    """The same job, done only while this host leads."""

    def do() -> None:
        try:
            with hosts.leading():
                job()
        except Busy as error:
            log.debug("A job is left to the leader: %s", error.detail)

    return do


def _stores(settings: Settings, world: World, cache: WritableCache, holding: HoldingCache) -> Stores:
    """Build the stores, which never ask MLflow."""
    source = source_of(settings)
    return Stores(
        cache=cache,
        holding=holding,
        snapshots=SnapshotStore(cache, world.refresh_locks, snapshot_source_of(settings)),
        journal=JournalWriter(cache, world.clock, settings.cache_timeout_seconds, world.instruments),
        checks=CheckStore(cache, world.monitoring_locks, source),
        # Instances with different cache directories keep separate histories.
        histories=HistoryStore(world.cache, world.refresh_locks, source),
        registry_records=RegistryRecordStore(world.cache, world.refresh_locks, history_source_of(settings)),
        server=ServerRecorder(cache, source, world.monotonic),
        data_reports=DataReportStore(cache, world.monitoring_locks, history_source_of(settings)),
    )


def _services(
    settings: Settings, world: World, shared: Stores, gateway: OwnGateway, publisher: SnapshotPublisher
) -> Services:
    cached, source, cache = settings.enable_cache, source_of(settings), shared.cache
    tracker = ModelTracker(shared.snapshots, publisher, rules_of(settings), world.clock, tracker_options(settings))
    locks = world.monitoring_locks
    registrations = RegistrationStore(gateway, cache, locks, world.monotonic, source, cached, tracker)
    marks = world.host.marks if world.host else None
    note_turns = marks.note_writes if marks else None
    writer = MonitorRunWriter(gateway, registrations, tracker, locks, world.clock, note_turns)
    counter = RunCounter(gateway, cache, world.clock, world.monotonic, source, cached)
    probe = Probe(gateway, cache, world.refresh_locks, world.clock, world.monotonic)
    return Services(tracker, registrations, writer, counter, probe)


def tidy(world: World) -> None:
    """Remove the leftovers of killed processes on this host."""
    remove_leftovers()
    if world.host is not None:
        remove_abandoned_sockets(world.host.sockets, agent_locks(world.host))
