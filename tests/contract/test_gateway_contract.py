"""The contract of a gateway to MLflow, kept by the real one, over HTTP and over SQLite, and by the one in memory."""

import itertools
import sqlite3
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException

from app.domain.errors import InvalidInput, MlflowMissing, MlflowOverloaded, MlflowRefused, NotFound
from app.domain.monitoring.acts import COMMENTED, MUTED, PLACES, Act
from app.domain.monitoring.corrections import Withdrawal
from app.domain.monitoring.evidence import points_by_metric, series_by_metric
from app.domain.monitoring.monitor_runs import VERDICT_METRIC, MonitorState, Pause, Verdict
from app.domain.monitoring.monitoring_rules import Exclusion, MonitoringRule, wanted_rule
from app.domain.monitoring.observations import Observation
from app.domain.monitoring.sent_once import PAGES, sent_once
from app.domain.monitoring.watches import ALIAS, STAGE, Watch
from app.domain.registry.models import (
    Acknowledgement,
    ModelReading,
    ModelVersion,
    Mute,
    Predecessor,
    RegisteredModel,
    Registration,
)
from app.domain.registry.names import EVALUATES, is_metric_name
from app.domain.registry.webhook import EVENTS
from app.services.mlflow_gateway.gateway import MlflowGateway
from app.services.mlflow_gateway.store import ensure_store
from app.wiring.world import now_ms
from tests.contract.real_world import RealWorld
from tests.fakes.memory_mlflow import MemoryGateway

ODD_NAMES = [
    "it's", 'a "quoted" one', "both ' and \"", "100%_sure", "back\\slash", " spaces ", "<script>alert(1)",
    "Größe 🧬", "?#&=+", "line\nbreak", "ends with \\", "it's \\",
]  # fmt: skip


class Case:
    """A gateway, the world it reads, and names that no other test uses."""

    def __init__(self, gateway: Any, world: Any, experiment: str) -> None:
        self.gateway = gateway
        self.world = world
        self.experiment = experiment

    def name(self, like: str = "model") -> str:
        return f"{like} {uuid.uuid4().hex[:8]}"

    def version(self, name: str, version: int) -> ModelVersion:
        return next(r for r in self.gateway.read_inventory().versions if (r.name, r.version) == (name, version))

    def register(self, name: str, version: int, at: int | None = None) -> Registration:
        created = self.gateway.find_version(name, version).created
        wanted = Registration(name, version, "classifier", "ada", at or now_ms(), "", created)
        made: Registration = self.gateway.open_monitor_run(wanted)
        return made


def watches_of(case: Case) -> list[Watch]:
    return list(case.gateway.watches_and_rules()[0])


def rules_of(case: Case) -> list[MonitoringRule]:
    return list(case.gateway.watches_and_rules()[1])


def real(uri: str, store: str = "", timeout: int = 10) -> Case:
    experiment = f"control-tower-{uuid.uuid4().hex[:8]}"
    gateway = MlflowGateway.connect(uri, monitoring_experiment=experiment, clock=now_ms, timeout=timeout)
    return Case(gateway, RealWorld(uri, store), experiment)


def in_memory() -> Case:
    gateway = MemoryGateway()
    return Case(gateway, gateway.world, "control-tower")


@pytest.fixture(params=["memory", "sqlite", "http"])
def case(request: pytest.FixtureRequest) -> Case:
    if request.param == "memory":
        return in_memory()
    if request.param == "sqlite":
        return real(request.getfixturevalue("sqlite_uri"))
    return real(
        request.getfixturevalue("mlflow_url"), f"sqlite:///{request.getfixturevalue('mlflow_folder')}/mlflow.db"
    )


def test_a_version_comes_with_its_stage_tags_description_and_the_last_metrics_of_its_run(case: Case) -> None:
    name = case.name()
    case.world.add_version(
        name, {"accuracy": 0.9, "broken": None}, stage="Staging", tags={"a": "1"}, run_tags={"model_type": "x"},
        description="first",
    )  # fmt: skip
    run_id = case.world.run_of(name, 1)
    case.world.log_metric(run_id, "accuracy", 0.8, now_ms() + 60_000)
    row = case.version(name, 1)
    assert (row.stage, dict(row.tags), row.description, row.run_id) == ("Staging", {"a": "1"}, "first", run_id)
    assert dict(row.metrics) == {"accuracy": 0.8, "broken": None}
    assert row.run_model_type == "x"
    assert row.created > 0
    assert row.updated >= row.created


def test_aliases_come_with_the_registered_model(case: Case) -> None:
    name = case.name()
    case.world.add_model(name, {"team": "a"}, "described")
    case.world.add_version(name)
    case.world.add_version(name)
    case.world.set_alias(name, "champion", 2)
    case.world.set_alias(name, "old", 1)
    model = next(m for m in case.gateway.read_inventory().models if m.name == name)
    assert dict(model.aliases) == {"champion": 2, "old": 1}
    assert (dict(model.tags), model.description) == ({"team": "a"}, "described")


def test_versions_without_a_run_or_with_a_deleted_run_are_read_like_the_others(case: Case) -> None:
    name = case.name()
    case.world.add_version(name, with_run=False)
    case.world.add_version(name, {"accuracy": 0.5})
    case.world.delete_run(case.world.run_of(name, 2))
    assert case.version(name, 1).run_id is None
    assert dict(case.version(name, 1).metrics) == {}
    assert dict(case.version(name, 2).metrics) == {"accuracy": 0.5}


def read(case: Case, name: str, experiments: Sequence[str] = ("0",)) -> ModelReading:
    """One model, in one reading."""
    found: ModelReading = case.gateway.read_models([name], experiments)[name]
    return found


def test_many_models_are_read_at_once_whatever_their_names_hold(case: Case) -> None:
    names = [like + uuid.uuid4().hex[:6] + like[-1] for like in (*ODD_NAMES, "plain", "p lain.2", "p-3")]
    for name in names:
        case.world.add_version(name, {"accuracy": 0.5})
    case.world.delete_version(names[0], 1)
    readings = case.gateway.read_models([*names, "no such model"], ["0"])
    assert set(readings) == {*names, "no such model"}
    assert [len(readings[name].versions) for name in names] == [0] + [1] * (len(names) - 1)
    assert all(row.metrics == {"accuracy": 0.5} for name in names for row in readings[name].versions)
    assert readings["no such model"].model is None
    models = [model for name in names if (model := readings[name].model)]
    assert {name: r.versions for name, r in case.gateway.read_versions(models, ["0"]).items()} == {
        name: readings[name].versions for name in names
    }


@pytest.mark.parametrize("versions", [1, 3])
def test_a_run_of_an_experiment_that_is_not_known_yet_is_found_all_the_same(case: Case, versions: int) -> None:
    name = case.name()
    for _ in range(versions):
        case.world.add_version(name, {"accuracy": 0.5})
    rows = read(case, name, experiments=()).versions
    assert [row.metrics for row in rows] == [{"accuracy": 0.5}] * versions


CHANGES: dict[str, Callable[[Any, str], object]] = {
    "new version": lambda world, name: world.add_version(name),
    "stage": lambda world, name: world.set_stage(name, 1, "Staging"),
    "version deleted": lambda world, name: world.delete_version(name, 2),
    "version described": lambda world, name: world.describe_version(name, 1, "text"),
    "model described": lambda world, name: world.describe_model(name, "text"),
}
UNSEEN: dict[str, Callable[[Any, str], object]] = {
    "alias set": lambda world, name: world.set_alias(name, "b", 1),
    "alias deleted": lambda world, name: world.delete_alias(name, "a"),
    "model tagged": lambda world, name: world.tag_model(name, "k", "v"),
}


def later_than(moment: int) -> None:
    """Return when the clock has gone on: MLflow's times are in milliseconds."""
    while now_ms() <= moment:
        pass


@pytest.mark.parametrize("what", [*CHANGES, *UNSEEN])
def test_the_newest_rows_tell_of_what_moves_a_time_and_the_list_of_models_of_the_rest(case: Case, what: str) -> None:
    name, other = case.name(), case.name()
    for _ in range(2):
        case.world.add_version(name)
    case.world.set_alias(name, "a", 1)
    case.world.add_version(other)
    times, listed = newest_times(case, name), models_named(case, name)
    assert newest_times(case, other)
    later_than(now_ms())
    {**CHANGES, **UNSEEN}[what](case.world, name)
    assert (newest_times(case, name) != times) is (what in CHANGES)
    assert models_named(case, name) != listed or what == "version described"


def test_a_renamed_model_is_among_the_newest_by_its_new_name_with_its_old_age(case: Case) -> None:
    name, new = case.name(), case.name("new")
    case.world.add_version(name)
    (before,) = models_named(case, name)
    case.world.rename(name, new)
    (after,) = models_named(case, new)
    assert after in case.gateway.newest(20).models
    assert (after.created, models_named(case, name)) == (before.created, [])


def newest_times(case: Case, name: str) -> list[tuple[int, int]]:
    newest = case.gateway.newest(20)
    for rows in (newest.models, newest.versions):
        assert [row.updated for row in rows] == sorted((row.updated for row in rows), reverse=True)
    found = [(0, model.updated) for model in newest.models if model.name == name]
    return found + [(row.version, row.updated) for row in newest.versions if row.name == name]


def models_named(case: Case, name: str) -> list[RegisteredModel]:
    return [model for model in case.gateway.registered_models() if model.name == name]


@pytest.mark.parametrize("like", ODD_NAMES)
def test_a_model_is_read_by_its_name_whatever_the_name_holds(case: Case, like: str) -> None:
    name = like + uuid.uuid4().hex[:6] + like[-1]
    case.world.add_version(name, {"accuracy": 0.5})
    case.world.add_version(name)
    reading = read(case, name)
    assert reading.model is not None
    assert reading.model.name == name
    assert sorted(row.version for row in reading.versions) == [1, 2]
    assert dict(next(row for row in reading.versions if row.version == 1).metrics) == {"accuracy": 0.5}
    found = case.gateway.find_version(name, 2)
    assert found is not None
    assert found.name == name


def test_names_that_differ_in_case_are_two_models(case: Case) -> None:
    name = case.name("a")
    case.world.add_version(name)
    case.world.add_version(name.upper())
    case.world.add_version(name.upper())
    assert len(read(case, name).versions) == 1
    assert len(read(case, name.upper()).versions) == 2


def test_what_mlflow_does_not_know_is_none(case: Case) -> None:
    name = case.name()
    case.world.add_version(name)
    case.world.add_version(name)
    case.world.delete_version(name, 1)
    assert case.gateway.find_version(name, 1) is None
    assert case.gateway.find_version(name, 99) is None
    assert case.gateway.find_version("no such model", 1) is None
    assert case.gateway.find_version(name.upper(), 2) is None
    assert read(case, "no such model").model is None
    assert case.gateway.find_experiment("987654321") is None
    case.world.delete_model(name)
    assert case.gateway.find_version(name, 2) is None
    assert name not in {m.name for m in case.gateway.read_inventory().models}


def test_experiments_are_read_with_the_deleted_ones(case: Case) -> None:
    kept, gone = case.name("kept"), case.name("gone")
    kept_id, _ = case.world.add_experiment(kept), case.world.add_experiment(gone)
    before = case.gateway.ping()
    case.world.delete_experiment(gone)
    stages = {e.name: e.lifecycle_stage for e in case.gateway.read_inventory().experiments}
    assert (stages[kept], stages[gone]) == ("active", "deleted")
    assert case.gateway.ping() == before - 1
    assert case.gateway.find_experiment(kept_id).name == kept


def test_runs_come_newest_first_and_page_by_page(case: Case) -> None:
    experiment = case.world.add_experiment(case.name())
    made = [case.world.add_run({"m": float(n)}, {"n": str(n)}, experiment) for n in range(5)]
    first, token = case.gateway.list_runs(experiment, 3, None)
    assert isinstance(token, str)
    rest, end = case.gateway.list_runs(experiment, 3, token)
    assert end is None
    assert sorted(run.run_id for run in [*first, *rest]) == sorted(made)
    starts = [run.start_time for run in [*first, *rest]]
    assert starts == sorted(starts, reverse=True)
    assert {dict(run.metrics)["m"] for run in first} <= {0.0, 1.0, 2.0, 3.0, 4.0}
    case.world.delete_run(made[0])
    assert len(case.gateway.list_runs(experiment, 100, None)[0]) == 4


@pytest.mark.parametrize("token", ["", "x", "AAAA", "eyJvZmZzZXQiOiAtNX0=", "eyJvZmZzZXQiOiAiYSJ9", "W10="])
def test_a_token_that_is_none_is_refused(case: Case, token: str) -> None:
    with pytest.raises(InvalidInput):
        case.gateway.list_runs("0", 10, token)


def test_runs_are_counted_without_the_deleted_ones(case: Case) -> None:
    before = case.gateway.count_runs()
    made = [case.world.add_run() for _ in range(3)]
    case.world.delete_run(made[0])
    assert case.gateway.count_runs() == before + 2
    assert case.gateway.count_runs(started_after=now_ms() + 3_600_000) == 0


@pytest.mark.parametrize("like", ["plain", "it's", 'a "quoted" one', "100%_", "back\\slash"])
def test_points_come_from_the_source_run_and_from_the_runs_that_evaluate_the_version(case: Case, like: str) -> None:
    name = case.name(like)
    case.world.add_version(name, {"accuracy": 0.1})
    case.world.add_version(name)
    source = case.world.run_of(name, 1)
    case.world.log_metric(source, "accuracy", 0.2, 1_700_000_000_000)
    case.world.log_metric(source, "loss", None, 1_700_000_000_000)
    evaluation = case.world.add_run({}, {EVALUATES: f"models:/{name}/1"})
    for n in range(30):
        case.world.log_metric(evaluation, "accuracy", n / 100, 1_700_000_100_000 + n)
    case.world.add_run({"accuracy": 9.0}, {EVALUATES: f"models:/{name}/11"})
    taken_back = case.world.add_run({"accuracy": 7.0}, {EVALUATES: f"models:/{name}/1"})
    case.world.delete_run(taken_back)
    rows = [case.gateway.find_version(name, 1), case.gateway.find_version(name, 2)]
    points = case.gateway.evidence(rows, {})
    assert points[name, 2] == []
    values = sorted((p.time, p.metric, p.value) for p in points[name, 1] if p.source == "evaluation run")
    assert values == [(1_700_000_100_000 + n, "accuracy", n / 100) for n in range(30)]
    of_source = {(p.time, p.metric, p.value) for p in points[name, 1] if p.run_id == source}
    assert (1_700_000_000_000, "accuracy", 0.2) in of_source
    assert (1_700_000_000_000, "loss", None) in of_source
    assert len(of_source) == 3
    assert {p.source for p in points[name, 1]} == {"source run", "evaluation run"}
    only = case.gateway.evidence(rows, {}, ["loss", "other"])
    assert [(p.metric, p.value) for p in only[name, 1]] == [("loss", None)]


def test_points_come_from_the_logged_model_and_say_who_logged_them(case: Case) -> None:
    name = case.name()
    case.world.add_version_of_logged_model(name)
    source, other = case.world.run_of(name, 1), case.world.add_run()
    case.world.log_to_model(name, 1, source, "accuracy", 0.1, 1_700_000_000_000)
    case.world.log_to_model(name, 1, other, "accuracy", 0.2, 1_700_000_000_001)
    row = case.gateway.find_version(name, 1)
    found = series_by_metric(points_by_metric(case.gateway.evidence([row], {})[name, 1]), 1_700_000_000_001)["accuracy"]
    assert [(p.time, p.value, p.source, p.run_id) for p in found.points] == [
        (1_700_000_000_001, 0.2, "logged model", other)
    ]
    assert [(p.time, p.value, p.source) for p in found.reference] == [(1_700_000_000_000, 0.1, "source run")]


def test_points_of_versions_of_many_models_come_at_once_whatever_their_names(case: Case) -> None:
    names = [case.name(like) for like in ODD_NAMES]
    for name in names:
        case.world.add_version(name)
        case.world.add_run({"accuracy": 0.5}, {EVALUATES: f"models:/{name}/1"})
    rows = [case.gateway.find_version(name, 1) for name in names]
    found = case.gateway.evidence(rows, {})
    assert {key: [p.value for p in points] for key, points in found.items()} == {(name, 1): [0.5] for name in names}


def test_every_point_is_seen_at_once_whatever_its_step_and_time(case: Case) -> None:
    name = case.name()
    case.world.add_version(name)
    rows = [case.gateway.find_version(name, 1)]
    run, names = case.world.add_run({}, {EVALUATES: f"models:/{name}/1"}), itertools.count()

    @settings(max_examples=8, deadline=None)
    @given(
        st.lists(
            st.tuples(st.integers(0, 5), st.integers(-1, 3), st.sampled_from([0.1, 0.2, None])), min_size=1, max_size=6
        )
    )
    def see(logged: list[tuple[int, int, float | None]]) -> None:
        metric, expected = f"metric {next(names)}", set()
        for minute, step, value in logged:
            at = 1_700_000_000_000 + minute * 60_000
            case.world.log_metric(run, metric, value, at, step)
            expected.add((at, step, value))
            found = case.gateway.evidence(rows, {}, [metric])[name, 1]
            assert {(point.time, point.step, point.value) for point in found} == expected

    see()


def test_observations_are_written_to_the_monitor_run_all_or_none(case: Case) -> None:
    name = case.name()
    case.world.add_version(name)
    made = case.register(name, 1)
    row = case.gateway.find_version(name, 1)
    values = [Observation("accuracy", 1_700_000_000_000 + n, n / 1000) for n in range(1000)]
    case.gateway.log_observations(made.monitor_run_id, values)
    points = case.gateway.evidence([row], {(name, 1): made.monitor_run_id})[name, 1]
    assert sorted(p.value for p in points) == [n / 1000 for n in range(1000)]
    assert {p.source for p in points} == {"monitor run"}
    case.world.delete_experiment(case.experiment)
    with pytest.raises(MlflowRefused):
        case.gateway.log_observations(made.monitor_run_id, values[:1])


@pytest.mark.parametrize("server", ["sqlite_uri", "mlflow_url"])
def test_mlflow_draws_what_the_tower_logs_over_time_and_shows_the_newest_as_the_last(
    request: pytest.FixtureRequest, server: str
) -> None:
    case = real(request.getfixturevalue(server))
    name, start = case.name(), 1_700_000_000_000
    case.world.add_version(name)
    run = case.register(name, 1).monitor_run_id
    for value, hour in ((0.7, 2), (0.9, 3), (0.5, 1)):
        case.gateway.log_observations(run, [Observation("accuracy", start + hour * 3_600_000, value)])
        verdict = Verdict(start + hour * 3_600_000, {0.7: "degraded", 0.9: "drifting", 0.5: "healthy"}[value], ())
        case.gateway.write_verdict(run, [verdict], {})
    for metric, values in (("accuracy", [0.5, 0.7, 0.9]), (VERDICT_METRIC, [0, 1, 2])):
        drawn = sorted(case.world.client.get_metric_history(run, metric), key=lambda point: point.step)
        assert [point.value for point in drawn] == values
        assert len({point.step for point in drawn}) == len(values)
        assert case.world.client.get_run(run).data.metrics[metric] == values[-1]


@pytest.mark.parametrize("server", ["sqlite_uri", "mlflow_url"])
def test_an_observation_sent_again_is_one_point_also_where_an_older_tower_wrote_it_without_a_step(
    request: pytest.FixtureRequest, server: str
) -> None:
    case = real(request.getfixturevalue(server))
    name, times = case.name(), [1_700_000_000_000 + n * 400 for n in range(6)]
    case.world.add_version(name)
    run = case.register(name, 1).monitor_run_id
    for at in times[:4]:
        case.world.log_metric(run, "accuracy", 0.5, at)
    for _ in range(2):
        case.gateway.log_observations(run, [Observation("accuracy", at, 0.5) for at in times[2:]])
    found = case.gateway.evidence([case.gateway.find_version(name, 1)], {(name, 1): run})[name, 1]
    assert [
        point.time for point in series_by_metric(points_by_metric(found), 4_000_000_000_000)["accuracy"].points
    ] == times


def test_of_the_points_of_a_metric_and_time_the_last_one_written_counts_and_none_that_was_withdrawn(
    case: Case,
) -> None:
    name, start = case.name(), 1_700_000_000_000
    case.world.add_version(name, {"accuracy": 0.99})
    run = case.register(name, 1).monitor_run_id
    row = case.gateway.find_version(name, 1)

    def counting() -> list[tuple[str, int, float | None]]:
        found = case.gateway.evidence([row], {(name, 1): run})[name, 1]
        return sorted((p.metric, p.time - start, p.value) for p in found if p.source == "monitor run")

    def log(metric: str, after: int, value: float, order: int = 0) -> None:
        case.gateway.log_observations(run, [Observation(metric, start + after, value, order=order)])

    # The last of equal times is the lowest value, the highest, and one between.
    for order, value in enumerate((0.5, 0.4, 0.9, 0.7)):
        log("accuracy", 1000, value, order)
    log("accuracy", 2000, 0.8)
    log("acuracy", 1000, 0.6)
    assert counting() == [("accuracy", 1000, 0.7), ("accuracy", 2000, 0.8), ("acuracy", 1000, 0.6)]
    ledger = case.gateway.ledger(run)
    assert (ledger.last["accuracy"].time, ledger.last["accuracy"].order) == (start + 1000, 3)
    one = Withdrawal(4, now_ms(), "ada", start + 1000, "accuracy", start)
    other = Withdrawal(5, now_ms(), "bob", start + 9000, "acuracy")
    for withdrawal in (one, other):
        case.gateway.withdraw(run, withdrawal)
    assert list(case.gateway.ledger(run).withdrawals) == [one, other]
    assert counting() == [("accuracy", 2000, 0.8)]
    log("accuracy", 1000, 0.5, 6)
    assert counting() == [("accuracy", 1000, 0.5), ("accuracy", 2000, 0.8)]
    assert [p.value for p in case.gateway.evidence([row], {})[name, 1]] == [0.99]
    with pytest.raises(MlflowMissing):
        case.gateway.withdraw("0" * 32, one)


def test_the_number_of_cases_behind_a_value_is_kept_and_is_no_metric_of_its_own(case: Case) -> None:
    name, start = case.name(), 1_700_000_000_000
    case.world.add_version(name)
    run = case.register(name, 1).monitor_run_id
    row = case.gateway.find_version(name, 1)
    rows = [Observation("accuracy", start + n, 0.5, n=10 + n) for n in range(600)]
    case.gateway.log_observations(run, [*rows, Observation("rmse", start, 2.0), Observation("f1", start, 0.4, n=7)])
    case.gateway.log_observations(run, [Observation("accuracy", start, 0.6, order=1, n=99)])
    for metrics in ([], ["accuracy"]):
        found = case.gateway.evidence([row], {(name, 1): run}, metrics)[name, 1]
        assert {p.metric for p in found} == set(metrics or ["accuracy", "f1", "rmse"])
        counted = sorted((p.time - start, p.value, p.n) for p in found if p.metric == "accuracy")
        assert counted == [(0, 0.6, 99), *((n, 0.5, 10 + n) for n in range(1, 600))]
        assert case.gateway.ledger(run).last["f1"].n == 7
        assert {p.metric: p.n for p in found if p.metric != "accuracy"} == ({} if metrics else {"f1": 7, "rmse": None})


def test_a_monitor_run_keeps_settings_verdicts_and_who_was_told(case: Case) -> None:
    name = case.name()
    case.world.add_version(name)
    made = case.register(name, 1)
    assert made.settings == {}
    settings = {"limits": {"acc uracy/ü": {"min": 0.5}}, "silence_hours": 48}
    case.gateway.change_settings(made.monitor_run_id, settings)
    at = now_ms()
    verdicts = (Verdict(at, "degraded", ("accuracy 0.4, limit",), 3, 2), Verdict(at + 1, "drifting", ("worse ±",), 4))
    case.gateway.write_verdict(made.monitor_run_id, verdicts[:1], {"slack": 5})
    case.gateway.write_verdict(made.monitor_run_id, verdicts, {})
    case.gateway.mark_notified(made.monitor_run_id, {"slack": at, "mail": 7})
    (state,) = [s for s in case.gateway.monitor_states() if s.registration.key == (name, 1)]
    assert state == MonitorState(replace(made, settings=settings), verdicts, {"slack": at, "mail": 7})
    assert [r.settings for r in case.gateway.find_registrations(name, 1)] == [settings]


def test_a_monitor_run_keeps_what_people_did_and_the_last_hundred_of_it(case: Case) -> None:
    name = case.name("it's 100%")
    case.world.add_version(name)
    made, at = case.register(name, 1), now_ms()
    acts = [Act(number, at + number, COMMENTED, "ada", f"line\n{number} ü") for number in range(1, 5 + PLACES)]
    for act in acts[-102:]:
        case.gateway.note_act(act, made)
    mutes = (Mute(None, at + 9, at, "ada", "a" * 1000), Mute("acc uracy/ü", at + 5, at, "b", removed=True))
    changed = replace(made, acknowledgement=Acknowledgement(at, "ada", '"quoted"', 7), mutes=mutes)
    last = Act(5 + PLACES, at + 999, MUTED, "b", "", "acc uracy/ü", at + 5)
    case.gateway.note_act(last, changed)
    (state,) = case.gateway.monitor_runs([made.monitor_run_id])
    assert state == MonitorState(changed, acts=(*acts[-99:], last))
    assert list(case.gateway.find_registrations(name, 1)) == [changed]
    with pytest.raises(MlflowMissing):
        case.gateway.note_act(last, replace(made, monitor_run_id="0" * 32))


def test_the_history_has_open_and_ended_monitor_runs_and_says_who_ended_them(case: Case) -> None:
    name, other = case.name("it's"), case.name()
    case.world.add_version(name)
    case.world.add_version(other)
    case.register(other, 1)
    first = case.register(name, 1)
    case.gateway.write_verdict(first.monitor_run_id, [Verdict(now_ms(), "healthy", ("fine",))], {})
    case.gateway.end_monitor_run(first.monitor_run_id, "bob", "removed from monitoring")
    second = case.register(name, 1)
    for found in (case.gateway.monitor_history(name, 1), case.gateway.monitor_history(name, None)):
        ended, running = sorted(found, key=lambda state: state.ended_at is None)
        assert running.registration == second
        assert ended.registration == first
        assert (ended.ended_by, ended.ended_reason) == ("bob", "removed from monitoring")
        assert [one.verdict for one in ended.verdicts] == ["healthy"]
    assert {state.registration.name for state in case.gateway.monitor_history(None, None)} >= {name, other}
    assert list(case.gateway.monitor_history(case.name(), None)) == []


@pytest.mark.parametrize("like", ["team:churn", "a:b/c", 'it\'s: "odd"'])
def test_a_model_of_an_old_registry_whose_name_mlflow_refuses_today_is_like_any_other(case: Case, like: str) -> None:
    old, new = case.name(like), case.name()
    case.world.add_version(new, {"accuracy": 0.5})
    case.world.give_old_name(new, old)
    row = case.gateway.find_version(old, 1)
    assert (row.name, row.version) == (old, 1)
    assert case.gateway.find_version(old, 2) is None
    assert case.gateway.find_version(case.name(like), 1) is None
    assert [version.version for version in read(case, old).versions] == [1]
    assert read(case, case.name(like)).model is None
    made = case.register(old, 1)
    assert list(case.gateway.find_registrations(old, 1)) == [made]
    case.gateway.log_observations(made.monitor_run_id, [Observation("accuracy", 1_700_000_000_000, 0.4)])
    points = case.gateway.evidence([row], {(old, 1): made.monitor_run_id})[old, 1]
    assert {point.value for point in points} == {0.5, 0.4}
    case.gateway.end_monitor_run(made.monitor_run_id, "bob", "removed from monitoring")
    assert list(case.gateway.find_registrations(old, 1)) == []


def test_a_monitor_run_keeps_the_ids_that_observations_were_sent_with_page_by_page(case: Case) -> None:
    name = case.name()
    case.world.add_version(name)
    run = case.register(name, 1).monitor_run_id
    assert not any(case.gateway.ledger(run).sent.values())
    sent = [sent_once(f"batch {number}", [], 1_700_000_000_000 + number) for number in range(2000)]
    pages = {page: [row for row in sent if row.page == page] for page in range(PAGES)}
    case.gateway.keep_sent_ids(run, pages, 0)
    found = case.gateway.ledger(run).sent
    assert all(list(found[page]) == pages[page][-200:] for page in range(PAGES))
    case.gateway.keep_sent_ids(run, {1: pages[1][:1]}, 7)
    assert case.gateway.ledger(run).order == 7
    assert case.gateway.ledger(run).sent == {**found, 1: pages[1][:1]}
    with pytest.raises(MlflowMissing):
        case.gateway.keep_sent_ids("0" * 32, pages, 0)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_while_another_program_holds_the_lock_of_the_database_writes_are_refused_and_reads_answered(
    kind: str, tmp_path: Path
) -> None:
    """MLflow waits for the lock for 20 s before it refuses a write."""
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    if kind == "sqlite":
        ensure_store(uri)
    case = in_memory() if kind == "memory" else real(uri, timeout=60)
    name = case.name()
    case.world.add_version(name)
    run = case.register(name, 1).monitor_run_id
    observations = [Observation("accuracy", 1_700_000_000_000, 0.5)]
    with held(case.gateway, tmp_path / "mlflow.db"):
        with pytest.raises(MlflowOverloaded):
            case.gateway.log_observations(run, observations)
        assert case.gateway.is_open(run)
    case.gateway.log_observations(run, observations)


@contextmanager
def held(gateway: Any, database: Path) -> Iterator[None]:
    """Hold the lock of the database, as a program that writes to it does."""
    if isinstance(gateway, MemoryGateway):
        gateway.locked = True
        yield
        gateway.locked = False
        return
    with closing(sqlite3.connect(database)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def test_what_mlflow_cannot_keep_is_refused_and_nothing_of_it_written(case: Case) -> None:
    name = case.name()
    case.world.add_version(name)
    made = case.register(name, 1)
    for metric, at in (("a%", 1), ("x" * 251, 1), ("accuracy", -1)):
        with pytest.raises(MlflowRefused):
            case.gateway.log_observations(
                made.monitor_run_id, [Observation("accuracy", 5, 0.5), Observation(metric, at, 0.5)]
            )
    row = case.gateway.find_version(name, 1)
    points = case.gateway.evidence([row], {(name, 1): made.monitor_run_id})[name, 1]
    assert [point for point in points if point.run_id == made.monitor_run_id] == []
    unknown = "0" * 32
    for write in (
        lambda: case.gateway.log_observations(unknown, [Observation("accuracy", 5, 0.5)]),
        lambda: case.gateway.mark_notified(unknown, {"mail": 1}),
        lambda: case.gateway.end_monitor_run(unknown, "bob", "removed"),
    ):
        with pytest.raises(MlflowMissing):
            write()


def test_monitor_runs_are_found_by_their_ids_and_all_their_changes_of_verdict_are_told(case: Case) -> None:
    name = case.name()
    case.world.add_version(name)
    made = case.register(name, 1)
    at = now_ms()
    verdicts: list[Verdict] = []
    for number in range(53):
        verdicts = [*verdicts, Verdict(at + number, ("healthy", "drifting")[number % 2], (f"why {number}",))]
        case.gateway.write_verdict(made.monitor_run_id, verdicts, {})
    # It began by the clock of a host that is an hour ahead.
    ended_at = case.gateway.end_monitor_run(made.monitor_run_id, "bob", "enough", at + 3_600_000)
    assert ended_at > at + 3_600_000
    other = case.register(name, 1)
    found = case.gateway.monitor_runs([made.monitor_run_id, "nobody", "it's"])
    (state,) = found
    assert (state.registration, state.ended_at, state.ended_by) == (made, ended_at, "bob")
    assert list(state.verdicts) == verdicts[-50:]
    everything = {one.registration.monitor_run_id: one.ended_at for one in case.gateway.monitor_runs(None)}
    assert (everything[made.monitor_run_id], everything[other.monitor_run_id]) == (ended_at, None)
    changes = case.gateway.verdict_changes([made.monitor_run_id, other.monitor_run_id])
    assert sorted(changes[made.monitor_run_id]) == [(one.at, one.verdict) for one in verdicts]
    assert not changes.get(other.monitor_run_id)


METRIC_NAMES = [
    "accuracy", "f1 score", "a/b", "val:loss", "Größe", ".hidden", "a.b-c_d", "x" * 250,
    "x" * 251, "", "a%", "a'b", "(a)", "a@b", "$", "🧬", "..", "../a", "a//b", "/a", ".", "a/../b", "a\nb",
]  # fmt: skip


@pytest.mark.parametrize("metric", METRIC_NAMES)
def test_the_names_of_metrics_that_are_taken_are_those_that_mlflow_takes(sqlite_uri: str, metric: str) -> None:
    world = RealWorld(sqlite_uri)
    run = world.add_run()
    try:
        world.log_metric(run, metric, 0.5, 1)
        taken = metric in world.client.get_run(run).data.metrics
    except MlflowException:
        taken = False
    assert is_metric_name(metric) == taken


def test_an_open_monitor_run_is_a_registration_and_ending_it_removes_it(case: Case) -> None:
    name, other = case.name('it\'s "odd" '), case.name()
    case.world.add_version(name)
    case.world.add_version(other)
    made, second = case.register(name, 1), case.register(other, 1)
    assert list(case.gateway.find_registrations(name, 1)) == [made]
    assert {r.monitor_run_id for r in case.gateway.open_registrations()} == {
        made.monitor_run_id,
        second.monitor_run_id,
    }
    case.gateway.end_monitor_run(made.monitor_run_id, "bob", "removed from monitoring")
    assert list(case.gateway.find_registrations(name, 1)) == []
    assert [r.key for r in case.gateway.open_registrations()] == [(other, 1)]


def test_a_watch_is_kept_until_it_is_ended_and_is_no_registration(case: Case) -> None:
    name = case.name('it\'s "odd" ')
    case.world.add_version(name)
    assert case.gateway.watches_and_rules() is None
    wanted = Watch(ALIAS, name, "blue", "classifier", "ada", now_ms(), "", 7, {"silence_hours": 4})
    made = case.gateway.open_watch(wanted)
    assert made == replace(wanted, run_id=made.run_id)
    other = case.gateway.open_watch(replace(wanted, kind=STAGE, place="Production", registered_at=now_ms() + 1))
    assert watches_of(case) == [made, other]
    assert (list(case.gateway.open_registrations()), list(case.gateway.monitor_runs(None))) == ([], [])
    registered = case.register(name, 1)
    changed = replace(made, settings={"alarm": {"m": 2}}, record=registered.monitor_run_id)
    case.gateway.change_watch(changed)
    case.gateway.end_watch(other.run_id, "bob", "the watch was removed")
    assert watches_of(case) == [changed]
    assert list(case.gateway.open_registrations()) == [registered]


def test_a_rule_is_kept_with_its_exclusions_until_it_is_ended_and_is_no_watch(case: Case) -> None:
    name = case.name('it\'s "odd" ')
    case.world.add_version(name)
    assert case.gateway.watches_and_rules() is None
    match = {"stages": ["Production"], "tags": {"team": None, "a.b": "x"}, "name": f"{name}*"}
    wanted = wanted_rule("a b", match, "regressor", {"silence_hours": 4}, "ada", now_ms())
    made = case.gateway.open_rule(wanted)
    assert made == replace(wanted, run_id=made.run_id)
    other = case.gateway.open_rule(wanted_rule("other", {"aliases": ["blue"]}, None, None, "bob", now_ms()))
    watch = case.gateway.open_watch(Watch(ALIAS, name, "blue", "classifier", "ada", now_ms(), "", 7))
    assert {rule.name: rule for rule in rules_of(case)} == {"a b": made, "other": other}
    assert (watches_of(case), list(case.gateway.open_registrations())) == ([watch], [])
    first, second = Exclusion(name, 1, 7, "ada", now_ms()), Exclusion(name, 2, 8, "bob", now_ms())
    for exclusion in (second, first):
        case.gateway.exclude(made.run_id, exclusion)
    changed = replace(made, settings={}, match=other.match)
    case.gateway.change_rule(changed)
    case.gateway.end_watch(other.run_id, "bob", "the rule was removed")
    assert rules_of(case) == [replace(changed, excluded=(first, second))]
    case.gateway.include(made.run_id, first.key)
    assert rules_of(case) == [replace(changed, excluded=(second,))]


def test_a_monitor_run_keeps_what_covers_its_version(case: Case) -> None:
    name = case.name()
    case.world.add_version(name)
    made = case.register(name, 1)
    covered = replace(
        made,
        settings={"silence_hours": 4},
        watched_by=("alias blue", "stage Production"),
        watched_settings={"silence_hours": 4},
        predecessors=(Predecessor(9, 8, "a" * 32, {"points": 30}), Predecessor(7, 6, "b" * 32)),
    )
    case.gateway.change_coverage(covered)
    assert list(case.gateway.find_registrations(name, 1)) == [covered]
    owned = replace(covered, own_settings={"alarm": {"m": 2}}, model_type="regressor")
    case.gateway.change_coverage(owned)
    assert list(case.gateway.look_up_registrations(name, 1)) == [owned]
    case.gateway.change_coverage(made)
    assert list(case.gateway.find_registrations(name, 1)) == [made]
    renamed = replace(made, name=case.name("it's new"))
    case.gateway.rename_monitor_run(renamed)
    assert list(case.gateway.find_registrations(name, 1)) == []
    assert list(case.gateway.look_up_registrations(renamed.name, 1)) == [renamed]


def test_an_ended_monitor_run_is_opened_again_with_its_points_and_says_when_it_was_ended(case: Case) -> None:
    name = case.name('it\'s "odd" ')
    case.world.add_version(name)
    made = case.register(name, 1)
    case.gateway.log_observations(made.monitor_run_id, [Observation("loss", now_ms(), 0.5)])
    assert [state.ended_at for state in case.gateway.look_up_monitor_runs(name, 1)] == [None]
    case.gateway.end_monitor_run(made.monitor_run_id, "control-tower", "the alias moved")
    (ended,) = case.gateway.look_up_monitor_runs(name, 1)
    assert (ended.registration, ended.ended_reason, case.gateway.open_registrations()) == (made, "the alias moved", [])
    now = now_ms()
    pause = Pause(ended.ended_at or 0, "control-tower", "the alias moved", now, "ada")
    covered = replace(made, watched_by=("alias blue",), settings={"alarm": {"m": 2}}, resumed_at=now)
    covered = replace(covered, watched_settings=covered.settings)
    for _ in range(2):
        # Whoever is killed in between does it again.
        case.gateway.reopen_monitor_run(covered, [pause])
    (again,) = case.gateway.look_up_monitor_runs(name, 1)
    assert (again.registration, again.ended_at, again.pauses) == (covered, None, (pause,))
    assert list(case.gateway.open_registrations()) == [covered]
    assert case.gateway.is_open(made.monitor_run_id)
    evidence = case.gateway.evidence([case.version(name, 1)], {(name, 1): made.monitor_run_id})
    assert [point.value for point in evidence[name, 1] if point.metric == "loss"] == [0.5]


def test_what_a_registration_asks_and_writes_is_one_request_each(case: Case) -> None:
    name = case.name()
    for _ in range(2):
        case.world.add_version(name)
    first = case.register(name, 1)
    # The id of the experiment is known from the first reading on.
    assert list(case.gateway.open_registrations()) == [first]
    wanted = replace(first, version=2, monitor_run_id="")
    for call in (
        lambda: case.gateway.find_version(name, 2),
        lambda: case.gateway.look_up_monitor_runs(name, 2),
        lambda: case.gateway.open_monitor_run(wanted),
    ):
        with case.gateway.within(60) as spent:
            call()
        assert spent.requests == 1


def test_a_watched_version_is_registered_although_the_experiment_was_deleted_a_moment_ago(case: Case) -> None:
    name = case.name()
    case.world.add_version(name)
    case.register(name, 1)
    case.world.delete_experiment(case.experiment)
    case.world.add_version(name)
    case.register(name, 2)
    assert [record.version for record in case.gateway.open_registrations()] == [1, 2]


def test_of_two_open_runs_the_earlier_comes_first(case: Case) -> None:
    name = case.name()
    case.world.add_version(name)
    now = now_ms()
    later, earlier = case.register(name, 1, now), case.register(name, 1, now - 5000)
    assert [r.monitor_run_id for r in case.gateway.find_registrations(name, 1)] == [
        earlier.monitor_run_id,
        later.monitor_run_id,
    ]


def test_registrations_outlive_the_deletion_of_their_experiment(case: Case) -> None:
    assert case.gateway.open_registrations() is None
    name = case.name()
    case.world.add_version(name)
    made = case.register(name, 1)
    case.world.delete_experiment(case.experiment)
    assert case.gateway.open_registrations() is None
    assert list(case.gateway.find_registrations(name, 1)) == [made]
    assert list(case.gateway.open_registrations()) == [made]


def test_several_calls_can_be_bounded_together_and_are_counted(case: Case) -> None:
    with case.gateway.within(30) as operation:
        case.gateway.ping()
        case.gateway.ping()
    assert operation.requests == 2


SECRET = "the secret of the first day"


@pytest.fixture
def storing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a gateway to a database needs, since it does itself what MLflow's server does else."""
    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS", "true")
    monkeypatch.setenv("MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY", Fernet.generate_key().decode())


def receiver() -> str:
    """An address where nobody listens, of one test alone."""
    return f"https://127.0.0.1:1/{uuid.uuid4().hex}/webhooks/mlflow"


@pytest.mark.usefixtures("storing")
def test_a_webhook_is_made_shown_and_removed(case: Case) -> None:
    url = receiver()
    made = case.gateway.register_webhook(url, SECRET)
    assert (made.name, made.url, made.active) == ("control-tower", url, True)
    assert made.events == tuple(sorted(EVENTS))
    assert made in case.gateway.list_webhooks()
    case.gateway.remove_webhook(made.id)
    assert made.id not in {one.id for one in case.gateway.list_webhooks()}
    with pytest.raises(NotFound):
        case.gateway.remove_webhook(made.id)


@pytest.mark.usefixtures("storing")
def test_a_webhook_registered_again_is_brought_up_to_date_and_not_doubled(case: Case) -> None:
    url, other = receiver(), receiver()
    made, elsewhere = case.gateway.register_webhook(url, SECRET), case.gateway.register_webhook(other, SECRET)
    case.world.disable_webhook(made.id)
    assert [one.active for one in case.gateway.list_webhooks() if one.id == made.id] == [False]
    assert case.gateway.register_webhook(url, "the secret of the second day") == made
    assert [one for one in case.gateway.list_webhooks() if one.url in (url, other)] == [elsewhere, made]


@pytest.mark.usefixtures("storing")
def test_webhooks_of_others_are_shown_and_left_alone(case: Case) -> None:
    url = receiver()
    foreign = case.world.add_webhook("somebody-else", url)
    made = case.gateway.register_webhook(url, SECRET)
    assert {one.id: one.name for one in case.gateway.list_webhooks() if one.url == url} == {
        foreign: "somebody-else",
        made.id: "control-tower",
    }
    for change in (case.gateway.remove_webhook, case.gateway.test_webhook):
        with pytest.raises(InvalidInput):
            change(foreign)
    assert foreign in {one.id for one in case.gateway.list_webhooks()}


@pytest.mark.usefixtures("storing")
def test_no_user_name_or_password_of_an_address_is_shown(case: Case) -> None:
    url = receiver().replace("https://", "https://ada:s3cr3t@")
    made = case.gateway.register_webhook(url, SECRET)
    assert made.url == url.replace("ada:s3cr3t@", "***@")
    assert case.gateway.register_webhook(url, SECRET) == made
    assert "s3cr3t" not in repr(case.gateway.list_webhooks())


@pytest.mark.usefixtures("storing")
@pytest.mark.parametrize("subscription_id", ["", "..", "../../experiments/create", "a b", "?", "ü"])
def test_a_webhook_that_is_not_there_cannot_be_removed_or_tested(case: Case, subscription_id: str) -> None:
    for change in (case.gateway.remove_webhook, case.gateway.test_webhook):
        with pytest.raises(NotFound):
            change(subscription_id)


@pytest.mark.usefixtures("storing")
def test_an_address_that_mlflow_does_not_take_is_told_with_what_allows_it(case: Case) -> None:
    url = receiver().replace("https://", "http://")
    with pytest.raises(MlflowRefused, match="MLFLOW_WEBHOOK_ALLOWED_SCHEMES"):
        case.gateway.register_webhook(url, SECRET)
    assert url not in {one.url for one in case.gateway.list_webhooks()}


def test_a_run_that_is_deleted_is_there_and_one_that_was_collected_is_gone(case: Case) -> None:
    live, deleted = case.world.add_run(), case.world.add_run()
    case.world.delete_run(deleted)
    assert case.gateway.gone_runs([live, deleted, "0" * 32]) == {"0" * 32}


@pytest.mark.parametrize("like", ["model", 'Ada\'s "best" \\ model'])
def test_open_runs_are_looked_up_by_version_and_by_model_without_restoring_a_deleted_experiment(
    case: Case, like: str
) -> None:
    name, other = case.name(like), case.name()
    for model in (name, name, other):
        case.world.add_version(model)
    assert list(case.gateway.look_up_registrations(name, 1)) == []
    made = [case.register(name, version) for version in (1, 2)]
    case.register(other, 1)
    assert list(case.gateway.look_up_registrations(name, 2)) == made[1:]
    assert sorted(case.gateway.look_up_registrations(name, None), key=lambda run: run.version) == made
    case.world.delete_experiment(case.experiment)
    assert list(case.gateway.look_up_registrations(name, None)) == []
    assert case.gateway.open_registrations() is None


def test_a_monitor_run_is_open_until_it_is_ended(case: Case) -> None:
    name = case.name()
    case.world.add_version(name)
    run_id = case.register(name, 1).monitor_run_id
    assert case.gateway.is_open(run_id)
    case.gateway.end_monitor_run(run_id, "ada", "removed from monitoring")
    assert not case.gateway.is_open(run_id)
    case.gateway.log_observations(run_id, [Observation(metric="accuracy", value=0.9, time=now_ms())])
    with pytest.raises(MlflowMissing):
        case.gateway.is_open("0" * 32)
