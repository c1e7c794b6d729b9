"""The agent's objects for promotions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from app.domain.findings import Finding, findings
from app.domain.monitoring.alert_filters import AlertFilter
from app.domain.ports import OwnGateway, WritableCache
from app.services.host.other_hosts import Leading
from app.services.mirror.change_recorder import ChangeRecorder
from app.services.mirror.model_tracker import ModelTracker
from app.services.mirror.registry_records import RegistryRecordStore
from app.services.mirror.snapshot_publisher import SnapshotPublisher
from app.services.monitoring.comparison import Comparison
from app.services.monitoring.data_reports import DataReports
from app.services.monitoring.watch_list import WatchStore
from app.services.promotion.desk import PromotionDesk
from app.services.promotion.executor import Executor
from app.services.promotion.guard import Guard
from app.services.promotion.reader import Reader
from app.services.promotion.teller import Teller
from app.wiring.alerts import filters, receivers
from app.wiring.mirror import MirrorObjects
from app.wiring.shared import rules_of
from app.wiring.stores import Services, Stores
from app.wiring.world import World, source_of
from config import Settings


@dataclass(frozen=True)
class PromotionObjects:
    """What moves versions, and what notices moves outside this service."""

    desk: PromotionDesk
    guard: Guard


def protected_aliases(settings: Settings) -> frozenset[str]:
    """The aliases that are to be moved through this service, in lower case."""
    return frozenset(alias.lower() for alias in settings.protected_aliases or settings.production_aliases)


def guard_of(
    settings: Settings,
    gateway: OwnGateway,
    records: RegistryRecordStore,
    cache: WritableCache,
    teller: Teller,
    mirror: ModelTracker,
    filters: Mapping[str, AlertFilter],
) -> Guard:
    """Build what notices moves outside this service."""
    protected = protected_aliases(settings)
    return Guard(gateway, records, cache, source_of(settings), teller, protected, settings.public_url, mirror, filters)


def promotion_desk(
    settings: Settings,
    world: World,
    gateway: OwnGateway,
    own: Services,
    publisher: SnapshotPublisher,
    recorder: ChangeRecorder,
    watches: WatchStore,
    settle: Callable[[], None],
    teller: Teller,
    data: DataReports,
) -> PromotionDesk:
    """Build what proposes, approves, carries out and rolls back."""
    rules = rules_of(settings)

    def present_findings() -> Sequence[Finding]:
        fleet = own.tracker.fleet()
        registrations = own.registrations.monitored().of(fleet)
        days = settings.stale_after_days if fleet.as_of else 0
        return findings(
            fleet,
            registrations,
            watches.known().rules,
            rules,
            days,
            fleet.as_of or 0,
            unreferenced=data.unreferenced(),
        )

    def look_up(names: Sequence[str]) -> None:
        if settings.enable_cache:
            publisher.look_up(names)

    reader = Reader(gateway, Comparison(gateway, rules, world.clock), rules, present_findings)
    executor = Executor(
        gateway,
        reader,
        recorder,
        look_up,
        world.clock,
        settings.promotion_evidence_hours,
        settings.promotion_expires_hours,
    )
    return PromotionDesk(
        gateway,
        reader,
        executor,
        recorder,
        world.monitoring_locks,
        world.clock,
        settle,
        teller,
        settings.promotion_approvals,
        settings.promotion_evidence_hours,
        protected_aliases(settings),
    )


def promotion_objects(
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
