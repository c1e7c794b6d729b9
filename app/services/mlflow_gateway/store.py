"""The embedded store: a single process makes its schema, before any process opens it."""

import fcntl
import tempfile
from pathlib import Path

from app.services.mlflow_gateway.importing import set_before_import

_PREFIX = "sqlite:///"
# Where a module is installed by another name.
_PACKAGES = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}


def missing_driver(uri: str) -> str | None:
    """The package that the database at `uri` needs and that is not installed, by the name to install it by.

    None where nothing is missing, and for a server. Raises ValueError where SQLAlchemy knows no such database.
    """
    if uri.startswith(("http://", "https://", "databricks", _PREFIX)):
        return None
    # A third of a second, which no other address costs.
    from sqlalchemy.engine import make_url  # noqa: PLC0415 - see above
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415 - see above

    try:
        make_url(uri).get_dialect().import_dbapi()
    except ImportError as error:
        return _PACKAGES.get(error.name or "", error.name)
    except ArgumentError:
        raise ValueError("SQLAlchemy has no such database, or cannot read the address") from None
    return None


def ensure_store(uri: str) -> None:
    """Make the SQLite store at `uri` (`sqlite:///PATH`) unless it exists. Other addresses are ignored.

    Several processes that open a new store at once would break it for good. So the schema is made in a temporary file,
    under a lock, and renamed when it is complete. Raises OSError where the directory cannot be written.
    """
    if not uri.startswith(_PREFIX):
        return
    path = Path(uri.removeprefix(_PREFIX))
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with Path(f"{path}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            _make(path)


def _make(path: Path) -> None:
    set_before_import()
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # noqa: PLC0415 - it loads mlflow

    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".new-store-") as folder:
        new = Path(folder) / path.name
        artifacts = path.parent / "artifacts"
        store = SqlAlchemyStore(f"{_PREFIX}{new}", artifacts.absolute().as_uri())  # type: ignore[no-untyped-call]  # of mlflow
        store.engine.dispose()
        new.rename(path)
