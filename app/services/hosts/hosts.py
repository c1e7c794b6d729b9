"""One host among several: the threads that keep it in step with the others, and what its services ask of it."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from redis.exceptions import RedisError

from app.domain.errors import Busy
from app.services.host.marks import Marks
from app.services.hosts.inbox import Inbox
from app.services.hosts.leadership import Leadership
from app.services.hosts.link import RedisLink
from app.services.hosts.membership import BEAT_SECONDS, CONFIRM_SECONDS, Membership
from app.services.hosts.redis_locks import RedisLocks
from app.services.hosts.redis_values import RedisValues
from app.services.hosts.replicated_cache import ReplicatedCache

log = logging.getLogger(__name__)

# With a slower Redis, workers would often wait for it. They serve what this host has, as without Redis.
_SLOW_SECONDS = 0.3
_LEAD_SECONDS = 0.5
# Workers decode what this host got from the others at its start, which takes 0.7 s of a core at 50,000 versions.
_DECODING_SECONDS = 1.0
_LISTEN_SECONDS = 0.5
# The task to read all of MLflow.
SWEEP = "sweep"


class Tasks(Protocol):
    """The leader's work, beside its scheduled jobs."""

    def begin(self, *, lost: bool) -> None:
        """Begin a term. `lost`: Redis lost everything since the last term, or during this term."""
        ...

    def do(self, kind: str, what: str) -> bool:
        """Do a task of the inbox; False leaves it there."""
        ...


class Hosts:
    """The `Leading` of a host among several. `marks` and `note` share its state with the workers."""

    def __init__(
        self,
        link: RedisLink,
        values: RedisValues,
        membership: Membership,
        leadership: Leadership,
        cache: ReplicatedCache,
        inbox: Inbox,
        locks: RedisLocks,
        marks: Marks,
        note: Callable[[dict[str, Any]], object],
    ) -> None:
        self._link = link
        self._values = values
        self._membership = membership
        self._leadership = leadership
        self._cache = cache
        self._inbox = inbox
        self._locks = locks
        self._marks = marks
        self._note = note
        self._noted: dict[str, Any] | None = None
        self._stopping = threading.Event()
        self._in_step = threading.Event()
        self._beating = threading.Lock()
        self._has_lost = False
        self._tasks: Tasks | None = None

    def lead_with(self, tasks: Tasks) -> None:
        """Set the leader's work. Called once, before `start`."""
        self._tasks = tasks

    def start(self) -> None:
        """Start to keep in step, and to lead where no other host does."""
        for work in (self._beat, self._listen, self._lead):
            threading.Thread(target=work, name=f"hosts{work.__name__}", daemon=True).start()

    def resign(self) -> None:
        """Let another host lead at once. This one stays in step until it stops."""
        with self._between_beats():
            self._leadership.resign()

    def stop(self) -> None:
        """Called before the process ends: another host may lead at once, and no host waits for this one."""
        self._stopping.set()
        with self._between_beats():
            self._leadership.resign()
            self._membership.leave()

    def await_others(self, seconds: float) -> None:
        """Wait until this host has what the others have, so long at most, and its workers could decode it."""
        if self._in_step.wait(seconds):
            self._stopping.wait(_DECODING_SECONDS)

    @contextmanager
    def within(self, _: float) -> Iterator[None]:
        """The time bound of `OtherHosts`. The link to Redis has its own."""
        yield

    def leading(self) -> AbstractContextManager[None]:
        """Do the work in the block as the leader. Raises `Busy` where another host leads."""
        return self._leadership.term()

    def may_lead(self) -> bool:
        """Whether this host leads."""
        return self._leadership.leads()

    def catch_up(self) -> None:
        """Get what the other hosts have. Raises `Busy` where Redis does not answer."""
        began = time.monotonic()
        self._has_lost |= self._cache.follow()
        self._serve_until(began + CONFIRM_SECONDS)

    def settle(self) -> None:
        """Wait until every live host has what was changed here, for a second at most. Called before an answer."""
        self._membership.settle(self._cache.changes_made())

    def _beat(self) -> None:
        while not self._stopping.is_set():
            try:
                self._beat_once()
            except Busy:
                self._marks.serve_until(None)
            except Exception:
                log.exception("This host's beat failed")
            self._note_state()
            self._stopping.wait(BEAT_SECONDS)

    @contextmanager
    def _between_beats(self) -> Iterator[None]:
        """Wait for a beat under way, which could take back what is given up; not for long, since Redis may hang."""
        waited = self._beating.acquire(timeout=2 * CONFIRM_SECONDS)
        try:
            yield
        finally:
            if waited:
                self._beating.release()

    def _beat_once(self) -> None:
        with self._beating:
            if self._stopping.is_set():
                return
            began = time.monotonic()
            changes, epoch = self._membership.beat(self._cache.changes())
            # Renewed first, since following may take long.
            self._locks.renew()
            self._leadership.renew()
            if changes != self._cache.changes() or epoch != self._cache.epoch:
                self._has_lost |= self._cache.follow()
                self._membership.beat(self._cache.changes())
            if self._membership.round_trip > _SLOW_SECONDS:
                self._serve_until(None)
            elif self._cache.changes() >= changes:
                self._serve_until(began + CONFIRM_SECONDS)

    def _serve_until(self, until: float | None) -> None:
        self._marks.serve_until(until)
        self._in_step.set()

    def _listen(self) -> None:
        """React to what other hosts publish at once. A message that is lost costs a fifth of a second: see `_beat`."""
        while not self._stopping.is_set():
            try:
                with self._link.client.pubsub(ignore_subscribe_messages=True) as news:
                    news.subscribe(self._values.channel)
                    while not self._stopping.is_set():
                        self._react(news.get_message(timeout=_LISTEN_SECONDS))
            except (RedisError, Busy):
                self._stopping.wait(_LISTEN_SECONDS)
            except Exception:
                log.exception("What another host published could not be taken")
                self._stopping.wait(_LISTEN_SECONDS)

    def _react(self, message: Any) -> None:
        if message is None or self._link.why_down is not None:
            return
        if message["data"] == b"inbox":
            self._take_tasks()
        else:
            self._beat_once()

    def _lead(self) -> None:
        """The leader's work between its beats."""
        begun: str | None = None
        is_behind = False
        while not self._stopping.wait(_LEAD_SECONDS):
            try:
                is_behind |= self._cache.is_behind()
                if is_behind and self._link.why_down is None:
                    self._inbox.add(SWEEP)
                    is_behind = False
                term = self._leadership.term_value()
                if term is None:
                    begun = None
                    continue
                if term != begun or self._has_lost:
                    self._begin()
                    begun = term
                self._take_tasks()
            except Busy as error:
                log.debug("The leader's work waits: %s", error.detail)
            except Exception:
                log.exception("The leader's work failed")

    def _begin(self) -> None:
        lost, self._has_lost = self._has_lost, False
        try:
            if self._tasks is not None:
                with self._leadership.term():
                    self._tasks.begin(lost=lost)
        except BaseException:
            self._has_lost |= lost
            raise

    def _take_tasks(self) -> None:
        if self._tasks is not None and self._leadership.leads():
            with self._leadership.term():
                self._inbox.take(self._tasks.do)

    def _note_state(self) -> None:
        self._marks.note_lease(self._leadership.until())
        why = self._link.why_down
        if why is None and self._membership.round_trip > _SLOW_SECONDS:
            why = "is slow"
        state = {
            "leader": self._leadership.leader(),
            "redis": why,
            "alive": self._membership.alive if self._link.why_down is None else 1,
        }
        if state != self._noted:
            self._noted = state
            self._note(state)
