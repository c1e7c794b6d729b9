"""The scheduler: jobs at their intervals, each on its own, none twice at once in one process."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

TICK_SECONDS = 5

Jobs = Mapping[Callable[[], None], float]

_ZERO = timedelta()
# Any date does: only differences count.
_ORIGIN = datetime(2000, 1, 1, tzinfo=UTC)


class SteadyTime(tzinfo):
    """A zone whose time is the monotonic clock's, so that jobs go on whatever is done to the time of day.

    APScheduler asks its zone for the present time, as `datetime.now(zone)`, and computes within the zone.
    """

    def utcoffset(self, _: datetime | None) -> timedelta:
        return _ZERO

    def dst(self, _: datetime | None) -> timedelta:
        return _ZERO

    def tzname(self, _: datetime | None) -> str:
        return "monotonic"

    def fromutc(self, _: datetime) -> datetime:
        return _ORIGIN.replace(tzinfo=self) + timedelta(seconds=time.monotonic())


class Every(BaseTrigger):  # type: ignore[misc]
    """Fires every so many seconds. APScheduler's own trigger converts to the time of day and back."""

    def __init__(self, seconds: float) -> None:
        self._interval = timedelta(seconds=seconds)

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        return previous_fire_time + self._interval if previous_fire_time else now


class Scheduler:
    """APScheduler in threads of its own. Start it after the fork: threads do not survive one."""

    def __init__(self) -> None:
        self._scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(10)},
            # A late start is not a reason to skip a whole interval, which is the default after one second.
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone=SteadyTime(),
        )

    def start(self, jobs: Jobs) -> None:
        """Run each job now, and then every so many seconds; those with 0 never."""
        for job, seconds in jobs.items():
            if seconds:
                self._scheduler.add_job(job, Every(seconds))
        self._scheduler.start()

    def stop(self) -> None:
        """Begin no job any more; one under way goes on."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
