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
)
from app.services.agent import remove_abandoned_sockets
from app.services.alerts import Announcer
from app.services.host.holding_cache import HoldingCache
from app.services.host.other_hosts import Alone, Leading
from app.services.host.scheduler import TICK_SECONDS, Jobs, Scheduler, together
from app.services.host.temporary_directory import remove_leftovers
from app.services.mirror.change_detector import ChangeDetector
from app.services.mirror.change_recorder import ChangeRecorder
from app.services.mirror.facts import SharedFacts
from app.services.mirror.snapshot_publisher import SnapshotPublisher
from app.services.monitoring.checker import Checker
from app.services.monitoring.historian import Historian
from app.services.monitoring.reconciler import Reconciler
from app.services.monitoring.recording import recording
from app.services.monitoring.refresh_coordinator import RefreshCoordinator
from app.services.monitoring.registration_desk import RegistrationDesk
from app.services.monitoring.rule_desk import RuleDesk
from app.services.monitoring.watcher import Watcher
from app.services.promotion.desk import PromotionDesk
from app.services.promotion.guard import Guard
from app.wiring.data_drift import DataDrift, data_drift
from app.wiring.mirror import mirror_objects
from app.wiring.monitoring import monitoring_objects
from app.wiring.promotion import promotion_objects
from app.wiring.shared import AgentApi
from app.wiring.stores import Services, Stores, services_of, stores_of
from app.wiring.world import World, agent_locks
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
# Importing mlflow takes a core for half a second or more. A host among several is to have what the others have, and to
# serve it, before that, if Redis answers within this time.
_WARM_AFTER_SECONDS = 5.0


@dataclass(frozen=True)
class Agent:
    """The objects of the process that talks to MLflow, with its start and its end.

    MLflow's client is made once this host has what the others have and serves it, or when it is first needed.
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
            together(self.stores.cache.look, self.world.instruments.look): 1,
            lambda: tidy(self.world): _TIDY_SECONDS,
            self.coordinator.count: TICK_SECONDS,
            **{_as_leader(self.hosts, job): seconds for job, seconds in only_leader.items()},
        }

    def _warm(self) -> None:
        self.hosts.await_others(_WARM_AFTER_SECONDS)
        self.world.gateway.warm()

    def retire(self) -> None:
        """Begin to end: nothing is done on schedule any more, another host may lead, and workers are still answered."""
        self.scheduler.stop()
        self.hosts.resign()

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
    stores = stores_of(settings, world, world.cache if many else holding, holding)
    timeout = settings.cache_timeout_seconds
    historian = Historian(world.gateway, stores.histories, stores.snapshots, world.clock, timeout)
    gateway: OwnGateway = recording(world.gateway, historian) if settings.enable_cache else world.gateway
    mirror = mirror_objects(settings, world, stores, gateway)
    own = services_of(settings, world, stores, gateway, mirror.publisher)
    monitoring = monitoring_objects(settings, world, stores, gateway, own, mirror.publisher, hosts, many)
    promotion = promotion_objects(settings, world, stores, gateway, own, mirror, monitoring.watches, hosts)
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


def _many_hosts(settings: Settings, world: World, holding: HoldingCache) -> "ManyHosts | None":
    """What this host has of others; None where it is alone."""
    if settings.redis_url is None:
        return None
    # A host that is alone does without redis-py.
    from app.wiring.hosts import many_hosts  # noqa: PLC0415 - see above

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
    from app.services.monitoring.leader_tasks import HostsTriggers, LeaderTasks  # noqa: PLC0415 - see above

    many.hosts.lead_with(
        LeaderTasks(many.inbox, many.seed, shared.snapshots, coordinator, detector, checker, historian)
    )
    return HostsTriggers(many.inbox, coordinator, many.hosts.settle)


def _as_leader(hosts: Leading, job: Callable[[], None]) -> Callable[[], None]:
    """The same job, done only while this host leads."""

    def do() -> None:
        try:
            with hosts.leading():
                job()
        except Busy as error:
            log.debug("A job is left to the leader: %s", error.detail)

    return do


def tidy(world: World) -> None:
    """Remove the leftovers of killed processes on this host."""
    remove_leftovers()
    if world.host is not None:
        remove_abandoned_sockets(world.host.sockets, agent_locks(world.host))
