"""ModelTracker: the mirror of the registry, as the requests see it."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.errors import MlflowUnavailable, NotFound, TowerError
from app.domain.fleet import Fleet
from app.domain.models import TrackedModel
from app.domain.ports import Clock, Reader, Snapshots
from app.domain.sample import sample_fleet
from app.domain.stages import StageRules

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrackerOptions:
    """`cached`: serve the mirror, else read MLflow at each request. `mock`: show a sample where there is nothing.

    `overdue`: the age in seconds at which a snapshot should have been replaced.
    """

    cached: bool = True
    mock: bool = False
    overdue: float = 86400


class ModelTracker:
    """One worker's view of the shared snapshot. Nothing is changed in place."""

    def __init__(
        self, snapshots: Snapshots, reader: Reader, rules: StageRules, clock: Clock, options: TrackerOptions
    ) -> None:
        self._snapshots = snapshots
        self._reader = reader
        self._rules = rules
        self._clock = clock
        self._options = options

    @property
    def cached(self) -> bool:
        return self._options.cached

    def peek(self) -> Fleet | None:
        """The newest snapshot there is, without asking MLflow; without a cache there is none."""
        return self._snapshots.newest() if self.cached else None

    def fleet(self) -> Fleet:
        """The fleet to answer from. Raises `MlflowUnavailable` when nothing is cached and MLflow does not answer."""
        try:
            if not self.cached:
                return self._reader.read()
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
            self._reader.look_up([name])
            fleet = self.fleet()
        if name not in fleet.registered:
            raise NotFound("Model not found in MLflow")
        return fleet.by_name.get(name, ())

    def ensure_known(self, name: str, version: int, created: int) -> None:
        """See to it that a version that MLflow has is in the mirror; a failure is logged and mended later."""
        fleet = self.peek()
        known = fleet.find(name, version) if fleet else None
        if fleet and not (known and known.row.created == created):
            try:
                self._reader.look_up([name])
            except TowerError as error:
                log.warning("A new version is not in the mirror until the next refresh: %s", error.detail)

    def refreshed(self, as_of: int) -> Fleet:
        """The fleet after a reading of everything that began at a time, in milliseconds."""
        fleet = self.peek()
        if fleet is None or fleet.as_of < as_of:
            fleet = self._fetched(fleet)
        if fleet is None:
            raise MlflowUnavailable("What was read from MLflow was lost. Try again.")
        return fleet

    def catch_up(self) -> None:
        """The scheduler's tick in a worker: where the cache directory cannot be used, ask the agent."""
        fleet = self.peek()
        overdue = fleet is not None and self._clock() - fleet.as_of > self._options.overdue * 1000
        if self.cached and (overdue or not self._snapshots.is_shared()):
            try:
                self._fetched(fleet)
            except TowerError as error:
                log.debug("No newer snapshot: %s", error.detail)

    def _first(self) -> Fleet:
        return self.refreshed(self._reader.first())

    def _fetched(self, known: Fleet | None) -> Fleet | None:
        newer = self._reader.held(known.changed_at if known else 0)
        if newer is not None:
            self._snapshots.keep(newer)
        return self.peek()
