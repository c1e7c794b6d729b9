"""What happens once at the start, before any worker serves, and the log lines about it."""

import logging
import os
import signal
import sys

from flask import Flask

from app.services.host.keys import BadKeyFile
from app.services.host.temporary_directory import temporary_directory
from app.services.telemetry.files import VARIABLE, shared_place
from app.wiring.worker import Worker
from app.wiring.world import counting_locks

log = logging.getLogger(__name__)

_LOOPBACK = ("127.", "localhost", "::1", "[::1]", "unix:")


def end_in_order() -> None:
    """Have SIGTERM end the process as `sys.exit` does, until gunicorn handles it. Called in the master, first of all.

    By default it would kill the process, whose temporary directories would stay.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))


def count_together() -> None:
    """Have all processes of this gunicorn count for Prometheus together. Called in the master, before any fork."""
    place = shared_place()
    try:
        if place is None:
            os.environ[VARIABLE] = str(temporary_directory())
        else:
            place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SystemExit(f"{VARIABLE}: the directory cannot be made ({error}). Name another directory.") from None


def process_ended(process: int) -> None:
    """Keep what an ended worker counted. Called in the master."""
    place = shared_place()
    if place is not None:
        # prometheus_client reads the directory when it is imported.
        from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415 - see above

        from app.services.telemetry.folding import fold  # noqa: PLC0415 - see above

        mark_process_dead(process, str(place))  # type: ignore[no-untyped-call]  # of prometheus_client
        fold(place, counting_locks(place))


def prepare(app: Flask, addresses: list[str]) -> None:
    """Prepare what the workers share. Raises `SystemExit` with one line where that fails."""
    worker: Worker = app.extensions["control_tower"]
    try:
        worker.prepare()
    except BadKeyFile as error:
        raise SystemExit(f"API_TOKENS_FILE: {error}. `flask tokens new NAME` makes a key.") from None
    except OSError as error:
        raise SystemExit(f"The embedded MLflow store cannot be made: {error}. Set MLFLOW_TRACKING_URI.") from None
    if worker.tower.keys is None and not all(address.startswith(_LOOPBACK) for address in addresses):
        log.warning(
            "Anybody who reaches %s may read and write: set API_TOKENS_FILE to ask for access keys",
            ", ".join(addresses),
        )


def announce(addresses: list[str]) -> None:
    """Log the addresses of the service."""
    for address in (tcp for tcp in addresses if not tcp.startswith("unix:")):
        host = address.replace("0.0.0.0", "localhost")  # noqa: S104 - nothing is bound to it here
        base = "http://" + host.replace("[::]", "localhost")
        log.info("Control tower: %s  API documentation: %s/docs", base, base)
