"""Checks: what a round over many monitored versions takes, and what it costs those who are served meanwhile."""

import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, RunTag

from bench import load, world
from bench.report import Line
from tests.seeding import seed_monitored
from tests.servers import Tower, tower, until

PLAIN = {"Accept-Encoding": "identity"}
_VERSIONS, _METRICS = 500, 5


def checks(rounds: int) -> list[Line]:
    """Rounds of checks of 500 versions with 5 metrics of 100 points each, and what they cost those who are served."""
    return [*_durations(rounds), _beside(rounds)]


def _durations(rounds: int) -> list[Line]:
    """The first round and a later one, and bare calls that read and write the same of MLflow."""
    first, later, bare = [], [], []
    for _ in range(rounds):
        # A store of its own, since a verdict is written only once.
        with world.mlflow_with(_VERSIONS) as (mlflow, folder):
            seed_monitored(folder / "mlflow" / "mlflow.db", _VERSIONS)
            with _checking(folder / "tower", mlflow, {**world.QUIET, **world.PATIENT}) as here:
                until(lambda h=here: _done(h))
                first.append(_last(here)["duration_seconds"])
                assert len(here.get("/monitoring?page_size=1000").json()) == _VERSIONS
                began = _last(here)["last_run"]
                until(lambda h=here, b=began: _last(h)["last_run"] != b and _done(h))
                later.append(_last(here)["duration_seconds"])
            bare.append(_bare(mlflow))
    size = f"{_VERSIONS} versions, 5 metrics, 100 points each"
    return [
        Line(f"first round of checks of {size}", 60, first, "s"),
        Line(
            "first round of checks: time, of as many bare get_metric_history and log_batch calls",
            1,
            [ours / theirs for ours, theirs in zip(first, bare, strict=True)],
            note=f"the bare calls, one after the other: {min(bare):.1f} s",
        ),
        Line("a later round, in which every point is read again", None, later, "s"),
    ]


def _bare(mlflow: str) -> float:
    """Seconds for MLflow's own client to read every series, and to write one point and five tags of each version."""
    client = MlflowClient(mlflow, mlflow)
    experiment = client.get_experiment_by_name("control-tower")
    assert experiment
    runs = client.search_runs([experiment.experiment_id], max_results=_VERSIONS)
    assert len(runs) == _VERSIONS
    began = time.perf_counter()
    for run in runs:
        for metric in range(_METRICS):
            assert client.get_metric_history(run.info.run_id, f"metric_{metric}")
        client.log_batch(
            run.info.run_id, [Metric("bare", 1.0, 1, 0)], tags=[RunTag(f"bare-{tag}", "a verdict") for tag in range(5)]
        )
    return time.perf_counter() - began


def _beside(rounds: int) -> Line:
    """What a round costs those who ask for a list meanwhile, and those who ask a bare view."""
    settings = {**world.QUIET, **world.PATIENT}
    ours, theirs = [], []
    with world.mlflow_with(_VERSIONS) as (mlflow, folder):
        seed_monitored(folder / "mlflow" / "mlflow.db", _VERSIONS)
        with tower(folder / "body", mlflow, workers=2, CHECK_INTERVAL_MINUTES="0", **settings) as here:
            body = here.get("/models", headers=PLAIN).content
        with world.bare(folder / "bare", body, workers=2) as bare:
            for number in range(rounds):
                with tower(
                    folder / f"idle-{number}", mlflow, workers=2, CHECK_INTERVAL_MINUTES="0", **settings
                ) as here:
                    idle = load.p99(load.delays(f"{here.url}/models", load.for_seconds(6)))
                    idle_bare = load.p99(load.delays(f"{bare.url}/models", load.for_seconds(6)))
                # Nothing is known of a round before its folder's first.
                with _checking(folder / f"ours-{number}", mlflow, settings) as here:
                    ours.append(load.p99(load.delays(f"{here.url}/models", lambda h=here: not _done(h))) / idle)
                with _checking(folder / f"bare-{number}", mlflow, settings) as here:
                    theirs.append(load.p99(load.delays(f"{bare.url}/models", lambda h=here: not _done(h))) / idle_bare)
    return Line(
        "p99 of /models during a first round, of its idle p99", 3, ours, note=f"a bare view {min(theirs):.2f} ×"
    )


def _checking(folder: Path, mlflow: str, settings: dict[str, str]) -> AbstractContextManager[Tower]:
    return tower(folder, mlflow, workers=2, CHECK_INTERVAL_MINUTES="0.2", **settings)


def _last(here: Tower) -> dict[str, Any]:
    found: dict[str, Any] = here.get("/cache/info").json()["freshness"]["checks"]
    return found


def _done(here: Tower) -> bool:
    return _last(here)["duration_seconds"] is not None
