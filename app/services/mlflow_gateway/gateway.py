"""MlflowGateway: everything the service reads from MLflow and writes to it, in few, large calls."""

import logging
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from app.domain.data_drift.series import data_drift_experiment
from app.domain.errors import (
    NOTHING_SHOWN,
    InvalidInput,
    MlflowDenied,
    MlflowMissing,
    MlflowRefused,
    MlflowUnavailable,
    TowerError,
)
from app.domain.monitoring.acts import Act
from app.domain.monitoring.corrections import Ledger, Withdrawal
from app.domain.monitoring.evidence import CASES
from app.domain.monitoring.monitor_history import all_changes
from app.domain.monitoring.monitor_runs import CODES, VERDICT_METRIC, VERDICTS_BY_CODE, MonitorState, Pause, Verdict
from app.domain.monitoring.monitoring_rules import Exclusion, MonitoringRule
from app.domain.monitoring.observations import MOST_VALUES, Observation
from app.domain.monitoring.sent_once import SentOnce
from app.domain.monitoring.watches import Watch
from app.domain.own_runs import OwnRun
from app.domain.ports import Clock, Telemetry
from app.domain.promotion.tags import promotions_experiment
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
from app.domain.registry.page_token import page_token_offset
from app.domain.registry.server import MlflowServer
from app.domain.registry_history.tags import history_experiment
from app.services.mlflow_gateway import pages, rows
from app.services.mlflow_gateway.calls import Budget, Calls
from app.services.mlflow_gateway.client import MlflowConnection
from app.services.mlflow_gateway.data_runs import DataRuns
from app.services.mlflow_gateway.first_sign import gives_sign
from app.services.mlflow_gateway.history import History
from app.services.mlflow_gateway.metric_points import MetricPoints
from app.services.mlflow_gateway.monitor_runs import MonitorRuns
from app.services.mlflow_gateway.promotion_runs import PromotionRuns
from app.services.mlflow_gateway.registry import Registry
from app.services.mlflow_gateway.registry_runs import RegistryRuns
from app.services.mlflow_gateway.server import ServerFacts
from app.services.mlflow_gateway.webhooks import Webhooks

log = logging.getLogger(__name__)

_RUNS_ASKED_FOR = 20
_ACTIVE = 1  # mlflow.entities.ViewType.ACTIVE_ONLY


class MlflowGateway:
    """The service's access to one MLflow. Threads may share it; after a fork a process gets its own client."""

    def __init__(self, connection: MlflowConnection, calls: Calls, monitoring_experiment: str, clock: Clock) -> None:
        self._connection = connection
        self._calls = calls
        self._clock = clock
        self._registry = Registry(connection, calls)
        self._history = History(calls, self._registry, MetricPoints(connection, calls))
        self._monitor_runs = MonitorRuns(connection, calls, monitoring_experiment)
        self._registry_runs = RegistryRuns(connection, calls, history_experiment(monitoring_experiment))
        self._promotions = PromotionRuns(connection, calls, promotions_experiment(monitoring_experiment))
        self._data_runs = DataRuns(connection, calls, data_drift_experiment(monitoring_experiment))
        self._webhooks = Webhooks(connection, calls)
        self._server = ServerFacts(connection, calls)
        self.patience = calls.patience

    @classmethod
    def connect(
        cls,
        uri: str,
        *,
        monitoring_experiment: str,
        clock: Clock,
        timeout: int = 10,
        retries: int = 1,
        username: str | None = None,
        password: str | None = None,
        token: str | None = None,
        workspace: str | None = None,
        telemetry: Telemetry | None = None,
    ) -> "MlflowGateway":
        """A gateway to the MLflow at `uri`; `timeout` (seconds) holds for each try of a request."""
        connection = MlflowConnection(uri, username, password, token, timeout, retries, workspace)
        # Half a second more, for connecting and parsing.
        calls = Calls(timeout * (retries + 1) + 0.5, telemetry)
        return cls(connection, calls, monitoring_experiment, clock)

    def within(self, seconds: float) -> AbstractContextManager[Budget]:
        return self._calls.within(seconds)

    def warm(self) -> None:
        """Create the client, which takes a second on a database, before the first request needs it."""
        self._connection.client()

    def stop(self) -> None:
        self._calls.stop()

    def ping(self) -> int:
        client = self._connection.client()
        return len(self._calls.call(client.search_experiments, view_type=_ACTIVE, max_results=pages.EXPERIMENTS))

    def gives_sign(self, seconds: float) -> bool:
        try:
            with self._calls.within(seconds):
                return self._calls.call(gives_sign, self._connection, seconds)
        except TowerError:
            return False

    def server(self) -> MlflowServer:
        return self._server.read()

    def read_inventory(self) -> Inventory:
        read_at = self._clock()
        experiments, bad = self._registry.experiments()
        models, bad_models = self._registry.models()
        versions, bad_versions = self._registry.versions()
        if not (experiments or models or versions or self._connection.workspace):
            raise MlflowDenied(NOTHING_SHOWN)
        versions, bad_runs = self._registry.with_runs(versions, [e.experiment_id for e in experiments])
        unreadable = bad + bad_models + bad_versions + bad_runs
        return Inventory(read_at, tuple(models), tuple(versions), tuple(experiments), unreadable)

    def read_models(self, names: Sequence[str], experiments: Sequence[str]) -> dict[str, ModelReading]:
        models = self._registry.named(names)
        gone = {name: ModelReading(None) for name, model in models.items() if model is None}
        existing = [model for model in models.values() if model is not None]
        return {**gone, **self._versions(existing, experiments)}

    def read_versions(self, models: Sequence[RegisteredModel], experiments: Sequence[str]) -> dict[str, ModelReading]:
        return self._versions(models, experiments)

    def newest(self, limit: int) -> Newest:
        models, versions = self._registry.newest(limit)
        return Newest(tuple(models), tuple(versions))

    def registered_models(self) -> tuple[RegisteredModel, ...]:
        return tuple(self._registry.models()[0])

    def _versions(
        self,
        models: Sequence[RegisteredModel],
        experiments: Sequence[str],
    ) -> dict[str, ModelReading]:
        """Readings of the models whose versions could be read. Raises the failure if none could."""
        names = [model.name for model in models]
        versions, bad, failures = self._registry.versions_of(names)
        for name, error in failures.items():
            log.warning("A registered model could not be read: %r: %s", name[:300], error.detail)
            if len(failures) == len(names):
                raise error
        versions, bad_runs = self._registry.with_few_runs(versions, experiments)
        by_name: dict[str, list[ModelVersion]] = {name: [] for name in names if name not in failures}
        for row in versions:
            by_name[row.name].append(row)
        return {
            model.name: ModelReading(model, tuple(by_name[model.name]), bad + bad_runs)
            for model in models
            if model.name in by_name
        }

    def find_version(self, name: str, version: int) -> ModelVersion | None:
        return self._registry.version(name, version)

    def find_experiment(self, experiment_id: str) -> Experiment | None:
        try:
            experiment = self._calls.call(self._connection.client().get_experiment, experiment_id)
        except MlflowMissing:
            return None
        return rows.only(rows.experiment, experiment, "experiment")

    def list_runs(self, experiment_id: str, limit: int, page_token: str | None) -> tuple[Sequence[Run], str | None]:
        if page_token is not None and page_token_offset(page_token) is None:
            raise InvalidInput("page_token: not a token of this list. Take it from the header X-Next-Page-Token.")
        reading = pages.Pages(
            self._calls.call,
            self._connection.client().search_runs,
            pages.RUNS,
            rows.RUN_KEY,
            token=page_token,
            experiment_ids=[experiment_id],
            order_by=["attributes.start_time DESC"],
        )
        runs, _ = rows.readable(rows.run, reading.rows(limit), "run")
        return runs, reading.next_token

    def count_runs(self, started_after: int | None = None) -> int:
        experiments = self._registry.experiment_ids()
        condition = "" if started_after is None else f"attributes.start_time > {int(started_after)}"
        search = self._connection.client().search_runs
        runs = pages.read_all(
            self._calls.call,
            search,
            pages.RUNS,
            rows.RUN_KEY,
            experiment_ids=experiments,
            filter_string=condition,
            run_view_type=_ACTIVE,
        )
        return sum(1 for _ in runs)

    def evidence(
        self,
        versions: Sequence[ModelVersion],
        monitor_runs: Mapping[VersionKey, str],
        metrics: Collection[str] = (),
    ) -> dict[VersionKey, list[MetricPoint]]:
        points, unread = self._history.evidence(versions, monitor_runs, metrics)
        for failure in unread.values():
            raise failure
        return points

    def readable_evidence(
        self, versions: Sequence[ModelVersion], monitor_runs: Mapping[VersionKey, str]
    ) -> tuple[dict[VersionKey, list[MetricPoint]], dict[VersionKey, TowerError]]:
        return self._history.evidence(versions, monitor_runs, ())

    def gone_runs(self, run_ids: Collection[str]) -> frozenset[str]:
        gone = set()
        for run_id in sorted(run_ids)[:_RUNS_ASKED_FOR]:
            try:
                self._calls.call(self._connection.client().get_run, run_id)
            except MlflowMissing:
                gone.add(run_id)
            except (MlflowRefused, MlflowUnavailable):
                # A run that cannot be read now is not gone, and must not end the round of checks.
                continue
        return frozenset(gone)

    def open_registrations(self) -> Sequence[Registration] | None:
        states = self._monitor_runs.all_open()
        return None if states is None else [state.registration for state in states]

    def may_read_registrations(self) -> bool:
        return self._monitor_runs.may_be_read()

    def monitor_states(self) -> Sequence[MonitorState] | None:
        return self._monitor_runs.all_open()

    def monitor_history(self, name: str | None, version: int | None) -> Sequence[MonitorState]:
        states = self._monitor_runs.ever(name, version)
        changes = self.verdict_changes([state.registration.monitor_run_id for state in states])
        return [
            replace(state, verdicts=all_changes(state.verdicts, changes.get(state.registration.monitor_run_id, ())))
            for state in states
        ]

    def monitor_runs(self, run_ids: Sequence[str] | None) -> Sequence[MonitorState] | None:
        return self._monitor_runs.named(run_ids)

    def verdict_changes(self, run_ids: Sequence[str]) -> dict[str, list[tuple[int, str]]]:
        changes: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for point in self._history.points(run_ids, VERDICT_METRIC):
            if point.value in VERDICTS_BY_CODE:
                changes[point.run_id].append((point.time, VERDICTS_BY_CODE[point.value]))
        return dict(changes)

    def log_observations(self, run_id: str, observations: Sequence[Observation]) -> None:
        points = [(value.metric, value.value, value.time, value.order) for value in observations]
        cases = [(f"{CASES}{row.metric}", float(row.n), row.time, row.order) for row in observations if row.n]
        if len(points) + len(cases) > MOST_VALUES:
            # Numbers of cases without a value mean nothing, so that they may be written first.
            self._monitor_runs.log(run_id, cases, {})
            cases = []
        self._monitor_runs.log(run_id, [*cases, *points], {})

    def ledger(self, run_id: str) -> Ledger:
        return self._monitor_runs.ledger(run_id)

    def keep_sent_ids(self, run_id: str, pages: Mapping[int, Sequence[SentOnce]], order: int) -> None:
        self._monitor_runs.tag(run_id, rows.sent_tags(pages, order))

    def withdraw(self, run_id: str, withdrawal: Withdrawal) -> None:
        self._monitor_runs.tag(run_id, rows.withdrawal_tags(withdrawal))

    def change_settings(self, run_id: str, settings: Mapping[str, Any]) -> None:
        self._monitor_runs.tag(run_id, rows.settings_tags(settings))

    def note_act(self, act: Act, registration: Registration) -> None:
        self._monitor_runs.tag(registration.monitor_run_id, rows.act_tags(act, registration))

    def write_verdict(self, run_id: str, verdicts: Sequence[Verdict], notified: Mapping[str, int]) -> None:
        newest = verdicts[-1]
        point = (VERDICT_METRIC, CODES[newest.verdict], newest.at, 0)
        self._monitor_runs.log(run_id, [point], rows.verdict_tags(verdicts, notified))

    def mark_notified(self, run_id: str, notified: Mapping[str, int]) -> None:
        self._monitor_runs.tag(run_id, rows.notified_tags(notified))

    def change_coverage(self, registration: Registration) -> None:
        self._monitor_runs.tag(registration.monitor_run_id, rows.coverage_tags(registration))

    def watches_and_rules(self) -> tuple[Sequence[Watch], Sequence[MonitoringRule]] | None:
        return self._monitor_runs.open_watches_and_rules()

    def open_watch(self, wanted: Watch) -> Watch:
        return self._monitor_runs.open_watch(wanted)

    def change_watch(self, watch: Watch) -> None:
        self._monitor_runs.tag(watch.run_id, rows.watch_tags(watch))

    def end_watch(self, run_id: str, by: str, reason: str) -> int:
        return self.end_monitor_run(run_id, by, reason)

    def open_rule(self, wanted: MonitoringRule) -> MonitoringRule:
        return self._monitor_runs.open_rule(wanted)

    def change_rule(self, rule: MonitoringRule) -> None:
        self._monitor_runs.tag(rule.run_id, rows.rule_tags(rule))

    def exclude(self, run_id: str, exclusion: Exclusion) -> None:
        self._monitor_runs.tag(run_id, rows.exclusion_tags(exclusion))

    def include(self, run_id: str, key: VersionKey) -> None:
        self._monitor_runs.tag(run_id, rows.inclusion_tags(key))

    def find_registrations(self, name: str, version: int) -> Sequence[Registration]:
        return self._monitor_runs.of(name, version)

    def look_up_registrations(self, name: str, version: int | None) -> Sequence[Registration]:
        return self._monitor_runs.look_up(name, version)

    def look_up_monitor_runs(self, name: str, version: int) -> Sequence[MonitorState]:
        return self._monitor_runs.past_and_present(name, version)

    def is_open(self, run_id: str) -> bool:
        return self._monitor_runs.is_open(run_id)

    def open_monitor_run(self, wanted: Registration) -> Registration:
        return self._monitor_runs.open(wanted)

    def reopen_monitor_run(self, registration: Registration, pauses: Sequence[Pause]) -> None:
        self._monitor_runs.reopen(registration.monitor_run_id, rows.reopening_tags(registration, pauses))

    def rename_monitor_run(self, registration: Registration) -> None:
        self._monitor_runs.tag(registration.monitor_run_id, rows.name_tags(registration))

    def end_monitor_run(self, run_id: str, by: str, reason: str, after: int = 0) -> int:
        ended_at = max(self._clock(), after + 1)
        self._monitor_runs.end(run_id, by, reason, ended_at)
        return ended_at

    def registry_runs(self, newest: int | None) -> Sequence[OwnRun]:
        return self._registry_runs.read(newest)

    def open_registry_run(self) -> str:
        return self._registry_runs.open(self._clock())

    def write_registry_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        self._registry_runs.tag(run_id, tags)

    def promotion_runs(self, model: str | None, only_open: bool, since: int | None = None) -> Sequence[OwnRun]:
        return self._promotions.search(model, only_open=only_open, since=since)

    def find_promotion_run(self, run_id: str) -> OwnRun | None:
        return self._promotions.find(run_id)

    def open_promotion_run(self, tags: Mapping[str, str], name: str) -> str:
        return self._promotions.open(self._clock(), tags, name)

    def write_promotion_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        self._promotions.tag(run_id, tags)

    def end_promotion_run(self, run_id: str) -> None:
        self._promotions.end(run_id, self._clock())

    def set_alias(self, name: str, alias: str, version: int) -> None:
        self._promotions.set_alias(name, alias, version)

    def move_to_stage(self, name: str, version: int, stage: str) -> None:
        self._promotions.move_to_stage(name, version, stage)

    def data_series(self, name: str, version: int) -> Sequence[OwnRun]:
        return self._data_runs.of(name, version)

    def open_data_series(self) -> Sequence[OwnRun]:
        return self._data_runs.all_open()

    def make_data_series(self, name: str, version: int, tags: Mapping[str, str]) -> str:
        return self._data_runs.open(name, version, tags, self._clock())

    def write_data(self, run_id: str, tags: Mapping[str, str], figures: Mapping[str, tuple[float, int]]) -> None:
        self._data_runs.log(run_id, [(name, value, time, 0) for name, (value, time) in figures.items()], tags)

    def end_data_series(self, run_id: str) -> None:
        self._data_runs.end(run_id, self._clock())

    def register_webhook(self, url: str, secret: str) -> Subscription:
        return self._webhooks.register(url, secret)

    def list_webhooks(self) -> Sequence[Subscription]:
        return self._webhooks.list()

    def remove_webhook(self, subscription_id: str) -> None:
        self._webhooks.remove(subscription_id)

    def test_webhook(self, subscription_id: str) -> tuple[bool, str]:
        return self._webhooks.test(subscription_id)
