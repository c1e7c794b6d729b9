"""`python -m bench`: measure all goals, or some; see `make bench`."""

import argparse
import sys
import time
from collections.abc import Callable

from bench import (
    batches,
    freshness,
    history,
    hosts,
    monitoring,
    page,
    processor,
    registry_history,
    report,
    rules,
    serving,
    writes,
)

Measure = Callable[[int], list[report.Line]]
_SIZES = [1_000, 5_000, 15_000, 50_000]
GOALS: dict[str, Measure] = {
    "rates": serving.rates,
    "processor": processor.processor,
    "filtered": lambda rounds: serving.filtered(rounds, 16_667),
    "sweep": lambda rounds: serving.sweep(min(rounds, 3), 5_000),
    "start": lambda rounds: serving.start(rounds, 3_334),
    "memory": serving.memory,
    "push": lambda rounds: [*freshness.push(rounds, 262), *freshness.push(rounds, 5_000)],
    "poll": lambda rounds: freshness.poll(min(rounds, 3), 262),
    "link": freshness.link,
    "page": lambda rounds: page.page(rounds, 3_334),
    "checks": lambda rounds: monitoring.checks(min(rounds, 3)),
    "batches": batches.batches,
    "rules": lambda rounds: rules.rules(min(rounds, 3)),
    "history": lambda rounds: history.history(min(rounds, 3), 3_334),
    "registry_history": lambda rounds: registry_history.registry_history(min(rounds, 5), 5_000),
    "hosts": lambda rounds: [
        *hosts.hosts(rounds),
        *hosts.new_host(min(rounds, 5), 16_667),
        *writes.at_once(min(rounds, 5)),
    ],
    "cost": lambda rounds: freshness.cost(min(rounds, 3), _SIZES),
}


def main() -> None:
    """Measure, print the table, and keep it where that is asked for."""
    parser = argparse.ArgumentParser(prog="bench", description="Measures what the documentation claims.")
    parser.add_argument("goals", nargs="*", metavar="GOAL", help=f"of {', '.join(GOALS)}; all by default")
    parser.add_argument("--rounds", type=int, default=7, help="how often each figure is taken (7)")
    parser.add_argument("--save", action="store_true", help="write bench/RESULTS.md")
    given = parser.parse_args()
    unknown = sorted(set(given.goals) - set(GOALS))
    if unknown:
        parser.error(f"no such goal: {', '.join(unknown)}")
    if not serving.installed():
        parser.error("wrk is not there. Install it (Debian: apt-get install wrk).")
    if "hosts" in (given.goals or GOALS) and (missing := writes.missing()):
        parser.error(missing)
    lines: list[report.Line] = []
    for name in given.goals or GOALS:
        began = time.monotonic()
        found = GOALS[name](given.rounds)
        lines += found
        sys.stderr.write(f"{name}: {time.monotonic() - began:.0f} s\n{report.table(found)}\n")
    sys.stdout.write(report.table(lines))
    if given.save:
        report.save(lines)


if __name__ == "__main__":
    main()
