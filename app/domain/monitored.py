"""The list of registrations, and what of it belongs to a fleet."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.fleet import Fleet
from app.domain.models import Registration

Registrations = dict[tuple[str, int], Registration]


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


def first_of_each(found: Sequence[Registration]) -> tuple[Registrations, list[Registration]]:
    """Of several open runs for one version the earlier start, then the lower run id, counts; and the others."""
    kept: Registrations = {}
    double: list[Registration] = []
    for registration in sorted(found, key=lambda r: (r.registered_at, r.monitor_run_id)):
        if registration.key in kept:
            double.append(registration)
        else:
            kept[registration.key] = registration
    return kept, double
