"""The report of the registrations: settings, verdicts, reasons."""

from collections.abc import Callable, Sequence
from typing import Any

from app.domain.errors import NotFound
from app.domain.messages import not_monitored
from app.domain.ports import Clock
from app.domain.registry.query import FleetQuery
from app.domain.views import registration_info
from app.services.answers.generations import Generations
from app.services.answers.prepared import Answer, Prepared, page_body
from app.services.mirror.model_tracker import ModelTracker
from app.services.monitoring.checks import Checks
from app.services.monitoring.registration_list import RegistrationList
from app.services.monitoring.watch_list import WatchList


class MonitoringReport:
    """Answers from the registrations and checks that the workers share."""

    def __init__(
        self,
        mirror: ModelTracker,
        register: RegistrationList,
        watches: WatchList,
        checks: Checks,
        generations: Generations,
        clock: Clock,
        most: int,
    ) -> None:
        self._mirror = mirror
        self._register = register
        self._watches = watches
        self._checks = checks
        self._generations = generations
        self._clock = clock
        self._most = most

    def of(self, name: str, version: str) -> dict[str, Any]:
        """The registration of a version. Raises `NotFound`, which names the rules that the version is excluded from."""
        try:
            registration = self._register.find(name, version)
        except NotFound:
            raise NotFound(not_monitored(self._watches.excluding(name, version))) from None
        return registration_info(
            registration, self._checks.of(registration), self._mirror.fleet().find(*registration.key)
        )

    def listed(self, query: FleetQuery) -> Answer:
        """A page of the registrations that match a query. The sample fleet has none."""
        if self._mirror.shows_mock():
            return Answer(self._prepared([], query, dict), mock=True)
        # This asks MLflow where no registrations are known.
        stale = self._register.monitored().stale
        now = self._generations.checked()

        def make() -> Prepared:
            return self._prepared(now.index.find(query), query, now.registration)

        return Answer(now.pages.get(("monitoring", query), make), stale)

    def _prepared(self, rows: Sequence[Any], query: FleetQuery, info: Callable[[Any], Any]) -> Prepared:
        body, pagination = page_body(query, rows, self._most, info)
        return Prepared(body, self._clock(), pagination)
