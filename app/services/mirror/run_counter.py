"""The number of runs in MLflow. No MLflow call counts them, so counting is separate and never delays the mirror."""

import logging
from typing import Any, TypedDict

from app.domain.errors import TowerError
from app.domain.ports import Clock, Gateway, MlflowFacts, Monotonic, SharedCache, WritableCache
from app.domain.shapes import has_shape
from app.domain.times import DAY_MS
from app.services.host.scheduler import RETRY_SECONDS

log = logging.getLogger(__name__)

COUNT = "runs"
# Up to this number a full count is a single page of MLflow, as cheap as a partial count.
_FEW = 2000
# A request without a known count waits this long for one. Soon after a failure no request waits.
_WAIT_SECONDS = 2.0


class _Count(TypedDict):
    source: str
    count: int
    counted_at: int
    full_at: int


class SharedCount:
    """This process's view of the count that the agent shares."""

    def __init__(self, cache: SharedCache, source: str) -> None:
        self._cache = cache
        self._source = source
        self._own: dict[str, Any] | None = None
        self._mark: object | None = None

    def known(self) -> tuple[int, int] | None:
        """The number of runs, and the time of the count in milliseconds; None where there is none yet."""
        last = self._last()
        return (last["count"], last["counted_at"]) if last else None

    def _last(self) -> dict[str, Any] | None:
        mark = self._cache.mark(COUNT)
        if mark != self._mark:
            shared = self._cache.get(COUNT)
            if has_shape(shared, _Count) and shared["source"] == self._source:
                self._own = shared
            self._mark = mark
        return self._own


class RunCount(SharedCount):
    """A worker's count: the agent makes one where there is none yet, and always where the cache is disabled."""

    def __init__(self, cache: SharedCache, facts: MlflowFacts, monotonic: Monotonic, source: str, cached: bool) -> None:
        super().__init__(cache, source)
        self._facts = facts
        self._monotonic = monotonic
        self._cached = cached
        self._failed_at: float | None = None

    def counted(self) -> tuple[int, int] | None:
        """The number of runs, and the time of the count in milliseconds; None where MLflow could not be asked."""
        known = self.known() if self._cached else None
        if known is not None or self._has_just_failed():
            return known
        made = None
        try:
            with self._facts.within(_WAIT_SECONDS):
                made = self._facts.count_of_runs()
        except TowerError as error:
            log.warning("The runs are not counted: %s", error.detail)
        if made is None:
            self._failed_at = self._monotonic()
        return made

    def _has_just_failed(self) -> bool:
        return self._failed_at is not None and self._monotonic() - self._failed_at < RETRY_SECONDS


class RunCounter(SharedCount):
    """The agent's count: in full once a day, in between only the runs started since."""

    def __init__(
        self, gateway: Gateway, cache: WritableCache, clock: Clock, monotonic: Monotonic, source: str, cached: bool
    ) -> None:
        super().__init__(cache, source)
        self._writable = cache
        self._gateway = gateway
        self._clock = clock
        self._monotonic = monotonic
        self._cached = cached
        self._failed_at: float | None = None

    def counted(self) -> tuple[int, int] | None:
        """The count and its time in milliseconds. Counts now where there is no count yet, or the cache is disabled."""
        if (not self._cached or self._last() is None) and not self._has_just_failed():
            self.update(_WAIT_SECONDS)
        return self.known()

    def update(self, seconds: float) -> None:
        """Bring the count up to date within `seconds`. A failure is logged, and then the old count stays."""
        now = self._clock()
        last = self._last() or {"count": 0, "counted_at": 0, "full_at": 0}
        # A count with a time in the future, of a wrong clock, cannot be continued.
        since_full = now - last["full_at"] if last["counted_at"] <= now else DAY_MS
        in_full = last["count"] <= _FEW or not 0 <= since_full < DAY_MS
        try:
            with self._gateway.within(seconds):
                since = None if in_full else last["counted_at"]
                count = self._gateway.count_runs(since) + (0 if in_full else last["count"])
        except TowerError as error:
            self._failed_at = self._monotonic()
            log.warning("The runs could not be counted, the last count stays: %s", error.detail)
            return
        full_at = now if in_full else last["full_at"]
        self._own = {"count": count, "counted_at": now, "full_at": full_at, "source": self._source}
        self._writable.set(COUNT, self._own)

    def _has_just_failed(self) -> bool:
        return self._failed_at is not None and self._monotonic() - self._failed_at < RETRY_SECONDS
