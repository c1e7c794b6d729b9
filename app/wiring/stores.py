"""What the agent writes for all processes, and what all of its rooms use."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.domain.ports import (
    OwnGateway,
    WritableCache,
)
from app.services.host.holding_cache import HoldingCache
from app.services.mirror.health import Probe
from app.services.mirror.journal import JournalWriter
from app.services.mirror.model_tracker import ModelTracker
from app.services.mirror.registry_records import RegistryRecordStore
from app.services.mirror.run_counter import RunCounter
from app.services.mirror.server_record import ServerRecorder
from app.services.mirror.snapshot_publisher import SnapshotPublisher
from app.services.mirror.snapshots import SnapshotStore
from app.services.monitoring.checks import CheckStore
from app.services.monitoring.data_reports import DataReportStore
from app.services.monitoring.histories import HistoryStore
from app.services.monitoring.monitor_run_writer import MonitorRunWriter
from app.services.monitoring.registration_list import RegistrationStore
from app.wiring.shared import history_source_of, rules_of, snapshot_source_of, tracker_options
from app.wiring.world import World, source_of
from config import Settings

if TYPE_CHECKING:
    pass


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


def stores_of(settings: Settings, world: World, cache: WritableCache, holding: HoldingCache) -> Stores:
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


def services_of(
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
