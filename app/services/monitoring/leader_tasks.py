"""The work of the host that leads: at the beginning of its term, and when other hosts ask for it."""

import logging
import threading
import time
from collections.abc import Callable
from contextvars import copy_context

from app.domain.errors import TowerError
from app.domain.registry.fleet import Refreshed
from app.services.host.scheduler import RETRY_SECONDS
from app.services.hosts.hosts import SWEEP
from app.services.hosts.inbox import Inbox
from app.services.mirror.change_detector import ChangeDetector
from app.services.mirror.snapshots import SnapshotStore
from app.services.monitoring.checker import Checker
from app.services.monitoring.historian import Historian
from app.services.monitoring.refresh_coordinator import RefreshCoordinator

log = logging.getLogger(__name__)

_READ, _CHECK = "read", "check"


class LeaderTasks:
    """The tasks by name. `seed` has what this host stores count for all hosts, where Redis has nothing."""

    def __init__(
        self,
        inbox: Inbox,
        seed: Callable[[], None],
        snapshots: SnapshotStore,
        coordinator: RefreshCoordinator,
        detector: ChangeDetector | None,
        checker: Checker,
        historian: Historian,
    ) -> None:
        self._inbox = inbox
        self._seed = seed
        self._snapshots = snapshots
        self._coordinator = coordinator
        self._detector = detector
        self._checker = checker
        self._historian = historian
        self._is_sweeping = False
        self._sweeps_again_at = 0.0

    def begin(self, *, lost: bool) -> None:
        """Begin a term. `lost`: Redis lost everything since the last term, or during this term."""
        self._seed()
        if lost:
            # Other hosts may have had newer values than those that this host shared, so MLflow is read again.
            self._snapshots.begin_series()
            self._inbox.add(SWEEP)
        _beside(self._look)

    def do(self, kind: str, what: str) -> bool:
        """Do a task of the inbox; False leaves it there. A task of an unknown kind is of another release."""
        if kind == _READ and self._detector is not None:
            self._detector.pushed(what)
        elif kind == _CHECK:
            version, _, name = what.partition("\n")
            if version.isdecimal():
                self._checker.check_soon(name, int(version))
        elif kind == SWEEP:
            self._begin_sweep()
            return False
        return True

    def _look(self) -> None:
        self._coordinator.tick()
        self._checker.round()

    def _begin_sweep(self) -> None:
        if self._is_sweeping or time.monotonic() < self._sweeps_again_at:
            return
        self._is_sweeping = True
        number = self._inbox.number(SWEEP)
        _beside(lambda: self._sweep(number))

    def _sweep(self, number: bytes | None) -> None:
        self._sweeps_again_at = time.monotonic() + RETRY_SECONDS
        try:
            self._coordinator.refresh()
            self._historian.read()
            self._checker.round()
            self._inbox.done(SWEEP, "", number)
            self._sweeps_again_at = 0.0
        finally:
            self._is_sweeping = False


def checks_by_leader(inbox: Inbox) -> Callable[[str, int], None]:
    """What has the leader check a version within seconds."""

    def check_soon(name: str, version: int) -> None:
        try:
            inbox.add(_CHECK, f"{version}\n{name}")
        except TowerError as error:
            log.warning("A version is checked with the next round: %s", error.detail)

    return check_soon


class HostsTriggers:
    """The `RefreshTrigger` of a host among several: the leader reads what MLflow delivers to any host."""

    def __init__(self, inbox: Inbox, coordinator: RefreshCoordinator, settle: Callable[[], None]) -> None:
        self._inbox = inbox
        self._coordinator = coordinator
        self._settle = settle

    def refresh(self) -> Refreshed:
        """As `RefreshCoordinator.refresh`: hosts that refresh at once share a sweep."""
        refreshed = self._coordinator.refresh()
        self._settle()
        return refreshed

    def pushed(self, name: str | None, delivery_id: str, sent_at: int) -> bool:  # noqa: ARG002 - `RefreshTrigger` has it
        """Take a delivery of MLflow's webhooks; False where any host took it before. Raises `Busy`."""
        if name is None:
            return True
        return self._inbox.add_delivery(delivery_id, _READ, name)


def _beside(work: Callable[[], None]) -> None:
    """Do the work on a thread of its own, in the present term."""

    def do() -> None:
        try:
            work()
        except TowerError as error:
            log.warning("The leader's work is left: %s", error.detail)
        except Exception:
            log.exception("The leader's work failed")

    threading.Thread(target=copy_context().run, args=(do,), name="leader", daemon=True).start()
