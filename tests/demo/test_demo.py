"""The demo registry: really trained models, scored on every day, one of them on batches that drift."""

import shutil
import statistics
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient

from app.domain.data_drift.series import Series, series_from, windows_of
from app.domain.monitoring.check_settings import settings_or_default
from app.domain.monitoring.data_settings import DataSettings
from app.domain.monitoring.judging import judge_registration
from app.services.data_drift.judge_job import judged as judge
from app.services.data_drift.judge_order import JudgeOrder
from app.services.mlflow_gateway.gateway import MlflowGateway
from app.services.mlflow_gateway.store import ensure_store
from app.wiring.world import now_ms
from demo.__main__ import ensure
from demo.counted import midnight
from demo.data import BATCH_ROWS, TASKS, batch
from demo.fleet import FLEET, Model
from demo.learn import score
from demo.marker import read_marker

TODAY = date(2026, 11, 20)
DAYS = 30
BY_NAME = {model.name: model for model in FLEET}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "mlflow.db"
    ensure(path, TODAY, DAYS)
    return path


def client(store: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{store}", f"sqlite:///{store}")


def series(store: Path, metric: str) -> dict[str, dict[date, float]]:
    """By version (`models:/NAME/VERSION`), the values of a metric by day."""
    there = client(store)
    found: dict[str, dict[date, float]] = defaultdict(dict)
    experiments = [e.experiment_id for e in there.search_experiments()]
    for run in there.search_runs(experiments, max_results=1000):
        tag = run.data.tags.get("control_tower.evaluates")
        if tag and metric in run.data.metrics:
            for point in there.get_metric_history(run.info.run_id, metric):
                found[tag][datetime.fromtimestamp(point.timestamp / 1000, UTC).date()] = point.value
    return found


def main_metric(kind: str) -> str:
    return "rmse" if kind == "regressor" else "accuracy"


def test_there_are_at_least_six_models_with_two_to_four_versions_in_stages_and_with_aliases(store: Path) -> None:
    models = client(store).search_registered_models()
    versions = client(store).search_model_versions()
    counts = {model.name: sum(v.name == model.name for v in versions) for model in models}
    assert len(counts) >= 6
    assert set(counts.values()) <= {2, 3, 4}
    assert {v.current_stage for v in versions} == {"Production", "Staging", "Archived", "None"}
    assert all("champion" in model.aliases for model in models)


def test_every_version_was_scored_on_each_of_the_last_thirty_days_whose_labels_are_known(store: Path) -> None:
    for model in FLEET:
        wanted = {TODAY - timedelta(days=back + model.labels_late_days) for back in range(DAYS)}
        by_version = series(store, main_metric(model.kind))
        for number in range(1, len(model.versions) + 1):
            assert set(by_version[f"models:/{model.name}/{number}"]) >= wanted


def test_the_drifting_model_really_gets_worse_and_the_others_do_not(store: Path) -> None:
    for model in FLEET:
        values = series(store, main_metric(model.kind))[f"models:/{model.name}/{model.champion}"]
        ordered = [values[day] for day in sorted(values)]
        early, late = ordered[:18], ordered[-5:]
        moved = abs(statistics.mean(late) - statistics.mean(early)) / statistics.stdev(early)
        assert (moved > 5) == model.drifts, f"{model.name} moved by {moved:.1f} standard deviations"


def test_a_point_is_what_the_registered_model_itself_scores_on_the_batch_of_that_day(store: Path) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{store}")
    mlflow.set_registry_uri(f"sqlite:///{store}")
    day = TODAY - timedelta(days=DAYS - 1)
    for model in FLEET:
        points = series(store, main_metric(model.kind))
        for number in range(1, len(model.versions) + 1):
            tag = f"models:/{model.name}/{number}"
            rows = batch(TASKS[model.task](), model.name, day, 0)
            values = score(model, mlflow.sklearn.load_model(tag), *rows)
            assert points[tag][day] == values[main_metric(model.kind)]


def test_some_runs_say_of_which_kind_their_model_is_and_some_do_not(store: Path) -> None:
    there = client(store)
    runs = [there.get_run(version.run_id) for version in there.search_model_versions()]
    assert {run.data.tags.get("model_type") for run in runs} == {"classifier", "regressor", None}
    assert all({f"training_{key}" for key in run.data.metrics} & set(run.data.metrics) for run in runs)


def test_a_day_has_the_same_batch_whenever_it_is_asked_for() -> None:
    task = TASKS["wine"]()
    first, again = batch(task, "wine-cultivar", TODAY, 0), batch(task, "wine-cultivar", TODAY, 0)
    other = batch(task, "wine-cultivar", TODAY - timedelta(days=1), 0)
    assert np.array_equal(first[0], again[0])
    assert not np.array_equal(first[0], other[0])


def judged(store: Path, until: date) -> dict[str, str]:
    """The verdict on each Production version, by the points up to a day."""
    gateway = MlflowGateway.connect(f"sqlite:///{store}", monitoring_experiment="control-tower", clock=now_ms)
    registrations = gateway.open_registrations() or []
    rows = [row for one in registrations if (row := gateway.find_version(*one.key))]
    evidence = gateway.evidence(rows, {one.key: one.monitor_run_id for one in registrations})
    end = midnight(until) + 1
    known = {key: [point for point in points if point.time < end] for key, points in evidence.items()}
    return {one.name: judge_registration(one, known, end)[1].verdict for one in registrations}


def test_every_production_version_is_monitored_and_only_the_drifting_model_is_found_drifting(store: Path) -> None:
    found = judged(store, TODAY)
    assert set(found) == {model.name for model in FLEET}
    assert {model.name: found[model.name] == "drifting" for model in FLEET} == {m.name: m.drifts for m in FLEET}


def data_of(store: Path, model: Model) -> Series:
    """What is kept of the data of a model's version in Production."""
    gateway = MlflowGateway.connect(f"sqlite:///{store}", monitoring_experiment="control-tower", clock=now_ms)
    (kept,) = [series for run in gateway.data_series(model.name, model.champion) if (series := series_from(run))]
    return kept


def report(kept: Series) -> dict[str, Any]:
    """What a tower says of it."""
    windows = [(*window, [one.body for one in parts]) for window, parts in windows_of(kept.counted).items()]
    outcome = judge(JudgeOrder(kept.layout, kept.reference, windows, DataSettings().floor))
    assert outcome.report is not None, outcome.problem
    return outcome.report


def test_the_drifting_model_is_found_by_its_inputs_within_days_and_the_others_are_not(store: Path) -> None:
    for model in FLEET:
        found = report(data_of(store, model))
        assert [window["rows"] for window in found["windows"]] == [BATCH_ROWS] * DAYS
        assert bool(found["summary"]["moved_inputs"]) == model.drifts, model.name
        moved = [any(one["verdict"] == "moved" for one in window["columns"]) for window in found["windows"]]
        # The last twelve days drift.
        assert moved.index(True) in range(DAYS - 12, DAYS - 7) if model.drifts else not any(moved), model.name


def test_labels_of_the_drifting_model_come_three_days_late_and_its_estimate_is_there_before_them(store: Path) -> None:
    (model,) = [model for model in FLEET if model.drifts]
    windows = report(data_of(store, model))["windows"]
    assert [window["labelled_rows"] for window in windows] == [BATCH_ROWS] * (DAYS - 3) + [0] * 3
    points = series(store, "accuracy")[f"models:/{model.name}/{model.champion}"]
    for window in windows[:-3]:
        assert window["realised"]["accuracy"] == pytest.approx(
            points[date.fromisoformat(window["start"][:10])], abs=1e-6
        )
    for window in windows[: DAYS - 12]:
        assert window["estimated"]["accuracy"] == pytest.approx(window["realised"]["accuracy"], abs=0.05)


def test_no_day_is_judged_twice_although_its_figures_come_from_labels_too(store: Path) -> None:
    gateway = MlflowGateway.connect(f"sqlite:///{store}", monitoring_experiment="control-tower", clock=now_ms)
    for one in gateway.open_registrations() or []:
        labelled = any(window["realised"] for window in report(data_of(store, BY_NAME[one.name]))["windows"])
        assert settings_or_default(one.settings).data.observe != labelled


def test_a_later_start_scores_only_the_days_that_are_missing(store: Path) -> None:
    before = series(store, "accuracy")["models:/iris-species/2"]
    kept = {model.name: data_of(store, model).batches for model in FLEET}
    ensure(store, TODAY + timedelta(days=3), DAYS)
    after = series(store, "accuracy")["models:/iris-species/2"]
    assert {day: after[day] for day in before} == before
    assert set(after) - set(before) == {TODAY + timedelta(days=n) for n in (1, 2, 3)}
    assert len(client(store).search_model_versions()) == sum(len(model.versions) for model in FLEET)
    for model in FLEET:
        batches = data_of(store, model).batches
        assert {batch_id: batches[batch_id] for batch_id in kept[model.name]} == kept[model.name]
        assert sum(batch.rows > 0 for batch in batches.values()) == DAYS + 3


def test_an_interrupted_build_is_taken_up_again_without_a_second_version(store: Path) -> None:
    marker = store.with_suffix(".demo.json")
    marker.unlink()
    assert read_marker(store) is None
    ensure(store, TODAY + timedelta(days=3), DAYS)
    assert read_marker(store) is not None
    assert len(client(store).search_model_versions()) == sum(len(model.versions) for model in FLEET)


def test_a_build_that_was_interrupted_leaves_neither_a_half_version_nor_an_open_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mlflow.db"
    monkeypatch.setattr("demo.fleet.FLEET", [model for model in FLEET if model.name == "iris-species"])
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "create_model_version", interrupt)
        with pytest.raises(KeyboardInterrupt):
            ensure(path, TODAY, 2)
    assert read_marker(path) is None
    ensure(path, TODAY, 2)
    runs = client(path).search_runs([e.experiment_id for e in client(path).search_experiments()])
    # Of these, the monitor run and that of its data are open: that is what being monitored means.
    assert sorted((run.info.run_name, run.info.status) for run in runs) == [
        ("data of iris-species v2", "RUNNING"),
        ("evaluate iris-species v1", "FINISHED"),
        ("evaluate iris-species v2", "FINISHED"),
        ("monitor iris-species v2", "RUNNING"),
        ("train iris-species v1", "FINISHED"),
        ("train iris-species v2", "FINISHED"),
    ]


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_a_store_that_was_deleted_and_made_anew_is_filled_again(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mlflow.db"
    ensure_store(f"sqlite:///{path}")
    shutil.copy(store.with_suffix(".demo.json"), path.with_suffix(".demo.json"))
    monkeypatch.setattr("demo.fleet.FLEET", [model for model in FLEET if model.name == "petal-width"])
    ensure(path, TODAY, 1)
    assert [model.name for model in client(path).search_registered_models()] == ["petal-width"]
