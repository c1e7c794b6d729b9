"""Checks: the outcome of the last check of each registration, shared by the processes."""

import logging
import threading
from collections.abc import Iterable, Mapping

from app.domain.errors import LockTimeout
from app.domain.monitoring.checks import Check, OpenRuns, checks_from, checks_value, last_check
from app.domain.ports import Locks, SharedCache
from app.domain.registry.models import Registration

log = logging.getLogger(__name__)

_KEY = "checks"
_PATIENCE_SECONDS = 5.0


class Checks:
    """Written by the agent, read by the workers. What is lost comes back with the next round of checks."""

    def __init__(self, cache: SharedCache, locks: Locks, source: str) -> None:
        self._cache = cache
        self._locks = locks
        self._source = source
        self._known: Mapping[str, Check] = {}
        self._mark: object | None = None
        self._adopting = threading.Lock()

    def all(self) -> Mapping[str, Check]:
        """The checks by monitor run: the same object until one changes."""
        mark = self._cache.mark(_KEY)
        if mark != self._mark:
            with self._adopting:
                stored = checks_from(self._cache.get(_KEY), self._source)
                self._known = stored or self._known
                self._mark = mark
        return self._known

    def of(self, registration: Registration) -> Check:
        return last_check(self.all(), registration)

    def put(self, made: Iterable[Check], listed: OpenRuns | None = None) -> None:
        """Share checks, the newer of each; of the others those that a list of the monitor runs leaves, or all."""
        try:
            with self._locks.hold("checks-list", _PATIENCE_SECONDS):
                self._put(made, listed)
        except LockTimeout:
            log.warning("The checks are shared with the next round: another process writes them and takes too long")

    def _put(self, made: Iterable[Check], listed: OpenRuns | None) -> None:
        checks = {run_id: one for run_id, one in self.all().items() if listed is None or listed.keeps(one)}
        for one in made:
            known = checks.get(one.monitor_run_id)
            if known is None or one.ticket >= known.ticket:
                checks[one.monitor_run_id] = one
        with self._adopting:
            if self._cache.set(_KEY, checks_value(checks, self._source)):
                self._mark = self._cache.mark(_KEY)
            self._known = checks
