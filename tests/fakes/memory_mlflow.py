"""An MLflow in memory: a world that tests write, and the gateway that reads it."""

import base64
import itertools
import json
import re
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from app.domain.data_drift.series import KEY, data_drift_experiment
from app.domain.errors import (
    NOTHING_AT_ALL,
    InvalidInput,
    MlflowMissing,
    MlflowOverloaded,
    MlflowRefused,
    MlflowUnavailable,
    NotFound,
    TowerError,
)
from app.domain.monitoring.acts import (
    PLACES,
    Act,
    acknowledgement_from,
    acknowledgement_text,
    act_text,
    acts_from,
    mutes_from,
    mutes_text,
)
from app.domain.monitoring.corrections import LastPoint, Ledger, Withdrawal, counting
from app.domain.monitoring.evidence import EVALUATION_RUN, LOGGED_MODEL, MONITOR_RUN, SOURCE_RUN
from app.domain.monitoring.monitor_history import all_changes
from app.domain.monitoring.monitor_runs import (
    MonitorState,
    Pause,
    Verdict,
    began_text,
    causes_text,
    evidence_text,
    verdicts_from,
    verdicts_text,
)
from app.domain.monitoring.monitored import precedence
from app.domain.monitoring.monitoring_rules import Exclusion, MonitoringRule
from app.domain.monitoring.observations import Observation
from app.domain.monitoring.sent_once import PAGES, SentOnce, page_from, page_text
from app.domain.monitoring.watches import Watch
from app.domain.own_runs import OwnRun
from app.domain.ports import WritingGateway
from app.domain.promotion.tags import MODEL, model_key, promotions_experiment
from app.domain.redact import redact
from app.domain.registry.models import (
    Experiment,
    Inventory,
    MetricPoint,
    ModelReading,
    ModelVersion,
    Newest,
    RegisteredModel,
    Registration,
    Run,
    Subscription,
    VersionKey,
)
from app.domain.registry.names import EVALUATES, LONGEST_TAG, is_metric_name, registration_key
from app.domain.registry.page_token import page_token_offset
from app.domain.registry.server import MlflowServer
from app.domain.registry.webhook import EVENTS, WEBHOOK_NAME
from app.domain.registry_history.tags import MOST_TAGS, history_experiment

_WRITES = frozenset(vars(WritingGateway)) - {"ledger"}
_REFUSED = "MLflow refused the request (INVALID_PARAMETER_VALUE). Check the names and values in it."


@dataclass
class StoredRun:
    """One run with every point logged to it."""

    run: Run
    points: list[MetricPoint] = field(default_factory=list)
    deleted: bool = False


class MemoryWorld:
    """What MLflow holds. Times are milliseconds; each change takes one."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000
        self.experiments: dict[str, Experiment] = {}
        self.models: dict[str, RegisteredModel] = {}
        self.versions: dict[VersionKey, ModelVersion] = {}
        self.runs: dict[str, StoredRun] = {}
        self.registrations: dict[str, Registration] = {}
        self.past: dict[str, MonitorState] = {}
        self.watches: dict[str, Watch] = {}
        self.rules: dict[str, MonitoringRule] = {}
        self.monitor_points: dict[str, list[MetricPoint]] = {}
        self.verdicts: dict[str, tuple[Verdict, ...]] = {}
        self.tagged: dict[str, tuple[str, ...]] = {}
        self.notified: dict[str, dict[str, int]] = {}
        self.orders: dict[str, int] = {}
        self.withdrawals: dict[str, list[Withdrawal]] = {}
        self.acts: dict[str, dict[int, str]] = {}
        self.sent: dict[str, dict[int, str]] = {}
        self.model_points: dict[VersionKey, list[MetricPoint]] = {}
        self.ended: dict[str, tuple[str, str]] = {}
        self.pauses: dict[str, tuple[Pause, ...]] = {}
        self.registry_runs: dict[str, OwnRun] = {}
        self.promotion_runs: dict[str, OwnRun] = {}
        self.data_runs: dict[str, OwnRun] = {}
        self.data_figures: dict[str, dict[str, tuple[float, int]]] = {}
        self.writing = threading.Lock()
        self.webhooks: dict[str, Subscription] = {}
        self.secrets: dict[str, str] = {}
        self.ids = itertools.count(1)
        self._highest: dict[str, int] = {}
        self.add_experiment("Default")

    def tick(self) -> int:
        self.now += 1
        return self.now

    def seconds(self) -> float:
        """The same time as a monotonic clock tells it."""
        return self.now / 1000

    def add_experiment(self, name: str) -> str:
        experiment_id = str(len(self.experiments))
        now = self.tick()
        self.experiments[name] = Experiment(experiment_id, name, f"mem:/{experiment_id}", "active", now, now)
        return experiment_id

    def delete_experiment(self, name: str) -> None:
        self.experiments[name] = replace(self.experiments[name], lifecycle_stage="deleted")
        if name.endswith("-history"):
            runs = self.registry_runs.items()
            self.registry_runs = {run_id: replace(run, is_deleted=True) for run_id, run in runs}
        for stored in self.runs.values():
            if stored.run.experiment_id == self.experiments[name].experiment_id:
                stored.deleted = True

    def add_run(
        self, metrics: dict[str, float | None] | None = None, tags: dict[str, str] | None = None, experiment: str = "0"
    ) -> str:
        now = self.tick()
        run_id = f"{next(self.ids):032x}"
        run = Run(run_id, experiment, "FINISHED", now, now, {}, {}, tags or {})
        self.runs[run_id] = StoredRun(run)
        for key, value in (metrics or {}).items():
            self.log_metric(run_id, key, value, now)
        return run_id

    def log_metric(self, run_id: str, key: str, value: float | None, time: int, step: int = 0) -> None:
        stored = self.runs[run_id]
        stored.points.append(MetricPoint(run_id, key, time, value, step=step))
        last = max((p for p in stored.points if p.metric == key), key=lambda p: (p.step, p.time))
        stored.run = replace(stored.run, metrics={**stored.run.metrics, key: last.value})

    def delete_run(self, run_id: str) -> None:
        self.runs[run_id].deleted = True

    def collect_run(self, run_id: str) -> None:
        """As `mlflow gc` does with a deleted run."""
        del self.runs[run_id]

    def add_model(self, name: str, tags: dict[str, str] | None = None, description: str | None = None) -> None:
        now = self.tick()
        self.models[name] = RegisteredModel(name, now, now, description, tags or {})

    def add_version(
        self,
        name: str,
        metrics: dict[str, float | None] | None = None,
        *,
        stage: str = "None",
        tags: dict[str, str] | None = None,
        run_tags: dict[str, str] | None = None,
        with_run: bool = True,
        description: str | None = None,
    ) -> int:
        if name not in self.models:
            self.add_model(name)
        version = self._highest[name] = self._highest.get(name, 0) + 1
        run_id = self.add_run(metrics, run_tags) if with_run else None
        now = self.tick()
        row = ModelVersion(name, version, stage, now, now, description, tags or {}, run_id, f"mem:/{name}/{version}")
        self.versions[name, version] = row
        self.models[name] = replace(self.models[name], updated=now)
        return version

    def give_old_name(self, name: str, old: str) -> None:
        """Name a model as old versions of MLflow allowed it: with a colon."""
        self.models[old] = replace(self.models.pop(name), name=old)
        self._highest[old] = self._highest.pop(name, 0)
        for key in [key for key in self.versions if key[0] == name]:
            self.versions[old, key[1]] = replace(self.versions.pop(key), name=old)

    def add_version_of_logged_model(self, name: str) -> int:
        return self.add_version(name)

    def log_to_model(self, name: str, version: int, run_id: str, key: str, value: float, time: int) -> None:
        self.log_metric(run_id, key, value, time)
        points = self.model_points.setdefault((name, version), [])
        points.append(MetricPoint(run_id, key, time, value, LOGGED_MODEL))

    def run_of(self, name: str, version: int) -> str:
        run_id = self.versions[name, version].run_id
        assert run_id is not None
        return run_id

    def set_stage(self, name: str, version: int, stage: str) -> None:
        now = self.tick()
        self.versions[name, version] = replace(self.versions[name, version], stage=stage, updated=now)
        self.models[name] = replace(self.models[name], updated=now)

    def describe_version(self, name: str, version: int, text: str) -> None:
        self.versions[name, version] = replace(self.versions[name, version], description=text, updated=self.tick())

    def describe_model(self, name: str, text: str) -> None:
        self.models[name] = replace(self.models[name], description=text, updated=self.tick())

    def created_at(self, name: str) -> int:
        """When a registered model was made, in milliseconds."""
        return self.models[name].created

    def rename(self, name: str, new: str) -> None:
        now = self.tick()
        self.models[new] = replace(self.models.pop(name), name=new, updated=now)
        self._highest[new] = self._highest.pop(name, 0)
        for key in [key for key in self.versions if key[0] == name]:
            self.versions[new, key[1]] = replace(self.versions.pop(key), name=new, updated=now)

    def tag_model(self, name: str, key: str, value: str) -> None:
        self.models[name] = replace(self.models[name], tags={**self.models[name].tags, key: value})

    def delete_alias(self, name: str, alias: str) -> None:
        model = self.models[name]
        self.models[name] = replace(model, aliases={a: v for a, v in model.aliases.items() if a != alias})

    def set_alias(self, name: str, alias: str, version: int) -> None:
        model = self.models[name]
        self.models[name] = replace(model, aliases={**model.aliases, alias: version})

    def delete_version(self, name: str, version: int) -> None:
        del self.versions[name, version]
        model = self.models[name]
        left = {a: v for a, v in model.aliases.items() if v != version}
        self.models[name] = replace(model, aliases=left, updated=self.tick())

    def delete_model(self, name: str) -> None:
        del self.models[name]
        self._highest.pop(name, None)
        for key in [key for key in self.versions if key[0] == name]:
            del self.versions[key]

    def add_webhook(self, name: str, url: str, secret: str | None = None) -> str:
        webhook_id = f"webhook-{next(self.ids)}"
        self.webhooks[webhook_id] = Subscription(webhook_id, name, url, tuple(sorted(EVENTS)), active=True)
        self.secrets[webhook_id] = secret or ""
        return webhook_id

    def disable_webhook(self, webhook_id: str) -> None:
        self.webhooks[webhook_id] = replace(self.webhooks[webhook_id], active=False)


@dataclass
class Spent:
    """How many requests a block made."""

    requests: int = 0


class MemoryGateway:
    """A Gateway to a MemoryWorld. Set `failure` to have every call fail with it.

    `refusals` maps a method to what it raises when it is asked about a version, or about a name.
    """

    patience = 60.0

    def __init__(self, world: MemoryWorld | None = None, monitoring_experiment: str = "control-tower") -> None:
        self.world = world or MemoryWorld()
        # The host's, which may be wrong.
        self.clock: Callable[[], int] = self.world.tick
        self.failure: MlflowUnavailable | None = None
        # As for a store that only MLflow's own client can ask.
        self.signs = False
        self.mlflow = MlflowServer("3.17.2")
        self.calls: list[str] = []
        self.unreadable = 0
        self.stopped = False
        # Another program holds the lock of MLflow's database: it answers reads, and refuses writes.
        self.locked = False
        self.delivers = (True, "HTTP 200")
        self.refused_runs: set[str] = set()
        self.registrations_denied = False
        self.refusals: dict[str, dict[object, TowerError]] = {}
        self.unread_versions: dict[VersionKey, TowerError] = {}
        self._experiment = monitoring_experiment

    @contextmanager
    def within(self, seconds: float) -> Iterator[Spent]:
        spent, before = Spent(), len(self.calls)
        yield spent
        spent.requests = len(self.calls) - before

    def stop(self) -> None:
        self.stopped = True

    def warm(self) -> None:
        pass

    def _called(self, what: str, about: object = None) -> None:
        self.calls.append(what)
        if self.failure:
            raise self.failure
        if self.locked and what in _WRITES:
            raise MlflowOverloaded("MLflow has too much to do at present. Try again later.")
        if about in self.refusals.get(what, {}):
            raise self.refusals[what][about]

    def ping(self) -> int:
        self._called("ping")
        return sum(e.lifecycle_stage == "active" for e in self.world.experiments.values())

    def server(self) -> MlflowServer:
        if self.failure:
            raise self.failure
        return self.mlflow

    def gives_sign(self, seconds: float) -> bool:
        return self.signs and self.failure is None

    def read_inventory(self) -> Inventory:
        read_at = self.clock()
        self._called("read_inventory")
        world = self.world
        if not world.experiments:
            # As the real gateway does where the answers are empty.
            raise MlflowUnavailable(NOTHING_AT_ALL)
        return Inventory(
            read_at,
            tuple(world.models.values()),
            tuple(self._joined(row) for row in world.versions.values()),
            tuple(world.experiments.values()),
            self.unreadable,
        )

    def read_models(self, names: Sequence[str], experiments: Sequence[str]) -> dict[str, ModelReading]:
        self._called("read_models")
        refused = self.refusals.get("read_models", {})
        known = [name for name in names if name not in refused]
        if not known:
            self._called("read_models", names[0])
        return {name: self._reading(name, self.world.models.get(name)) for name in known}

    def read_versions(
        self,
        models: Sequence[RegisteredModel],
        experiments: Sequence[str],
    ) -> dict[str, ModelReading]:
        self._called("read_versions")
        return {model.name: self._reading(model.name, model) for model in models}

    def newest(self, limit: int) -> Newest:
        self._called("newest")
        models = sorted(self.world.models.values(), key=lambda model: -model.updated)
        versions = sorted(self.world.versions.values(), key=lambda row: -row.updated)
        return Newest(tuple(models[:limit]), tuple(versions[:limit]))

    def registered_models(self) -> tuple[RegisteredModel, ...]:
        self._called("registered_models")
        return tuple(self.world.models.values())

    def _reading(self, name: str, model: RegisteredModel | None) -> ModelReading:
        rows = [self._joined(row) for row in self.world.versions.values() if row.name == name]
        return ModelReading(model, tuple(rows))

    def find_version(self, name: str, version: int) -> ModelVersion | None:
        self._called("find_version", (name, version))
        return self.world.versions.get((name, version))

    def find_experiment(self, experiment_id: str) -> Experiment | None:
        self._called("find_experiment")
        return next((e for e in self.world.experiments.values() if e.experiment_id == experiment_id), None)

    def list_runs(self, experiment_id: str, limit: int, page_token: str | None) -> tuple[Sequence[Run], str | None]:
        self._called("list_runs")
        start = page_token_offset(page_token) if page_token is not None else 0
        if start is None:
            raise InvalidInput("page_token: not a token of this list.")
        found = [s.run for s in self.world.runs.values() if s.run.experiment_id == experiment_id and not s.deleted]
        found.sort(key=lambda run: -(run.start_time or 0))
        more = len(found) > start + limit
        token = base64.b64encode(json.dumps({"offset": start + limit}).encode()).decode() if more else None
        return found[start : start + limit], token

    def count_runs(self, started_after: int | None = None) -> int:
        self._called("count_runs")
        since = started_after if started_after is not None else -1
        open_runs = [r for r in self.world.registrations.values() if r.registered_at > since]
        runs = [s for s in self.world.runs.values() if not s.deleted and (s.run.start_time or 0) > since]
        watches = [watch for watch in self.world.watches.values() if watch.registered_at > since]
        rules = [rule for rule in self.world.rules.values() if rule.registered_at > since]
        return len(runs) + len(open_runs) + len(watches) + len(rules)

    def evidence(
        self,
        versions: Sequence[ModelVersion],
        monitor_runs: Mapping[VersionKey, str],
        metrics: Collection[str] = (),
    ) -> dict[VersionKey, list[MetricPoint]]:
        found, unread = self.readable_evidence(versions, monitor_runs)
        for failure in unread.values():
            raise failure
        return {key: [p for p in points if not metrics or p.metric in metrics] for key, points in found.items()}

    def readable_evidence(
        self, versions: Sequence[ModelVersion], monitor_runs: Mapping[VersionKey, str]
    ) -> tuple[dict[VersionKey, list[MetricPoint]], dict[VersionKey, TowerError]]:
        self._called("evidence")
        keys = {(row.name, row.version): row for row in versions}
        return (
            {key: self._points(row, monitor_runs) for key, row in keys.items() if key not in self.unread_versions},
            {key: self.unread_versions[key] for key in keys if key in self.unread_versions},
        )

    def _points(self, row: ModelVersion, monitor_runs: Mapping[VersionKey, str]) -> list[MetricPoint]:
        world, key = self.world, (row.name, row.version)
        tag = f"models:/{row.name}/{row.version}"
        found = (
            [replace(p, source=SOURCE_RUN) for p in world.runs[row.run_id].points] if row.run_id in world.runs else []
        )
        for stored in world.runs.values():
            if stored.run.tags.get(EVALUATES) == tag and stored.run.run_id != row.run_id and not stored.deleted:
                found += [replace(point, source=EVALUATION_RUN) for point in stored.points]
        found += [replace(p, source=MONITOR_RUN) for p in world.monitor_points.get(monitor_runs.get(key, ""), ())]
        sources = {point.run_id: point.source for point in found}
        found += [
            replace(point, source=sources.get(point.run_id, LOGGED_MODEL)) for point in world.model_points.get(key, ())
        ]
        return counting(found, world.withdrawals.get(monitor_runs.get(key, ""), ()))

    def gone_runs(self, run_ids: Collection[str]) -> frozenset[str]:
        self._called("gone_runs")
        return frozenset(run_id for run_id in run_ids if run_id not in self.world.runs)

    def monitor_states(self) -> Sequence[MonitorState] | None:
        found = self.open_registrations()
        return None if found is None else [self._state(one) for one in found]

    def monitor_history(self, name: str | None, version: int | None) -> Sequence[MonitorState]:
        self._called("monitor_history")
        return [
            replace(state, verdicts=all_changes(state.verdicts, self._changes(state.registration.monitor_run_id)))
            for state in self._states()
            if name in (None, state.registration.name) and version in (None, state.registration.version)
        ]

    def monitor_runs(self, run_ids: Sequence[str] | None) -> Sequence[MonitorState] | None:
        self._called("monitor_runs")
        if self._experiment not in self.world.experiments:
            return None
        return [one for one in self._states() if run_ids is None or one.registration.monitor_run_id in run_ids]

    def verdict_changes(self, run_ids: Sequence[str]) -> Mapping[str, Sequence[tuple[int, str]]]:
        self._called("verdict_changes")
        return {run_id: self._changes(run_id) for run_id in run_ids}

    def _changes(self, run_id: str) -> list[tuple[int, str]]:
        return [(one.at, one.verdict) for one in self.world.verdicts.get(run_id, ())]

    def _states(self) -> list[MonitorState]:
        states = [self._state(one) for one in self._sorted(self.world.registrations.values())]
        return [*states, *self.world.past.values()]

    def log_observations(self, run_id: str, observations: Sequence[Observation]) -> None:
        self._called("log_observations")
        self._live(run_id)
        if not all(is_metric_name(value.metric) and value.time >= 0 for value in observations):
            raise MlflowRefused(_REFUSED)
        points = self.world.monitor_points.setdefault(run_id, [])
        sent = (
            MetricPoint(run_id, value.metric, value.time, value.value, MONITOR_RUN, value.order, value.n)
            for value in observations
        )
        points += [point for point in dict.fromkeys(sent) if point not in points]

    def ledger(self, run_id: str) -> Ledger:
        self._called("ledger")
        self._live(run_id)
        texts = self.world.sent.get(run_id, {})
        last: dict[str, LastPoint] = {}
        for point in self.world.monitor_points.get(run_id, ()):
            order = point.step
            found = LastPoint(point.time, point.time // 1000 + order, point.value, order, point.n)
            known = last.get(point.metric)
            if known is None or (found.step, found.time) > (known.step, known.time):
                last[point.metric] = found
        sent = {page: page_from(texts.get(page, "")) for page in range(PAGES)}
        return Ledger(sent, last, self.world.orders.get(run_id, 0), self.world.withdrawals.get(run_id, ()))

    def withdraw(self, run_id: str, withdrawal: Withdrawal) -> None:
        self._called("withdraw")
        self._live(run_id)
        self.world.withdrawals.setdefault(run_id, []).append(withdrawal)

    def keep_sent_ids(self, run_id: str, pages: Mapping[int, Sequence[SentOnce]], order: int) -> None:
        self._called("keep_sent_ids")
        self._live(run_id)
        self.world.orders[run_id] = order
        self.world.sent.setdefault(run_id, {}).update({page: page_text(sent) for page, sent in pages.items()})

    def change_settings(self, run_id: str, settings: Mapping[str, Any]) -> None:
        self._called("change_settings")
        self.world.registrations[run_id] = replace(self._live(run_id), settings=settings)

    def note_act(self, act: Act, registration: Registration) -> None:
        self._called("note_act")
        run_id = registration.monitor_run_id
        live = self._live(run_id)
        texts = acknowledgement_text(registration.acknowledgement), mutes_text(registration.mutes)
        known = replace(live, acknowledgement=acknowledgement_from(texts[0]), mutes=mutes_from(texts[1]))
        self.world.registrations[run_id] = known
        self.world.acts.setdefault(run_id, {})[act.number % PLACES] = act_text(act)

    def write_verdict(self, run_id: str, verdicts: Sequence[Verdict], notified: Mapping[str, int]) -> None:
        self._called("write_verdict")
        self._live(run_id)
        self.world.verdicts[run_id] = (*self.world.verdicts.get(run_id, ()), verdicts[-1])
        texts = (make(verdicts) for make in (verdicts_text, evidence_text, began_text, causes_text))
        self.world.tagged[run_id] = tuple(texts)
        self.world.notified.setdefault(run_id, {}).update(notified)

    def mark_notified(self, run_id: str, notified: Mapping[str, int]) -> None:
        self._called("mark_notified")
        self._live(run_id)
        self.world.notified.setdefault(run_id, {}).update(notified)

    def _live(self, run_id: str) -> Registration:
        experiment = self.world.experiments[self._experiment]
        if experiment.lifecycle_stage != "active" or run_id in self.refused_runs:
            raise MlflowRefused(_REFUSED)
        found = self.world.registrations.get(run_id)
        if found is None and run_id not in self.world.past:
            raise MlflowMissing("MLflow does not know what was asked for.")
        return found or self.world.past[run_id].registration

    def _state(self, one: Registration) -> MonitorState:
        run_id = one.monitor_run_id
        return MonitorState(
            one, verdicts_from(*self.world.tagged.get(run_id, (None,))), self.world.notified.get(run_id, {}),
            acts=acts_from(self.world.acts.get(run_id, {}).values()),
            withdrawals=tuple(self.world.withdrawals.get(run_id, ())),
            pauses=self.world.pauses.get(run_id, ()),
        )  # fmt: skip

    def open_registrations(self) -> Sequence[Registration] | None:
        self._called("open_registrations")
        experiment = self.world.experiments.get(self._experiment)
        if experiment is None or experiment.lifecycle_stage != "active" or self.registrations_denied:
            return None
        return self._sorted(self.world.registrations.values())

    def may_read_registrations(self) -> bool:
        return not self.registrations_denied

    def find_registrations(self, name: str, version: int) -> Sequence[Registration]:
        self._called("find_registrations", (name, version))
        self._restore()
        return sorted((r for r in self.world.registrations.values() if r.key == (name, version)), key=precedence)

    def look_up_registrations(self, name: str, version: int | None) -> Sequence[Registration]:
        self._called("look_up_registrations", (name, version))
        experiment = self.world.experiments.get(self._experiment)
        if experiment is None or experiment.lifecycle_stage != "active":
            return []
        open_runs = (r for r in self.world.registrations.values() if r.name == name and version in (None, r.version))
        return sorted(open_runs, key=precedence)

    def look_up_monitor_runs(self, name: str, version: int) -> Sequence[MonitorState]:
        self._called("look_up_monitor_runs", (name, version))
        states = self._states() if self._has_experiment() else []
        return [state for state in states if state.registration.key == (name, version)]

    def is_open(self, run_id: str) -> bool:
        self._called("is_open")
        if run_id not in self.world.registrations and run_id not in self.world.past:
            raise MlflowMissing("MLflow does not know what was asked for.")
        return run_id in self.world.registrations and run_id not in self.refused_runs

    def open_monitor_run(self, wanted: Registration) -> Registration:
        self._called("open_monitor_run")
        if self._experiment not in self.world.experiments:
            self.world.add_experiment(self._experiment)
        self._restore()
        made = replace(wanted, monitor_run_id=f"monitor-{len(self.world.registrations) + len(self.world.ended)}")
        self.world.registrations[made.monitor_run_id] = made
        return made

    def reopen_monitor_run(self, registration: Registration, pauses: Sequence[Pause]) -> None:
        self._called("reopen_monitor_run", registration.key)
        run_id = registration.monitor_run_id
        self._live(run_id)
        self.world.pauses[run_id] = tuple(pauses)
        if run_id in self.world.past:
            # As MLflow's, it is opened after it has the tags.
            self.world.past[run_id] = replace(self.world.past[run_id], registration=registration, pauses=tuple(pauses))
            self._called("open_again", registration.key)
            del self.world.past[run_id]
        self.world.ended.pop(run_id, None)
        self.world.registrations[run_id] = registration

    def rename_monitor_run(self, registration: Registration) -> None:
        self._called("rename_monitor_run", registration.key)
        run_id = registration.monitor_run_id
        self.world.registrations[run_id] = replace(self._live(run_id), name=registration.name)

    def end_monitor_run(self, run_id: str, by: str, reason: str, after: int = 0) -> int:
        self._called("end_monitor_run")
        state = self._state(self._live(run_id))
        self.world.registrations.pop(run_id, None)
        ended_at = max(self.clock(), after + 1)
        self.world.past[run_id] = replace(state, ended_at=ended_at, ended_by=by, ended_reason=reason)
        self.world.ended[run_id] = (by, reason)
        return ended_at

    def change_coverage(self, registration: Registration) -> None:
        run_id = registration.monitor_run_id
        self._called("change_coverage", registration.key)
        self._live(run_id)
        self.world.registrations[run_id] = registration

    def watches_and_rules(self) -> tuple[Sequence[Watch], Sequence[MonitoringRule]] | None:
        self._called("watches_and_rules")
        if not self._has_experiment():
            return None
        watches = sorted(self.world.watches.values(), key=lambda watch: (watch.registered_at, watch.run_id))
        return watches, list(self.world.rules.values())

    def open_watch(self, wanted: Watch) -> Watch:
        self._called("open_watch")
        if self._experiment not in self.world.experiments:
            self.world.add_experiment(self._experiment)
        self._restore()
        made = replace(wanted, run_id=f"watch-{next(self.world.ids)}")
        self.world.watches[made.run_id] = made
        return made

    def change_watch(self, watch: Watch) -> None:
        self._called("change_watch")
        if watch.run_id in self.world.watches:
            self.world.watches[watch.run_id] = watch

    def end_watch(self, run_id: str, by: str, reason: str) -> int:
        self._called("end_watch")
        self.world.watches.pop(run_id, None)
        self.world.rules.pop(run_id, None)
        self.world.ended[run_id] = (by, reason)
        return self.world.tick()

    def registry_runs(self, newest: int | None) -> Sequence[OwnRun]:
        self._called("registry_runs")
        runs = sorted(self.world.registry_runs.values(), key=lambda run: (run.started, run.run_id), reverse=True)
        return runs[:newest]

    def open_registry_run(self) -> str:
        self._called("open_registry_run")
        experiment = history_experiment(self._experiment)
        if experiment not in self.world.experiments:
            self.world.add_experiment(experiment)
        self.world.experiments[experiment] = replace(self.world.experiments[experiment], lifecycle_stage="active")
        run_id = f"registry-{len(self.world.registry_runs)}"
        self.world.registry_runs[run_id] = OwnRun(run_id, self.world.tick(), False, {})
        return run_id

    def write_registry_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        self._called("write_registry_tags")
        run = self.world.registry_runs[run_id]
        if run.is_deleted or len(tags) > MOST_TAGS or any(len(text) > LONGEST_TAG for text in tags.values()):
            raise MlflowRefused(_REFUSED)
        self.world.registry_runs[run_id] = replace(run, tags={**run.tags, **tags})

    def promotion_runs(self, model: str | None, only_open: bool, since: int | None = None) -> Sequence[OwnRun]:
        self._called("promotion_runs")
        runs = sorted(self.world.promotion_runs.values(), key=lambda run: (run.started, run.run_id), reverse=True)
        return [
            run
            for run in runs
            if (run.is_open or not only_open)
            and (model is None or run.tags.get(MODEL) == model_key(model))
            and (since is None or run.started >= since)
        ]

    def find_promotion_run(self, run_id: str) -> OwnRun | None:
        self._called("find_promotion_run")
        return self.world.promotion_runs.get(run_id)

    def open_promotion_run(self, tags: Mapping[str, str], name: str) -> str:
        self._called("open_promotion_run")
        experiment = promotions_experiment(self._experiment)
        if experiment not in self.world.experiments:
            self.world.add_experiment(experiment)
        if any(len(text) > LONGEST_TAG for text in tags.values()):
            raise MlflowRefused(_REFUSED)
        run_id = f"{next(self.world.ids):032x}"
        self.world.promotion_runs[run_id] = OwnRun(run_id, self.world.tick(), True, dict(tags))
        return run_id

    def write_promotion_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        self._called("write_promotion_tags")
        run = self.world.promotion_runs[run_id]
        if any(len(text) > LONGEST_TAG for text in tags.values()):
            raise MlflowRefused(_REFUSED)
        self.world.promotion_runs[run_id] = replace(run, tags={**run.tags, **tags})

    def end_promotion_run(self, run_id: str) -> None:
        self._called("end_promotion_run")
        self.world.promotion_runs[run_id] = replace(self.world.promotion_runs[run_id], is_open=False)

    def set_alias(self, name: str, alias: str, version: int) -> None:
        self._called("set_alias", (name, alias))
        if not re.fullmatch(r"[\w-]{1,255}", alias) or re.fullmatch(r"(?i:latest|v\d+)", alias):
            raise MlflowRefused(_REFUSED)
        if (name, version) not in self.world.versions:
            raise MlflowMissing("MLflow does not know what was asked for.")
        self.world.set_alias(name, alias, version)

    def move_to_stage(self, name: str, version: int, stage: str) -> None:
        self._called("move_to_stage", (name, stage))
        if stage not in ("Staging", "Production"):
            raise MlflowRefused(_REFUSED)
        if (name, version) not in self.world.versions:
            raise MlflowMissing("MLflow does not know what was asked for.")
        for row in list(self.world.versions.values()):
            if row.name == name and row.version != version and row.stage == stage:
                self.world.set_stage(name, row.version, "Archived")
        self.world.set_stage(name, version, stage)

    def data_series(self, name: str, version: int) -> Sequence[OwnRun]:
        self._called("data_series")
        key = registration_key(name, version)
        return [run for run in self._data_runs() if run.tags[KEY] == key]

    def open_data_series(self) -> Sequence[OwnRun]:
        self._called("open_data_series")
        return [run for run in self._data_runs() if run.is_open]

    def make_data_series(self, name: str, version: int, tags: Mapping[str, str]) -> str:
        self._called("make_data_series")
        experiment = data_drift_experiment(self._experiment)
        if experiment not in self.world.experiments:
            self.world.add_experiment(experiment)
        run_id = f"data-{len(self.world.data_runs)}"
        all_tags = {KEY: registration_key(name, version), **tags}
        self.world.data_runs[run_id] = OwnRun(run_id, self.clock(), True, all_tags)
        return run_id

    def write_data(self, run_id: str, tags: Mapping[str, str], figures: Mapping[str, tuple[float, int]]) -> None:
        self._called("write_data")
        if len(tags) > MOST_TAGS or any(len(text) > LONGEST_TAG for text in tags.values()):
            raise MlflowRefused(_REFUSED)
        # One request is written as a whole, whoever else writes.
        with self.world.writing:
            run = self.world.data_runs[run_id]
            self.world.data_runs[run_id] = replace(run, tags={**run.tags, **tags})
        self.world.data_figures.setdefault(run_id, {}).update(figures)

    def end_data_series(self, run_id: str) -> None:
        self._called("end_data_series")
        with self.world.writing:
            self.world.data_runs[run_id] = replace(self.world.data_runs[run_id], is_open=False)

    def _data_runs(self) -> list[OwnRun]:
        return sorted(self.world.data_runs.values(), key=lambda run: (run.started, run.run_id), reverse=True)

    def open_rule(self, wanted: MonitoringRule) -> MonitoringRule:
        self._called("open_rule")
        if self._experiment not in self.world.experiments:
            self.world.add_experiment(self._experiment)
        self._restore()
        made = replace(wanted, run_id=f"rule-{next(self.world.ids)}")
        self.world.rules[made.run_id] = made
        return made

    def change_rule(self, rule: MonitoringRule) -> None:
        self._called("change_rule")
        if rule.run_id in self.world.rules:
            excluded = self.world.rules[rule.run_id].excluded
            self.world.rules[rule.run_id] = replace(rule, excluded=excluded)

    def exclude(self, run_id: str, exclusion: Exclusion) -> None:
        self._called("exclude", exclusion.key)
        self._replace_exclusion(run_id, exclusion.key, exclusion)

    def include(self, run_id: str, key: VersionKey) -> None:
        self._called("include", key)
        self._replace_exclusion(run_id, key, None)

    def _replace_exclusion(self, run_id: str, key: VersionKey, by: Exclusion | None) -> None:
        rule = self.world.rules.get(run_id)
        if rule is not None:
            excluded = {exclusion.key: exclusion for exclusion in rule.excluded if exclusion.key != key}
            if by is not None:
                excluded[key] = by
            ordered = tuple(excluded[each] for each in sorted(excluded))
            self.world.rules[run_id] = replace(rule, excluded=ordered)

    def _has_experiment(self) -> bool:
        experiment = self.world.experiments.get(self._experiment)
        return experiment is not None and experiment.lifecycle_stage == "active" and not self.registrations_denied

    def register_webhook(self, url: str, secret: str) -> Subscription:
        self._called("register_webhook")
        if not url.startswith("https://"):
            raise MlflowRefused("MLflow refused the address: set MLFLOW_WEBHOOK_ALLOWED_SCHEMES.")
        known = (w.id for w in self.world.webhooks.values() if (w.name, w.url) == (WEBHOOK_NAME, url))
        webhook_id = next(known, None) or self.world.add_webhook(WEBHOOK_NAME, url)
        self.world.webhooks[webhook_id] = replace(self.world.webhooks[webhook_id], active=True)
        self.world.secrets[webhook_id] = secret
        return self._shown(webhook_id)

    def list_webhooks(self) -> Sequence[Subscription]:
        self._called("list_webhooks")
        return [self._shown(webhook_id) for webhook_id in reversed(self.world.webhooks)]

    def remove_webhook(self, subscription_id: str) -> None:
        self._called("remove_webhook")
        del self.world.webhooks[self._own_webhook(subscription_id)]

    def test_webhook(self, subscription_id: str) -> tuple[bool, str]:
        self._called("test_webhook")
        self._own_webhook(subscription_id)
        return self.delivers

    def _shown(self, webhook_id: str) -> Subscription:
        found = self.world.webhooks[webhook_id]
        return replace(found, url=redact(found.url))

    def _own_webhook(self, webhook_id: str) -> str:
        if webhook_id not in self.world.webhooks:
            raise NotFound("MLflow has no webhook with this id.")
        if self.world.webhooks[webhook_id].name != WEBHOOK_NAME:
            raise InvalidInput("This webhook is not the tower's.")
        return webhook_id

    def _restore(self) -> None:
        experiment = self.world.experiments.get(self._experiment)
        if experiment is not None:
            self.world.experiments[self._experiment] = replace(experiment, lifecycle_stage="active")

    def _joined(self, row: ModelVersion) -> ModelVersion:
        stored = self.world.runs.get(row.run_id or "")
        if stored is None:
            return row
        return replace(row, metrics=stored.run.metrics, run_model_type=stored.run.tags.get("model_type"))

    @staticmethod
    def _sorted(found: Iterable[Registration]) -> list[Registration]:
        return sorted(found, key=lambda r: (r.registered_at, r.monitor_run_id))
