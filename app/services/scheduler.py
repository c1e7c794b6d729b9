"""The scheduler: jobs at their intervals, each on its own, none twice at once in one process."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

TICK_SECONDS = 5

Jobs = Mapping[Callable[[], None], float]


class Scheduler:
    """APScheduler in threads of its own. Start it after the fork: threads do not survive one."""

    def __init__(self) -> None:
        self._scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(6)},
            # A late start is not a reason to skip a whole interval, which is the default after one second.
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone="UTC",
        )

    def start(self, jobs: Jobs) -> None:
        """Run each job now, and then every so many seconds; those with 0 never."""
        for job, seconds in jobs.items():
            if seconds:
                self._scheduler.add_job(job, "interval", seconds=seconds, next_run_time=datetime.now(UTC))
        self._scheduler.start()

    def stop(self) -> None:
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
