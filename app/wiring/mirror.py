"""The agent's objects that read the registry."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.domain.ports import (
    OwnGateway,
)
from app.services.mirror.change_detector import ChangeDetector
from app.services.mirror.change_recorder import ChangeRecorder
from app.services.mirror.snapshot_publisher import PublisherOptions, SnapshotPublisher
from app.wiring.shared import interval_of, rules_of
from app.wiring.world import World
from config import Settings

if TYPE_CHECKING:
    pass

from app.wiring.stores import Stores


@dataclass(frozen=True)
class MirrorObjects:
    """What reads the registry: sweeps and look-ups, polls and deliveries, and the record of its changes."""

    publisher: SnapshotPublisher
    detector: ChangeDetector
    recorder: ChangeRecorder


def mirror_objects(settings: Settings, world: World, stores: Stores, gateway: OwnGateway) -> MirrorObjects:
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
