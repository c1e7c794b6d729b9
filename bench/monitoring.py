"""Checks: what a round over many monitored versions takes, and what it costs those who are served meanwhile."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from bench import load, world
from bench.report import Line
from tests.seeding import seed_monitored
from tests.servers import Tower, tower, until

PLAIN = {"Accept-Encoding": "identity"}
_VERSIONS = 500


def checks(rounds: int) -> list[Line]:
    """Rounds of checks of 500 versions with 5 metrics of 100 points each, the first and those that follow."""
    settings = {**world.QUIET, **world.PATIENT}
    first, later, ours, theirs = [], [], [], []
    with world.mlflow_with(_VERSIONS) as (mlflow, folder):
        seed_monitored(folder / "mlflow" / "mlflow.db", _VERSIONS)
        with tower(folder / "body", mlflow, workers=2, CHECK_INTERVAL_MINUTES="0", **settings) as here:
            body = here.get("/models", headers=PLAIN).content
        with world.bare(folder / "bare", body, workers=2) as bare:
            for number in range(rounds):
                with tower(
                    folder / f"idle-{number}", mlflow, workers=2, CHECK_INTERVAL_MINUTES="0", **settings
                ) as here:
                    idle = load.p99(load.delays(f"{here.url}/models", load.for_seconds(6)))
                    idle_bare = load.p99(load.delays(f"{bare.url}/models", load.for_seconds(6)))
                # Nothing is known of a round before its folder's first.
                with _checking(folder / f"ours-{number}", mlflow, settings) as here:
                    ours.append(load.p99(load.delays(f"{here.url}/models", lambda h=here: not _done(h))) / idle)
                    first.append(_last(here)["duration_seconds"])
                    assert len(here.get("/monitoring?page_size=1000").json()) == _VERSIONS
                    began = _last(here)["last_run"]
                    until(lambda h=here, b=began: _last(h)["last_run"] != b and _done(h))
                    later.append(_last(here)["duration_seconds"])
                with _checking(folder / f"bare-{number}", mlflow, settings) as here:
                    theirs.append(load.p99(load.delays(f"{bare.url}/models", lambda h=here: not _done(h))) / idle_bare)
    size = f"{_VERSIONS} versions, 5 metrics, 100 points each"
    return [
        Line(f"first round of checks of {size}", 60, first, "s"),
        Line("a later round, in which every point is read again", None, later, "s"),
        Line("p99 of /models during a first round, of its idle p99", 3, ours, note=f"a bare view {min(theirs):.2f} ×"),
    ]


def _checking(folder: Path, mlflow: str, settings: dict[str, str]) -> AbstractContextManager[Tower]:
    return tower(folder, mlflow, workers=2, CHECK_INTERVAL_MINUTES="0.2", **settings)


def _last(here: Tower) -> dict[str, Any]:
    found: dict[str, Any] = here.get("/cache/info").json()["freshness"]["checks"]
    return found


def _done(here: Tower) -> bool:
    return _last(here)["duration_seconds"] is not None
