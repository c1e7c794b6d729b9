"""Monitoring rules: how long a rule takes to have 500 versions monitored, and what a registration costs MLflow."""

import json
import re
import time

from mlflow import MlflowClient

from bench import world
from bench.report import Line
from tests.servers import Tower, tower, until

_VERSIONS = 500
_REGISTERED = 50
_REQUESTS = re.compile(r"^control_tower_mlflow_requests_total (\S+)$", re.MULTILINE)


def rules(rounds: int) -> list[Line]:
    """A rule over 500 versions in Production on SQLite, against as many bare `create_run` calls; registrations."""
    settings = {**world.QUIET, **world.PATIENT, "CHECK_INTERVAL_MINUTES": "0"}
    ours, theirs, requests = [], [], []
    with world.mlflow_with(_VERSIONS) as (mlflow, folder):
        client = MlflowClient(mlflow, mlflow)
        for number in range(rounds):
            experiment = {"MONITORING_EXPERIMENT": f"by-rule-{number}"}
            with tower(folder / f"rule-{number}", mlflow, workers=2, **experiment, **settings) as here:
                began = time.perf_counter()
                made = here.post("/monitoring/rules", json={"name": "live", "match": {"stages": ["Production"]}})
                assert made.json()["covers"] == _VERSIONS
                until(lambda h=here: _monitored(h) == _VERSIONS, "500 registrations")
                ours.append(time.perf_counter() - began)
                # Others than those that the rule covers; judging them comes later, and is counted by `checks`.
                before = _asked(here)
                for model in range(_REGISTERED):
                    assert here.register(f"seed-{model:05d}").status_code == 201
                requests.append((_asked(here) - before) / _REGISTERED)
            theirs.append(_bare(client, number))
    return [
        Line(
            f"a rule over {_VERSIONS} versions: until all are monitored",
            60,
            ours,
            "s",
            note=f"{_VERSIONS} bare create_run calls, one after the other: {min(theirs):.1f} s",
        ),
        Line(
            f"a rule over {_VERSIONS} versions: time, of as many bare create_run calls",
            None,
            [mine / bare for mine, bare in zip(ours, theirs, strict=True)],
        ),
        Line("MLflow requests for a registration, with those that judge it", None, requests, ""),
    ]


def _monitored(here: Tower) -> int:
    total = json.loads(here.get("/monitoring?page_size=1").headers["X-Pagination"])["total"]
    return int(total)


def _asked(here: Tower) -> float:
    found = _REQUESTS.search(here.get("/metrics").text)
    return float(found[1]) if found else 0.0


def _bare(client: MlflowClient, number: int) -> float:
    experiment = client.create_experiment(f"bare-{number}")
    began = time.perf_counter()
    for run in range(_VERSIONS):
        client.create_run(experiment, tags={f"tag-{tag}": f"{tag} of {run}" for tag in range(12)})
    return time.perf_counter() - began
