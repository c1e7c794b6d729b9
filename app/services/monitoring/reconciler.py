"""The reconciler: after each sweep it brings the list of registrations in line with MLflow, and ends obsolete runs.

Obsolete are duplicate runs for a version, and runs of versions that no longer exist. The run of a version whose
registered model was renamed goes on under the new name. Versions that the mirror loses are looked up at once.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from app.domain.errors import MlflowDenied, MlflowMissing, MlflowRefused, TowerError
from app.domain.monitoring.monitor_runs import DUPLICATE
from app.domain.monitoring.monitored import Monitored
from app.domain.monitoring.renames import version_renamed
from app.domain.ports import Gateway
from app.domain.registry.fleet import Fleet
from app.domain.registry.models import Registration, VersionKey
from app.services.monitoring.monitor_run_writer import MonitorRunWriter
from app.services.monitoring.registration_list import CHECKED_AT_ONCE, RegistrationStore

log = logging.getLogger(__name__)


class Reconciler:
    """Looks up a version in MLflow before it ends the version's run, since a list may be incomplete."""

    def __init__(self, gateway: Gateway, registrations: RegistrationStore, writer: MonitorRunWriter) -> None:
        self._gateway = gateway
        self._registrations = registrations
        self._writer = writer
        self._turn = 0
        # The monitor runs whose versions the mirror lacks, and that were looked up since the last sweep.
        self._looked_up: set[str] = set()

    def reconcile(self, fleet: Fleet) -> None:
        """Bring the list in line with MLflow, and end duplicate runs and runs whose version is gone.

        A run that cannot be ended does not stop the others. Raises `MlflowUnavailable` where the list cannot be read,
        and `MlflowDenied` where this user may not read it.
        """
        self._looked_up.clear()
        kept, duplicates = self._registrations.read_again()
        self._each({registration.key: registration for registration in duplicates}.values(), self._end_duplicates)
        current = Monitored(kept).of(fleet)
        vanished = [registration for key, registration in kept.items() if key not in current]
        self._each(self._in_turn(vanished), partial(self._settle, fleet))

    def lost(self, fleet: Fleet) -> list[Registration]:
        """Registrations whose versions a fleet lacks, and that were not looked up since the last sweep."""
        known = self._registrations.known().by_key
        current = Monitored(known).of(fleet)
        lost = [one for key, one in known.items() if key not in current and one.monitor_run_id not in self._looked_up]
        return lost[:CHECKED_AT_ONCE]

    def settle(self, lost: Iterable[Registration], fleet: Fleet) -> list[VersionKey]:
        """End the runs of versions that are gone, and have those of renamed models go on. Returns their new names.

        All are tried before the last failure is raised.
        """
        renamed: list[VersionKey] = []
        failure: TowerError | None = None
        for registration in lost:
            try:
                key = self._settle(fleet, registration)
            except (MlflowDenied, MlflowRefused, MlflowMissing) as error:
                log.warning("The registration of %s v%d stays as it is: %s", *registration.key, error.detail)
            except TowerError as error:
                failure = error
                continue
            else:
                renamed += [key] if key else []
            self._looked_up.add(registration.monitor_run_id)
        if failure is not None:
            raise failure
        return renamed

    def _in_turn(self, vanished: Sequence[Registration]) -> Sequence[Registration]:
        """A few of them, and others the next time: versions that may not be read stay vanished for long."""
        start = self._turn % len(vanished) if vanished else 0
        self._turn += CHECKED_AT_ONCE
        return [*vanished[start:], *vanished[:start]][:CHECKED_AT_ONCE]

    def _each(self, registrations: Iterable[Registration], work: Callable[[Registration], object]) -> None:
        for registration in registrations:
            try:
                work(registration)
            except TowerError as error:
                log.warning("The registration of %s v%d stays as it is: %s", *registration.key, error.detail)

    def _end_duplicates(self, duplicate: Registration) -> None:
        first, *others = self._gateway.find_registrations(*duplicate.key) or [duplicate]
        for registration in others:
            if first.own is None and registration.own is not None:
                first = self._writer.adopt_own(first, registration.own)
            self._writer.end(registration, f"{DUPLICATE}: run {first.monitor_run_id} counts")

    def _settle(self, fleet: Fleet, registration: Registration) -> VersionKey | None:
        """End the run of a version that is gone; or have it go on under the version's new name, which is returned."""
        # The fleet may be older than the registration, so MLflow itself is asked.
        row = self._gateway.find_version(*registration.key)
        if row is not None and registration.is_of(row):
            return None
        key = version_renamed(fleet, registration.key, registration.version_created)
        if key is not None and not self._gateway.look_up_registrations(*key):
            renamed = self._gateway.find_version(*key)
            if renamed is not None and registration.is_of(renamed):
                self._writer.rename(registration, key[0])
                return key
        reason = (
            f"the registered model was renamed to {key[0]}" if key else "the model version no longer exists in MLflow"
        )
        self._writer.end(registration, reason)
        self._registrations.remove(registration.key, {registration.monitor_run_id})
        return None
