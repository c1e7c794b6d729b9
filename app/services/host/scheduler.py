"""The scheduler runs each job at its interval, on a thread of its own, and never twice at once in a process."""

import logging
import random
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

log = logging.getLogger(__name__)

TICK_SECONDS = 5
# After a failure a job leaves MLflow alone for so long.
RETRY_SECONDS = 15.0

Jobs = Mapping[Callable[[], None], float]

_ZERO = timedelta()
# Any date will do: only differences matter.
_ORIGIN = datetime(2000, 1, 1, tzinfo=UTC)


def together(*jobs: Callable[[], None]) -> Callable[[], None]:
    """Several short jobs as one, each of them done whatever another raises.

    APScheduler takes longer to begin a job than such jobs take.
    """

    def do() -> None:
        for job in jobs:
            try:
                job()
            except Exception:
                log.exception("A job failed, and is done again at its next time")

    return do


class SteadyTime(tzinfo):
    """A time zone that follows the monotonic clock, so that setting the time of day does not disturb the jobs.

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


class Every(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """Fires at once, and then at an interval in seconds, of which the first is cut by up to half, by chance.

    So hosts that start together do not all ask MLflow at the same moments. APScheduler's own trigger would convert to
    the time of day and back.
    """

    def __init__(self, seconds: float) -> None:
        self._interval = timedelta(seconds=seconds)
        self._first = self._interval * random.uniform(0.5, 1)  # noqa: S311 - it decides nothing secret
        self._fired_at: datetime | None = None

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        if previous_fire_time is None:
            self._fired_at = now
            return now
        return previous_fire_time + (self._first if previous_fire_time == self._fired_at else self._interval)


class Scheduler:
    """APScheduler with its threads. Start it after the fork, since threads do not survive it."""

    def __init__(self) -> None:
        self._scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(10)},
            # A job that is late runs at once; by default APScheduler skips it after one second.
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone=SteadyTime(),
        )

    def start(self, jobs: Jobs) -> None:
        """Run each job now, and then at its interval in seconds (see `Every`). A job with the interval 0 never runs."""
        for job, seconds in jobs.items():
            if seconds:
                self._scheduler.add_job(job, Every(seconds))
        self._scheduler.start()

    def stop(self) -> None:
        """Start no further job. A job that is running goes on."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
