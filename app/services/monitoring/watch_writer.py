"""Writes watches and monitoring rules, which are monitor runs without a version."""

from dataclasses import replace

from app.domain.monitoring.monitoring_rules import Exclusion, MonitoringRule
from app.domain.monitoring.watches import Watch
from app.domain.registry.models import VersionKey
from app.services.monitoring.writable_runs import WritableRuns


class WatchWriter(WritableRuns):
    """Makes, changes and ends watches and rules, and excludes versions from rules."""

    def open_watch(self, wanted: Watch) -> Watch:
        """Make a watch; the watch that is returned has the id of its run."""
        with self._turns.turn():
            return self._gateway.open_watch(wanted)

    def change_watch(self, watch: Watch) -> None:
        """Replace the settings of a watch, and the record of the version that it covered last."""
        with self._turns.turn():
            self._gateway.change_watch(watch)

    def end_watch(self, run_id: str, by: str, reason: str) -> int:
        """End a watch or a rule; returns the time of its end, in milliseconds."""
        with self._turns.turn():
            return self._gateway.end_watch(run_id, by, reason)

    def open_rule(self, wanted: MonitoringRule) -> MonitoringRule:
        """Make a monitoring rule; the rule that is returned has the id of its run."""
        with self._turns.turn():
            return self._gateway.open_rule(wanted)

    def change_rule(self, rule: MonitoringRule) -> None:
        """Replace what a rule matches, its settings and its type. Its exclusions stay."""
        with self._turns.turn():
            self._gateway.change_rule(rule)

    def exclude(self, rule: MonitoringRule, exclusion: Exclusion) -> MonitoringRule:
        """Exclude a version from a rule; returns the rule as it is then."""
        with self._turns.turn():
            self._gateway.exclude(rule.run_id, exclusion)
        others = [other for other in rule.excluded if other.key != exclusion.key]
        return replace(rule, excluded=tuple(sorted([*others, exclusion], key=lambda each: each.key)))

    def include(self, rule: MonitoringRule, key: VersionKey) -> MonitoringRule:
        """Take back the exclusion of a version from a rule; returns the rule as it is then."""
        with self._turns.turn():
            self._gateway.include(rule.run_id, key)
        return replace(rule, excluded=tuple(other for other in rule.excluded if other.key != key))
