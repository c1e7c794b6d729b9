"""What the contract tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.services.mlflow_gateway.store import ensure_store
from tests.servers import mlflow_server


@pytest.fixture(scope="session")
def sqlite_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An MLflow in a database, without a server."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('embedded')}/mlflow.db"
    ensure_store(uri)
    return uri


@pytest.fixture(scope="session")
def mlflow_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the MLflow of these tests has its database. It holds nothing of other tests, since these read all of it."""
    return tmp_path_factory.mktemp("contract")


@pytest.fixture(scope="session")
def mlflow_url(mlflow_folder: Path) -> Iterator[str]:
    """A real MLflow that tests write to, under names of their own, with the server that most teams have it with."""
    with mlflow_server(mlflow_folder, server="uvicorn", MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS="true") as url:
        yield url
