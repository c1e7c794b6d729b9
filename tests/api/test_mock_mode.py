"""The sample fleet: shown, marked, while MLflow cannot be reached and there is nothing else to show."""

from collections.abc import Callable

import pytest

from app.domain.errors import MlflowUnavailable
from tests.api.service import Service
from tests.fakes.memory_mlflow import MemoryGateway

Start = Callable[..., Service]
DOWN = MlflowUnavailable("MLflow is down.")


@pytest.fixture
def mocked(start: Start, gateway: MemoryGateway) -> Service:
    """A worker with sample data switched on; MLflow is down and nothing was ever read."""
    gateway.failure = DOWN
    return start(enable_mock_data=True)


@pytest.mark.parametrize("path", ["/models", "/models/production", "/models/staging", "/models/all", "/experiments",
                                  "/model/sample-churn/versions"])  # fmt: skip
def test_lists_show_samples_that_are_marked(mocked: Service, path: str) -> None:
    response = mocked.get(path)
    assert (response.status_code, response.headers["X-Data-Source"]) == (200, "mock")
    assert len(response.json) > 0


def test_the_sample_says_that_it_is_one(mocked: Service) -> None:
    assert mocked.json("/cache/info")["system_status"]["tracking_method"] == "mock"
    assert {row["description"] for row in mocked.json("/models/all")} == {"Sample data"}
    assert mocked.json("/models/monitored") == []
    assert mocked.get("/readyz").status_code == 200
    assert mocked.json("/health")["status"] == "degraded"


def test_the_summary_of_a_sample_is_marked_too(mocked: Service) -> None:
    response = mocked.get("/dashboard/summary")
    assert response.headers["X-Data-Source"] == "mock"
    assert (response.json["total_models"], response.json["monitored_models"]) == (6, 0)


def test_writes_are_refused(mocked: Service) -> None:
    assert mocked.register("sample-churn").status_code == 500
    assert mocked.remove("sample-churn").status_code == 500
    assert mocked.post("/cache/refresh").status_code == 500
    assert mocked.world.registrations == {}


def test_an_unknown_model_is_unknown_in_the_sample(mocked: Service) -> None:
    assert mocked.get("/model/nobody/versions").status_code == 404


def test_the_first_good_refresh_ends_it_for_every_worker_and_for_good(
    mocked: Service, start: Start, gateway: MemoryGateway
) -> None:
    other = start(enable_mock_data=True)
    assert other.get("/models/all").headers["X-Data-Source"] == "mock"
    gateway.failure = None
    gateway.world.add_version("real")
    mocked.refresh()
    gateway.failure = DOWN
    for worker in (mocked, other):
        response = worker.get("/models/all")
        assert [row["name"] for row in response.json] == ["real"]
        assert "X-Data-Source" not in response.headers
        assert worker.json("/cache/info")["system_status"]["tracking_method"] == "cached"


def test_nothing_is_mocked_where_it_is_not_switched_on_or_mlflow_answers(start: Start, gateway: MemoryGateway) -> None:
    gateway.world.add_version("real")
    response = start(enable_mock_data=True).get("/models/all")
    assert [row["name"] for row in response.json] == ["real"]
    assert "X-Data-Source" not in response.headers
    gateway.failure = DOWN
    assert start(mlflow_tracking_uri="http://elsewhere").get("/models/all").status_code == 500
