"""`python -m demo`: build the demo registry, or score the days that are missing."""

import argparse
import fcntl
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from demo.marker import Marker, read_marker, store_made, write_marker

_DRIFTING_DAYS = 12


def main() -> None:
    """Parse, then build what is missing."""
    parser = argparse.ArgumentParser(prog="python -m demo", description="Build or top up the demo registry.")
    parser.add_argument("--if-embedded", action="store_true", help="do nothing when MLFLOW_TRACKING_URI is set")
    parser.add_argument("--store", type=Path, help="SQLite file of the store (default: the embedded one)")
    parser.add_argument("--days", type=_at_least_one, default=30, help="how many days back to score (default 30)")
    parser.add_argument("--today", type=date.fromisoformat, help="the last day to score (default: today, in UTC)")
    given = parser.parse_args()
    from config import EMBEDDED_STORE, load_settings

    if given.if_embedded and load_settings().mlflow_tracking_uri is not None:
        return
    store = (given.store or EMBEDDED_STORE).absolute()
    ensure(store, given.today or datetime.now(UTC).date(), given.days)


def _at_least_one(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return int(text)


def ensure(store: Path, today: date, days: int) -> None:
    """See to it that the store has the fleet, scored on each of the last `days` days up to `today`."""
    if _is_done(store, today):
        return
    store.parent.mkdir(parents=True, exist_ok=True)
    with Path(f"{store}.demo.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_done(store, today):
            _build(store, today, days)


def _is_done(store: Path, today: date) -> bool:
    marker = read_marker(store)
    return marker is not None and marker.monitored and date.fromisoformat(marker.scored_until) >= today


def _build(store: Path, today: date, days: int) -> None:
    marker = read_marker(store)
    began = time.monotonic()
    print("Scoring the demo models on the days since ..." if marker else "Building the demo registry ...", flush=True)
    from app.services.mlflow_gateway.store import ensure_store
    from config import load_settings
    from demo.fleet import FLEET
    from demo.registry import Registry, quiet

    quiet()
    ensure_store(f"sqlite:///{store}")
    registry = Registry(store, load_settings().monitoring_experiment)
    drift_from = date.fromisoformat(marker.drift_from) if marker else today - timedelta(days=_DRIFTING_DAYS - 1)
    wanted = [today - timedelta(days=back) for back in range(days - 1, -1, -1)]
    points = 0
    for model in FLEET:
        if marker is None:
            registry.build(model, today)
        points += registry.score(model, wanted, drift_from)
        if marker is None or not marker.monitored:
            registry.monitor(model)
        registry.send_data(model, wanted, drift_from)
        print(f"  {model.name}: {len(model.versions)} versions", flush=True)
    write_marker(store, Marker(today.isoformat(), drift_from.isoformat(), store_made(store), monitored=True))
    print(f"Done: {points} points in {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
