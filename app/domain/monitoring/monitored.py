"""The list of registrations, and what of it belongs to a fleet."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.registry.fleet import Fleet
from app.domain.registry.models import Registration, VersionKey

Registrations = dict[VersionKey, Registration]


@dataclass(frozen=True)
class Monitored:
    """The registrations as last known. `stale`: MLflow's experiment for them is deleted or could not be read."""

    by_key: Registrations
    stale: bool = False

    def of(self, fleet: Fleet) -> Registrations:
        """Those that belong to a version of this fleet, and not to one deleted and made again."""
        return {
            key: registration
            for key, registration in self.by_key.items()
            if (model := fleet.find(*key)) and model.row.created == registration.version_created
        }


def precedence(registration: Registration) -> tuple[int, int, str]:
    """The order in which open runs for one version count.

    The version as it was made last, then the earlier start, then the lower run id.
    """
    return -registration.version_created, registration.registered_at, registration.monitor_run_id


def first_of_each(found: Sequence[Registration]) -> tuple[Registrations, list[Registration]]:
    """Of several open runs for one version the one that counts; and the others. A run listed twice is one run."""
    kept: Registrations = {}
    double: list[Registration] = []
    runs = {registration.monitor_run_id: registration for registration in found}
    for registration in sorted(runs.values(), key=precedence):
        if registration.key in kept:
            double.append(registration)
        else:
            kept[registration.key] = registration
    return kept, double
