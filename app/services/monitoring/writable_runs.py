"""The open monitor runs: finding the run of a version, and the locks and turns for writing to it."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from app.domain.errors import NOTHING_AT_ALL, MlflowMissing, MlflowRefused, MlflowUnavailable, NotFound
from app.domain.messages import NOT_MONITORED
from app.domain.ports import Clock, HeldLock, Locks, WritingGateway
from app.domain.registry.models import Registration
from app.domain.registry.names import version_number
from app.services.monitoring.registration_list import RegistrationStore
from app.services.monitoring.write_turns import WriteTurns

# Versions that share a lock wait for each other. A lock file for each version ever registered would be litter.
_STRIPES = 256


class WritableRuns:
    """Finds the monitor run that is open for a version, and lets whoever writes to it do so one at a time.

    Only one process at a time changes the registrations of a version, under one of the locks `version-0` and so on.
    Each write to MLflow waits for a turn. Every method may raise `MlflowUnavailable`, or `Busy`. `note_turns` is the
    `note` of the turns.
    """

    def __init__(
        self,
        gateway: WritingGateway,
        registrations: RegistrationStore,
        locks: Locks,
        clock: Clock,
        note_turns: Callable[[int, int], None] | None = None,
    ) -> None:
        self._gateway = gateway
        self._registrations = registrations
        self._locks = locks
        self._clock = clock
        # What is left of the time is for MLflow.
        self._longest_wait = gateway.patience / 2
        self._turns = WriteTurns(self._longest_wait, note=note_turns)

    def find(self, name: str, version: str) -> Registration:
        """The registration. MLflow is asked before `NotFound` is raised, since the observations would be lost."""
        number = version_number(version)
        if number is None:
            raise NotFound(NOT_MONITORED)
        listed = self._registrations.listed(name, number)
        registration = listed or next(iter(self._registrations.find_in_mlflow(name, number)), None)
        if registration is None:
            raise NotFound(NOT_MONITORED)
        return registration

    def turn(self) -> AbstractContextManager[None]:
        """A turn for another write to MLflow than those of this class."""
        return self._turns.turn()

    @contextmanager
    def one_at_a_time(self, name: str, version: int) -> Iterator[None]:
        """Hold the lock of a version, and bound the time of all calls to MLflow in the block together."""
        with (
            self._version_lock(name, version, self._gateway.patience),
            self._gateway.within(self._gateway.patience),
        ):
            yield

    def _open_run_of(self, known: Registration) -> Registration:
        """The registration as MLflow has it. Raises `NotFound`."""
        open_runs = self._gateway.find_registrations(*known.key)
        current = next((run for run in open_runs if run.version_created == known.version_created), None)
        if current is None:
            raise NotFound(NOT_MONITORED)
        return current

    def _replacement_of(self, ended: Registration) -> Registration:
        """The open monitor run of the same version. Raises `NotFound`, and takes the ended one from the list."""
        try:
            registration = self._open_run_of(ended)
        except NotFound:
            self._drop(ended)
            raise
        self._registrations.add(registration)
        return registration

    def _drop(self, ended: Registration) -> None:
        """Take a registration from the list. Raises `MlflowUnavailable` if its run is open after all."""
        if self._is_still_open(ended):
            raise MlflowUnavailable("MLflow's answers contradict each other. Try again later.")
        self._registrations.remove(ended.key, {ended.monitor_run_id})

    def _is_still_open(self, registration: Registration) -> bool:
        """Whether a monitor run is open that MLflow's searches lack.

        Raises `MlflowUnavailable` where something answers that nothing exists at all.
        """
        try:
            return self._gateway.is_open(registration.monitor_run_id)
        except MlflowMissing:
            with suppress(MlflowMissing, MlflowRefused):
                if self._gateway.ping():
                    return False
            raise MlflowUnavailable(NOTHING_AT_ALL) from None

    def _version_lock(self, name: str, version: int, timeout: float) -> AbstractContextManager[HeldLock]:
        digest = hashlib.sha256(f"{version}\n{name}".encode()).digest()
        return self._locks.hold(f"version-{digest[0] % _STRIPES}", timeout)
