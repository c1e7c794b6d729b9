"""Values in Redis: cachelib's RedisCache holds them, and a script says which of them count.

A value is stored under its key and a digest of its content. A hash names the digest that counts for each key, with a
number that grows with every change. So values are stored before they count, and several of them change at once. A
writer names its locks, and its values count only if it still holds them.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from cachelib import RedisCache
from redis.exceptions import ResponseError

from app.domain.errors import Busy
from app.services.host.checked import digest_of, packed, unpacked
from app.services.hosts.link import RedisLink
from app.services.hosts.redis_locks import Fence

log = logging.getLogger(__name__)

_MANY = 16
# A value that no change names, since its writer died or was refused, expires after this time.
_UNUSED_SECONDS = 600

# What the script below says of a write that it refused.
_OTHER_EPOCH, _FENCED = -1, -2

LOST = "Redis has lost what it held a moment ago. Try again in some seconds."

# KEYS: epoch, changes, revisions, then locks. ARGV: the epoch, how many locks, their tokens, the prefix of values, the
# channel, "absent" if only keys without any change are set, then for each change its key, and its digest, which is
# empty where the value is deleted. The number of a change that was not made is 0.
_COMMIT = """
local tokens = tonumber(ARGV[2])
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {-1} end
for i = 1, tokens do
    if redis.call('GET', KEYS[3 + i]) ~= ARGV[2 + i] then return {-2} end
end
local values, channel, absent = ARGV[3 + tokens], ARGV[4 + tokens], ARGV[5 + tokens] == 'absent'
local numbers = {1}
for i = 6 + tokens, #ARGV, 2 do
    local key, digest = ARGV[i], ARGV[i + 1]
    local known = redis.call('HGET', KEYS[3], key) or ''
    local number, old = string.match(known, '^(%d+):(.*)$')
    local stays = absent and old and old ~= digest
    if digest ~= '' and not stays then redis.call('PERSIST', values .. key .. '@' .. digest) end
    if stays then
        number = 0
    elseif old ~= digest then
        number = redis.call('INCR', KEYS[2])
        redis.call('HSET', KEYS[3], key, number .. ':' .. digest)
        if old and old ~= '' then redis.call('UNLINK', values .. key .. '@' .. old) end
    end
    numbers[#numbers + 1] = tonumber(number)
end
redis.call('PUBLISH', channel, 'changed')
return numbers
"""


# KEYS: epoch, changes, revisions. ARGV: the epoch.
_END = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1], KEYS[2], KEYS[3]) end return 0"


@dataclass(frozen=True, slots=True)
class Revision:
    """The change of a key that counts: its number, and the digest of the value, empty if the value was deleted."""

    number: int
    digest: str


@dataclass(frozen=True, slots=True)
class Contents:
    """The changes that count at one moment. `epoch` changes when Redis has lost everything."""

    epoch: str
    changes: int
    revisions: Mapping[str, Revision]


class Fenced(Busy):
    """The write was refused, since another holder has a lock that the writer relied on."""


class OtherEpoch(Busy):
    """The write was refused, since Redis has lost everything since the writer looked."""


class CheckedBody:
    """Replaces cachelib's serializer, which is pickle by default: a planted value must never be executed.

    A value is the format's name, a checksum and JSON, as in the files. Anything else reads as None, a miss.
    """

    def dumps(self, body: bytes) -> bytes:
        return packed(body)

    def loads(self, content: bytes | None) -> bytes | None:
        return None if content is None else unpacked(content, "A value in Redis")


class RedisValues:
    """JSON values by key. All methods may raise `Busy`."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._prefix = link.key("value") + ":"
        self._epoch, self._changes, self._revisions = link.key("epoch"), link.key("changes"), link.key("revisions")
        self.channel = link.key("news")
        self._values = RedisCache(link.client, default_timeout=0, key_prefix=self._prefix)
        self._values.serializer = CheckedBody()  # type: ignore[assignment]  # cachelib names its own class

    def contents(self) -> Contents | None:
        """The present contents; None if Redis has nothing, as after a loss, until the next beat."""

        def read() -> tuple[bytes | None, bytes | None, dict[bytes, bytes]]:
            with self._link.client.pipeline(transaction=True) as pipe:
                pipe.get(self._epoch).get(self._changes).hgetall(self._revisions)
                epoch, changes, revisions = pipe.execute()
                if changes is not None and not changes.isdigit():
                    raise ResponseError("the number of changes was written over")
                return epoch, changes, revisions

        epoch, changes, revisions = self._link.ask(read)
        if epoch is None:
            return None
        by_key = {}
        for key, value in revisions.items():
            number, _, digest = value.decode(errors="replace").partition(":")
            if number.isdecimal():
                by_key[key.decode(errors="replace")] = Revision(int(number), digest)
        return Contents(epoch.decode(errors="replace"), int(changes or 0), by_key)

    def end(self, epoch: str) -> None:
        """End an epoch whose revisions are not complete. With the next beat another one begins."""
        self._link.run(_END, [self._epoch, self._changes, self._revisions], epoch)

    def read(self, wanted: Sequence[tuple[str, str]]) -> list[bytes | None]:
        """The values of (key, digest) pairs, as JSON; None for a value that is missing or does not match its digest."""
        bodies: list[bytes | None] = []
        for start in range(0, len(wanted), _MANY):
            some = wanted[start : start + _MANY]
            names = [f"{key}@{digest}" for key, digest in some]
            values: list[bytes | None] = self._link.ask(partial(self._values.get_many, *names))
            bodies += [
                body if body is not None and digest_of(body) == digest else None
                for (_, digest), body in zip(some, values, strict=True)
            ]
        return bodies

    def commit(
        self,
        epoch: str,
        bodies: Mapping[str, bytes | None],
        known: Mapping[str, Revision],
        fences: Iterable[Fence],
        *,
        only_absent: bool = False,
    ) -> dict[str, Revision]:
        """Have all these values count, or none; None deletes. What counts now of each.

        `known`: what this host knows to count. `only_absent`: a key that any host has changed in this epoch stays as it
        is, and is not in the answer unless it has this very value. Raises `Fenced` and `OtherEpoch`.
        """
        digests = {key: "" if body is None else digest_of(body) for key, body in bodies.items()}
        for key, body in bodies.items():
            if body is None:
                continue
            # A value that counts already is written too, which repairs a damaged value.
            unchanged = key in known and known[key].digest == digests[key]
            timeout = 0 if unchanged else _UNUSED_SECONDS
            name = f"{key}@{digests[key]}"
            self._link.ask(partial(self._values.set, name, body, timeout))
        held = list(fences)
        changes = [part for key, digest in digests.items() for part in (key, digest)]
        answer = self._link.run(
            _COMMIT,
            [self._epoch, self._changes, self._revisions, *(key for key, _ in held)],
            epoch, len(held), *(token for _, token in held), self._prefix, self.channel,
            "absent" if only_absent else "", *changes,
        )  # fmt: skip
        if answer[0] == _OTHER_EPOCH:
            raise OtherEpoch(LOST)
        if answer[0] == _FENCED:
            raise Fenced("This host was held up, and another one does this now. Try again.")
        numbers = answer[1:]
        made = zip(digests, numbers, strict=True)
        return {key: Revision(number, digests[key]) for key, number in made if number}
