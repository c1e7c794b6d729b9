"""The instruments count requests, MLflow calls and refreshes where they happen."""

import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from prometheus_client import CollectorRegistry, values
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector

from app.domain.ports import Locks
from app.services.telemetry.files import are_whole, reserve
from app.services.telemetry.folding import LOCK, fold, fold_held
from app.services.telemetry.measures import Measures

log = logging.getLogger(__name__)

_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>", re.ASCII)
UNMATCHED, OTHER = "unmatched", "other"
_METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
# The most sets of route, method and status class in a process. Each takes less than 3 KB of the reserved 1 MiB.
_MOST_SETS = 300
_SCRAPE_SECONDS = 5.0

Observe = Callable[[float], None]


class Instruments:
    """The counters and timers of this process, of which there is one instance, shared by its threads.

    `place` is the directory of the files of all processes whose counts are added up; None: this process counts alone.
    """

    def __init__(self, place: Path | None, locks: Locks | None) -> None:
        self._place = place
        self._locks = locks
        self._counting = True
        self._requests_by: dict[tuple[str | None, str, int], Observe] = {}
        self._registry = CollectorRegistry()
        self._measures = Measures(self._registry)

    def begin(self) -> None:
        """Prepare this process to count. Without room for its files it counts nothing."""
        if self._place is not None:
            try:
                reserve(self._place, os.getpid())
            except OSError as error:
                self._counting = False
                log.warning("This process counts nothing for Prometheus, for want of room: %s", error)

    def look(self) -> None:
        """Start over where the files of this process were removed or truncated. Called every second."""
        if self._place is None or not self._counting or are_whole(self._place, os.getpid()):
            return
        log.warning("The files in which this process counts for Prometheus were removed: it begins anew")
        self.begin()
        if self._counting:
            # With a new `ValueClass`, metrics that are made from now on count in the new files.
            values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]  # of prometheus_client
            self._registry = CollectorRegistry()
            self._measures = Measures(self._registry)
            self._requests_by = {}

    def fold(self) -> None:
        """Add up the counts of ended processes."""
        if self._place is not None and self._locks is not None:
            fold(self._place, self._locks)

    def request_ended(self, route: str | None, method: str, status: int, seconds: float) -> None:
        """Time a request by its route, as Flask writes it; None for an address without a route."""
        observe = self._requests_by.get((route, method, status // 100))
        if observe is None:
            observe = self._observer(route, method, status // 100)
        observe(seconds)

    def mlflow_called(self, failed: bool) -> None:
        """Count a request to MLflow."""
        if self._counting:
            self._measures.mlflow_requests.inc()
            if failed:
                self._measures.mlflow_failures.inc()

    def refreshed(self, kind: str, seconds: float, failed: bool) -> None:
        """Time a reading of MLflow, and count a failure."""
        if self._counting:
            self._measures.refreshes.labels(kind).observe(seconds)
            if failed:
                self._measures.failed_refreshes.labels(kind).inc()

    def collect(self) -> Iterator[Metric]:
        """The figures of all processes. Raises `LockTimeout` where another scrape takes too long."""
        if self._place is None or self._locks is None:
            yield from self._registry.collect()
            return
        with self._locks.hold(LOCK, _SCRAPE_SECONDS):
            with suppress(OSError):
                fold_held(self._place)
            together = MultiProcessCollector(None, str(self._place))  # type: ignore[no-untyped-call]  # of prometheus_client
            metrics = list(together.collect())  # type: ignore[no-untyped-call]  # of prometheus_client
        yield from metrics

    def _observer(self, route: str | None, method: str, status: int) -> Observe:
        """The function that times such requests. Methods that a client invents get no series of their own."""
        if not self._counting:
            return _nothing
        if method not in _METHODS or len(self._requests_by) >= _MOST_SETS:
            route, method = None, OTHER
        key = route, method, status
        if key not in self._requests_by:
            shown = _PARAMETER.sub(r"{\1}", route) if route else UNMATCHED
            self._requests_by[key] = self._measures.requests.labels(shown, method, f"{status}xx").observe
        return self._requests_by[key]


def _nothing(seconds: float) -> None:
    pass
