"""The outcome of the last check of each registration, shared by the processes of a host."""

import logging
import threading
from collections.abc import Iterable, Mapping

from app.domain.errors import LockTimeout
from app.domain.monitoring.checks import Check, OpenRuns, checks_from, checks_value, last_check
from app.domain.ports import Locks, SharedCache, WritableCache
from app.domain.registry.models import Registration
from app.services.host.kept_in_parts import PATIENCE_SECONDS

log = logging.getLogger(__name__)

KEY = "checks"


class Checks:
    """The agent writes the checks, the workers read them. Lost checks come back with the next round."""

    def __init__(self, cache: SharedCache, source: str) -> None:
        self._cache = cache
        self._source = source
        self._known: Mapping[str, Check] = {}
        self._mark: object | None = None
        self._adopting = threading.Lock()

    def all(self) -> Mapping[str, Check]:
        """The checks by monitor run. The object stays the same until a check changes."""
        mark = self._cache.mark(KEY)
        if mark != self._mark:
            with self._adopting:
                stored = checks_from(self._cache.get(KEY), self._source)
                self._known = stored or self._known
                self._mark = mark
        return self._known

    def of(self, registration: Registration) -> Check:
        return last_check(self.all(), registration)


class CheckStore(Checks):
    """The agent's outcomes of checks: it writes them."""

    def __init__(self, cache: WritableCache, locks: Locks, source: str) -> None:
        super().__init__(cache, source)
        self._writable = cache
        self._locks = locks

    def put(self, new: Iterable[Check], listed: OpenRuns | None = None) -> None:
        """Share new checks, each unless a newer check of its run is known. `listed` removes those of other runs."""
        try:
            with self._locks.hold("checks-list", PATIENCE_SECONDS):
                self._put(new, listed)
        except LockTimeout:
            log.warning("The checks are shared with the next round: another process writes them and takes too long")

    def _put(self, new: Iterable[Check], listed: OpenRuns | None) -> None:
        checks = {run_id: check for run_id, check in self.all().items() if listed is None or listed.keeps(check)}
        for check in new:
            known = checks.get(check.monitor_run_id)
            if known is None or check.ticket >= known.ticket:
                checks[check.monitor_run_id] = check
        with self._adopting:
            if self._writable.set(KEY, checks_value(checks, self._source)):
                self._mark = self._cache.mark(KEY)
            self._known = checks
