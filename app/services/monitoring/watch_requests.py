"""What a worker's views ask of the watches: the agent writes, and this process sees what was written at once."""

from collections.abc import Sequence
from typing import Any

from app.domain.errors import NotFound
from app.domain.messages import NOT_WATCHED, about_to_be_monitored
from app.domain.monitoring.checks import last_check
from app.domain.monitoring.corrections import Withdrawal
from app.domain.monitoring.observations import Observation
from app.domain.monitoring.sent_once import SentOnce
from app.domain.monitoring.watches import Watch, nothing_there, target
from app.domain.ports import WatchWrites
from app.domain.registry.models import Registration
from app.domain.views import watch_info
from app.services.mirror.model_tracker import ModelTracker
from app.services.monitoring.checks import Checks
from app.services.monitoring.registration_list import RegistrationList
from app.services.monitoring.watch_list import WatchList


class WatchRequests:
    """The watches, with the verdicts on the versions that they cover."""

    def __init__(
        self,
        writes: WatchWrites,
        watches: WatchList,
        registrations: RegistrationList,
        mirror: ModelTracker,
        checks: Checks,
    ) -> None:
        self._writes = writes
        self._watches = watches
        self._registrations = registrations
        self._mirror = mirror
        self._checks = checks

    def make(
        self, kind: str, model: str, place: str, model_type: str, registered_by: str, settings: Any
    ) -> dict[str, Any]:
        made = self._writes.watch(kind, model, place, model_type, registered_by, settings)
        return self._shown(made)

    def of(self, kind: str, model: str, place: str) -> dict[str, Any]:
        """A watch, and the verdict on the version that it covers. Raises `NotFound`."""
        watch = self._watches.find_anywhere((kind, model, place), self._writes)
        if watch is None:
            raise NotFound(NOT_WATCHED)
        return self._info(watch)

    def change(self, kind: str, model: str, place: str, patch: Any) -> dict[str, Any]:
        return self._shown(self._writes.change_watch(kind, model, place, patch))

    def observe(
        self, kind: str, model: str, place: str, observations: Sequence[Observation], sent: SentOnce | None
    ) -> Registration:
        """Send observations of the version that is there now. Raises `NotFound` and `Conflict`."""
        return self._writes.observe_watched(kind, model, place, observations, sent)

    def withdraw(
        self, kind: str, model: str, place: str, metric: str | None, since: int | None, until: int | None, by: str
    ) -> tuple[Registration, Withdrawal]:
        """Withdraw observations of the version that is there now. Raises `NotFound` and `Conflict`."""
        return self._writes.withdraw_watched(kind, model, place, metric, since, until, by)

    def remove(self, kind: str, model: str, place: str, removed_by: str) -> int:
        removed_at = self._writes.remove_watch(kind, model, place, removed_by)
        self._registrations.catch_up()
        return removed_at

    def _shown(self, watch: Watch) -> dict[str, Any]:
        # The agent holds the lists where they cannot be stored.
        self._registrations.catch_up()
        return self._info(watch)

    def _info(self, watch: Watch) -> dict[str, Any]:
        fleet = self._mirror.fleet()
        version = target(watch, fleet)
        if version is None:
            return watch_info(watch, None, None, None, nothing_there(watch, fleet))
        registration = self._registrations.listed(*version.key)
        check = last_check(self._checks.all(), registration) if registration else None
        waiting = about_to_be_monitored(version.row.version)
        return watch_info(watch, version, registration, check, waiting)
