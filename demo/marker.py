"""The marker beside the store: what is built and scored, so that a run with nothing to do costs nothing."""

import json
import os
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path


@dataclass(frozen=True)
class Marker:
    """The last day that is scored, and the day from which the drifting model's batches drift."""

    scored_until: str
    drift_from: str


def read_marker(store: Path) -> Marker | None:
    """The marker of a store; None where the store or the marker is missing or not readable."""
    if not store.exists():
        return None
    try:
        marker = Marker(**json.loads(_path(store).read_text()))
        date.fromisoformat(marker.scored_until)
        date.fromisoformat(marker.drift_from)
    except (OSError, ValueError, TypeError):
        return None
    return marker


def write_marker(store: Path, marker: Marker) -> None:
    """Write it whole or not at all."""
    new = _path(store).with_suffix(".new")
    new.write_text(json.dumps(asdict(marker)))
    os.replace(new, _path(store))


def _path(store: Path) -> Path:
    return store.with_suffix(".demo.json")
