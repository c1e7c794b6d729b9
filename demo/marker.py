"""The marker beside the store: what is built and scored, so that a run with nothing to do costs nothing."""

import json
import os
import sqlite3
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path


@dataclass(frozen=True)
class Marker:
    """The last day that is scored, the day from which the drifting model's batches drift, and which store it is of.

    `monitored`: the Production versions were registered for monitoring, once; who removed one meant it.
    """

    scored_until: str
    drift_from: str
    store_made: int | None
    monitored: bool = False


def read_marker(store: Path) -> Marker | None:
    """The marker of a store; None where either is missing or not readable, or the marker is of another store.

    A store that was deleted is made anew, empty, by the service: what the marker says was done is not in it.
    """
    if not store.exists():
        return None
    try:
        marker = Marker(**json.loads(_path(store).read_text()))
        date.fromisoformat(marker.scored_until)
        date.fromisoformat(marker.drift_from)
    except (OSError, ValueError, TypeError):
        return None
    return marker if marker.store_made is not None and marker.store_made == store_made(store) else None


def store_made(store: Path) -> int | None:
    """When the store was made, in milliseconds; read without MLflow, which takes seconds to import."""
    try:
        with closing(sqlite3.connect(f"{store.as_uri()}?mode=ro", uri=True)) as database:
            row = database.execute("SELECT creation_time FROM experiments WHERE experiment_id = 0").fetchone()
    except sqlite3.Error:
        return None
    return int(row[0]) if row and row[0] else None


def write_marker(store: Path, marker: Marker) -> None:
    """Write it whole or not at all."""
    new = _path(store).with_suffix(".new")
    new.write_text(json.dumps(asdict(marker)))
    os.replace(new, _path(store))


def _path(store: Path) -> Path:
    return store.with_suffix(".demo.json")
