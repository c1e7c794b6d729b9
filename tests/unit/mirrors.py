"""What one process has of the mirror of the registry."""

from app.domain.ports import Clock
from app.domain.registry.codec import Source
from app.domain.registry.stages import stage_rules
from app.services.host.file_locks import FileLocks
from app.services.host.holding_cache import HoldingCache
from app.services.mirror.change_detector import ChangeDetector
from app.services.mirror.journal import JournalWriter
from app.services.mirror.model_tracker import ModelTracker, TrackerOptions
from app.services.mirror.snapshot_publisher import PublisherOptions, SnapshotPublisher
from app.services.mirror.snapshots import SnapshotStore
from tests.fakes.memory_mlflow import MemoryGateway

RULES = stage_rules([], [])
DEFAULTS = PublisherOptions(interval=1800, timeout=300)


class MirrorProcess:
    """A process that reads MLflow itself, and shares a cache and locks with others.

    Its clock is the world's unless it gets another.
    """

    def __init__(
        self,
        gateway: MemoryGateway,
        cache: HoldingCache,
        locks: FileLocks,
        options: PublisherOptions = DEFAULTS,
        clock: Clock | None = None,
    ) -> None:
        clock, seconds = clock or gateway.world.tick, gateway.world.seconds
        self.gateway = gateway
        self.cache = cache
        self.journal = JournalWriter(cache, clock, options.timeout)
        self.snapshots = SnapshotStore(cache, locks, Source("here", RULES))
        self.publisher = SnapshotPublisher(gateway, self.snapshots, self.journal, locks, RULES, clock, seconds, options)
        self.detector = ChangeDetector(
            gateway, self.snapshots, self.publisher, self.journal, options.timeout, tries_after=(0, 0.05, 0.05)
        )
        self.tracker = ModelTracker(self.snapshots, self.publisher, RULES, clock, TrackerOptions(options.cached))
