"""The link to Redis: its commands are bounded in time, fail at once while Redis is away, and raise domain errors."""

import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.retry import Retry

from app.domain.errors import Busy

log = logging.getLogger(__name__)
T = TypeVar("T")

# The longest that Redis may take to answer. Clients wait for lists, so a slower Redis counts as away.
ANSWER_SECONDS = 1.0
# A release of the service that stores other values, or in another format, gets a new number here. Its hosts then have
# values and a leader of their own, beside those of other releases. All releases share the locks on model versions.
FORMAT = 2

_DENIED = "denies this user a command that is needed. Check its access list"
_WORDS: tuple[tuple[type[RedisError], str], ...] = (
    (AuthenticationError, "does not accept the user or the password. Check REDIS_URL"),
    (NoPermissionError, _DENIED),
    (BusyLoadingError, "is loading its data"),
    (ReadOnlyError, "is read-only. Check that REDIS_URL names the primary"),
    (OutOfMemoryError, "is full. Raise its maxmemory"),
    (redis.exceptions.TimeoutError, "does not answer in time"),
    (redis.exceptions.ConnectionError, "cannot be reached"),
)


# What there is under each key of its own that the service reads again. `number` counts up.
_KINDS = {
    "epoch": "string", "changes": "number", "revisions": "hash", "alive": "zset", "confirmed": "hash",
    "leader": "string", "terms": "number", "tasks": "hash", "task-count": "number",
}  # fmt: skip
# KEYS: those of `_KINDS`. ARGV: their kinds. Removes what is of another kind. The first three are of no use without
# each other: without them every host shares again what it has.
_MEND = """
local lost = redis.call('EXISTS', KEYS[2]) ~= redis.call('EXISTS', KEYS[3])
for i, key in ipairs(KEYS) do
    local kind, wanted = redis.call('TYPE', key)['ok'], ARGV[i]
    local fits = kind == 'none' or kind == (wanted == 'number' and 'string' or wanted)
    if fits and wanted == 'number' and kind == 'string' then
        local number = redis.call('GET', key)
        fits = string.match(number, '^%d+$') and #number <= 15
    end
    if not fits then
        redis.call('DEL', key)
        lost = lost or i <= 3
    end
end
if lost then redis.call('DEL', KEYS[1], KEYS[2], KEYS[3]) end
return 0
"""


class RedisLink:
    """Commands and scripts, under one prefix. After a failure all others fail at once until a beat succeeds again.

    What others wrote over the keys of this service is removed by the next beat.
    """

    def __init__(self, url: str, prefix: str) -> None:
        self._client = redis.Redis.from_url(
            url,
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
            # A retry would double the time; the beat tries again.
            retry=Retry(NoBackoff(), 0),
            client_name="control-tower",
        )
        self._prefix = prefix
        self._scripts: dict[str, Any] = {}
        self._why: str | None = None
        # Whether Redis refused a command that is right, unless somebody else wrote to the keys.
        self._is_tampered = False

    @property
    def client(self) -> Any:
        """redis-py's client, for cachelib and for listening. It raises redis-py's errors."""
        return self._client

    @property
    def why_down(self) -> str | None:
        """What is wrong with Redis, as the rest of a sentence; None where it answers."""
        return self._why

    def key(self, *parts: str) -> str:
        """A key that is shared only by hosts with the same `FORMAT`."""
        return self.common(f"f{FORMAT}", *parts)

    def common(self, *parts: str) -> str:
        """A key that hosts of all releases share."""
        # In braces, since keys that one script uses must lie on one node of a cluster.
        return ":".join((f"{{{self._prefix}}}", *parts))

    def run(self, script: str, keys: list[str], *args: Any) -> Any:
        """Run a Lua script and return its answer. Raises `Busy`."""
        return self.ask(lambda: self._script(script)(keys=keys, args=args))

    def ask(self, command: Callable[[], T]) -> T:
        """Run a command and return its answer. Raises `Busy`, at once while Redis is away."""
        if self._why is not None:
            raise Busy(f"Redis {self._why}. Try again in some seconds.")
        return self._answer(command)

    def beat(self, script: str, keys: list[str], *args: Any) -> tuple[Any, float]:
        """Like `run`, but also tries while Redis is away. Returns the answer and the seconds it took."""
        if self._is_tampered:
            self._answer(lambda: self._script(_MEND)(keys=[*map(self.key, _KINDS)], args=[*_KINDS.values()]))
            self._is_tampered = False
        began = time.monotonic()
        answer = self._answer(lambda: self._script(script)(keys=keys, args=args))
        if self._why is not None:
            log.info("Redis answers")
            self._why = None
        return answer, time.monotonic() - began

    def failed(self, error: RedisError) -> Busy:
        """Record that Redis is away, and return the error to raise."""
        why = in_our_words(error)
        self._is_tampered |= type(error) is ResponseError
        if why != self._why:
            log.warning("Redis %s: what this host has goes on being served", why)
            self._why = why
        return Busy(f"Redis {why}. Try again in some seconds.")

    def _answer(self, command: Callable[[], T]) -> T:
        try:
            return command()
        except RedisError as error:
            raise self.failed(error) from None

    def _script(self, text: str) -> Any:
        if text not in self._scripts:
            self._scripts[text] = self._client.register_script(text)
        return self._scripts[text]


def in_our_words(error: RedisError) -> str:
    """What is wrong, to complete a sentence that begins with "Redis"; never Redis' own text."""
    for kind, words in _WORDS:
        if isinstance(error, kind):
            return words
    if str(error).startswith("MISCONF"):
        return "cannot save its data, and takes no more. Check its disk"
    # Of a command in a script, in the words of Redis 7 and of Redis 6 or Valkey.
    if "can't run this command" in str(error) or "ACL failure" in str(error):
        return _DENIED
    return f"refuses a command ({type(error).__name__})"
