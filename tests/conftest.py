"""What all tests share. Servers start when the first test asks for them; fast tests run first."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.seeding import seed
from tests.servers import Proxy, Tower, mlflow_server, tower

_ORDER = ("unit", "api", "demo", "contract", "integration", "browser")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        folder = item.path.parent.name
        return _ORDER.index(folder) if folder in _ORDER else len(_ORDER)

    items.sort(key=place)


@pytest.fixture(scope="session")
def mlflow_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real MLflow that tests write to, under names of their own."""
    with mlflow_server(tmp_path_factory.mktemp("mlflow"), MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS="true") as url:
        yield url


@pytest.fixture(scope="session")
def seeded_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real MLflow with 786 versions of 262 models, which tests only read and register in."""
    folder = tmp_path_factory.mktemp("seeded")
    with mlflow_server(folder) as url:
        seed(folder / "mlflow.db", models=262)
        yield url


@pytest.fixture
def proxy(seeded_url: str) -> Iterator[Proxy]:
    """A proxy before the seeded MLflow."""
    made = Proxy(seeded_url)
    yield made
    made.close()


@pytest.fixture
def proxied(tmp_path: Path, proxy: Proxy) -> Iterator[Tower]:
    """A tower of four workers whose MLflow stands behind the proxy, with short time-outs."""
    with tower(tmp_path, proxy.url, MLFLOW_REQUEST_TIMEOUT_SECONDS="1", MLFLOW_REQUEST_MAX_RETRIES="1") as running:
        yield running


@pytest.fixture(scope="session")
def shared_tower(tmp_path_factory: pytest.TempPathFactory, seeded_url: str) -> Iterator[Tower]:
    """A tower of four workers over the seeded MLflow, for tests that only read."""
    with tower(tmp_path_factory.mktemp("shared"), seeded_url) as running:
        yield running
