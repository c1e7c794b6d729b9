"""Tasks of all hosts for the leader: read a model, check a version, sweep. The leader gets a hint, and also polls."""

import hashlib
import logging
from collections.abc import Callable

from app.domain.errors import TowerError
from app.services.hosts.link import RedisLink

log = logging.getLogger(__name__)

# MLflow repeats a delivery for some minutes.
_DELIVERY_SECONDS = 900

_ADD = """
redis.call('HSET', KEYS[1], ARGV[1], redis.call('INCR', KEYS[2]))
return redis.call('PUBLISH', ARGV[2], 'inbox')
"""
_ADD_DELIVERY = """
if not redis.call('SET', KEYS[3], '1', 'NX', 'EX', ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], redis.call('INCR', KEYS[2]))
redis.call('PUBLISH', ARGV[2], 'inbox')
return 1
"""
_DONE = "if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end return 0"


class Inbox:
    """Tasks by name, each once, until the leader has done them. All methods may raise `Busy`."""

    def __init__(self, link: RedisLink, channel: str) -> None:
        self._link = link
        self._tasks, self._count = link.key("tasks"), link.key("task-count")
        self._channel = channel

    def add(self, kind: str, what: str = "") -> None:
        """Add a task for the leader."""
        self._link.run(_ADD, [self._tasks, self._count], _name(kind, what), self._channel)

    def take(self, do: Callable[[str, str], bool]) -> None:
        """Do the waiting tasks, as the leader. A task for which `do` returns False stays until `done`.

        A task that cannot be done, as one that no host has added, is logged and dropped, and ends no other.
        """
        for (kind, what), number in self._waiting().items():
            try:
                is_done = do(kind, what)
            except TowerError:
                raise
            except Exception:
                log.exception("A task for the leader cannot be done: %.20r", kind)
                is_done = True
            if is_done:
                self.done(kind, what, number)

    def number(self, kind: str, what: str = "") -> bytes | None:
        """The number of the last request for a task, to be passed to `done`; None if the task is not waiting."""
        return self._waiting().get((kind, what))

    def done(self, kind: str, what: str, number: bytes | None) -> None:
        """Remove a task, unless it was requested again since `number`."""
        if number is not None:
            self._link.run(_DONE, [self._tasks], _name(kind, what), number)

    def add_delivery(self, delivery_id: str, kind: str, what: str) -> bool:
        """Add a task that a delivery of MLflow's asks for; False where any host has taken that delivery before."""
        key = self._link.key("delivery", hashlib.sha256(delivery_id.encode(errors="replace")).hexdigest())
        keys = [self._tasks, self._count, key]
        return bool(self._link.run(_ADD_DELIVERY, keys, _name(kind, what), self._channel, _DELIVERY_SECONDS))

    def _waiting(self) -> dict[tuple[str, str], bytes]:
        tasks: dict[bytes, bytes] = self._link.ask(lambda: self._link.client.hgetall(self._tasks))
        waiting = {}
        for task, number in tasks.items():
            kind, _, what = task.decode(errors="replace").partition("\n")
            waiting[kind, what] = number
        return waiting


def _name(kind: str, what: str) -> str:
    return f"{kind}\n{what}"
