"""The link to Redis: bounded in time, given up at once while Redis is away, with errors in our words."""

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
)
from redis.retry import Retry

from app.domain.errors import Busy

log = logging.getLogger(__name__)
T = TypeVar("T")

# The longest that Redis may take to answer. A slower one is as good as none for who waits for a list.
ANSWER_SECONDS = 1.0
# A later version of the service that stores other things, or stores them otherwise, has another number here. Its hosts
# then have values and a leader of their own, beside those of this version; locks on model versions are common to all.
FORMAT = 1

_WORDS: tuple[tuple[type[RedisError], str], ...] = (
    (AuthenticationError, "does not accept the user or the password. Check REDIS_URL"),
    (NoPermissionError, "denies this user a command that is needed. Check its access list"),
    (BusyLoadingError, "is loading its data"),
    (ReadOnlyError, "is read-only. Check that REDIS_URL names the primary"),
    (OutOfMemoryError, "is full. Raise its maxmemory"),
    (redis.exceptions.TimeoutError, "does not answer in time"),
    (redis.exceptions.ConnectionError, "cannot be reached"),
)


class RedisLink:
    """Commands and scripts, under one prefix. Once one fails, all fail at once until a beat gets through again."""

    def __init__(self, url: str, prefix: str) -> None:
        self._client = redis.Redis.from_url(
            url,
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
            # A second try would double the time; the beat tries again.
            retry=Retry(NoBackoff(), 0),
            client_name="control-tower",
        )
        self._prefix = prefix
        self._scripts: dict[str, Any] = {}
        self._why: str | None = "was not asked yet"

    @property
    def client(self) -> Any:
        """redis-py's client, for cachelib and for listening. Its errors are redis-py's."""
        return self._client

    @property
    def why_down(self) -> str | None:
        """What is wrong with Redis, as the rest of a sentence; None where it answers."""
        return self._why

    def key(self, *parts: str) -> str:
        """A key that only hosts with the same format look at."""
        return self.common(f"f{FORMAT}", *parts)

    def common(self, *parts: str) -> str:
        """A key that all hosts look at, of whatever version."""
        # In braces, since keys that one script uses must lie on one node of a cluster.
        return ":".join((f"{{{self._prefix}}}", *parts))

    def run(self, script: str, keys: list[str], *args: Any) -> Any:
        """The answer of a script in Lua. Raises `Busy`."""
        return self.ask(lambda: self._script(script)(keys=keys, args=args))

    def ask(self, command: Callable[[], T]) -> T:
        """The answer to a command. Raises `Busy`, at once while Redis is away."""
        if self._why is not None:
            raise Busy(f"Redis {self._why}. Try again in some seconds.")
        return self._answer(command)

    def beat(self, script: str, keys: list[str], *args: Any) -> tuple[Any, float]:
        """As `run`, also while Redis is away; how long it took beside, in seconds."""
        began = time.monotonic()
        answer = self._answer(lambda: self._script(script)(keys=keys, args=args))
        if self._why is not None:
            log.info("Redis answers")
            self._why = None
        return answer, time.monotonic() - began

    def failed(self, error: RedisError) -> Busy:
        """Note that Redis is away; what to raise for it."""
        why = in_our_words(error)
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
    """What is wrong, as the rest of a sentence that begins with "Redis": never its own text."""
    for kind, words in _WORDS:
        if isinstance(error, kind):
            return words
    if str(error).startswith("MISCONF"):
        return "cannot save its data, and takes no more. Check its disk"
    return f"refuses a command ({type(error).__name__})"
