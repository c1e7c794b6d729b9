"""Tasks of all hosts for the leader: read a model, check a version, sweep. The leader gets a hint, and also polls."""

import hashlib
from collections.abc import Callable

from app.services.hosts.link import RedisLink

# MLflow repeats a delivery for some minutes.
_DELIVERY_SECONDS = 900

_ADD = """
redis.call('HSET', KEYS[1], ARGV[1], redis.call('INCR', KEYS[2]))
return redis.call('PUBLISH', ARGV[2], 'inbox')
"""
_DONE = "if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end return 0"


class Inbox:
    """Tasks by name, each once, until the leader has done them. All methods may raise `Busy`."""

    def __init__(self, link: RedisLink, channel: str) -> None:
        self._link = link
        self._tasks, self._count = link.key("tasks"), link.key("task-count")
        self._channel = channel
        self._under_way: set[tuple[str, str]] = set()

    def add(self, kind: str, what: str = "") -> None:
        """Add a task for the leader."""
        self._link.run(_ADD, [self._tasks, self._count], _name(kind, what), self._channel)

    def take(self, do: Callable[[str, str], bool]) -> None:
        """Do the waiting tasks, as the leader. A task for which `do` returns False stays until `done`."""
        for (kind, what), number in self._waiting().items():
            if (kind, what) in self._under_way:
                continue
            self._under_way.add((kind, what))
            if do(kind, what):
                self.done(kind, what, number)

    def number(self, kind: str, what: str = "") -> bytes | None:
        """The number of the last request for a task, to be passed to `done`; None if the task is not waiting."""
        return self._waiting().get((kind, what))

    def done(self, kind: str, what: str, number: bytes | None) -> None:
        """Remove a task, unless it was requested again since `number`."""
        self._under_way.discard((kind, what))
        if number is not None:
            self._link.run(_DONE, [self._tasks], _name(kind, what), number)

    def is_first_delivery(self, delivery_id: str) -> bool:
        """Whether no host has taken this delivery before."""
        key = self._link.key("delivery", hashlib.sha256(delivery_id.encode(errors="replace")).hexdigest())
        return bool(self._link.ask(lambda: self._link.client.set(key, "1", nx=True, ex=_DELIVERY_SECONDS)))

    def _waiting(self) -> dict[tuple[str, str], bytes]:
        tasks: dict[bytes, bytes] = self._link.ask(lambda: self._link.client.hgetall(self._tasks))
        waiting = {}
        for task, number in tasks.items():
            kind, _, what = task.decode(errors="replace").partition("\n")
            waiting[kind, what] = number
        return waiting


def _name(kind: str, what: str) -> str:
    return f"{kind}\n{what}"
