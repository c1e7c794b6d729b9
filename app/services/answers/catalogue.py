"""The catalogue: lists of the fleet, the registrations and the checks, as bytes that are kept until those change."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from app.domain.errors import NotFound, TowerError
from app.domain.findings import FINDINGS, FindingsQuery, finding_info, matching
from app.domain.monitoring.attention import attention
from app.domain.monitoring.model_groups import ModelGroup
from app.domain.monitoring.verdicts import VERDICTS
from app.domain.ports import Clock
from app.domain.registry.fleet import Fleet
from app.domain.registry.models import TrackedModel
from app.domain.registry.names import similar_names
from app.domain.registry.query import EVERYTHING, FleetQuery, ListQuery, page_of, pagination
from app.domain.registry.stages import STAGES
from app.domain.times import age_ms, rfc3339
from app.domain.views import experiment_info, group_info, model_info, version_info
from app.services.answers.generations import CheckedGeneration, Generation, Generations, Made
from app.services.answers.prepared import Answer, Prepared, page_body
from app.services.mirror.model_tracker import ModelTracker
from app.services.mirror.run_counter import RunCount
from app.services.monitoring.registration_list import RegistrationList


@dataclass(frozen=True, slots=True)
class CatalogueOptions:
    """`most` is the limit of rows in an answer; `max_age` the age at which a snapshot is stale, in milliseconds."""

    most: int
    max_age: int


class Catalogue:
    """Answers the cached reads. The threads of a worker share an instance."""

    def __init__(
        self,
        mirror: ModelTracker,
        register: RegistrationList,
        generations: Generations,
        runs: RunCount,
        clock: Clock,
        options: CatalogueOptions,
    ) -> None:
        self._mirror = mirror
        self._register = register
        self._generations = generations
        self._runs = runs
        self._clock = clock
        self._options = options

    def all(self, query: ListQuery) -> Answer:
        return self._listed("all", query, lambda now: now.index.find(query))

    def in_stage(self, stage: str, query: ListQuery) -> Answer:
        return self._listed(stage, query, lambda now: now.index.find(query, now.index.of_stage(stage)))

    def monitored(self, query: ListQuery, model_type: str | None = None) -> Answer:
        """The monitored versions, or those of a model type."""
        stale = self._registrations_are_stale()
        answer = self._listed(
            f"monitored {model_type}", query, lambda now: now.index.find(query, now.index.registered(model_type))
        )
        return answer._replace(stale=True) if stale else answer

    def fleet(self, query: FleetQuery) -> Answer:
        """Every version with its verdict, its key metric and its findings."""
        now = self._generations.checked()

        def make(_: Generation) -> Made:
            models = now.index.find(query)
            page = page_of(query, len(models), self._options.most)
            return _list_of(_fleet_row(now, model) for model in models[page.rows]), pagination(page)

        return self._of_checks(now, now.page(("fleet", query), make))

    def fleet_models(self, query: FleetQuery) -> Answer:
        """Every registered model of which versions match, with the version to look at first."""
        now = self._generations.checked()

        def make(_: Generation) -> Made:
            groups = now.index.groups(query)
            page = page_of(query, len(groups), self._options.most)
            versions = sum(len(group.versions) for group in groups)
            rows = (_group_row(now, group) for group in groups[page.rows])
            return _list_of(rows), {**pagination(page), "versions": versions}

        return self._of_checks(now, now.page(("fleet models", query), make))

    def fleet_summary(self) -> Answer:
        """The number of versions in all, and by verdict, finding and stage."""
        now = self._generations.checked()
        prepared = now.page("fleet summary", lambda _: (orjson.dumps(_fleet_summary(now)), None))
        return self._of_checks(now, prepared)

    def findings(self, query: FindingsQuery) -> Answer:
        """The findings: what is out of order in the registry, as of the snapshot."""
        stale = self._registrations_are_stale()

        def make(now: Generation) -> Made:
            return page_body(query, matching(now.findings, query), self._options.most, finding_info)

        now = self._generations.current()
        answer = self._answer(now, now.page(("findings", query), make))
        return answer._replace(stale=True) if stale else answer

    def _registrations_are_stale(self) -> bool:
        """Whether the registrations may be out of date. MLflow is asked where none are known."""
        return not self._mirror.shows_mock() and self._register.monitored().stale

    def versions(self, name: str) -> Answer:
        """Every version of a model. Raises `NotFound`."""
        models = self._mirror.versions(name)

        def make(now: Generation) -> Made:
            # The fleet may be newer than `models` by now, and a generation keeps only answers from its own fleet.
            rows = now.fleet.by_name.get(name, models)
            return orjson.dumps([version_info(model, now.registrations.get(model.key)) for model in rows]), None

        now = self._generations.current()
        return self._answer(now, now.page(("versions", name), make))

    def similar_if_unknown(self, name: str) -> list[str] | None:
        """The names that are most like a name that no registered model has; None if one has it, or MLflow is away."""
        try:
            self._mirror.versions(name)
        except NotFound:
            return similar_names(name, self._mirror.fleet().registered)
        except TowerError:
            pass
        return None

    def experiments(self, lifecycle_stage: str) -> Answer:
        """The experiments with a lifecycle stage: `active`, `deleted` or `all`."""

        def make(now: Generation) -> Made:
            wanted = [e for e in now.fleet.experiments if lifecycle_stage in ("all", e.lifecycle_stage)]
            return orjson.dumps([experiment_info(experiment) for experiment in wanted]), None

        now = self._generations.current()
        return self._answer(now, now.list(("experiments", lifecycle_stage), make))

    def summary(self) -> Answer:
        """Figures for dashboards: versions, registrations, experiments, runs."""
        counted = None if self._mirror.shows_mock() else self._runs.counted()

        def make(now: Generation) -> Made:
            return orjson.dumps(_summary(now, counted)), None

        now = self._generations.current()
        return self._answer(now, now.page(("summary", counted), make))

    def figures(self) -> dict[str, Any]:
        """The counts for `/cache/info`, from the snapshot or, where the cache is disabled, from MLflow."""
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
        """The ModelInfo of every monitored version."""
        self._register.monitored()
        now = self._generations.current()
        return [
            model_info(model, now.registrations[key])
            for key in sorted(now.registrations)
            if (model := now.fleet.find(*key))
        ]

    def is_stale(self, as_of: int | None) -> bool:
        """Whether a snapshot of this time, in milliseconds, is too old, or of unknown age."""
        age = age_ms(as_of, self._clock())
        return age is None or age > self._options.max_age

    def _listed(self, kind: str, query: ListQuery, rows: Callable[[Generation], Sequence[TrackedModel]]) -> Answer:
        now = self._generations.current()
        if query is EVERYTHING and (kept := now.kept(kind)):
            return self._answer(now, kept)

        def make(now: Generation) -> Made:
            models = rows(now)
            page = page_of(query, len(models), self._options.most)
            return _list_of(now.row(model) for model in models[page.rows]), pagination(page)

        if query is EVERYTHING:
            return self._answer(now, now.list(kind, make))
        return self._answer(now, now.page((kind, query), make))

    def _of_checks(self, now: CheckedGeneration, prepared: Prepared) -> Answer:
        answer = self._answer(now.of, prepared)
        return answer._replace(stale=True) if now.of.monitored.stale else answer

    def _answer(self, now: Generation, prepared: Prepared) -> Answer:
        return Answer(prepared, self.is_stale(now.fleet.as_of), now.fleet.mock)


def _list_of(rows: Iterable[bytes]) -> bytes:
    """A JSON array of rows that are JSON already."""
    return b"[" + b",".join(rows) + b"]"


def _fleet_row(now: CheckedGeneration, model: TrackedModel) -> bytes:
    """One entry of `/fleet`: the ModelInfo of a version, its verdict and its findings."""
    return now.of.row(model)[:-1] + b"," + orjson.dumps(now.standing(model))[1:]


def _group_row(now: CheckedGeneration, group: ModelGroup) -> bytes:
    """One entry of `/fleet/models`."""
    info = orjson.dumps(group_info(group, now.index.check))
    return info[:-1] + b',"key_version":' + _fleet_row(now, group.key_version) + b"}"


def _fleet_summary(now: CheckedGeneration) -> dict[str, Any]:
    fleet, kinds = now.of.fleet, Counter(finding.finding for finding in now.of.findings)
    verdicts = {verdict: now.index.count(verdict) for verdict in VERDICTS}
    return {
        "versions": len(fleet.models),
        "models": len(fleet.registered),
        "monitored": len(now.of.registrations),
        "verdicts": verdicts,
        "attention": attention(verdicts, now.index.checks, now.of.idle_watches),
        "findings": {kind: kinds[kind] for kind in FINDINGS},
        "stages": {stage: fleet.count(stage) for stage in STAGES},
    }


def _summary(now: Generation, counted: tuple[int, int] | None) -> dict[str, Any]:
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
