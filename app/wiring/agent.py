"""The agent's objects: they read MLflow on a schedule, judge the monitored versions and send alerts."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from app.domain.ports import (
    Clock,
    Gateway,
    HistorySource,
    Holder,
    MlflowFacts,
    OwnGateway,
    RefreshTrigger,
    RegistrationSource,
    RegistrationWrites,
    SnapshotSource,
)
from app.services.agent import remove_abandoned_sockets
from app.services.alerts import Announcer, AppriseReceiver, Receiver, WebhookReceiver, kind_of
from app.services.host.holding_cache import HoldingCache
from app.services.host.scheduler import TICK_SECONDS, Jobs, Scheduler
from app.services.host.temporary_directory import remove_leftovers
from app.services.mirror.change_detector import ChangeDetector
from app.services.mirror.facts import SharedFacts
from app.services.mirror.health import Probe
from app.services.mirror.journal import JournalWriter
from app.services.mirror.model_tracker import ModelTracker
from app.services.mirror.run_counter import RunCounter
from app.services.mirror.server_record import ServerRecorder
from app.services.mirror.snapshot_publisher import PublisherOptions, SnapshotPublisher
from app.services.mirror.snapshots import SnapshotStore
from app.services.monitoring.checker import Checker
from app.services.monitoring.checks import CheckStore
from app.services.monitoring.historian import Historian
from app.services.monitoring.histories import HistoryStore
from app.services.monitoring.monitor_run_writer import MonitorRunWriter
from app.services.monitoring.reconciler import Reconciler
from app.services.monitoring.recording import recording
from app.services.monitoring.refresh_coordinator import RefreshCoordinator
from app.services.monitoring.registration_desk import RegistrationDesk
from app.services.monitoring.registration_list import RegistrationStore
from app.services.monitoring.verdict_record import VerdictRecord
from app.wiring.shared import AgentApi, interval_of, rules_of, snapshot_source_of, tracker_options
from app.wiring.world import World, agent_locks, source_of
from config import Settings

# The interval at which the leftovers of killed processes are removed.
_TIDY_SECONDS = 60


@dataclass(frozen=True)
class Stores:
    """What the agent writes for all processes of the host."""

    cache: HoldingCache
    snapshots: SnapshotStore
    journal: JournalWriter
    checks: CheckStore
    histories: HistoryStore
    server: ServerRecorder


@dataclass(frozen=True)
class Services:
    """The registry, the registrations and the figures of MLflow, as the agent has them; the writer of monitor runs."""

    tracker: ModelTracker
    registrations: RegistrationStore
    writer: MonitorRunWriter
    counter: RunCounter
    probe: Probe


@dataclass(frozen=True)
class Agent:
    """The objects of the process that talks to MLflow, with its start and its end."""

    world: World
    gateway: OwnGateway
    historian: Historian
    stores: Stores
    services: Services
    publisher: SnapshotPublisher
    detector: ChangeDetector
    reconciler: Reconciler
    coordinator: RefreshCoordinator
    checker: Checker
    announcer: Announcer
    scheduler: Scheduler
    jobs: Jobs

    @property
    def api(self) -> AgentApi:
        """What workers may call."""
        return AgentApi(
            self.gateway,
            self.publisher,
            self.coordinator,
            RegistrationDesk(self.services.writer, self.checker.check_soon),
            self.services.registrations,
            SharedFacts(self.gateway, self.services.probe, self.services.counter),
            self.historian,
            self.stores.cache,
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
            Holder: api.holder,
        }

    def start(self) -> None:
        """Start to read MLflow, to judge and to send alerts."""
        self.world.instruments.begin()
        # No hook of gunicorn reports the end of an earlier agent, so its counts are folded here.
        self.world.instruments.fold()
        threading.Thread(target=self.world.gateway.warm, name="mlflow-client", daemon=True).start()
        self.detector.start()
        self.announcer.start()
        self.checker.start()
        self.scheduler.start(self.jobs)

    def stop(self) -> None:
        """Stop all threads, before the process ends."""
        self.world.gateway.stop()
        self.scheduler.stop()
        self.detector.stop()
        self.checker.stop()
        self.announcer.stop()


def build_agent(settings: Settings, world: World) -> Agent:
    """Build the agent's objects and hand them to each other."""
    clock, timeout = world.clock, settings.cache_timeout_seconds
    cached = settings.enable_cache
    shared = _stores(settings, world)
    historian = Historian(world.gateway, shared.histories, shared.snapshots, clock, timeout)
    gateway: OwnGateway = recording(world.gateway, historian) if cached else world.gateway
    options = PublisherOptions(interval_of(settings), timeout, cached)
    publisher = SnapshotPublisher(
        gateway,
        shared.snapshots,
        shared.journal,
        world.refresh_locks,
        rules_of(settings),
        clock,
        world.monotonic,
        options,
    )
    own = _services(settings, world, shared, gateway, publisher)
    detector = ChangeDetector(gateway, shared.snapshots, publisher, shared.journal, timeout)
    reconciler = Reconciler(gateway, own.registrations, own.writer)
    coordinator = RefreshCoordinator(publisher, detector if cached else None, reconciler, own.counter, clock, timeout)
    announcer = Announcer(receivers(settings, clock), own.writer.mark_notified)
    record = VerdictRecord(own.writer, own.registrations, announcer.receiver_ids)
    checker = Checker(
        gateway,
        own.tracker,
        shared.checks,
        record,
        announcer,
        world.monitoring_locks,
        shared.journal,
        clock,
        timeout,
        shared.snapshots.ticket,
        own.registrations,
    )
    jobs: Jobs = {
        checker.round: settings.check_interval_minutes * 60,
        shared.cache.look: 1,
        world.instruments.look: 1,
        lambda: tidy(world): _TIDY_SECONDS,
        coordinator.tick: TICK_SECONDS,
        historian.tick: TICK_SECONDS if cached else 0,
        coordinator.count: TICK_SECONDS,
        lambda: shared.server.update(world.gateway): TICK_SECONDS,
        detector.poll_changes: settings.change_poll_seconds if cached else 0,
        detector.poll_aliases: settings.alias_poll_seconds if cached else 0,
    }
    return Agent(
        world,
        gateway,
        historian,
        shared,
        own,
        publisher,
        detector,
        reconciler,
        coordinator,
        checker,
        announcer,
        Scheduler(),
        jobs,
    )


def _stores(settings: Settings, world: World) -> Stores:
    """Build the stores, which never ask MLflow."""
    cache, source = HoldingCache(world.cache), source_of(settings)
    return Stores(
        cache=cache,
        snapshots=SnapshotStore(cache, world.refresh_locks, snapshot_source_of(settings)),
        journal=JournalWriter(cache, world.clock, settings.cache_timeout_seconds, world.instruments),
        checks=CheckStore(cache, world.monitoring_locks, source),
        # Instances with different cache directories keep separate histories.
        histories=HistoryStore(world.cache, world.refresh_locks, source),
        server=ServerRecorder(cache, source, world.monotonic),
    )


def _services(
    settings: Settings, world: World, shared: Stores, gateway: OwnGateway, publisher: SnapshotPublisher
) -> Services:
    cached, source, cache = settings.enable_cache, source_of(settings), shared.cache
    tracker = ModelTracker(shared.snapshots, publisher, rules_of(settings), world.clock, tracker_options(settings))
    locks = world.monitoring_locks
    registrations = RegistrationStore(gateway, cache, locks, world.monotonic, source, cached, tracker)
    writer = MonitorRunWriter(gateway, registrations, tracker, locks, world.clock)
    counter = RunCounter(gateway, cache, world.clock, world.monotonic, source, cached)
    probe = Probe(gateway, cache, world.refresh_locks, world.clock, world.monotonic)
    return Services(tracker, registrations, writer, counter, probe)


def tidy(world: World) -> None:
    """Remove the leftovers of killed processes on this host."""
    remove_leftovers()
    if world.host is not None:
        remove_abandoned_sockets(world.host.sockets, agent_locks(world.host))


def receivers(settings: Settings, clock: Clock) -> list[Receiver]:
    """The receivers of alerts that the settings name."""
    made: list[Receiver] = []
    url, secret = settings.alert_webhook_url, settings.alert_webhook_secret
    if url:
        made.append(WebhookReceiver(url.get_secret_value(), secret.get_secret_value() if secret else None, clock))
    kinds = [kind_of(apprise_url) for apprise_url in settings.apprise_urls]
    for place, (kind, apprise_url) in enumerate(zip(kinds, settings.apprise_urls, strict=True), 1):
        # Receivers of the same kind differ by their places in ALERT_URLS.
        made.append(AppriseReceiver(apprise_url, kind if kinds.count(kind) == 1 else f"{kind} (number {place})"))
    return made
