"""Generations: a consistent state of fleet and registrations, with the bytes made of it, kept until it changes."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import orjson

from app.domain.data_drift.sentence import Summary, summary_of
from app.domain.exact import exact
from app.domain.findings import Finding, findings, kinds_by_version
from app.domain.monitoring.checks import Check, last_check
from app.domain.monitoring.monitored import Monitored
from app.domain.monitoring.monitoring_rules import MonitoringRule, covered_by
from app.domain.monitoring.verdict_index import VerdictIndex
from app.domain.monitoring.watches import Watch, target
from app.domain.promotion.guard import OutsideMove
from app.domain.registry.fleet import Fleet
from app.domain.registry.index import Index
from app.domain.registry.models import Registration, TrackedModel, VersionKey
from app.domain.registry.stages import StageRules
from app.domain.views import model_info, registration_info, standing_info
from app.services.answers.prepared import Prepared
from app.services.mirror.model_tracker import ModelTracker
from app.services.monitoring.checks import Checks
from app.services.monitoring.data_reports import DataReports
from app.services.monitoring.registration_list import RegistrationList
from app.services.monitoring.watch_list import WatchList
from app.services.promotion.guard import OutsideMoves

# How many answers to queries a worker keeps beside the unfiltered lists: enough for a few dashboards.
_KEPT_PAGES = 64
# How many rows are kept as JSON from a snapshot to the next. Most fleets have fewer.
_KEPT_ROWS = 10_000

# The sample fleet has no registrations.
_NONE = Monitored({})

_Row = tuple[TrackedModel, Registration | None, bytes]
Made = tuple[bytes, dict[str, int] | None]


class KeptAnswers:
    """The last answers to queries. An answer is made once, even if many threads ask for it at the same time."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Any, Prepared] = OrderedDict()
        self._making = threading.Lock()

    def get(self, key: Any, make: Callable[[], Prepared]) -> Prepared:
        """The answer kept under a key. It is made where there is none."""
        kept = self._kept.get(key)
        if kept is None:
            with self._making:
                kept = self._kept.get(key)
                if kept is None:
                    kept = self._kept[key] = make()
                    if len(self._kept) > _KEPT_PAGES:
                        self._kept.popitem(last=False)
        return kept


class Generation:
    """A fleet with its registrations and the monitoring rules, and the bytes made of them so far.

    `find` returns their findings. Rows and bytes that did not change are taken over from the generation `before`.
    """

    def __init__(
        self,
        fleet: Fleet,
        monitored: Monitored,
        rules: Sequence[MonitoringRule],
        watches: Sequence[Watch],
        find: Callable[["Generation"], Sequence[Finding]],
        before: "Generation | None",
    ) -> None:
        self.fleet = fleet
        self.monitored = monitored
        self.rules = rules
        self.listed_watches = watches
        self.watches = sorted(watches, key=lambda watch: (watch.model, watch.kind, watch.place))
        self.registrations = monitored.of(fleet)
        self.index = Index(fleet, self.registrations)
        self._find = find
        self._lists: dict[Any, Prepared] = {}
        self._pages = KeptAnswers()
        self._covered: dict[str, tuple[MonitoringRule, Sequence[TrackedModel]]] = {}
        self._older = before._lists if before else {}
        self._rows: dict[VersionKey, _Row] = self._kept(before._rows) if before else {}
        self._making = threading.Lock()

    @cached_property
    def findings(self) -> Sequence[Finding]:
        return self._find(self)

    @cached_property
    def kinds(self) -> Mapping[VersionKey, Sequence[str]]:
        """The kinds of findings by version."""
        return kinds_by_version(self.findings)

    @cached_property
    def idle_watches(self) -> int:
        """How many watches cover no version."""
        return sum(target(watch, self.fleet) is None for watch in self.watches)

    def covered(self, rule: MonitoringRule) -> Sequence[TrackedModel]:
        """The versions that a rule covers."""
        kept = self._covered.get(rule.name)
        if kept is None or kept[0] is not rule:
            kept = self._covered[rule.name] = rule, tuple(covered_by(rule, self.fleet))
        return kept[1]

    def kept(self, key: Any) -> Prepared | None:
        """The body of an unfiltered list; None where it was not made yet."""
        return self._lists.get(key)

    def list(self, key: Any, make: Callable[["Generation"], Made]) -> Prepared:
        """The body of an unfiltered list. It is made once, even if many threads ask for it at the same time."""
        kept = self._lists.get(key)
        if kept is None:
            with self._making:
                kept = self._lists.get(key)
                if kept is None:
                    kept = self.prepared(make)
                    if key in self._older:
                        kept.take_over(self._older.pop(key))
                    self._lists[key] = kept
        return kept

    def page(self, key: Any, make: Callable[["Generation"], Made]) -> Prepared:
        """The body of the answer to a query. Only the newest of these are kept."""
        return self._pages.get(key, lambda: self.prepared(make))

    def prepared(self, make: Callable[["Generation"], Made]) -> Prepared:
        body, pagination = make(self)
        return Prepared(body, self.fleet.as_of, pagination)

    def row(self, model: TrackedModel) -> bytes:
        """The ModelInfo of a version, as JSON."""
        registration = self.registrations.get(model.key)
        kept = self._rows.get(model.key)
        if kept is None or kept[0] is not model or kept[1] != registration:
            kept = (model, registration, exact(orjson.dumps(model_info(model, registration))))
            if len(self._rows) < _KEPT_ROWS:
                self._rows[model.key] = kept
        return kept[2]

    def _kept(self, rows: dict[VersionKey, _Row]) -> dict[VersionKey, _Row]:
        """The rows of the previous snapshot whose versions did not change."""
        return {key: row for key, row in list(rows.items()) if self.fleet.find(*key) is row[0]}


class CheckedGeneration:
    """A generation with the last checks of its versions, what moved in their data, and the bytes made of all so far."""

    def __init__(self, of: Generation, checks: Mapping[str, Check], data: Mapping[VersionKey, Summary]) -> None:
        self.of = of
        self.checks = checks
        self.data = data
        self.index = VerdictIndex(of.index, of.registrations, checks, lambda: of.kinds)
        self.pages = KeptAnswers()

    def page(self, key: Any, make: Callable[[Generation], Made]) -> Prepared:
        """The body of the answer to a query, with the age of the fleet."""
        return self.pages.get(key, lambda: self.of.prepared(make))

    def standing(self, model: TrackedModel) -> dict[str, Any]:
        """The fields of a version beside its ModelInfo: its verdict, its findings and what moved in its data."""
        registration = self.of.registrations.get(model.key)
        data = summary_of(registration, self.data) if registration else None
        return standing_info(model, registration, self.index.check(model), self.index.findings(model), data)

    def registration(self, model: TrackedModel) -> dict[str, Any]:
        """The registration of a monitored version, and the verdict on it."""
        registration = self.of.registrations[model.key]
        return registration_info(registration, last_check(self.checks, registration), model)


class Generations:
    """Returns the newest generation. The object stays the same until what it is made of changes.

    `stale_days` is how long a version may stay in Production unchanged before that is a finding; 0 is for ever.
    """

    def __init__(
        self,
        mirror: ModelTracker,
        register: RegistrationList,
        watches: WatchList,
        checks: Checks,
        rules: StageRules,
        stale_days: int,
        outside: OutsideMoves,
        data: DataReports,
    ) -> None:
        self._mirror = mirror
        self._register = register
        self._watches = watches
        self._checks = checks
        self._rules = rules
        self._stale_days = stale_days
        self._outside = outside
        self._data = data
        # What the present findings know: the moves outside this service, and versions without a reference.
        self._moved: Sequence[OutsideMove] = ()
        self._unreferenced: Collection[tuple[VersionKey, int]] = ()
        self._current: Generation | None = None
        self._checked: CheckedGeneration | None = None

    def current(self) -> Generation:
        """The fleet with its registrations."""
        fleet = self._mirror.fleet()
        rules: Sequence[MonitoringRule] = ()
        watches: Sequence[Watch] = ()
        if fleet.mock:
            monitored = _NONE
        else:
            known = self._watches.known()
            rules, watches = known.rules, known.watches
            monitored = self._register.peek() if self._mirror.cached else self._register.monitored()
        now, moved, unreferenced = self._current, () if fleet.mock else self._outside.known(), self._data.unreferenced()
        if (
            now is None
            or moved is not self._moved
            or unreferenced is not self._unreferenced
            or now.fleet is not fleet
            or now.monitored is not monitored
            or now.rules is not rules
            or now.listed_watches is not watches
        ):
            self._moved, self._unreferenced = moved, unreferenced
            find = partial(self._find, moved, unreferenced)
            now = self._current = Generation(fleet, monitored, rules, watches, find, now)
            # It would keep the previous fleet in memory until the next request for checks.
            self._checked = None
        return now

    def checked(self) -> CheckedGeneration:
        """The newest generation with the last checks."""
        of, checks, data = self.current(), self._checks.all(), self._data.summaries()
        now = self._checked
        if now is None or now.of is not of or now.checks is not checks or now.data is not data:
            now = self._checked = CheckedGeneration(of, checks, data)
        return now

    def _find(
        self, moved: Sequence[OutsideMove], unreferenced: Collection[tuple[VersionKey, int]], of: Generation
    ) -> Sequence[Finding]:
        as_of = of.fleet.as_of
        # Without the time of the fleet nothing counts as too old.
        stale_days = self._stale_days if as_of else 0
        return findings(
            of.fleet,
            of.registrations,
            of.rules,
            self._rules,
            stale_days,
            as_of or 0,
            of.watches,
            moved,
            unreferenced,
        )
