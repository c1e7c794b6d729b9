"""What the agent has: everything that reads MLflow of its own accord, judges, and announces."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from app.domain.ports import (
    CheckTrigger,
    Clock,
    Gateway,
    HistorySource,
    Holder,
    OwnGateway,
    RefreshTrigger,
    SnapshotSource,
)
from app.services.agent import remove_abandoned_sockets
from app.services.alerts import Announcer, AppriseReceiver, Receiver, WebhookReceiver, kind_of
from app.services.host.passing import remove_leftovers
from app.services.host.scheduler import TICK_SECONDS, Jobs, Scheduler
from app.services.mirror.change_detector import ChangeDetector
from app.services.mirror.snapshot_publisher import PublisherOptions, SnapshotPublisher
from app.services.monitoring.checker import Checker
from app.services.monitoring.historian import Historian
from app.services.monitoring.reconciler import Reconciler
from app.services.monitoring.recording import recording
from app.services.monitoring.refresh_coordinator import RefreshCoordinator
from app.services.monitoring.verdict_record import VerdictRecord
from app.wiring.shared import AgentApi, Services, Stores, services, stores
from app.wiring.world import World, agent_locks
from config import Settings

# How often what killed processes left behind is removed.
_TIDY_SECONDS = 60


@dataclass(frozen=True)
class Agent:
    """The objects of the process that talks to MLflow, and what is done at its start and end."""

    world: World
    gateway: Gateway
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
        return AgentApi(self.gateway, self.publisher, self.coordinator, self.checker, self.historian, self.stores.cache)

    def exposed(self) -> Mapping[type, object]:
        """The same by interface, for calls from other processes."""
        api = self.api
        return {
            Gateway: api.gateway,
            SnapshotSource: api.snapshot_source,
            RefreshTrigger: api.refresh_trigger,
            CheckTrigger: api.check_trigger,
            HistorySource: api.history_source,
            Holder: api.holder,
        }

    def start(self) -> None:
        """Begin to read, to judge and to announce."""
        self.world.instruments.begin()
        # An agent that ended before this one is nobody's child whose end gunicorn would tell.
        self.world.instruments.fold()
        threading.Thread(target=self.world.gateway.warm, name="mlflow-client", daemon=True).start()
        self.detector.start()
        self.announcer.start()
        self.checker.start()
        self.scheduler.start(self.jobs)

    def stop(self) -> None:
        """Before the process ends."""
        self.world.gateway.stop()
        self.scheduler.stop()
        self.detector.stop()
        self.checker.stop()
        self.announcer.stop()


def build_agent(settings: Settings, world: World) -> Agent:
    """The agent's objects, handed to each other."""
    clock, timeout = world.clock, settings.cache_timeout_seconds
    cached = settings.enable_cache
    shared = stores(settings, world)
    historian = Historian(world.gateway, shared.histories, shared.snapshots, clock, timeout)
    gateway: OwnGateway = recording(world.gateway, historian) if cached else world.gateway
    options = PublisherOptions(shared.interval, timeout, cached)
    publisher = SnapshotPublisher(
        gateway,
        shared.snapshots,
        shared.journal,
        world.refresh_locks,
        shared.rules,
        clock,
        world.monotonic,
        options,
    )
    own = services(settings, world, shared, gateway, publisher)
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
    )
    jobs: Jobs = {
        checker.round: settings.check_interval_minutes * 60,
        shared.cache.look: 1,
        world.instruments.look: 1,
        lambda: tidy(world): _TIDY_SECONDS,
        coordinator.tick: TICK_SECONDS,
        historian.tick: TICK_SECONDS if cached else 0,
        coordinator.count: TICK_SECONDS,
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


def tidy(world: World) -> None:
    """Remove what killed processes left behind on this host."""
    remove_leftovers()
    if world.host is not None:
        remove_abandoned_sockets(world.host.sockets, agent_locks(world.host))


def receivers(settings: Settings, clock: Clock) -> list[Receiver]:
    """Who is told of changes of verdict."""
    made: list[Receiver] = []
    url, secret = settings.alert_webhook_url, settings.alert_webhook_secret
    if url:
        made.append(WebhookReceiver(url.get_secret_value(), secret.get_secret_value() if secret else None, clock))
    kinds = [kind_of(one) for one in settings.apprise_urls]
    for place, (kind, one) in enumerate(zip(kinds, settings.apprise_urls, strict=True), 1):
        # Two of a kind are told apart by their places in ALERT_URLS.
        made.append(AppriseReceiver(one, kind if kinds.count(kind) == 1 else f"{kind} (number {place})"))
    return made
