"""The leader: of all hosts the one that sweeps, polls, checks and announces. It holds a lease in Redis.

A lease excludes nobody by itself (a process may be stopped, and go on after it), so a leader counts its time from
before it asked, stops well before the end, and what it stores is refused once another leads.
"""

import logging
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from app.domain.errors import Busy
from app.services.host.term import working_in
from app.services.hosts.link import RedisLink
from app.services.hosts.redis_locks import RELEASE, fenced_by

log = logging.getLogger(__name__)

LEASE_SECONDS = 10.0
# The leader stops so long before its lease is over, whatever its clock and that of Redis make of a second.
_MARGIN_SECONDS = 2.0
_RENEW_SECONDS = 1.0

# The holder's value begins with a number that grows with each term, so that people can tell them apart.
_TAKE = """
local held = redis.call('GET', KEYS[1])
if held and string.match(held, '^%d+:.+:%x+$') then
    -- A lease without an end, or with a later one, was not taken by a host.
    local left = redis.call('PTTL', KEYS[1])
    if left < 0 or left > tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
    local mine = string.sub(held, -string.len(ARGV[1])) == ARGV[1]
    if mine then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
    return {mine and 1 or 0, held}
end
local value = redis.call('INCR', KEYS[2]) .. ':' .. ARGV[1]
redis.call('SET', KEYS[1], value, 'PX', ARGV[2])
return {1, value}
"""


class Leadership:
    """Whether this host leads. `host` is its name for people."""

    def __init__(self, link: RedisLink, host: str) -> None:
        self._link = link
        self._lease = link.key("leader")
        self._terms = link.key("terms")
        # Of this process: after a restart it is another one.
        self._holder = f"{host}:{secrets.token_hex(8)}"
        self._value = ""
        self._until = 0.0
        self._asked_at = 0.0
        self._leader: str | None = None
        self._changing = threading.Lock()
        self._resigned = False

    def leads(self) -> bool:
        """Whether this host leads, for at least some moments more."""
        return time.monotonic() < self._until - _MARGIN_SECONDS

    def until(self) -> float:
        """Until when this host leads if nobody renews its lease (monotonic seconds); 0 where another host leads."""
        return self._until

    def leader(self) -> str | None:
        """The host that leads, by its name; None where that is not known."""
        if self._link.why_down is not None:
            return None
        return self._leader

    @contextmanager
    def term(self) -> Iterator[None]:
        """Do the work in the block as the leader. Raises `Busy` where another host leads."""
        with self._changing:
            value, until = self._value, self._until
        if time.monotonic() >= until - _MARGIN_SECONDS:
            raise Busy("Another host leads, and does this work.")
        with working_in(_Term(self, value)), fenced_by((self._lease, value)):
            yield

    def is_in(self, value: str) -> bool:
        """Whether this host still leads in the term with this value."""
        return self._value == value and self.leads()

    def renew(self) -> None:
        """Take the lease if nobody has it, or renew it, where that is due. Raises `Busy`."""
        now = time.monotonic()
        if self._resigned or now - self._asked_at < _RENEW_SECONDS:
            return
        mine, value = self._link.run(_TAKE, [self._lease, self._terms], self._holder, int(LEASE_SECONDS * 1000))
        self._asked_at = now
        led, value = self.leads(), value.decode(errors="replace")
        with self._changing:
            self._leader = value.split(":", 1)[1].rsplit(":", 1)[0]
            self._value, self._until = (value, now + LEASE_SECONDS) if mine else ("", 0.0)
        if self.leads() != led:
            log.info("This host leads" if mine else "The leader is %s now", *(() if mine else (self._leader,)))

    def resign(self) -> None:
        """Before the process ends: let another host lead at once."""
        self._resigned = True
        with self._changing:
            value, self._value, self._until = self._value, "", 0.0
        if value:
            try:
                self._link.run(RELEASE, [self._lease], value)
            except Busy as error:
                log.debug("The lease ends by itself: %s", error.detail)

    def term_value(self) -> str | None:
        """What tells this host's term from others; None where another leads."""
        return self._value if self.leads() else None


class _Term:
    """A term of this host."""

    def __init__(self, leadership: Leadership, value: str) -> None:
        self._leadership = leadership
        self._value = value

    def stands(self) -> bool:
        return self._leadership.is_in(self._value)
