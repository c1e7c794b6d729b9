"""The gatherer: what arrives in bursts is handled together, on a thread of its own."""

import itertools
import threading
import time

from app.services.host.gatherer import Gatherer


def test_items_that_never_cease_to_arrive_leave_the_host_time_for_other_work() -> None:
    rounds: list[tuple[float, float]] = []
    is_over = threading.Event()

    def work(_: list[str]) -> bool:
        began = time.monotonic()
        gatherer.add("again")
        threading.Event().wait(0.05)
        rounds.append((began, time.monotonic()))
        if len(rounds) == 3:
            is_over.set()
        return True

    gatherer = Gatherer[str]("test", work, (0,), rest=4)
    gatherer.add("first")
    gatherer.start()
    assert is_over.wait(60)
    gatherer.stop()
    for (began, ended), (began_again, _) in itertools.pairwise(rounds):
        assert began_again - ended >= 4 * (ended - began)
