"""What a worker's views ask of the registrations: the agent writes, and this process sees what was written at once."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from app.domain.errors import NotFound, TowerError
from app.domain.messages import not_monitored
from app.domain.monitoring.acts import Act, WantedAct
from app.domain.monitoring.corrections import Withdrawal
from app.domain.monitoring.observations import Observation
from app.domain.monitoring.sendings import Part
from app.domain.monitoring.sent_once import SentOnce
from app.domain.ports import RegistrationWrites
from app.domain.registry.models import Registration
from app.domain.registry.names import version_number
from app.services.monitoring.registration_list import RegistrationList
from app.services.monitoring.watch_list import WatchList
from app.services.monitoring.write_turns import MOST_AT_ONCE


class RegistrationRequests:
    """A worker's `RegistrationWrites`, and whether a version is monitored."""

    def __init__(self, writes: RegistrationWrites, registrations: RegistrationList, watches: WatchList) -> None:
        self._writes = writes
        self._registrations = registrations
        self._watches = watches
        self.is_monitored = registrations.is_monitored

    def register(self, name: str, version: str, model_type: str, registered_by: str, settings: Any) -> Registration:
        made = self._writes.register(name, version, model_type, registered_by, settings)
        # The agent holds the list where it cannot be stored.
        self._registrations.catch_up()
        return made

    def change_settings(self, name: str, version: str, patch: Any) -> Registration:
        changed = self._writes.change_settings(name, version, patch)
        self._registrations.catch_up()
        return changed

    def observe(
        self, name: str, version: str, observations: Sequence[Observation], sent: SentOnce | None = None
    ) -> Registration:
        return self._writes.observe(name, version, observations, sent)

    def observe_each(self, parts: Sequence[Part]) -> list[TowerError | None]:
        """Write the observations of many versions; for each part the error, or None if it was written."""
        by_version: dict[tuple[str, str], list[int]] = {}
        for place, part in enumerate(parts):
            by_version.setdefault((part.name, part.version), []).append(place)
        answers: list[TowerError | None] = [None] * len(parts)

        def write(places: Sequence[int]) -> None:
            # Parts of the same version keep their order.
            for place in places:
                answers[place] = self._written(parts[place])

        with ThreadPoolExecutor(MOST_AT_ONCE, "observe") as pool:
            # The threads log with the id of the request.
            jobs = [pool.submit(copy_context().run, write, places) for places in by_version.values()]
            for job in jobs:
                job.result()
        return answers

    def _written(self, part: Part) -> TowerError | None:
        try:
            if part.refused is not None:
                return part.refused
            self.observe(part.name, part.version, part.observations, part.sent)
        except TowerError as error:
            return error
        return None

    def withdraw(
        self, name: str, version: str, metric: str | None, since: int | None, until: int | None, by: str
    ) -> tuple[Registration, Withdrawal]:
        return self._writes.withdraw(name, version, metric, since, until, by)

    def act(self, name: str, version: str, wanted: WantedAct, by: str) -> tuple[Registration, Act]:
        done = self._writes.act(name, version, wanted, by)
        self._registrations.catch_up()
        return done

    def remove(self, name: str, version: str, removed_by: str) -> tuple[int, bool]:
        """When the version was removed, in milliseconds, and whether a watch or a rule keeps it monitored.

        Raises `NotFound`, and `Conflict` where it was not registered by itself.
        """
        try:
            removed_at = self._writes.remove(name, version, removed_by)
        except NotFound:
            raise NotFound(not_monitored(self._watches.excluding(name, version))) from None
        self._registrations.catch_up()
        return removed_at, (name, version_number(version)) in self._registrations.known().by_key
