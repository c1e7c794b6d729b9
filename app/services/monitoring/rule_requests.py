"""What a worker's views change about monitoring rules: the agent writes, and this process sees it at once."""

from typing import Any

from app.domain.monitoring.monitoring_rules import MonitoringRule
from app.domain.ports import RuleWrites
from app.services.monitoring.watch_list import WatchList


class RuleRequests:
    """A worker's `RuleWrites`."""

    def __init__(self, writes: RuleWrites, watches: WatchList) -> None:
        self._writes = writes
        self._watches = watches

    def make_rule(
        self, name: str, match: Any, model_type: str | None, settings: Any, registered_by: str
    ) -> MonitoringRule:
        made = self._writes.make_rule(name, match, model_type, settings, registered_by)
        # The agent holds the list where it cannot be stored.
        self._watches.catch_up()
        return made

    def put_rule(
        self, name: str, match: Any, model_type: str | None, settings: Any, registered_by: str
    ) -> MonitoringRule:
        rule = self._writes.put_rule(name, match, model_type, settings, registered_by)
        self._watches.catch_up()
        return rule

    def remove_rule(self, name: str, removed_by: str) -> int:
        removed_at = self._writes.remove_rule(name, removed_by)
        self._watches.catch_up()
        return removed_at
