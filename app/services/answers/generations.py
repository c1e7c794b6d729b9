"""Generations: what is known at one moment, and the bytes made of it, kept until it changes."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import orjson

from app.domain.exact import exact
from app.domain.findings import Finding, findings, kinds_by_version
from app.domain.monitoring.checks import Check, last_check
from app.domain.monitoring.monitored import Monitored
from app.domain.monitoring.verdict_index import VerdictIndex
from app.domain.registry.fleet import Fleet
from app.domain.registry.index import Index
from app.domain.registry.models import Registration, TrackedModel, VersionKey
from app.domain.registry.stages import StageRules
from app.domain.views import model_info, registration_info, standing_info
from app.services.answers.prepared import Prepared
from app.services.mirror.model_tracker import ModelTracker
from app.services.monitoring.checks import Checks
from app.services.monitoring.registration_list import RegistrationList

# Answers to queries kept in one worker, beside the unfiltered lists: the pages that a few dashboards ask for.
_KEPT_PAGES = 64
# Rows kept as JSON from one snapshot to the next; what a fleet usually shows.
_KEPT_ROWS = 10_000

# The sample fleet has no registrations.
_NONE = Monitored({})

_Row = tuple[TrackedModel, Registration | None, bytes]
Made = tuple[bytes, dict[str, int] | None]


class Pages:
    """The last answers to queries; of many who ask for one at once, one makes it."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Any, Prepared] = OrderedDict()
        self._making = threading.Lock()

    def get(self, key: Any, make: Callable[[], Prepared]) -> Prepared:
        """The answer kept under a key, made where there is none."""
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
    """One fleet with its registrations, and the bytes made of them so far.

    `find` tells what is out of order in them.
    """

    def __init__(
        self,
        fleet: Fleet,
        monitored: Monitored,
        find: Callable[["Generation"], Sequence[Finding]],
        before: "Generation | None",
    ) -> None:
        self.fleet = fleet
        self.monitored = monitored
        self.registrations = monitored.of(fleet)
        self.index = Index(fleet, self.registrations)
        self._find = find
        self._lists: dict[Any, Prepared] = {}
        self._pages = Pages()
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

    def kept(self, key: Any) -> Prepared | None:
        """The body of an unfiltered list, where it is made already."""
        return self._lists.get(key)

    def list(self, key: Any, make: Callable[["Generation"], Made]) -> Prepared:
        """The body of one of the few unfiltered lists; of many who ask at once, one makes it."""
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
        """The body of the answer to a query; of those only the last ones asked for are kept."""
        return self._pages.get(key, lambda: self.prepared(make))

    def prepared(self, make: Callable[["Generation"], Made]) -> Prepared:
        body, told = make(self)
        return Prepared(body, self.fleet.as_of, told)

    def row(self, model: TrackedModel) -> bytes:
        """ModelInfo as JSON."""
        registration = self.registrations.get(model.key)
        kept = self._rows.get(model.key)
        if kept is None or kept[0] is not model or kept[1] != registration:
            kept = (model, registration, exact(orjson.dumps(model_info(model, registration))))
            if len(self._rows) < _KEPT_ROWS:
                self._rows[model.key] = kept
        return kept[2]

    def _kept(self, rows: dict[VersionKey, _Row]) -> dict[VersionKey, _Row]:
        """Rows of the snapshot before that are of this one too."""
        return {key: row for key, row in list(rows.items()) if self.fleet.find(*key) is row[0]}


class CheckedGeneration:
    """A generation with the last checks of its versions, and the bytes made of both so far."""

    def __init__(self, of: Generation, checks: Mapping[str, Check]) -> None:
        self.of = of
        self.checks = checks
        self.index = VerdictIndex(of.index, of.registrations, checks, lambda: of.kinds)
        self.pages = Pages()

    def page(self, key: Any, make: Callable[[Generation], Made]) -> Prepared:
        """The body of the answer to a query, as old as the fleet."""
        return self.pages.get(key, lambda: self.of.prepared(make))

    def standing(self, model: TrackedModel) -> dict[str, Any]:
        """What is known of a version beside its ModelInfo."""
        registration = self.of.registrations.get(model.key)
        return standing_info(model, registration, self.index.check(model), self.index.findings(model))

    def registration(self, model: TrackedModel) -> dict[str, Any]:
        """The registration of a monitored version, and the verdict on it."""
        registration = self.of.registrations[model.key]
        return registration_info(registration, last_check(self.checks, registration), model.stage)


class Generations:
    """Hands out the newest generation: the same one until fleet, registrations or checks are others.

    `stale_days` is how long a version in Production may stay as it is before that is a finding, 0 for ever.
    """

    def __init__(
        self, mirror: ModelTracker, register: RegistrationList, checks: Checks, rules: StageRules, stale_days: int
    ) -> None:
        self._mirror = mirror
        self._register = register
        self._checks = checks
        self._rules = rules
        self._stale_days = stale_days
        self._current: Generation | None = None
        self._checked: CheckedGeneration | None = None

    def current(self) -> Generation:
        """The fleet with its registrations."""
        fleet = self._mirror.fleet()
        if fleet.mock:
            monitored = _NONE
        else:
            monitored = self._register.peek() if self._mirror.cached else self._register.monitored()
        now = self._current
        if now is None or now.fleet is not fleet or now.monitored is not monitored:
            now = self._current = Generation(fleet, monitored, self._find, now)
            # Nobody may ask for it for long, and it holds the fleet before.
            self._checked = None
        return now

    def checked(self) -> CheckedGeneration:
        """The same with the last checks."""
        of, checks = self.current(), self._checks.all()
        now = self._checked
        if now is None or now.of is not of or now.checks is not checks:
            now = self._checked = CheckedGeneration(of, checks)
        return now

    def _find(self, of: Generation) -> Sequence[Finding]:
        as_of = of.fleet.as_of
        # Without a present nothing is too old.
        return findings(of.fleet, of.registrations, self._rules, self._stale_days if as_of else 0, as_of or 0)
