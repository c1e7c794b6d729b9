"""The report of the monitoring rules: what they match, and which versions they cover and exclude."""

from collections.abc import Callable, Sequence
from typing import Any

import orjson

from app.domain.errors import NotFound
from app.domain.messages import NO_RULE
from app.domain.monitoring.monitoring_rules import MonitoringRule
from app.domain.ports import WatchWrites
from app.domain.registry.query import ListQuery, page_of, pagination
from app.domain.views import rule_info, rule_versions
from app.services.answers.generations import Generation, Generations, Made
from app.services.answers.prepared import Answer
from app.services.mirror.model_tracker import ModelTracker
from app.services.monitoring.watch_list import WatchList


class RulesReport:
    """Answers from the rules, the registrations and the fleet that the workers share."""

    def __init__(
        self, watches: WatchList, source: WatchWrites, mirror: ModelTracker, generations: Generations, most: int
    ) -> None:
        self._watches = watches
        self._source = source
        self._mirror = mirror
        self._generations = generations
        self._most = most

    def of(self, name: str) -> dict[str, Any]:
        """A rule, with how many versions it covers and excludes. Raises `NotFound`."""
        rule = self._found(name)
        return _info(self._generations.current(), rule)

    def listed(self, query: ListQuery) -> Answer:
        """A page of the rules, by name."""
        self._watches.ensure_read(self._source)
        return self._page(("rules", query), query, lambda now: now.rules, _info)

    def versions(self, name: str, query: ListQuery, excluded: bool | None) -> Answer:
        """A page of the versions that a rule covers and excludes, or of either. Raises `NotFound`."""
        rule = self._found(name)

        def rows(now: Generation) -> Sequence[dict[str, Any]]:
            # The rule may have changed since it was found.
            current = next((other for other in now.rules if other.name == name), rule)
            found = rule_versions(current, now.covered(current), now.registrations, now.fleet)
            return [row for row in found if excluded in (None, row["excluded"])]

        return self._page(("rule", name, excluded, query), query, rows, lambda _, row: row)

    def _found(self, name: str) -> MonitoringRule:
        rule = self._watches.find_rule_anywhere(name, self._source)
        if rule is None:
            raise NotFound(NO_RULE)
        return rule

    def _page(
        self,
        key: Any,
        query: ListQuery,
        rows: Callable[[Generation], Sequence[Any]],
        info: Callable[[Generation, Any], dict[str, Any]],
    ) -> Answer:
        def make(now: Generation) -> Made:
            found = rows(now)
            page = page_of(query, len(found), self._most)
            return orjson.dumps([info(now, row) for row in found[page.rows]]), pagination(page)

        now = self._generations.current()
        return Answer(now.page(key, make), now.monitored.stale, self._mirror.shows_mock())


def _info(now: Generation, rule: MonitoringRule) -> dict[str, Any]:
    return rule_info(rule, len(now.covered(rule)))
