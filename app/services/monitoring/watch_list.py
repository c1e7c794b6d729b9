"""The list of the watches and monitoring rules, mirrored for reading. The truth is their open runs in MLflow."""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.domain.errors import MISFITS, TowerError
from app.domain.monitoring.monitoring_rules import Exclusion, Matcher, MonitoringRule, first_rules
from app.domain.monitoring.watches import Watch, WatchKey, first_watches
from app.domain.ports import OwnGateway, SharedCache, WatchWrites, WritableCache
from app.domain.registry.names import version_number
from app.domain.shapes import check_shape
from app.services.monitoring.registration_list import LOOK_UP_SECONDS

log = logging.getLogger(__name__)

LIST = "watches"


@dataclass(frozen=True, slots=True)
class Covering:
    """What covers versions: the watches, and the rules by name. Each object stays the same until it changes."""

    watches: Sequence[Watch] = ()
    rules: Sequence[MonitoringRule] = ()


_NOTHING = Covering()


class WatchList:
    """This process's view of the list that all processes share."""

    def __init__(self, cache: SharedCache, mlflow: str, cached: bool) -> None:
        self._cache = cache
        self._mlflow = mlflow
        self._cached = cached
        self._known: Covering | None = None
        self._mark: object | None = None
        self._adopting = threading.Lock()

    def known(self) -> Covering:
        """Watches and rules as last known; none where they were never read. The object stays until they change."""
        return self._latest() or _NOTHING

    def find(self, key: WatchKey) -> Watch | None:
        """A watch as the list has it."""
        return next((watch for watch in self.known().watches if watch.key == key), None)

    def find_anywhere(self, key: WatchKey, source: WatchWrites) -> Watch | None:
        """A watch. Where the list lacks it, `source` reads the list again."""
        watch = self.find(key)
        if watch is None or not self._cached:
            self._look_up(source)
            watch = self.find(key)
        return watch

    def find_rule(self, name: str) -> MonitoringRule | None:
        """A rule as the list has it."""
        return next((rule for rule in self.known().rules if rule.name == name), None)

    def find_rule_anywhere(self, name: str, source: WatchWrites) -> MonitoringRule | None:
        """A rule. Where the list lacks it, `source` reads the list again."""
        rule = self.find_rule(name)
        if rule is None or not self._cached:
            self._look_up(source)
            rule = self.find_rule(name)
        return rule

    def ensure_read(self, source: WatchWrites) -> None:
        """Have `source` read the list where it was never read, and always where the cache is disabled."""
        if self._latest() is None or not self._cached:
            self._look_up(source)

    def excluding(self, name: str, version: str) -> list[str]:
        """The names of the rules from which a version is excluded."""
        key = name, version_number(version)
        return [rule.name for rule in self.known().rules if any(each.key == key for each in rule.excluded)]

    def catch_up(self) -> None:
        """Get the list from the agent where it could not be stored."""
        self._cache.catch_up()

    def _look_up(self, source: WatchWrites) -> None:
        try:
            with source.within(LOOK_UP_SECONDS):
                source.look_up_watches()
        except TowerError as error:
            log.warning("Watches and rules are not read again: %s", error.detail)
        # The list may be held by the agent where it could not be stored.
        self.catch_up()

    def _latest(self) -> Covering | None:
        mark = self._cache.mark(LIST)
        if mark != self._mark:
            with self._adopting:
                stored = _list_from(self._cache.get(LIST), self._mlflow)
                self._known = self._known if stored is None else stored
                self._mark = mark
        return self._known


class WatchStore(WatchList):
    """The agent's list: it reads it from MLflow and writes it. Who changes it holds the lock on the watches."""

    def __init__(self, gateway: OwnGateway, cache: WritableCache, mlflow: str, cached: bool) -> None:
        super().__init__(cache, mlflow, cached)
        self._gateway = gateway
        self._writable = cache

    def read(self) -> tuple[Covering, Covering]:
        """Watches and rules as MLflow has them now, and the duplicates. The list stays if the experiment is gone."""
        read = self._gateway.watches_and_rules()
        if read is None:
            return self.known(), _NOTHING
        watches, rules = read
        kept_watches, more_watches = first_watches(watches)
        kept_rules, more_rules = first_rules(rules)
        self._share(Covering(kept_watches, kept_rules))
        return self.known(), Covering(more_watches, more_rules)

    def put(self, watch: Watch) -> None:
        """Add a watch, or replace it."""
        known = self.known()
        others = [other for other in known.watches if other.key != watch.key]
        self._change(Covering([*others, watch], known.rules))

    def remove(self, watch: Watch) -> None:
        known = self.known()
        self._change(Covering([other for other in known.watches if other.key != watch.key], known.rules))

    def put_rule(self, rule: MonitoringRule) -> None:
        """Add a rule, or replace it."""
        known = self.known()
        others = [other for other in known.rules if other.name != rule.name]
        self._change(Covering(known.watches, first_rules([*others, rule])[0]))

    def remove_rule(self, name: str) -> None:
        known = self.known()
        self._change(Covering(known.watches, [rule for rule in known.rules if rule.name != name]))

    def _change(self, changed: Covering) -> None:
        """Change the list. MLflow has the change already, so the next reading mends a failure here."""
        try:
            self._share(changed)
        except TowerError as error:
            log.warning("The list of watches is behind until the next refresh: %s", error.detail)

    def _share(self, listed: Covering) -> None:
        before = self._latest()
        if before is not None:
            # What did not change stays the same object, by which others see that nothing is to be done.
            watches = before.watches if list(before.watches) == list(listed.watches) else listed.watches
            rules = before.rules if list(before.rules) == list(listed.rules) else listed.rules
            if watches is before.watches and rules is before.rules:
                return
            listed = Covering(watches, rules)
        with self._adopting:
            if self._writable.set(LIST, {"source": self._mlflow, "watches": listed.watches, "rules": listed.rules}):
                self._mark = self._cache.mark(LIST)
            self._known = listed


def _list_from(value: Any, source: str) -> Covering | None:
    """The stored list, or None if it is from another MLflow or unreadable."""
    try:
        if value["source"] != source:
            return None
        # An earlier release stored no rules.
        check_shape(value.get("rules", []), list[MonitoringRule])
        check_shape(value["watches"], list[Watch])
        rules = [_rule_from(row) for row in value.get("rules", ())]
        return Covering([Watch(**row) for row in value["watches"]], rules)
    except MISFITS:
        return None


def _rule_from(row: Any) -> MonitoringRule:
    match = row["match"]
    matcher = Matcher(tuple(match["stages"]), tuple(match["aliases"]), match["tags"], match["name"])
    excluded = tuple(Exclusion(**exclusion) for exclusion in row["excluded"])
    return MonitoringRule(**{**row, "match": matcher, "excluded": excluded})
