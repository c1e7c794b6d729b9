"""ModelTracker: the mirror of the registry, as the requests see it."""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.domain.errors import MlflowUnavailable, NotFound, TowerError
from app.domain.messages import MODEL_NOT_FOUND
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
    """`cached`: serve the mirror, else read MLflow at each request. `mock`: show a sample where there is nothing."""

    cached: bool = True
    mock: bool = False


class ModelTracker:
    """One worker's view of the shared snapshot. Nothing is changed in place."""

    def __init__(
        self, snapshots: Snapshots, source: SnapshotSource, rules: StageRules, clock: Clock, options: TrackerOptions
    ) -> None:
        self._snapshots = snapshots
        self._source = source
        self._rules = rules
        self._clock = clock
        self._options = options
        # A fleet whose time lies ahead, and the same without it.
        self._undated: tuple[Fleet, Fleet] | None = None
        self._asking = threading.Lock()

    @property
    def cached(self) -> bool:
        return self._options.cached

    def peek(self) -> Fleet | None:
        """The newest snapshot there is, without asking MLflow; without a cache there is none."""
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
        """The fleet to answer from. Raises `MlflowUnavailable` when nothing is cached and MLflow does not answer."""
        try:
            if not self.cached:
                return self._source.read()
            return self.peek() or self._first()
        except MlflowUnavailable:
            if not self._options.mock:
                raise
            return sample_fleet(self._clock(), self._rules)

    def shows_mock(self) -> bool:
        """Whether the lists show the sample fleet, for want of anything else."""
        return self._options.mock and self.cached and self.peek() is None

    def versions(self, name: str) -> Sequence[TrackedModel]:
        """Every version of a model, highest first. One that the mirror has not seen yet is looked up."""
        fleet = self.fleet()
        if name not in fleet.registered and self.cached and not fleet.mock:
            self._look_up(name)
            fleet = self.fleet()
        if name not in fleet.registered:
            raise NotFound(MODEL_NOT_FOUND)
        return fleet.by_name.get(name, ())

    def ensure_known(self, name: str, version: int, created: int) -> None:
        """See to it that a version that MLflow has is in the mirror; a failure is logged and mended later."""
        fleet = self.peek()
        known = fleet.find(name, version) if fleet else None
        if fleet and not (known and known.row.created == created):
            try:
                self._look_up(name)
            except TowerError as error:
                log.warning("A new version is not in the mirror until the next refresh: %s", error.detail)

    def refreshed(self, edition: Edition) -> Fleet:
        """The fleet of an edition that the process that reads has, or a newer one."""
        fleet = self._caught_up(edition)
        if fleet is None:
            raise MlflowUnavailable("What was read from MLflow was lost. Try again.")
        return fleet

    def catch_up(self) -> None:
        """The scheduler's tick in a worker: have what the process that reads has, if it cannot be shared as usual."""
        if not self.cached:
            return
        try:
            edition = self._source.edition()
            if edition is not None:
                self._caught_up(edition)
        except TowerError as error:
            log.debug("No newer snapshot: %s", error.detail)

    def _after_removal(self) -> Fleet | None:
        """The newest fleet, where nothing is stored any more: the process that reads may have one unseen here."""
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
        """The newest fleet, once it is of an edition: stored, held by the agent, or shared anew."""
        fleet = self.peek()
        for help_with_it in (self._snapshots.catch_up, self._source.share, self._snapshots.catch_up):
            if fleet is not None and not edition.replaces(fleet.edition):
                break
            help_with_it()
            fleet = self.peek()
        return fleet

    def _look_up(self, name: str) -> None:
        self._source.look_up([name])
        self._snapshots.catch_up()
