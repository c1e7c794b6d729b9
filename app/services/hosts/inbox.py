"""What hosts have the leader do: read a model, check a version, sweep. It is told at once, and looks now and then."""

import hashlib
from collections.abc import Callable

from app.services.hosts.link import RedisLink

# MLflow delivers a thing again for some minutes.
_DELIVERY_SECONDS = 900

_ADD = """
redis.call('HSET', KEYS[1], ARGV[1], redis.call('INCR', KEYS[2]))
return redis.call('PUBLISH', ARGV[2], 'inbox')
"""
_DONE = "if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end return 0"


class Inbox:
    """Tasks by name, each once, until the leader has taken them. All methods may raise `Busy`."""

    def __init__(self, link: RedisLink, channel: str) -> None:
        self._link = link
        self._tasks, self._count = link.key("tasks"), link.key("task-count")
        self._channel = channel
        self._under_way: set[tuple[str, str]] = set()

    def add(self, kind: str, what: str = "") -> None:
        """Have the leader do something."""
        self._link.run(_ADD, [self._tasks, self._count], _name(kind, what), self._channel)

    def take(self, do: Callable[[str, str], bool]) -> None:
        """As the leader: do what there is. What `do` is not through with stays, until `done` says so."""
        for (kind, what), number in self._waiting().items():
            if (kind, what) in self._under_way:
                continue
            self._under_way.add((kind, what))
            if do(kind, what):
                self.done(kind, what, number)

    def number(self, kind: str, what: str = "") -> bytes | None:
        """Which asking for a task is the last, to say later that this one is done."""
        return self._waiting().get((kind, what))

    def done(self, kind: str, what: str, number: bytes | None) -> None:
        """Take a task away, unless it was asked for again since."""
        self._under_way.discard((kind, what))
        if number is not None:
            self._link.run(_DONE, [self._tasks], _name(kind, what), number)

    def is_first_delivery(self, delivery_id: str) -> bool:
        """Whether no host took this delivery before."""
        key = self._link.key("delivery", hashlib.sha256(delivery_id.encode(errors="replace")).hexdigest())
        return bool(self._link.ask(lambda: self._link.client.set(key, "1", nx=True, ex=_DELIVERY_SECONDS)))

    def _waiting(self) -> dict[tuple[str, str], bytes]:
        tasks: dict[bytes, bytes] = self._link.ask(lambda: self._link.client.hgetall(self._tasks))
        found = {}
        for task, number in tasks.items():
            kind, _, what = task.decode(errors="replace").partition("\n")
            found[kind, what] = number
        return found


def _name(kind: str, what: str) -> str:
    return f"{kind}\n{what}"
