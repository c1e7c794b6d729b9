"""The registrations, and which of them belong to versions of a fleet."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.registry.fleet import Fleet
from app.domain.registry.models import Registration, VersionKey

Registrations = dict[VersionKey, Registration]


@dataclass(frozen=True)
class Monitored:
    """The registrations as last known. `stale` is True if MLflow's experiment for them is deleted or unreadable."""

    by_key: Registrations
    stale: bool = False

    def of(self, fleet: Fleet) -> Registrations:
        """The registrations of versions of this fleet, except of a version that was deleted and created anew."""
        return {
            key: registration
            for key, registration in self.by_key.items()
            if (model := fleet.find(*key)) and registration.is_of(model.row)
        }


def precedence(registration: Registration) -> tuple[int, int, str]:
    """Sorts the open runs for one version, of which the first counts.

    The latest creation of the version comes first, then the earlier start, then the lower run id.
    """
    return -registration.version_created, registration.registered_at, registration.monitor_run_id


def first_of_each(registrations: Sequence[Registration]) -> tuple[Registrations, list[Registration]]:
    """The registration that counts for each version, and the duplicates. A run that is listed twice is no duplicate."""
    kept: Registrations = {}
    duplicates: list[Registration] = []
    runs = {registration.monitor_run_id: registration for registration in registrations}
    for registration in sorted(runs.values(), key=precedence):
        if registration.key in kept:
            duplicates.append(registration)
        else:
            kept[registration.key] = registration
    return kept, duplicates
