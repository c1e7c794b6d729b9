"""Answers from the history of the registry: its changes, and the registry as it was at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from app.domain.errors import Busy, InvalidInput, NotFound
from app.domain.messages import MODEL_NOT_FOUND, NOTHING_RECORDED
from app.domain.monitoring.checks import Check
from app.domain.monitoring.model_groups import ModelGroup
from app.domain.monitoring.monitor_history import MonitorHistory, state_of
from app.domain.monitoring.monitored import Monitored, first_of_each
from app.domain.ports import Clock, Gateway, RegistryHistorySource
from app.domain.promotion.promotions import place_named
from app.domain.registry.models import Registration, TrackedModel, VersionKey
from app.domain.registry.query import FleetQuery, ListQuery, page_of, pagination
from app.domain.registry.stages import StageRules
from app.domain.registry_history.change import change_info
from app.domain.registry_history.holders import Holder, holder_info, holders
from app.domain.registry_history.index import ChangeIndex, ChangeQuery
from app.domain.registry_history.lineage import Lineage
from app.domain.registry_history.moves import way_back
from app.domain.registry_history.past import lineage_at, past_fleet, past_info, unknown_at
from app.domain.registry_history.record import RegistryRecord
from app.domain.registry_history.tags import read_tags
from app.domain.times import is_future, rfc3339
from app.domain.views import group_info, model_info
from app.services.answers.generations import CheckedGeneration, Generation
from app.services.answers.history_report import HistoryReport
from app.services.answers.indexed_copy import IndexedCopy
from app.services.answers.prepared import Answer, Prepared
from app.services.mirror.model_tracker import ModelTracker
from app.services.mirror.registry_records import RegistryRecords
from app.services.monitoring.registration_list import RegistrationList

_Row = dict[str, Any]
_Rows = tuple[Sequence[Any], Callable[[Any], _Row], dict[str, int]]
"""What a list has rows of, what makes a row of each, and what `X-Pagination` has beside the page."""


class RegistryHistoryReport:
    """The changes of the registry, from this process's copy of the record.

    `monitoring` says which versions were monitored at a time. `most` is the limit of rows in an answer; `max_age` the
    age at which the history is stale, in milliseconds.
    """

    def __init__(
        self,
        gateway: Gateway,
        mirror: ModelTracker,
        store: RegistryRecords,
        source: RegistryHistorySource,
        monitoring: HistoryReport,
        registrations: RegistrationList,
        rules: StageRules,
        clock: Clock,
        most: int,
        max_age: int,
    ) -> None:
        self._gateway = gateway
        self._mirror = mirror
        self._copy = IndexedCopy(gateway, store, source, lambda _: True, _indexed)
        self._monitoring = monitoring
        self._registrations = registrations
        self._rules = rules
        self._clock = clock
        self._most = most
        self._max_age = max_age
        # The last fleet of the past that was asked for: its pages follow each other.
        self._past: tuple[Any, CheckedGeneration, frozenset[VersionKey]] | None = None
        # The holders that were asked for last: an open page asks for them again and again, and they seldom change.
        self._held: tuple[str, Sequence[Lineage], Sequence[Holder]] | None = None

    def listed(self, query: ListQuery, wanted: ChangeQuery) -> Answer:
        """A page of the changes, newest first. The sample fleet has none."""
        if self._mirror.shows_mock():
            return self._nothing(query)
        index, pages = self._copy.indexed(self.newest())

        def make() -> Prepared:
            events = index.find(wanted)
            page = page_of(query, len(events), self._most)
            rows = [change_info(change) for change in index.changes(events[page.rows])]
            return self._prepared(rows, index.record, pagination(page))

        return self._answer(pages.get((query, wanted), make), index.record)

    def of_model(self, name: str, query: ListQuery, wanted: ChangeQuery) -> Answer:
        """A page of the changes of a registered model, newest first. Raises `NotFound`."""
        answer = self.listed(query, replace(wanted, name=name))
        if not (answer.prepared.pagination or {}).get("total") and not self._is_known(name):
            raise NotFound(MODEL_NOT_FOUND)
        return answer

    def state(self, name: str, at: int) -> Answer:
        """A registered model as it was at a time, in milliseconds. Raises `NotFound`, and `InvalidInput`."""
        self._check(at)
        index, pages = self._copy.indexed(self.newest())

        def make() -> Prepared:
            dated = lineage_at(index.record, name, at)
            if dated is None:
                self._check_begun(index.record)
                raise NotFound(MODEL_NOT_FOUND)
            past, record = dated[1], index.record
            unknown = unknown_at(record, at, past.unsure)
            return self._prepared(past_info(name, at, past, unknown, record, self._rules), record, None)

        return self._answer(pages.get(("state", name, at), make), index.record)

    def holders(self, name: str, query: ListQuery) -> Answer:
        """A page of who had the stages and aliases of a registered model, the last that came first. `NotFound`."""
        if self._mirror.shows_mock():
            return self._nothing(query)
        index, pages = self._copy.indexed(self.newest())

        def make() -> Prepared:
            every = self._holders_of(index.record, name)
            if not every:
                self._check_begun(index.record)
                if not self._is_known(name):
                    raise NotFound(MODEL_NOT_FOUND)
            page = page_of(query, len(every), self._most)
            return self._prepared([holder_info(holder) for holder in every[page.rows]], index.record, pagination(page))

        return self._answer(pages.get(("holders", name, query), make), index.record)

    def way_back(self, name: str, alias: str | None, stage: str | None) -> dict[str, Any]:
        """What a rollback of an alias or a stage would do, as the record has it.

        Of the versions of the past, only those are named that MLflow still has. Raises `InvalidInput` if not exactly
        one of the two is named, `NotFound`, `MlflowUnavailable`, and `Busy` before the first look is recorded.
        """
        place_named(alias, stage)
        record = self.newest()
        present = lineage_at(record, name, self._clock())
        if present is None:
            self._check_begun(record)
            if not self._is_known(name):
                raise NotFound(MODEL_NOT_FOUND)
        now, earlier = way_back(present[0], alias, stage) if present else (None, [])
        if earlier:
            with self._gateway.within(self._gateway.patience):
                rows = self._gateway.read_models([name], [])[name].versions or ()
            earlier = [number for number in earlier if any(row.version == number for row in rows)]
        return {
            "model_name": name,
            "alias": alias,
            "stage": stage,
            "from": None if now is None else str(now),
            "to": [str(number) for number in earlier],
        }

    def fleet(self, query: FleetQuery) -> Answer:
        """The fleet as it was at the time `query.at`. Raises `InvalidInput` where nothing is known of that time."""

        def rows(then: _PastFleet) -> _Rows:
            return then.now.index.find(query), then.version, {}

        return self._fleet("fleet", query, rows)

    def fleet_models(self, query: FleetQuery) -> Answer:
        """The registered models as they were at the time `query.at`, as `fleet`."""

        def rows(then: _PastFleet) -> _Rows:
            groups = then.now.index.groups(query)
            unknown = sum(not then.is_known(group.name) for group in groups)
            return groups, then.model, {"versions": sum(len(group.versions) for group in groups), "unknown": unknown}

        return self._fleet("fleet models", query, rows)

    def _holders_of(self, record: RegistryRecord, name: str) -> Sequence[Holder]:
        named = [lineage for lineage in record.lineages() if name in lineage.names]
        kept = self._held
        if kept is None or kept[0] != name or [*map(id, kept[1])] != [*map(id, named)]:
            kept = self._held = name, named, holders(named, name, self._rules)
        return kept[2]

    def _nothing(self, query: ListQuery) -> Answer:
        """The sample fleet has no history."""
        return Answer(Prepared(b"[]", self._clock(), pagination(page_of(query, 0, self._most))), mock=True)

    def catch_up(self) -> None:
        """The scheduler's tick in a worker: index new changes before a request needs them.

        A worker that starts reads the snapshot first, since it is not ready without that.
        """
        self._copy.catch_up(lambda: self._mirror.cached and self._mirror.peek() is not None)

    def _is_known(self, name: str) -> bool:
        fleet = self._mirror.fleet()
        return fleet.model(name)[0] is not None or any(name in one.names for one in self.newest().lineages())

    def _check_begun(self, record: RegistryRecord) -> None:
        """Raises `Busy` before the first look is recorded: a model that is not recorded may exist."""
        if record.begun is None and self._mirror.cached and not self._mirror.shows_mock():
            raise Busy(NOTHING_RECORDED)

    def _check(self, at: int) -> None:
        if is_future(at, self._clock()):
            raise InvalidInput("at: This time is still to come.")

    def _fleet(self, kind: str, query: FleetQuery, rows_of: "Callable[[_PastFleet], _Rows]") -> Answer:
        at = query.at or 0
        self._check(at)
        _refuse_unknown_filters(query)
        index, pages = self._copy.indexed(self.newest())
        begun = index.record.begun
        if begun is None or at < begun:
            since = f"before {rfc3339(begun)}, when this service first looked" if begun else "yet"
            raise InvalidInput(f"at: Nothing is known of the registry {since}.")

        def make() -> Prepared:
            now, unsure = self._fleet_at(index.record, at)
            everything = unknown_at(index.record, at, ()) is None
            rows, row_of, more = rows_of(_PastFleet(now, unsure, everything))
            page = page_of(query, len(rows), self._most)
            return self._prepared([row_of(row) for row in rows[page.rows]], index.record, {**pagination(page), **more})

        return self._answer(pages.get((kind, query), make), index.record)

    def _fleet_at(self, record: RegistryRecord, at: int) -> tuple[CheckedGeneration, frozenset[VersionKey]]:
        present, history = self._mirror.fleet(), self._monitoring.newest()
        basis = (record, present, history, at)
        kept = self._past
        if (
            kept is None
            or any(one is not other for one, other in zip(kept[0][:3], basis[:3], strict=True))
            or kept[0][3] != at
        ):
            fleet, unsure = past_fleet(record, at, self._rules, present)
            registrations, checks = _monitored_at(history, at, self._registrations.peek(), fleet.find)
            generation = Generation(fleet, Monitored(registrations), (), (), lambda _: (), None)
            kept = self._past = basis, CheckedGeneration(generation, checks, {}), unsure
        return kept[1], kept[2]

    def newest(self) -> RegistryRecord:
        """All that is recorded. Raises `MlflowUnavailable`."""
        if not self._mirror.cached:
            with self._gateway.within(self._gateway.patience):
                return RegistryRecord().with_more(read_tags(self._gateway.registry_runs(None))[0])
        return self._copy.newest()

    def _prepared(self, rows: Any, record: RegistryRecord, pages: dict[str, int] | None) -> Prepared:
        return Prepared(orjson.dumps(rows), _as_of(record), pages)

    def _answer(self, prepared: Prepared, record: RegistryRecord) -> Answer:
        as_of = _as_of(record)
        return Answer(prepared, as_of is None or self._clock() - as_of > self._max_age)


@dataclass(frozen=True, slots=True)
class _PastFleet:
    """The fleet as it was. `unsure` are the versions of which something may have been otherwise.

    `everything`: somebody had looked at the registry before that time and after it.
    """

    now: CheckedGeneration
    unsure: frozenset[VersionKey]
    everything: bool

    def version(self, model: TrackedModel) -> dict[str, Any]:
        """One entry of `/fleet?at=`."""
        info = model_info(model, self.now.of.registrations.get(model.key))
        known = self.everything and model.key not in self.unsure
        return {**info, **self.now.standing(model), "known": known}

    def model(self, group: ModelGroup) -> dict[str, Any]:
        """One entry of `/fleet/models?at=`."""
        info = group_info(group, self.now.index.check)
        return {**info, "key_version": self.version(group.key_version), "known": self.is_known(group.name)}

    def is_known(self, name: str) -> bool:
        """Whether all is known of a registered model."""
        return self.everything and all(name != unsure for unsure, _ in self.unsure)


def _refuse_unknown_filters(query: FleetQuery) -> None:
    """Refuse to filter by what is not known of the past: the answer would lack rows that match."""
    wanted = {"finding": query.finding, "tag": query.tags, "owner": query.owners}
    field = next((field for field, value in wanted.items() if value), None)
    if field is not None:
        raise InvalidInput(f"{field}: The {field}s of the past are not known. Leave it out, or leave out `at`.")


def _indexed(record: RegistryRecord, before: ChangeIndex | None) -> ChangeIndex:
    return before.after(record) if before else ChangeIndex(record)


def _as_of(record: RegistryRecord) -> int | None:
    """Up to when everything is recorded, in milliseconds."""
    return min(record.looked.aliases, record.looked.stages) if record.looked else record.begun


def _monitored_at(
    history: MonitorHistory, at: int, present: Monitored, find: Any
) -> tuple[dict[VersionKey, Registration], dict[str, Check]]:
    """The registrations that were open at a time, and the verdicts that they had."""
    open_then: list[Registration] = []
    checks: dict[str, Check] = {}
    for run in history.runs():
        if not run.registered_at <= at:
            continue
        state = state_of(run)
        model: TrackedModel | None = find(run.name, run.version)
        if model is None or (state.ended_at is not None and state.ended_at <= at):
            continue
        known = present.by_key.get((run.name, run.version))
        same = known is not None and known.monitor_run_id == run.run_id
        model_type = known.model_type if known and same else model.model_type or ""
        open_then.append(replace(state.registration, model_type=model_type))
        verdict = next((change for change in reversed(state.verdicts) if change.at <= at), None)
        if verdict is not None:
            checks[run.run_id] = Check(
                run.run_id, verdict.verdict, verdict.at, at, verdict.reasons, began=verdict.began
            )
    return first_of_each(open_then)[0], checks
