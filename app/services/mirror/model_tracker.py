"""The model tracker: the mirror of the registry as requests see it."""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.domain.errors import MlflowUnavailable, NotFound, TowerError
from app.domain.messages import MODEL_NOT_FOUND, READING_LOST
from app.domain.ports import Clock, SnapshotSource
from app.domain.registry.fleet import Edition, Fleet
from app.domain.registry.models import TrackedModel
from app.domain.registry.sample import sample_fleet
from app.domain.registry.stages import StageRules
from app.domain.times import age_ms
from app.services.mirror.snapshots import Snapshots

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrackerOptions:
    """`cached`: serve the mirror, and do not read MLflow at each request. `mock`: show a sample if there is no data."""

    cached: bool = True
    mock: bool = False


class ModelTracker:
    """This process's view of the shared snapshot. A new fleet replaces the old one; none is changed in place."""

    def __init__(
        self, snapshots: Snapshots, source: SnapshotSource, rules: StageRules, clock: Clock, options: TrackerOptions
    ) -> None:
        self._snapshots = snapshots
        self._source = source
        self._rules = rules
        self._clock = clock
        self._options = options
        # A fleet whose time is in the future, and the same fleet without a time.
        self._undated: tuple[Fleet, Fleet] | None = None
        self._asking = threading.Lock()

    @property
    def cached(self) -> bool:
        return self._options.cached

    def peek(self) -> Fleet | None:
        """The newest snapshot, without asking MLflow; None where there is none or the cache is disabled."""
        fleet = self._snapshots.newest() if self.cached else None
        if self._snapshots.is_removed():
            fleet = self._after_removal()
        if fleet is None or age_ms(fleet.as_of, self._clock()) is not None:
            return fleet
        undated = self._undated
        if undated is None or undated[0] is not fleet:
            undated = self._undated = (fleet, replace(fleet, as_of=None))
        return undated[1]

    def fleet(self) -> Fleet:
        """The fleet to answer from. Raises `MlflowUnavailable` where none is cached and MLflow does not answer."""
        try:
            if not self.cached:
                return self._source.read()
            return self.peek() or self._first()
        except MlflowUnavailable:
            if not self._options.mock:
                raise
            return sample_fleet(self._clock(), self._rules)

    def shows_mock(self) -> bool:
        """Whether the lists show the sample fleet, since there is no other."""
        return self._options.mock and self.cached and self.peek() is None

    def versions(self, name: str) -> Sequence[TrackedModel]:
        """Every version of a model, highest first. A model that the mirror lacks is looked up. Raises `NotFound`."""
        fleet = self.fleet()
        if name not in fleet.registered and self.cached and not fleet.mock:
            self._look_up(name)
            fleet = self.fleet()
        if name not in fleet.registered:
            raise NotFound(MODEL_NOT_FOUND)
        return fleet.by_name.get(name, ())

    def ensure_known(self, name: str, version: int, created: int) -> None:
        """Make sure that a version of MLflow is in the mirror. A failure is logged, and the next refresh mends it."""
        fleet = self.peek()
        known = fleet.find(name, version) if fleet else None
        if fleet and not (known and known.row.created == created):
            try:
                self._look_up(name)
            except TowerError as error:
                log.warning("A new version is not in the mirror until the next refresh: %s", error.detail)

    def refreshed(self, edition: Edition) -> Fleet:
        """The fleet of an edition that the agent has published, or a newer fleet. Raises `MlflowUnavailable`."""
        fleet = self._caught_up(edition)
        if fleet is None:
            raise MlflowUnavailable(READING_LOST)
        return fleet

    def catch_up(self) -> None:
        """The scheduler's tick in a worker: get the agent's snapshot where the store did not pass it on."""
        if not self.cached:
            return
        try:
            edition = self._source.edition()
            if edition is not None:
                self._caught_up(edition)
        except TowerError as error:
            log.debug("No newer snapshot: %s", error.detail)

    def clear(self) -> bool:
        """Have the shared snapshot removed; returns whether it is gone. Every process keeps its own."""
        self.peek()
        return self._source.forget()

    def _after_removal(self) -> Fleet | None:
        """The newest fleet after the stored snapshot was removed: the agent may have a newer one than this process."""
        with self._asking:
            fleet = self._snapshots.newest()
            if fleet is not None and self._snapshots.is_removed():
                held = None
                try:
                    held = self._source.held(fleet.edition)
                except TowerError as error:
                    log.warning("There may be a newer snapshot than this worker's: %s", error.detail)
                self._snapshots.keep(held)
            return self._snapshots.newest()

    def _first(self) -> Fleet:
        return self.refreshed(self._source.first())

    def _caught_up(self, edition: Edition) -> Fleet | None:
        """The newest fleet, after trying to get this edition: held by the agent, or published by it again."""
        fleet = self.peek()
        for get_newer in (self._snapshots.catch_up, self._source.share, self._snapshots.catch_up):
            if fleet is not None and not edition.replaces(fleet.edition):
                break
            get_newer()
            fleet = self.peek()
        return fleet

    def _look_up(self, name: str) -> None:
        self._source.look_up([name])
        self._snapshots.catch_up()
