"""How many runs MLflow holds. No MLflow call counts them, so it is done apart and never holds up the mirror."""

import logging

from app.domain.errors import MlflowUnavailable
from app.domain.ports import Clock, Gateway, SharedCache
from app.domain.times import DAY_MS

log = logging.getLogger(__name__)

_COUNT = "runs"
# Up to here a full count is one page of MLflow's, as cheap as a partial one.
_FEW = 2000


class RunCounter:
    """Counts in full once a day, in between only the runs started since."""

    def __init__(self, gateway: Gateway, cache: SharedCache, clock: Clock, source: str) -> None:
        self._gateway = gateway
        self._cache = cache
        self._clock = clock
        self._source = source

    def known(self) -> tuple[int, int] | None:
        found = self._cache.get(_COUNT)
        if not isinstance(found, dict) or found.get("source") != self._source:
            return None
        return found["count"], found["counted_at"]

    def update(self, seconds: float) -> None:
        """Bring the count up to date within so many seconds; a failure is logged and the old count stays."""
        now = self._clock()
        last = self._cache.get(_COUNT)
        if not isinstance(last, dict) or last.get("source") != self._source:
            last = {"count": 0, "counted_at": 0, "full_at": 0, "source": self._source}
        in_full = last["count"] <= _FEW or now - last["full_at"] >= DAY_MS
        try:
            with self._gateway.within(seconds):
                since = None if in_full else last["counted_at"]
                count = self._gateway.count_runs(since) + (0 if in_full else last["count"])
        except MlflowUnavailable as error:
            log.warning("The runs could not be counted, the last count stays: %s", error.detail)
            return
        full_at = now if in_full else last["full_at"]
        self._cache.set(_COUNT, {"count": count, "counted_at": now, "full_at": full_at, "source": self._source})
