"""Indexes of a fleet's versions by their last checks and findings."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from itertools import groupby

from app.domain.monitoring.checks import Check, last_check
from app.domain.monitoring.model_groups import ModelGroup, in_order
from app.domain.monitoring.verdicts import DEGRADED, DRIFTING, HEALTHY, INSUFFICIENT
from app.domain.registry.index import Index, Orders, Places, Registrations, common, grouped
from app.domain.registry.models import TrackedModel, VersionKey
from app.domain.registry.query import VERDICT_SORTS, FleetQuery

Kinds = Mapping[VersionKey, Sequence[str]]

# The worst first; versions that are not monitored come last.
_RANKS = {verdict: rank for rank, verdict in enumerate((DRIFTING, DEGRADED, INSUFFICIENT, HEALTHY, None))}


class VerdictIndex:
    """Finds versions also by verdict and findings. Each index is made when it is first needed.

    `checks` are by the id of the monitor run; `kinds` returns the kinds of findings by version.
    """

    def __init__(
        self,
        index: Index,
        registrations: Registrations,
        checks: Mapping[str, Check],
        kinds: Callable[[], Kinds],
    ) -> None:
        self._index = index
        self._models = index.models
        self._registrations = registrations
        self._known = checks
        self._kinds = kinds
        self._orders = Orders(self._in_order)

    def find(self, query: FleetQuery) -> Sequence[TrackedModel]:
        """The versions that a query matches, in its order."""
        return [self._models[place] for place in self._arranged(self._matching(query), query.sort)]

    def groups(self, query: FleetQuery) -> list[ModelGroup]:
        """The registered models of which a query matches versions, in its order."""
        by_name = groupby(self._matching(query), key=lambda place: self._models[place].row.name)
        return in_order([self._group(list(places)) for _, places in by_name], query.sort)

    def _group(self, places: Places) -> ModelGroup:
        key = min(places, key=self._precedence.__getitem__)
        check, version = self._checks[key], self._models[key]
        return ModelGroup([self._models[place] for place in places], version, check, _KEYS["verdict"](check))

    @cached_property
    def _precedence(self) -> list[tuple[int, bool, int]]:
        """For each place what sorts the versions of a model: the lowest is the version to look at first.

        A version that drifts or is degraded, else a version in Production, else a monitored one. Among equals the
        highest version wins, since its place is the lowest.
        """
        return [
            (min(_rank(check), _RANKS[INSUFFICIENT]), model.stage != "Production", _rank(check))
            for model, check in zip(self._models, self._checks, strict=True)
        ]

    def _matching(self, query: FleetQuery) -> Places:
        """The places of the versions that a query matches, by name, then version, highest first."""
        matches = [self._index.places(query)]
        if query.model is not None:
            matches.append(self._index.of_model(query.model))
        if query.verdict is not None:
            matches.append(self._by_verdict.get(query.verdict, ()))
        if query.monitored is not None:
            matches.append(self._by_monitored.get(query.monitored, ()))
        if query.finding is not None:
            matches.append(self._by_finding.get(query.finding, ()))
        return common(matches, len(self._models))

    def check(self, model: TrackedModel) -> Check | None:
        """The last check of a version; None if it is not monitored."""
        registration = self._registrations.get(model.key)
        return last_check(self._known, registration) if registration else None

    @property
    def checks(self) -> list[Check]:
        """The last checks of the monitored versions."""
        return [check for check in self._checks if check is not None]

    def findings(self, model: TrackedModel) -> Sequence[str]:
        """The kinds of findings that name a version."""
        return self._kinds().get(model.key, ())

    def count(self, verdict: str) -> int:
        """How many versions have a verdict."""
        return len(self._by_verdict.get(verdict, ()))

    def _arranged(self, places: Places, sort: str | None) -> Places:
        if sort is not None and sort.lstrip("-") in VERDICT_SORTS:
            return self._orders.arranged(places, sort)
        return self._index.arranged(places, sort)

    def _in_order(self, sort: str) -> list[int]:
        key = _KEYS[sort]
        values = [key(check) for check in self._checks]
        # A stable sort: equals stay by name, then by version, highest first.
        return sorted(range(len(values)), key=values.__getitem__)

    @cached_property
    def _checks(self) -> list[Check | None]:
        return [self.check(model) for model in self._models]

    @cached_property
    def _by_verdict(self) -> dict[str, list[int]]:
        return grouped((check.verdict,) if check else () for check in self._checks)

    @cached_property
    def _by_monitored(self) -> dict[bool, list[int]]:
        return grouped((check is not None,) for check in self._checks)

    @cached_property
    def _by_finding(self) -> dict[str, list[int]]:
        return grouped(self.findings(model) for model in self._models)


def _rank(check: Check | None) -> int:
    return _RANKS[check.verdict if check else None]


def _since(check: Check | None) -> int:
    return check.since if check else 0


# In either direction, equal verdicts are sorted newest first.
_KEYS: dict[str, Callable[[Check | None], tuple[int, ...]]] = {
    "verdict": lambda check: (_rank(check), -_since(check)),
    "-verdict": lambda check: (-_rank(check), -_since(check)),
    "since": lambda check: (_since(check),),
    "-since": lambda check: (-_since(check),),
}
