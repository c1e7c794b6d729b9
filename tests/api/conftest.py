"""What the API tests share: an MLflow in memory and the service before it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.api.service import Service
from tests.fakes.memory_mlflow import MemoryGateway, MemoryWorld


@pytest.fixture
def gateway() -> MemoryGateway:
    return MemoryGateway()


@pytest.fixture
def world(gateway: MemoryGateway) -> MemoryWorld:
    return gateway.world


@pytest.fixture
def start(tmp_path: Path, gateway: MemoryGateway) -> Callable[..., Service]:
    """Starts a worker with settings; a second one shares the first one's directory and MLflow."""

    def start(**settings: Any) -> Service:
        return Service(tmp_path, gateway, **settings)

    return start


@pytest.fixture
def service(start: Callable[..., Service]) -> Service:
    """A worker with the default settings."""
    return start()


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Service:
    """A worker for tests that change nothing; its MLflow holds versions 1 and 2 of the model `m`."""
    service = Service(tmp_path_factory.mktemp("shared"), MemoryGateway())
    service.world.add_version("m", {"accuracy": 0.9}, stage="Production")
    service.world.add_version("m", {"accuracy": 0.9}, stage="Production")
    return service
