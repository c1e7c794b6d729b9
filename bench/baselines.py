"""`python -m bench.baselines`: what setting odd days aside costs and brings, by simulation (docs/decisions/0025).

The same series are judged twice, with baselines as they are and with those that keep every value.
"""

import math
import random
import sys
from collections.abc import Callable, Sequence
from unittest.mock import patch

from app.domain.monitoring import baselines
from app.domain.monitoring.directions import HIGHER

_LATER = 60
_SEED = 20231201
Noise = Callable[[random.Random, int], list[float]]


def _normal(rng: random.Random, n: int) -> list[float]:
    return [rng.gauss(0, 1) for _ in range(n)]


def _heavy(rng: random.Random, n: int) -> list[float]:
    """Student's t with five degrees of freedom, of deviation 1."""
    return [rng.gauss(0, 1) * math.sqrt(3 / rng.gammavariate(2.5, 2)) for _ in range(n)]


def _hanging_together(rng: random.Random, n: int) -> list[float]:
    """Each value takes 0.3 of the one before."""
    found = [rng.gauss(0, 1)]
    while len(found) < n:
        found.append(0.3 * found[-1] + rng.gauss(0, math.sqrt(1 - 0.09)))
    return found


def _confirmed(values: Sequence[float], known: int, better: str | None) -> int | None:
    """After how many points beyond `known` 3 of the last 5 are out."""
    start = baselines.first_points(values, known)
    base = baselines.figures(values[:start])
    assert base is not None
    sides = [side is not None for side in baselines.unlike_baseline(values[start:], base, better)]
    hits = (place for place in range(len(sides)) if sum(sides[max(0, place - 4) : place + 1]) >= 3)
    return next((start + place + 1 - known for place in hits), None)


def _share(made: Callable[[random.Random], list[float]], known: int, better: str | None, many: int) -> str:
    """Of so many series: how many are confirmed within 20 and 60 points, and after how many in the middle."""
    rng = random.Random(_SEED)  # noqa: S311 - a simulation
    found = [_confirmed(made(rng), known, better) for _ in range(many)]
    seen = sorted(one for one in found if one is not None)
    middle = seen[len(seen) // 2] if seen else "-"
    return f"{100 * sum(one <= 20 for one in seen) / many:.2f} | {100 * len(seen) / many:.2f} | {middle}"


def _shifted(noise: Noise, known: int, drop: float, odd: float | None) -> Callable[[random.Random], list[float]]:
    def made(rng: random.Random) -> list[float]:
        values = noise(rng, known + _LATER)
        if odd is not None:
            values[rng.randrange(10)] = -odd
        return [value - drop * (place >= known) for place, value in enumerate(values)]

    return made


def main() -> None:
    """Print a table: a row a case, as it is and with every value kept."""
    many = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    cases: list[tuple[str, Noise, int, float, float | None]] = [
        (f"unchanged, {name}", noise, known, 0, None)
        for name, noise in (("normal", _normal), ("t(5)", _heavy), ("hanging together", _hanging_together))
        for known in (10, 15, 20)
    ]
    cases += [(f"shift of {drop}", _normal, 20, drop, None) for drop in (1, 2, 3)]
    cases += [(f"odd day of {odd}, then a shift of 3", _normal, 20, 3, odd) for odd in (5, 10, 30)]
    sys.stdout.write(
        "| case | baseline | 20: % | 60: % | after | kept all, 20: % | 60: % | after |\n" + "|---" * 8 + "|\n"
    )
    for name, noise, known, drop, odd in cases:
        made, better = _shifted(noise, known, drop, odd), HIGHER if drop else None
        now = _share(made, known, better, many)
        with patch.object(baselines, "_without_outliers", lambda values: values):
            before = _share(made, known, better, many)
        sys.stdout.write(f"| {name} | {known} | {now} | {before} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
