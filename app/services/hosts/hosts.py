"""The other hosts of this tower: the threads that keep this host in step with them, and what services ask of it."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from redis.exceptions import RedisError

from app.domain.errors import Busy
from app.services.hosts.inbox import Inbox
from app.services.hosts.leadership import Leadership
from app.services.hosts.link import RedisLink
from app.services.hosts.membership import BEAT_SECONDS, CONFIRM_SECONDS, Membership
from app.services.hosts.redis_locks import RedisLocks
from app.services.hosts.redis_values import RedisValues
from app.services.hosts.replicated_cache import ReplicatedCache

log = logging.getLogger(__name__)

# Beyond, a worker would wait for Redis at many requests: it serves what this host has, as while Redis is away.
_SLOW_SECONDS = 0.3
_AGAIN_SECONDS = 0.5
_LOOK_SECONDS = 1.0

Serving = Callable[[float | None], None]
"""Says until when (monotonic seconds) this host's workers may serve without asking; None: whatever happens."""


class Hosts:
    """One host among several. `status_key` is the key in the host's own cache where its workers read its state."""

    def __init__(
        self,
        link: RedisLink,
        values: RedisValues,
        membership: Membership,
        leadership: Leadership,
        cache: ReplicatedCache,
        inbox: Inbox,
        locks: Sequence[RedisLocks],
        serving: Serving,
        note: Callable[[dict[str, Any]], None],
    ) -> None:
        self._link = link
        self._values = values
        self._membership = membership
        self._leadership = leadership
        self._cache = cache
        self._inbox = inbox
        self._locks = locks
        self._serving = serving
        self._note = note
        self._noted: dict[str, Any] | None = None
        self._stopping = threading.Event()
        self._beating = threading.Lock()
        self._has_lost = False
        # What the leader does at the beginning of its term, and with what is in the inbox.
        self._begin: Callable[[bool], None] = lambda _: None
        self._do: Callable[[str, str], bool] = lambda _kind, _what: True

    def start(self, begin: Callable[[bool], None], do: Callable[[str, str], bool]) -> None:
        """Keep in step. As the leader call `begin` with each term and each loss of what Redis held (True), and `do`."""
        self._begin, self._do = begin, do
        for work in (self._beat, self._listen, self._lead):
            threading.Thread(target=work, name=f"hosts{work.__name__}", daemon=True).start()

    def stop(self) -> None:
        """Before the process ends: another host may lead at once, and nobody waits for this one."""
        self._stopping.set()
        self._leadership.resign()
        self._membership.leave()

    def catch_up(self) -> None:
        """Have what the other hosts have. Raises `Busy` where Redis does not answer."""
        began = time.monotonic()
        self._has_lost |= self._cache.catch_up()
        self._serving(began + CONFIRM_SECONDS)

    def settle(self) -> None:
        """Before a client is answered: wait until every host has what was changed here, a second at most."""
        self._membership.settle(self._cache.changes_made())

    def _beat(self) -> None:
        while not self._stopping.wait(BEAT_SECONDS):
            try:
                self._beat_once()
            except Busy:
                self._serving(None)
            except Exception:
                log.exception("This host's beat failed")
            self._note_state()

    def _beat_once(self) -> None:
        with self._beating:
            began = time.monotonic()
            changes, epoch = self._membership.beat(self._cache.changes())
            if changes != self._cache.changes() or epoch != self._cache.epoch:
                self._has_lost |= self._cache.catch_up()
                self._membership.beat(self._cache.changes())
            if self._membership.round_trip > _SLOW_SECONDS:
                self._serving(None)
            elif self._cache.changes() >= changes:
                self._serving(began + CONFIRM_SECONDS)
        for locks in self._locks:
            locks.renew()
        self._leadership.renew()

    def _listen(self) -> None:
        """Take what other hosts announce. While the connection is down, the beats notice it."""
        while not self._stopping.is_set():
            try:
                with self._link.client.pubsub(ignore_subscribe_messages=True) as news:
                    news.subscribe(self._values.channel)
                    while not self._stopping.is_set():
                        self._hear(news.get_message(timeout=_LOOK_SECONDS / 2))
            except (RedisError, Busy):
                self._stopping.wait(_AGAIN_SECONDS)
            except Exception:
                log.exception("What other hosts announce could not be taken")
                self._stopping.wait(_AGAIN_SECONDS)

    def _hear(self, message: Any) -> None:
        if message is None or self._link.why_down is not None:
            return
        if message["data"] == b"inbox":
            self._take_tasks()
        else:
            self._beat_once()

    def _lead(self) -> None:
        """The leader's work between the beats."""
        begun: str | None = None
        while not self._stopping.wait(_AGAIN_SECONDS / 2):
            term = self._leadership.term_value()
            try:
                if self._link.why_down is None and self._cache.is_behind():
                    self._inbox.add("sweep")
                if term is None:
                    begun = None
                    continue
                if term != begun or self._has_lost:
                    lost, self._has_lost = self._has_lost, False
                    with self._leadership.term():
                        self._begin(lost)
                    begun = term
                self._take_tasks()
            except Busy as error:
                log.debug("The leader's work is left: %s", error.detail)
            except Exception:
                log.exception("The leader's work failed")

    def _take_tasks(self) -> None:
        if self._leadership.leads():
            with self._leadership.term():
                self._inbox.take(self._do)

    def _note_state(self) -> None:
        state = {
            "leader": self._leadership.leader(),
            "leads": self._leadership.leads(),
            "redis": self._link.why_down or ("is slow" if self._membership.round_trip > _SLOW_SECONDS else None),
            "hosts": self._membership.hosts,
        }
        if state != self._noted:
            self._noted = state
            self._note(state)
