"""Starting: what is done once, before any worker serves, and what is said then."""

import logging

from flask import Flask

from app.services.keys import BadKeyFile
from app.wiring import Tower

log = logging.getLogger(__name__)

_LOOPBACK = ("127.", "localhost", "::1", "[::1]", "unix:")


def prepare(app: Flask, addresses: list[str]) -> None:
    """Make ready what the workers share. Stops the start, with one line, where that cannot be done."""
    built: Tower = app.extensions["control_tower"]
    try:
        built.prepare()
    except BadKeyFile as error:
        raise SystemExit(f"API_TOKENS_FILE: {error}. `flask tokens new NAME` makes a key.") from None
    except OSError as error:
        raise SystemExit(f"The embedded MLflow store cannot be made: {error}. Set MLFLOW_TRACKING_URI.") from None
    if built.keys is None and not all(address.startswith(_LOOPBACK) for address in addresses):
        log.warning(
            "Anybody who reaches %s may read and write: set API_TOKENS_FILE to ask for access keys",
            ", ".join(addresses),
        )


def announce(addresses: list[str]) -> None:
    """Say where the service is."""
    for address in (one for one in addresses if not one.startswith("unix:")):
        base = "http://" + address.replace("0.0.0.0", "localhost").replace("[::]", "localhost")  # noqa: S104
        log.info("Control tower: %s  API documentation: %s/docs", base, base)
