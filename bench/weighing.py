"""`python -m bench.weighing`: what following the number of cases costs and brings, by simulation (docs/decisions/0035).

The same series of an accuracy are judged twice, with the number of cases behind each value and without.
"""

import random
import sys
from collections.abc import Callable
from dataclasses import replace

from app.domain.monitoring.check_settings import CheckSettings
from app.domain.monitoring.evidence import MONITOR_RUN, PRODUCTION, Series
from app.domain.monitoring.judging import judge_metric
from app.domain.monitoring.verdicts import DRIFTING
from app.domain.registry.models import MetricPoint
from app.domain.times import DAY_MS

_KNOWN, _LATER, _ACCURACY = 20, 60, 0.9
_SEED = 20231201
Sizes = Callable[[random.Random], int]
SIZES: dict[str, Sizes] = {
    "equal, 500": lambda _: 500,
    "20 to 2000": lambda rng: round(20 * 100 ** rng.random()),
    "5 or 2000": lambda rng: rng.choice([5, 2000, 2000, 2000]),
    "2000, later 20": lambda _: 2000,
}


def series(rng: random.Random, sizes: str, drop: float, spread: float) -> list[MetricPoint]:
    """An accuracy, a point a day; after the 20th day it is lower by `drop`. `spread` is what days differ by beside."""
    points = []
    for day in range(_KNOWN + _LATER):
        n = 20 if sizes == "2000, later 20" and day >= _KNOWN else SIZES[sizes](rng)
        share = min(1.0, max(0.0, _ACCURACY - drop * (day >= _KNOWN) + rng.gauss(0, spread)))
        value = sum(rng.random() < share for _ in range(n)) / n
        points.append(MetricPoint("run", "accuracy", day * DAY_MS, value, MONITOR_RUN, 0, n))
    return points


def found_after(points: list[MetricPoint], weighs: bool) -> int | None:
    """After how many points beyond the baseline the metric is first `drifting`; None if never."""
    if not weighs:
        points = [replace(point, n=None) for point in points]
    for count in range(_KNOWN + 2, len(points) + 1):
        metric = Series("accuracy", PRODUCTION, tuple(points[:count]))
        if judge_metric(metric, CheckSettings(), points[count - 1].time).verdict == DRIFTING:
            return count - _KNOWN
    return None


def row(sizes: str, drop: float, spread: float, many: int) -> str:
    """Of so many series: the share that is called drifting within 60 points, and after how many in the middle."""
    rng = random.Random(_SEED)  # noqa: S311 - a simulation
    made = [series(rng, sizes, drop, spread) for _ in range(many)]
    cells = []
    for weighs in (False, True):
        found = sorted(after for points in made if (after := found_after(points, weighs)) is not None)
        cells.append(f"{100 * len(found) / many:.1f} | {found[len(found) // 2] if found else '-'}")
    return f"| {sizes} | {spread:g} | {drop:g} | {' | '.join(cells)} |"


def main() -> None:
    """Print a table: a row a case, without and with the number of cases."""
    many = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    sys.stdout.write(
        "| cases a day | spread | drop | without n: % | after | with n: % | after |\n" + "|---" * 7 + "|\n"
    )
    for sizes in SIZES:
        for spread in (0.0, 0.01):
            for drop in (0.0, 0.03, 0.06):
                sys.stdout.write(row(sizes, drop, spread, many) + "\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
