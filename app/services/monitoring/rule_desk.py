"""The rule desk takes changes to monitoring rules, and to which versions are excluded from them.

The watcher brings the records in line with the rules, at its next look.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from app.domain.errors import InvalidInput, NotFound
from app.domain.messages import ALREADY_A_RULE, NO_RULE
from app.domain.monitoring.monitoring_rules import (
    MOST_RULES,
    Exclusion,
    MonitoringRule,
    is_matched,
    wanted_rule,
)
from app.domain.ports import Clock
from app.domain.registry.models import ModelVersion, Registration, VersionKey
from app.services.mirror.model_tracker import ModelTracker
from app.services.monitoring.monitor_run_writer import MonitorRunWriter
from app.services.monitoring.watch_list import WatchStore
from app.services.monitoring.watcher import Watcher


class RuleDesk:
    """The agent's `RuleWrites`. `settle` waits until the other hosts have a change."""

    def __init__(
        self,
        watcher: Watcher,
        watches: WatchStore,
        writer: MonitorRunWriter,
        mirror: ModelTracker,
        clock: Clock,
        settle: Callable[[], None],
    ) -> None:
        # Nobody else changes watches, rules or exclusions inside.
        self._changing = watcher.changing
        self._watches = watches
        self._writer = writer
        self._mirror = mirror
        self._clock = clock
        self._settle = settle

    def make_rule(
        self, name: str, match: Any, model_type: str | None, settings: Any, registered_by: str
    ) -> MonitoringRule:
        wanted = wanted_rule(name, match, model_type, settings, registered_by, self._clock())
        with self._changing():
            if self._current(name) is not None:
                raise InvalidInput(ALREADY_A_RULE)
            made = self._opened(wanted)
        self._settle()
        return made

    def put_rule(
        self, name: str, match: Any, model_type: str | None, settings: Any, registered_by: str
    ) -> MonitoringRule:
        wanted = wanted_rule(name, match, model_type, settings, registered_by, self._clock())
        with self._changing():
            current = self._current(name)
            if current is None:
                rule = self._opened(wanted)
            else:
                rule = replace(current, match=wanted.match, model_type=wanted.model_type, settings=wanted.settings)
                if rule != current:
                    self._writer.change_rule(rule)
                    self._watches.put_rule(rule)
        self._settle()
        return rule

    def remove_rule(self, name: str, removed_by: str) -> int:
        with self._changing():
            current = self._current(name)
            if current is None:
                raise NotFound(NO_RULE)
            removed_at = self._writer.end_watch(current.run_id, removed_by, "the rule was removed")
            self._watches.remove_rule(name)
        self._settle()
        return removed_at

    def remove_version(self, name: str, version: str, removed_by: str) -> int:
        """End the monitor run of a version, and exclude the version from the rules that cover it.

        As `MonitorRunWriter.remove`.
        """
        with self._changing():
            return self._writer.remove(name, version, removed_by, partial(self._exclude, removed_by))

    def take_back(self, row: ModelVersion) -> None:
        """Have the rules cover a version again that it was excluded from."""
        if not _excluding(self._watches.known().rules, row):
            return
        with self._changing():
            for rule in _excluding(self._watches.read()[0].rules, row):
                self._watches.put_rule(self._writer.include(rule, (row.name, row.version)))

    def _exclude(self, by: str, key: VersionKey, record: Registration | None) -> bool:
        """Exclude a version from the rules that cover it; whether there are any."""
        labels = record.watched_by if record else ()
        if not self._watches.known().rules and not labels:
            return False
        fleet = self._mirror.fleet()
        version = fleet.find(*key)
        # The mirror may not know yet what matches the rules; the record says what did.
        created = version.row.created if version else record.version_created if record else 0
        exclusion = Exclusion(*key, created, by, self._clock())
        excluded = False
        for rule in self._watches.read()[0].rules:
            covers = rule.label in labels or is_matched(rule, fleet, key)
            if covers and not any(other.key == key and other.version_created == created for other in rule.excluded):
                self._watches.put_rule(self._writer.exclude(rule, exclusion))
                excluded = True
        return excluded

    def _current(self, name: str) -> MonitoringRule | None:
        """A rule as MLflow has it now."""
        return next((rule for rule in self._watches.read()[0].rules if rule.name == name), None)

    def _opened(self, wanted: MonitoringRule) -> MonitoringRule:
        if len(self._watches.known().rules) >= MOST_RULES:
            raise InvalidInput(f"There are {MOST_RULES} rules already, which is the most. Remove one, or widen one.")
        made = self._writer.open_rule(wanted)
        self._watches.put_rule(made)
        return made


def _excluding(rules: Iterable[MonitoringRule], row: ModelVersion) -> list[MonitoringRule]:
    return [rule for rule in rules if rule.excludes(row)]
