"""MLflow servers that share one import of MLflow, and one empty database.

A server on a SQLite file that does not exist gets a copy of that: to make the tables takes two seconds.
"""

import shutil
import sys
from pathlib import Path

from tests.forking import Start, detach, fork_for

_SQLITE = "sqlite:///"


def main(path: Path) -> None:
    import uvicorn
    from mlflow.server.fastapi_app import app
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    detach()
    # It misses a library. Each search for runs would read it again, in a third of its time, and fail.
    sys.modules["mlflow.server.auth"] = None  # type: ignore[assignment]
    empty = path.with_suffix(".db")
    empty.unlink(missing_ok=True)
    # With the root of artifacts that every server here has: the experiment "Default" keeps it.
    SqlAlchemyStore(f"{_SQLITE}{empty}", "mlflow-artifacts:/").engine.dispose()

    def run(start: Start) -> None:
        store = start.env["_MLFLOW_SERVER_FILE_STORE"]
        if store.startswith(_SQLITE) and not Path(store.removeprefix(_SQLITE)).exists():
            shutil.copy(empty, store.removeprefix(_SQLITE))
        host, port = start.arguments
        uvicorn.run(app, host=host, port=int(port))

    fork_for(path, run)
    empty.unlink(missing_ok=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
