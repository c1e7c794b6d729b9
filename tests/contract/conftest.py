"""What the contract tests share."""

import pytest

from app.services.mlflow_gateway.store import ensure_store


@pytest.fixture(scope="session")
def sqlite_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An MLflow in a database, without a server."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('embedded')}/mlflow.db"
    ensure_store(uri)
    return uri
