"""`python -m bench.data_drift`: false alarms and what is found, by simulation (docs/decisions/0038).

Windows are drawn as counts. `noise` is how much the mean of each column varies from day to day, in its own standard
deviations; `shift` is by how much one column's mean moves after the 30th window.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import kolmogorov, ndtr, ndtri

from app.domain.data_drift.counts import ColumnCounts
from app.domain.data_drift.judging import MOVED, Column, Rules, discovered, judge

Floats = NDArray[np.float64]
Found = NDArray[np.bool_]
Sizes = Callable[[np.random.Generator], int]
KNOWN = 30
SIZES: dict[str, Sizes] = {
    "100": lambda _: 100,
    "1000": lambda _: 1000,
    "10,000": lambda _: 10_000,
    "100,000": lambda _: 100_000,
    "30 to 100,000": lambda rng: round(30 * (100_000 / 30) ** rng.random()),
}
_TAILS = [0.001, 0.999]
_EDGES = ndtri(np.sort([*(np.arange(1, 64) / 64), *_TAILS]))


@dataclass(frozen=True, slots=True)
class Case:
    """Windows of a version: of which size, and what varies in them."""

    sizes: str
    noise: float = 0
    shift: float = 0
    columns: int = 20
    windows: int = 90
    reference: int = 10_000


def normal_counts(rng: np.random.Generator, rows: int, mean: float = 0, deviation: float = 1) -> ColumnCounts:
    """The counts of so many draws, in 64 bins of equal mass of the standard normal distribution and two tails."""
    below = ndtr((_EDGES - mean) / deviation)
    return ColumnCounts(tuple(rng.multinomial(rows, np.diff(below, prepend=0, append=1)).tolist()))


def columns_of(case: Case, rng: np.random.Generator) -> list[Column]:
    """A version's columns; the first one moves after the 30th window."""
    rows = [SIZES[case.sizes](rng) for _ in range(case.windows)]
    columns = []
    for number in range(case.columns):
        windows = []
        for window, size in enumerate(rows):
            moved = case.shift if number == 0 and window >= KNOWN else 0
            windows.append(normal_counts(rng, size, moved + rng.normal(0, case.noise) if case.noise else moved))
        columns.append(Column(f"x{number}", "", False, normal_counts(rng, case.reference), windows))
    return columns


def by_this_rule(columns: Sequence[Column]) -> Found:
    """Which columns moved in which windows, as the service says."""
    return np.array([[one.verdict == MOVED for one in row] for row in judge(columns, Rules())])


def by_any_test(columns: Sequence[Column]) -> Found:
    """A Kolmogorov-Smirnov test of each column at 5 %."""
    return _ks(columns) < 0.05


def by_corrected_test(columns: Sequence[Column]) -> Found:
    """The same tests at a false-discovery rate of 5 % over the columns of a window."""
    return np.array([discovered(p, 0.05) for p in _ks(columns).T]).T


def by_corrected_test_twice(columns: Sequence[Column]) -> Found:
    """The same, in two of the last three windows."""
    return twice(by_corrected_test(columns))


def by_stability_index(columns: Sequence[Column]) -> Found:
    """A population stability index above 0.1, in ten bins."""
    return np.array([[_psi(column.reference, window) > 0.1 for window in column.windows] for column in columns])


def twice(out: Found) -> Found:
    """What is out now, and was in at least one of the two windows before."""
    before = np.pad(out, ((0, 0), (2, 0)))
    return out & (before[:, :-2] | before[:, 1:-1])


RULES: dict[str, Callable[[Sequence[Column]], Found]] = {
    "any KS p < 5 %": by_any_test,
    "any PSI > 0.1": by_stability_index,
    "KS, corrected": by_corrected_test,
    "KS, corrected, 2 of 3": by_corrected_test_twice,
    "this service": by_this_rule,
}


def _ks(columns: Sequence[Column]) -> Floats:
    result = []
    for column in columns:
        base, counts = np.array(column.reference.cells), np.array([window.cells for window in column.windows])
        rows = counts.sum(axis=1)
        away = np.abs(np.cumsum(counts, axis=1) / rows[:, None] - np.cumsum(base) / base.sum()).max(axis=1)
        result.append(kolmogorov(away * np.sqrt(rows * base.sum() / (rows + base.sum()))))
    return np.array(result)


def _psi(reference: ColumnCounts, window: ColumnCounts) -> float:
    groups = np.minimum(np.cumsum(reference.cells) * 10 // sum(reference.cells), 9)
    shares = [np.bincount(groups, counts.cells, 10) / sum(counts.cells) + 1e-6 for counts in (reference, window)]
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def row(case: Case, rule: str, many: int, seed: int) -> tuple[float, float]:
    """Of so many versions: the share of windows with a false alarm; of runs, where the shift is found within three.

    The first thirty windows count for neither: most rules have nothing to learn, and this service's is provisional.
    """
    rng = np.random.default_rng(seed)
    alarms, found = 0, 0
    for _ in range(many):
        moved = RULES[rule](columns_of(case, rng))
        first = 1 if case.shift else 0
        alarms += int(moved[first:, KNOWN:].any(axis=0).sum())
        found += bool(moved[0, KNOWN : KNOWN + 3].any())
    return alarms / many / (case.windows - KNOWN), found / many


def main() -> None:
    """Print a table: a row a case, two columns a rule."""
    parser = argparse.ArgumentParser(prog="bench.data_drift", description=__doc__)
    parser.add_argument("--versions", type=int, default=20)
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--seed", type=int, default=20231201)
    options = parser.parse_args()
    sys.stdout.write(f"| rows | noise | shift | {' | '.join(RULES)} |\n" + "|---" * (3 + len(RULES)) + "|\n")
    for sizes in SIZES:
        for noise in (0.0, 0.05):
            for shift in (0.0, 0.3):
                case = Case(sizes, noise, shift, options.columns, 33 if shift else 60)
                cells = [row(case, rule, options.versions, options.seed) for rule in RULES]
                shown = [f"{100 * (found if shift else alarms):.1f}" for alarms, found in cells]
                sys.stdout.write(f"| {sizes} | {noise:g} | {shift:g} | {' | '.join(shown)} |\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
