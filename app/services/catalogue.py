"""The catalogue: lists made of the fleet and the registrations, as bytes kept until either changes."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from app.domain.errors import InvalidInput, TowerError
from app.domain.findings import Finding, FindingsQuery, finding_info, findings, matching
from app.domain.fleet import Fleet
from app.domain.index import Index
from app.domain.models import Registration, TrackedModel
from app.domain.monitored import Monitored
from app.domain.ports import Clock, Mirror, Register, RunCount
from app.domain.query import EVERYTHING, ListQuery, page_of, pagination, select
from app.domain.stages import STAGES, StageRules
from app.domain.times import rfc3339
from app.domain.views import experiment_info, model_info, version_info
from app.services.prepared import Prepared

# Answers to queries kept in one worker, beside the unfiltered lists: the pages that a few dashboards ask for.
_KEPT_PAGES = 64
# Rows kept as JSON from one snapshot to the next; what a fleet usually shows.
_KEPT_ROWS = 10_000

# The sample fleet has no registrations.
_NONE = Monitored({})

_Row = tuple[TrackedModel, Registration | None, bytes]
Made = tuple[bytes, dict[str, int] | None]


class Answer(NamedTuple):
    """A body ready to be sent, and what may be said of its age. Stale: older than it should be."""

    prepared: Prepared
    stale: bool = False
    mock: bool = False


@dataclass(frozen=True, slots=True)
class CatalogueOptions:
    """`most`: rows of one answer; `max_age` of a snapshot, in milliseconds, before it counts as stale.

    `rules` and `stale_days` are those of the findings: how long a version in Production may stay as it is.
    """

    most: int
    max_age: int
    rules: StageRules
    stale_days: int


class _Generation:
    """One fleet with its registrations, and the bytes made of them so far."""

    def __init__(self, fleet: Fleet, monitored: Monitored, before: "_Generation | None") -> None:
        self.fleet = fleet
        self.monitored = monitored
        self.registrations = monitored.of(fleet)
        self.index = Index(fleet, self.registrations)
        self.findings: Sequence[Finding] | None = None
        self._lists: dict[Any, Prepared] = {}
        self._pages: OrderedDict[Any, Prepared] = OrderedDict()
        self._older = before._lists if before else {}
        self._rows: dict[tuple[str, int], _Row] = self._kept(before._rows) if before else {}
        self._making = threading.Lock()

    def kept(self, key: Any) -> Prepared | None:
        """The body of an unfiltered list, where it is made already."""
        return self._lists.get(key)

    def list(self, key: Any, make: Callable[["_Generation"], Made]) -> Prepared:
        """The body of one of the few unfiltered lists; of many who ask at once, one makes it."""
        kept = self._lists.get(key)
        if kept is None:
            with self._making:
                kept = self._lists.get(key)
                if kept is None:
                    kept = self._prepared(make)
                    if key in self._older:
                        kept.take_over(self._older.pop(key))
                    self._lists[key] = kept
        return kept

    def page(self, key: Any, make: Callable[["_Generation"], Made]) -> Prepared:
        """The body of the answer to a query; of those only the last ones asked for are kept."""
        kept = self._pages.get(key)
        if kept is None:
            kept = self._prepared(make)
            with self._making:
                self._pages[key] = kept
                if len(self._pages) > _KEPT_PAGES:
                    self._pages.popitem(last=False)
        return kept

    def row(self, model: TrackedModel) -> bytes:
        registration = self.registrations.get(model.key)
        kept = self._rows.get(model.key)
        if kept is None or kept[0] is not model or kept[1] != registration:
            kept = (model, registration, orjson.dumps(model_info(model, registration)))
            if len(self._rows) < _KEPT_ROWS:
                self._rows[model.key] = kept
        return kept[2]

    def _prepared(self, make: Callable[["_Generation"], Made]) -> Prepared:
        body, told = make(self)
        return Prepared(body, self.fleet.as_of, told)

    def _kept(self, rows: dict[tuple[str, int], _Row]) -> dict[tuple[str, int], _Row]:
        """Rows of the snapshot before that are of this one too."""
        return {key: row for key, row in list(rows.items()) if self.fleet.find(*key) is row[0]}


class Catalogue:
    """Answers the cached reads. One instance a worker; threads share it."""

    def __init__(
        self, mirror: Mirror, register: Register, runs: RunCount, clock: Clock, options: CatalogueOptions
    ) -> None:
        self._mirror = mirror
        self._register = register
        self._runs = runs
        self._clock = clock
        self._options = options
        self._generation: _Generation | None = None

    def all(self, query: ListQuery) -> Answer:
        return self._listed("all", query, lambda now: now.index.find(query))

    def in_stage(self, stage: str, query: ListQuery) -> Answer:
        return self._listed(stage, query, lambda now: now.index.find(query, stage))

    def monitored(self, query: ListQuery, model_type: str | None = None) -> Answer:
        """Monitored versions, of one type where it is named."""

        def rows(now: _Generation) -> Sequence[TrackedModel]:
            models = [
                model
                for key in sorted(now.registrations, key=lambda key: (key[0], -key[1]))
                if model_type in (None, now.registrations[key].model_type) and (model := now.fleet.find(*key))
            ]
            return select(models, query, now.registrations)

        stale = self._registrations_are_stale()
        answer = self._listed(f"monitored {model_type}", query, rows)
        return answer._replace(stale=True) if stale else answer

    def findings(self, query: FindingsQuery) -> Answer:
        """What is out of order in the registry, as of the snapshot."""
        stale = self._registrations_are_stale()
        self._refuse_large(query)

        def make(now: _Generation) -> Made:
            found = matching(self._found(now), query)
            page = page_of(query, len(found), self._options.most)
            return orjson.dumps([finding_info(one) for one in found[page.rows]]), pagination(page)

        now = self._current()
        answer = self._answer(now, now.page(("findings", query), make))
        return answer._replace(stale=True) if stale else answer

    def _found(self, now: _Generation) -> Sequence[Finding]:
        if now.findings is None:
            rules, stale_days = self._options.rules, self._options.stale_days
            now.findings = findings(now.fleet, now.registrations, rules, stale_days, now.fleet.as_of)
        return now.findings

    def _registrations_are_stale(self) -> bool:
        """Whether they may be others; where none are known, MLflow is asked."""
        return not self._mirror.shows_mock() and self._register.monitored().stale

    def versions(self, name: str) -> Answer:
        """Every version of a model. Raises `NotFound`."""
        models = self._mirror.versions(name)

        def make(now: _Generation) -> Made:
            # A refresh may have come between: what is kept for a generation is made of its own fleet.
            rows = now.fleet.by_name.get(name, models)
            return orjson.dumps([version_info(model, now.registrations.get(model.key)) for model in rows]), None

        now = self._current()
        return self._answer(now, now.page(("versions", name), make))

    def experiments(self, lifecycle_stage: str) -> Answer:
        """Experiments that are `active`, `deleted`, or `all`."""

        def make(now: _Generation) -> Made:
            wanted = [e for e in now.fleet.experiments if lifecycle_stage in ("all", e.lifecycle_stage)]
            return orjson.dumps([experiment_info(experiment) for experiment in wanted]), None

        now = self._current()
        return self._answer(now, now.list(("experiments", lifecycle_stage), make))

    def summary(self) -> Answer:
        """Figures for dashboards: versions, registrations, experiments, runs."""
        counted = None if self._mirror.shows_mock() else self._runs.counted()

        def make(now: _Generation) -> Made:
            return orjson.dumps(_summary(now, counted)), None

        now = self._current()
        return self._answer(now, now.page(("summary", counted), make))

    def figures(self) -> dict[str, Any]:
        """Counts for `/cache/info`, of the snapshot there is; without a cache, of what MLflow says now."""
        fleet = self._mirror.peek() if self._mirror.cached else self._read()
        if fleet is None:
            by_stage, total, monitored = dict.fromkeys(STAGES, 0), 0, len(self._register.peek().by_key)
        else:
            by_stage, total = {stage: fleet.count(stage) for stage in STAGES}, len(fleet.models)
            monitored = len(self._register.peek().of(fleet))
        return {"total_models": total, "models_by_stage": by_stage, "monitored_models": monitored}

    def _read(self) -> Fleet | None:
        try:
            fleet = self._mirror.fleet()
        except TowerError:
            return None
        return None if fleet.mock else fleet

    def monitored_details(self) -> list[dict[str, Any]]:
        """ModelInfo of every monitored version."""
        self._register.monitored()
        now = self._current()
        return [
            model_info(model, now.registrations[key])
            for key in sorted(now.registrations)
            if (model := now.fleet.find(*key))
        ]

    def is_stale(self, as_of: int) -> bool:
        return self._clock() - as_of > self._options.max_age

    def _current(self) -> _Generation:
        fleet = self._mirror.fleet()
        if fleet.mock:
            monitored = _NONE
        else:
            monitored = self._register.peek() if self._mirror.cached else self._register.monitored()
        now = self._generation
        if now is None or now.fleet is not fleet or now.monitored is not monitored:
            now = self._generation = _Generation(fleet, monitored, now)
        return now

    def _listed(self, kind: str, query: ListQuery, rows: Callable[[_Generation], Sequence[TrackedModel]]) -> Answer:
        now = self._current()
        if query is EVERYTHING and (kept := now.kept(kind)):
            return self._answer(now, kept)
        self._refuse_large(query)

        def make(now: _Generation) -> Made:
            found = rows(now)
            page = page_of(query, len(found), self._options.most)
            return b"[" + b",".join([now.row(model) for model in found[page.rows]]) + b"]", pagination(page)

        if query is EVERYTHING:
            return self._answer(now, now.list(kind, make))
        return self._answer(now, now.page((kind, query), make))

    def _refuse_large(self, query: ListQuery) -> None:
        if query.page_size is not None and query.page_size > self._options.most:
            raise InvalidInput(f"page_size: at most {self._options.most} (MAX_MODELS_RETURNED).")

    def _answer(self, now: _Generation, prepared: Prepared) -> Answer:
        return Answer(prepared, self.is_stale(now.fleet.as_of), now.fleet.mock)


def _summary(now: _Generation, counted: tuple[int, int] | None) -> dict[str, Any]:
    fleet = now.fleet
    return {
        "total_experiments": len(fleet.experiments),
        "active_experiments": sum(e.lifecycle_stage == "active" for e in fleet.experiments),
        "total_models": len(fleet.models),
        "monitored_models": len(now.registrations),
        "production_models": fleet.count("Production"),
        "staging_models": fleet.count("Staging"),
        "total_runs": counted[0] if counted else None,
        "runs_counted_at": rfc3339(counted[1]) if counted else None,
        "last_updated": rfc3339(fleet.as_of),
    }
