"""The agent's objects that judge the monitored versions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.domain.ports import (
    OwnGateway,
)
from app.services.alerts import Announcer
from app.services.host.other_hosts import Leading
from app.services.mirror.snapshot_publisher import SnapshotPublisher
from app.services.monitoring.checker import Checker
from app.services.monitoring.reconciler import Reconciler
from app.services.monitoring.registration_desk import RegistrationDesk
from app.services.monitoring.rule_desk import RuleDesk
from app.services.monitoring.verdict_record import VerdictRecord
from app.services.monitoring.watch_list import WatchStore
from app.services.monitoring.watcher import Watcher
from app.wiring.alerts import filters, receivers
from app.wiring.world import World, source_of
from config import Settings

if TYPE_CHECKING:
    from app.wiring.hosts import ManyHosts

from app.wiring.stores import Services, Stores


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


def monitoring_objects(
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


def _check_soon(many: "ManyHosts | None", checker: Checker) -> Callable[[str, int], None]:
    """What has a version checked within seconds: among several hosts by the leader."""
    if many is None:
        return checker.check_soon
    from app.services.monitoring.leader_tasks import checks_by_leader  # noqa: PLC0415 - it imports redis-py

    return checks_by_leader(many.inbox)
