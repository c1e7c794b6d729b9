"""The shared cache of many hosts: written through Redis, read from what this host stores.

Each host's agent keeps a copy for its workers, who ask nobody outside their host. A change counts once Redis has it;
each host takes the changes of a key in the order in which they count, so that nobody goes back.
"""

import logging
import threading
from collections.abc import Mapping
from typing import Any

import orjson

from app.domain.errors import Busy
from app.domain.held import Token
from app.domain.ports import StoredCache
from app.services.host.checked import digest_of
from app.services.hosts.redis_locks import fences
from app.services.hosts.redis_values import LOST, Contents, Fenced, OtherEpoch, RedisValues, Revision

log = logging.getLogger(__name__)

# A value that is replaced while it is read is looked for again so often.
_TRIES = 5


class ReplicatedCache:
    """A `StoredCache` whose values are those of all hosts, while Redis answers.

    What changes while it does not is kept on this host; `is_behind` then says that all is to be read from MLflow again.
    """

    def __init__(self, local: StoredCache, values: RedisValues) -> None:
        self._local = local
        self._values = values
        self._epoch: str | None = None
        self._taken: dict[str, Revision] = {}
        # The keys that had values before Redis lost them all, in the order of their changes.
        self._lost: list[str] = []
        self._tokens: dict[str, Token | None] = {}
        self._changes = self._made = 0
        # Keys whose values count and cannot be read, each with the digest: damaged, or replaced a moment ago.
        self._unread: frozenset[tuple[str, str]] = frozenset()
        self._known_unread = self._unread
        self._is_behind = False
        self._changing = threading.RLock()

    def get(self, key: str) -> Any:
        return self._local.get(key)

    def token(self, key: str) -> Token | None:
        return self._local.token(key)

    def mark(self, key: str) -> object:
        return self._local.mark(key)

    def facts(self, key: str) -> tuple[int, float] | None:
        return self._local.facts(key)

    def body(self, key: str) -> bytes | None:
        return self._local.body(key)

    def announce(self, key: str) -> None:
        self._local.announce(key)

    def catch_up(self) -> None:
        self._local.catch_up()

    def set(self, key: str, value: Any) -> bool:
        """Whether the other processes of this host see the value. Raises `Fenced` where it came too late."""
        return self.set_many({key: value})

    def store(self, key: str, body: bytes) -> bool:
        return self._change({key: body})

    def set_many(self, values: Mapping[str, Any]) -> bool:
        """Several values that begin to count at once, for all hosts; on this host they are stored in this order."""
        return self._change({key: orjson.dumps(value) for key, value in values.items()})

    def delete(self, key: str) -> bool:
        return self._change({key: None})

    def look(self) -> None:
        """Once a second: see what others did to the stored values, and put back from Redis what they changed."""
        self._local.look()
        with self._changing:
            for key, token in list(self._tokens.items()):
                if self._local.token(key) != token:
                    self._taken.pop(key, None)
                    self._tokens.pop(key, None)
                    self._changes = -1

    def changes(self) -> int:
        """The number of the last change that this host has, with all before it."""
        return self._changes

    @property
    def epoch(self) -> str | None:
        """Which life of Redis this host is in step with; None before the first time."""
        return self._epoch

    def changes_made(self) -> int:
        """The number of the last change that was made on this host."""
        return self._made

    def is_behind(self) -> bool:
        """Whether something was changed here that others did not see, or there that cannot be read here.

        A call that returns True ends that.
        """
        behind, self._is_behind = self._is_behind, False
        return behind

    def follow(self) -> bool:
        """Take what changed on other hosts; whether Redis had lost everything since the last time. Raises `Busy`."""
        with self._changing:
            is_other = False
            for _ in range(_TRIES):
                contents = self._values.contents()
                if contents is None:
                    return False
                is_other |= self._epoch is not None and contents.epoch != self._epoch
                if contents.epoch != self._epoch:
                    self._begin(contents)
                elif not self._taken.keys() <= contents.revisions.keys():
                    # No host removes a revision, so somebody else did.
                    self._values.end(contents.epoch)
                    raise OtherEpoch(LOST)
                unread = self._unread
                is_stored = True
                if contents.changes != self._changes or unread:
                    is_stored = self._take(contents)
                # A value that cannot be read, be it damaged, holds up nothing else. What this host cannot store, it has
                # not, and does not say so.
                if is_stored:
                    self._changes = contents.changes
                if self._unread == unread:
                    break
            # Who leads then reads MLflow, and shares all of it again.
            self._is_behind |= not self._unread <= self._known_unread
            self._known_unread = self._unread
            return is_other

    def seed(self, keys: list[str]) -> None:
        """Have this host's values count where Redis has none: those of these keys, and all that Redis has lost.

        An index counts after its parts, so it comes last among `keys`. Raises `Busy`.
        """
        with self._changing:
            absent = [key for key in dict.fromkeys([*keys, *self._lost]) if key not in self._taken]
            bodies = {key: body for key in absent if (body := self._local.body(key)) is not None}
            if bodies and self._epoch is not None:
                # Another host may have changed a key since this one looked. That change is newer, and stays.
                self._note(self._values.commit(self._epoch, bodies, self._taken, fences(), only_absent=True))

    def _begin(self, contents: Contents) -> None:
        """Take note of another epoch; at a start, values that are the same are there already."""
        self._epoch, self._changes, self._made = contents.epoch, -1, 0
        if self._taken:
            self._lost = sorted(self._taken, key=lambda key: self._taken[key].number)
        self._taken = {}
        self._tokens = {}
        for key, revision in contents.revisions.items():
            body = self._local.body(key) if revision.digest else None
            if body is not None and digest_of(body) == revision.digest:
                self._note({key: revision})

    def _take(self, contents: Contents) -> bool:
        """Store what this host lacks, in the order of the changes; whether the disk took all that could be read."""
        lacking = sorted(
            ((revision.number, key, revision) for key, revision in contents.revisions.items()
             if self._taken.get(key) != revision),
        )  # fmt: skip
        there = [(key, revision.digest) for _, key, revision in lacking if revision.digest]
        bodies = dict(zip(there, self._values.read(there), strict=True))
        self._unread = frozenset(place for place, body in bodies.items() if body is None)
        for _, key, revision in lacking:
            if not revision.digest:
                self._local.delete(key)
            elif (body := bodies[key, revision.digest]) is None:
                continue
            elif not self._local.store(key, body):
                return False
            self._note({key: revision})
        return True

    def _change(self, bodies: Mapping[str, bytes | None]) -> bool:
        with self._changing:
            self._share(bodies)
            stored = [
                self._local.delete(key) if body is None else self._local.store(key, body)
                for key, body in bodies.items()
            ]
            self._tokens.update({key: self._local.token(key) for key in bodies if key in self._tokens})
            return all(stored)

    def _share(self, bodies: Mapping[str, bytes | None]) -> None:
        try:
            if self._epoch is None:
                self.follow()
            if self._epoch is None:
                raise Busy("Redis holds nothing yet. Try again in some seconds.")
            made = self._values.commit(self._epoch, bodies, self._taken, fences())
            # A value that was there already counts under an earlier number, and must not hide what was changed before.
            self._made = max([self._made, *(revision.number for revision in made.values())])
            self._note(made)
        except (Fenced, OtherEpoch):
            self._is_behind = True
            raise
        except Busy as error:
            # What MLflow has taken is acknowledged all the same; the hosts agree again when Redis answers.
            self._is_behind = True
            log.warning("What was changed here is not shared with the other hosts yet: %s", error.detail)

    def _note(self, revisions: Mapping[str, Revision]) -> None:
        for key, revision in revisions.items():
            self._taken[key] = revision
            self._tokens[key] = self._local.token(key)
            if revision.number == self._changes + 1:
                self._changes = revision.number
