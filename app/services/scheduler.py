"""The scheduler: every worker ticks, a lock lets one of them work. No leader, so none to be missed."""

from collections.abc import Callable
from datetime import UTC, datetime

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

TICK_SECONDS = 5


class Scheduler:
    """APScheduler in a thread of its own. Start it after the fork: threads do not survive one."""

    def __init__(self, tick: Callable[[], None]) -> None:
        self._scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(1)},
            # A late start is not a reason to skip a whole interval, which is the default after one second.
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone="UTC",
        )
        self._tick = tick

    def start(self) -> None:
        self._scheduler.add_job(self._tick, "interval", seconds=TICK_SECONDS, next_run_time=datetime.now(UTC))
        self._scheduler.start()

    def stop(self) -> None:
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
