"""The scheduler: jobs at their intervals, each on a thread of its own, none twice at once in one process."""

import logging
import threading
import time
from collections.abc import Callable, Mapping

log = logging.getLogger(__name__)

TICK_SECONDS = 5

Jobs = Mapping[Callable[[], None], float]


class Scheduler:
    """Intervals go by the monotonic clock: jobs go on whatever is done to the time of day.

    Start it after the fork: threads do not survive one.
    """

    def __init__(self) -> None:
        self._stopping = threading.Event()

    def start(self, jobs: Jobs) -> None:
        """Run each job now, and then every so many seconds; those with 0 never."""
        self._stopping.clear()
        for job, seconds in jobs.items():
            if seconds:
                threading.Thread(target=self._repeat, args=(job, seconds), name="scheduled", daemon=True).start()

    def stop(self) -> None:
        """Begin no job any more; one under way goes on."""
        self._stopping.set()

    def _repeat(self, job: Callable[[], None], seconds: float) -> None:
        due = time.monotonic()
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            try:
                job()
            except Exception:
                log.exception("A scheduled job failed")
            # What was missed while a job took long is not made up for.
            due = max(due + seconds, time.monotonic())
