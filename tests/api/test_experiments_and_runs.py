"""Experiments of the mirror, and runs read live."""

import base64
import json
from collections.abc import Callable

import pytest

from app.domain.errors import MlflowUnavailable
from tests.api.service import Service
from tests.fakes.memory_mlflow import MemoryGateway, MemoryWorld


def test_an_experiment_is_told_as_mlflow_has_it(service: Service, world: MemoryWorld) -> None:
    assert service.json("/experiments") == [
        {
            "experiment_id": "0",
            "name": "Default",
            "artifact_location": "mem:/0",
            "lifecycle_stage": "active",
            "creation_time": "2023-11-14T22:13:20.001Z",
            "last_update_time": "2023-11-14T22:13:20.001Z",
            "tags": {},
        }
    ]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["Default", "kept"]),
        ("?lifecycle_stage=active", ["Default", "kept"]),
        ("?lifecycle_stage=deleted", ["gone"]),
        ("?lifecycle_stage=all", ["Default", "gone", "kept"]),
        ("?surprise=1", ["Default", "kept"]),
    ],
)
def test_experiments_are_chosen_by_their_stage(
    service: Service, world: MemoryWorld, query: str, names: list[str]
) -> None:
    world.add_experiment("kept")
    world.add_experiment("gone")
    world.delete_experiment("gone")
    assert sorted(e["name"] for e in service.json(f"/experiments{query}")) == names


@pytest.mark.parametrize("stage", ["", "Active", "none", "active,deleted"])
def test_another_stage_is_a_400_that_names_those_there_are(shared: Service, stage: str) -> None:
    response = shared.get(f"/experiments?lifecycle_stage={stage}")
    assert response.status_code == 400
    assert response.json["detail"] == "lifecycle_stage: Must be one of: active, deleted, all."


def test_a_run_is_told_with_its_last_metrics(service: Service, world: MemoryWorld) -> None:
    run_id = world.add_run({"accuracy": 0.9, "loss": None}, {"mlflow.user": "ada"})
    world.log_metric(run_id, "accuracy", 0.95, world.now + 5)
    found = service.json("/runs/0")
    assert found == [
        {
            "run_id": run_id,
            "experiment_id": "0",
            "status": "FINISHED",
            "start_time": "2023-11-14T22:13:20.002Z",
            "end_time": "2023-11-14T22:13:20.002Z",
            "metrics": {"accuracy": 0.95, "loss": None},
            "params": {},
            "tags": {"mlflow.user": "ada"},
        }
    ]


def test_runs_come_newest_first_and_page_by_page_until_all_were_there(service: Service, world: MemoryWorld) -> None:
    experiment = world.add_experiment("many")
    made = [world.add_run(experiment=experiment) for _ in range(7)]
    world.add_run()
    seen: list[str] = []
    address = f"/runs/{experiment}?limit=3"
    pages = 0
    while address:
        response = service.get(address)
        assert response.status_code == 200
        seen += [run["run_id"] for run in response.json]
        token = response.headers.get("X-Next-Page-Token")
        address = f"/runs/{experiment}?limit=3&page_token={token}" if token else ""
        pages += 1
    assert seen == made[::-1]
    assert pages == 3


def test_a_hundred_runs_come_where_no_limit_is_named(service: Service, world: MemoryWorld) -> None:
    for _ in range(101):
        world.add_run()
    response = service.get("/runs/0")
    assert len(response.json) == 100
    assert "X-Next-Page-Token" in response.headers
    assert len(service.json("/runs/0?limit=50000")) == 101
    assert len(service.json("/runs/0?limit=1")) == 1


def test_deleted_runs_are_left_out(service: Service, world: MemoryWorld) -> None:
    world.delete_run(world.add_run())
    assert service.json("/runs/0") == []


@pytest.mark.parametrize("limit", ["0", "-1", "50001", "x", "", "1.5", "9" * 5000])
def test_a_limit_that_cannot_be_used_is_a_400(shared: Service, limit: str) -> None:
    response = shared.get(f"/runs/0?limit={limit}")
    assert response.status_code == 400
    assert response.json["detail"].startswith("limit: ")


def _token(value: object) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize("token", ["", "x", "%00", _token({"offset": -1}), _token({"offset": "1"}), _token([1]),
                                   _token({}), _token({"offset": 2**70})])  # fmt: skip
def test_a_token_that_the_service_never_gave_is_a_400(shared: Service, token: str) -> None:
    response = shared.get(f"/runs/0?page_token={token}")
    assert response.status_code == 400
    assert response.json["detail"].startswith("page_token: ")


@pytest.mark.parametrize("experiment_id", ["1", "999999999999999999"])
def test_an_unknown_experiment_is_a_404(shared: Service, experiment_id: str) -> None:
    response = shared.get(f"/runs/{experiment_id}")
    assert (response.status_code, response.json) == (404, {"detail": "Experiment not found in MLflow"})


@pytest.mark.parametrize("experiment_id", ["abc", "-1", "1e3", "Default", "%20", "0%0A", "٠", "1" * 20, "0%00", "%F0%9F%A7%AC"])  # fmt: skip  # noqa: E501
def test_what_is_no_experiment_id_is_a_404_and_mlflow_is_not_asked(shared: Service, experiment_id: str) -> None:
    before = list(shared.gateway.calls)
    response = shared.get(f"/runs/{experiment_id}")
    assert (response.status_code, response.json) == (404, {"detail": "Experiment not found in MLflow"})
    assert shared.gateway.calls == before


def test_experiments_are_served_with_mlflow_down_and_runs_are_not(
    start: Callable[..., Service], gateway: MemoryGateway
) -> None:
    service = start()
    assert service.json("/experiments")
    gateway.failure = MlflowUnavailable("MLflow is down.")
    assert service.json("/experiments")
    response = service.get("/runs/0")
    assert (response.status_code, response.json) == (500, {"detail": "MLflow is down."})
