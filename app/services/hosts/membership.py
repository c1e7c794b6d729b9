"""The hosts that are alive, and the last change up to which each of them has everything.

A host reports both in its beats. A writer answers its client when every live host has the change, or after
`CONFIRM_SECONDS`. For as long after its last beat with nothing missing, a host's workers serve its data; later they ask
Redis first. So once a write is answered, no host serves older data.
"""

import secrets
import time

from app.domain.errors import Busy
from app.services.hosts.link import RedisLink

BEAT_SECONDS = 0.2
CONFIRM_SECONDS = 1.0
# A host that has been silent for longer asks Redis before it serves anything, so nobody waits for it.
_ALIVE_MS = 1500
_FORGOTTEN_MS = 60_000
_POLL_SECONDS = 0.005

# KEYS: alive, confirmed, changes, epoch, revisions. ARGV: the host, the last change that it has, an epoch to begin
# where there is none, after how many milliseconds a host is forgotten, and for how many a silent host counts as alive.
_BEAT = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local changes = redis.call('GET', KEYS[3]) or '0'
if not string.match(changes, '^%d+$') or #changes > 15 or redis.call('EXISTS', KEYS[3]) ~= redis.call('EXISTS', KEYS[5])
then return redis.error_reply('ERR the changes were written over') end
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
local function forget(since, till)
    for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], since, till)) do
        redis.call('ZREM', KEYS[1], gone)
        redis.call('HDEL', KEYS[2], gone)
    end
end
forget('-inf', now - ARGV[4])
-- Written before the clock of Redis was set back.
forget(now + ARGV[5], '+inf')
redis.call('SET', KEYS[4], ARGV[3], 'NX')
local alive = redis.call('ZCOUNT', KEYS[1], now - ARGV[5], '+inf')
return {tonumber(changes), redis.call('GET', KEYS[4]), alive}
"""
# KEYS: alive, confirmed. ARGV: a change, and for how many milliseconds a silent host counts as alive.
_LACKING = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lacking = 0
local alive = redis.call('ZRANGEBYSCORE', KEYS[1], now - ARGV[2], '+inf')
for _, host in ipairs(alive) do
    local confirmed = tonumber(redis.call('HGET', KEYS[2], host) or '-1') or -1
    if confirmed < tonumber(ARGV[1]) then lacking = lacking + 1 end
end
return {lacking, #alive}
"""
_LEAVE = "redis.call('ZREM', KEYS[1], ARGV[1]) return redis.call('HDEL', KEYS[2], ARGV[1])"


class Membership:
    """This host's beats, and the beats of other hosts. `host` is its name for people."""

    def __init__(self, link: RedisLink, host: str) -> None:
        self._link = link
        self._id = f"{host}:{secrets.token_hex(4)}"
        self._beats, self._confirmed = link.key("alive"), link.key("confirmed")
        self._changes, self._epoch, self._revisions = link.key("changes"), link.key("epoch"), link.key("revisions")
        # How many hosts are alive, as of the last beat.
        self.alive = 0
        self.round_trip = 0.0

    def beat(self, confirmed: int) -> tuple[int, str]:
        """Say up to which change this host has everything. The last change that there is, and the epoch.

        Raises `Busy`.
        """
        keys = [self._beats, self._confirmed, self._changes, self._epoch, self._revisions]
        new_epoch = secrets.token_hex(8)
        answer, self.round_trip = self._link.beat(_BEAT, keys, self._id, confirmed, new_epoch, _FORGOTTEN_MS, _ALIVE_MS)
        self.alive = int(answer[2])
        return int(answer[0]), answer[1].decode(errors="replace")

    def settle(self, change: int) -> bool:
        """Wait until every live host has a change, `CONFIRM_SECONDS` at most. Returns whether they have it."""
        until = time.monotonic() + CONFIRM_SECONDS
        while time.monotonic() < until:
            try:
                lacking, self.alive = self._link.run(_LACKING, [self._beats, self._confirmed], change, _ALIVE_MS)
            except Busy:
                return False
            if not lacking:
                return True
            time.sleep(_POLL_SECONDS)
        return False

    def leave(self) -> None:
        """Called before the process ends, so that nobody waits for this host."""
        try:
            self._link.run(_LEAVE, [self._beats, self._confirmed], self._id)
        except Busy:
            return
