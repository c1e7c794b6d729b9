"""The report of watches and monitoring rules: what they match, and which versions they cover and exclude."""

from collections.abc import Sequence
from typing import Any

from app.domain.errors import NotFound
from app.domain.messages import NO_RULE, about_to_be_monitored
from app.domain.monitoring.monitoring_rules import MonitoringRule
from app.domain.monitoring.watches import Watch, nothing_there, target
from app.domain.ports import WatchWrites
from app.domain.registry.query import ListQuery
from app.domain.views import Json, rule_info, rule_versions, watch_info
from app.services.answers.generations import CheckedGeneration, Generation, Generations, Made
from app.services.answers.prepared import Answer, Prepared, page_body
from app.services.mirror.model_tracker import ModelTracker
from app.services.monitoring.watch_list import WatchList


class CoverageReport:
    """Answers from the watches, the rules, the registrations, the checks and the fleet that the workers share."""

    def __init__(
        self, watches: WatchList, source: WatchWrites, mirror: ModelTracker, generations: Generations, most: int
    ) -> None:
        self._watches = watches
        self._source = source
        self._mirror = mirror
        self._generations = generations
        self._most = most

    def watches(self, query: ListQuery, model: str | None) -> Answer:
        """A page of the watches, of all registered models or of one: by model, then kind, then alias or stage."""
        self._watches.ensure_read(self._source)
        now = self._generations.checked()

        def make(of: Generation) -> Made:
            watches = [watch for watch in of.watches if model in (None, watch.model)]
            return page_body(query, watches, self._most, lambda watch: _watch(now, watch))

        return self._answer(now.of, now.page(("watches", model, query), make))

    def rules(self, query: ListQuery) -> Answer:
        """A page of the rules, by name."""
        self._watches.ensure_read(self._source)
        now = self._generations.current()

        def make(now: Generation) -> Made:
            return page_body(query, now.rules, self._most, lambda rule: _rule(now, rule))

        return self._answer(now, now.page(("rules", query), make))

    def rule(self, name: str) -> dict[str, Any]:
        """A rule, with how many versions it covers and excludes. Raises `NotFound`."""
        rule = self._rule_named(name)
        return _rule(self._generations.current(), rule)

    def rule_versions(self, name: str, query: ListQuery, excluded: bool | None) -> Answer:
        """A page of the versions that a rule covers and excludes, or of either. Raises `NotFound`."""
        rule = self._rule_named(name)

        def make(now: Generation) -> Made:
            # The rule may have changed since it was looked up.
            current = next((other for other in now.rules if other.name == name), rule)
            versions = rule_versions(current, now.covered(current), now.registrations, now.fleet)
            rows: Sequence[Json] = [row for row in versions if excluded in (None, row["excluded"])]
            return page_body(query, rows, self._most, lambda row: row)

        now = self._generations.current()
        return self._answer(now, now.page(("rule", name, excluded, query), make))

    def _rule_named(self, name: str) -> MonitoringRule:
        rule = self._watches.find_rule_anywhere(name, self._source)
        if rule is None:
            raise NotFound(NO_RULE)
        return rule

    def _answer(self, now: Generation, prepared: Prepared) -> Answer:
        return Answer(prepared, now.monitored.stale, self._mirror.shows_mock())


def _rule(now: Generation, rule: MonitoringRule) -> Json:
    return rule_info(rule, len(now.covered(rule)))


def _watch(now: CheckedGeneration, watch: Watch) -> Json:
    fleet = now.of.fleet
    version = target(watch, fleet)
    if version is None:
        return watch_info(watch, None, None, None, nothing_there(watch, fleet))
    registration = now.of.registrations.get(version.key)
    waiting = about_to_be_monitored(version.row.version)
    return watch_info(watch, version, registration, now.index.check(version), waiting)
