"""`python -m bench.weighing`: what following the number of cases costs and brings, by simulation (docs/decisions/0035).

The same series of an accuracy are judged twice, with the number of cases behind each value and without. With the
argument `compare`, pairs of series are compared instead, as a gate does (docs/decisions/0019).
"""

import random
import sys
from collections.abc import Callable
from dataclasses import replace

from app.domain.comparison.differences import difference
from app.domain.monitoring.check_settings import CheckSettings
from app.domain.monitoring.evidence import MONITOR_RUN, PRODUCTION, MetricSeries
from app.domain.monitoring.judging import judge_metric
from app.domain.monitoring.verdicts import DRIFTING
from app.domain.registry.models import MetricPoint
from app.domain.times import DAY_MS

_KNOWN, _LATER, _ACCURACY = 20, 60, 0.9
_COMPARED, _MARGIN = 26, 0.01
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
        metric = MetricSeries("accuracy", PRODUCTION, tuple(points[:count]))
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


def passing(sizes: str, worse: float, spread: float, many: int) -> str:
    """Of so many pairs over 26 days: the share in which the candidate is not worse by more than 0.01."""
    rng = random.Random(_SEED)  # noqa: S311 - a simulation
    passed = [0, 0]
    for _ in range(many):
        pairs, counts = [], []
        for _ in range(_COMPARED):
            n, day = SIZES[sizes](rng), rng.gauss(0, spread)
            shares = [min(1.0, max(0.0, mean + day + rng.gauss(0, spread / 2))) for mean in (0.9, 0.9 - worse)]
            pairs.append([sum(rng.random() < share for _ in range(n)) / n for share in shares])
            counts.append(n)
        ours, theirs = ([(day * DAY_MS, pair[side]) for day, pair in enumerate(pairs)] for side in (0, 1))
        for place, known in enumerate((None, (counts, counts))):
            found = difference(ours, theirs, known)
            passed[place] += found.value - (found.error or 0) >= -_MARGIN
    return f"| {sizes} | {spread:g} | {worse:g} | {' | '.join(f'{100 * one / many:.1f}' for one in passed)} |"


def main() -> None:
    """Print a table: a row a case, without and with the number of cases."""
    if "compare" in sys.argv:
        sys.stdout.write("| cases a day | spread | worse by | passes without n: % | with n: % |\n" + "|---" * 5 + "|\n")
        for sizes in ("equal, 500", "20 to 2000", "5 or 2000"):
            for spread in (0.0, 0.01):
                for worse in (0.0, _MARGIN, 0.03):
                    sys.stdout.write(passing(sizes, worse, spread, int(sys.argv[1])) + "\n")
        return
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
