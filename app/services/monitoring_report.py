"""What there is to say of the registrations: settings, verdicts, reasons, and what happened to them."""

import threading
from collections import OrderedDict
from typing import Any

import orjson

from app.domain.models import Registration
from app.domain.monitor_runs import events
from app.domain.monitored import Monitored
from app.domain.names import version_number
from app.domain.ports import Checked, Clock, Gateway, Mirror, Register
from app.domain.query import ListQuery, page_of, pagination
from app.domain.views import registration_info
from app.services.prepared import Prepared

_KEPT_PAGES = 16


class MonitoringReport:
    """Answers from what the workers share; the history is read from MLflow."""

    def __init__(
        self, gateway: Gateway, mirror: Mirror, register: Register, checks: Checked, clock: Clock, most: int
    ) -> None:
        self._gateway = gateway
        self._mirror = mirror
        self._register = register
        self._checks = checks
        self._clock = clock
        self._most = most
        self._pages: OrderedDict[Any, Prepared] = OrderedDict()
        self._made_of: tuple[object, ...] = ()
        self._making = threading.Lock()

    def one(self, name: str, version: str) -> dict[str, Any]:
        """One registration. Raises `NotFound`."""
        return self._info(self._register.find(name, version))

    def listed(self, query: ListQuery, verdict: str | None) -> tuple[Prepared, bool, bool]:
        """All registrations, by name, then by version, highest first; one page of them, or those of one verdict.

        And whether they are stale, and whether the sample fleet is shown, which has none.
        """
        if self._mirror.shows_mock():
            return self._prepared([], query), False, True
        monitored = self._register.monitored()
        return self._kept(query, verdict, monitored), monitored.stale, False

    def _kept(self, query: ListQuery, verdict: str | None, monitored: Monitored) -> Prepared:
        made_of = (monitored, self._checks.all(), self._mirror.fleet())
        with self._making:
            if any(one is not other for one, other in zip(made_of, self._made_of, strict=False)) or not self._made_of:
                self._pages.clear()
                self._made_of = made_of
            key = (query, verdict)
            if key not in self._pages:
                self._pages[key] = self._page(query, verdict, monitored)
            self._pages.move_to_end(key)
            if len(self._pages) > _KEPT_PAGES:
                self._pages.popitem(last=False)
            return self._pages[key]

    def history(self, query: ListQuery, name: str | None, version: str | None) -> Prepared:
        """Registrations, changes of verdict and removals, newest first, also of past registrations."""
        number = version_number(version) if version is not None else None
        if version is not None and number is None:
            return self._prepared([], query)
        with self._gateway.within(self._gateway.patience):
            return self._prepared(events(self._gateway.monitor_history(name, number)), query)

    def _page(self, query: ListQuery, verdict: str | None, monitored: Monitored) -> Prepared:
        registrations = monitored.of(self._mirror.fleet())
        wanted = [
            registrations[key]
            for key in sorted(registrations, key=lambda key: (key[0], -key[1]))
            if query.model_type in (None, registrations[key].model_type)
            and verdict in (None, self._checks.of(registrations[key]).verdict)
            and (query.name is None or query.name.casefold() in key[0].casefold())
            and query.stage in (None, self._stage(registrations[key]))
        ]
        return self._prepared(wanted, query)

    def _prepared(self, rows: list[Any], query: ListQuery) -> Prepared:
        page = page_of(query, len(rows), self._most)
        shown = [self._info(row) if isinstance(row, Registration) else row for row in rows[page.rows]]
        return Prepared(orjson.dumps(shown), self._clock(), pagination(page))

    def _info(self, registration: Registration) -> dict[str, Any]:
        return registration_info(registration, self._checks.of(registration), self._stage(registration))

    def _stage(self, registration: Registration) -> str | None:
        model = self._mirror.fleet().find(*registration.key)
        return model.stage if model else None
