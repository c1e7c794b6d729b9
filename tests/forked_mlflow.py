"""MLflow servers that share one import of MLflow, and one empty database.

MLflow answers by uvicorn as the command `mlflow server` has it, or by gunicorn as with its option `--gunicorn-opts`. A
server on a SQLite file that does not exist gets a copy of that database: to make the tables takes two seconds.
"""

import shutil
import sys
from pathlib import Path

from tests.forking import Start, detach, fork_for

_SQLITE = "sqlite:///"
# With as many threads, and seconds for an idle connection, as uvicorn has.
_GUNICORN = {"worker_class": "gthread", "threads": 40, "keepalive": 5, "control_socket_disable": True}


def main(path: Path) -> None:
    import uvicorn
    from gunicorn.app.base import BaseApplication
    from gunicorn.workers import gthread  # noqa: F401 - gunicorn loads it by name
    from mlflow.server import app as flask_app
    from mlflow.server.fastapi_app import app
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    detach()
    # It misses a library. Each search for runs would read it again, in a third of its time, and fail.
    sys.modules["mlflow.server.auth"] = None  # type: ignore[assignment]
    empty = path.with_suffix(".db")
    empty.unlink(missing_ok=True)
    # With the root of artifacts that every server here has: the experiment "Default" keeps it.
    SqlAlchemyStore(f"{_SQLITE}{empty}", "mlflow-artifacts:/").engine.dispose()

    class Gunicorn(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
        def __init__(self, address: str) -> None:
            self.address = address
            super().__init__()

        def load_config(self) -> None:
            for name, value in {**_GUNICORN, "bind": self.address}.items():
                self.cfg.set(name, value)

        def load(self) -> object:
            return flask_app

    def run(start: Start) -> None:
        store = start.env["_MLFLOW_SERVER_FILE_STORE"]
        if store.startswith(_SQLITE) and not Path(store.removeprefix(_SQLITE)).exists():
            shutil.copy(empty, store.removeprefix(_SQLITE))
        host, port, server = start.arguments
        if server == "uvicorn":
            uvicorn.run(app, host=host, port=int(port))
        else:
            Gunicorn(f"{host}:{port}").run()

    fork_for(path, run)
    empty.unlink(missing_ok=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
