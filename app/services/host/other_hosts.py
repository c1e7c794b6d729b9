"""The other hosts of this service: what a worker asks of them, what the agent of a host that is alone answers."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

from app.domain.errors import Busy, TowerError
from app.domain.ports import Monotonic, OtherHosts, SharedCache
from app.services.host.marks import Marks

# Under this key of the host's own cache the agent stores the state of its link to the other hosts.
STATE = "hosts"

_ASK_SECONDS = 1.0
_AGAIN_SECONDS = 0.25


class Leading(OtherHosts, Protocol):
    """The agent's link to the other hosts."""

    def start(self) -> None: ...

    def await_others(self, seconds: float) -> None:
        """Wait until this host has what the others have, so long at most, and its workers could decode it."""
        ...

    def resign(self) -> None:
        """Let another host lead at once, if this one leads. This one stays in step until it stops."""
        ...

    def stop(self) -> None:
        """Leave the other hosts, before the process ends."""
        ...

    def leading(self) -> AbstractContextManager[None]:
        """Do the work in the block as the leader. Raises `Busy` where another host leads."""
        ...

    def may_lead(self) -> bool:
        """Whether this host leads."""
        ...


class Alone:
    """The link of a host that is alone: it leads, and has nobody to catch up with."""

    def start(self) -> None:
        pass

    def resign(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def await_others(self, _: float) -> None:
        pass

    @contextmanager
    def within(self, _: float) -> Iterator[None]:
        """Nothing here takes time."""
        yield

    def catch_up(self) -> None:
        pass

    def settle(self) -> None:
        pass

    def leading(self) -> AbstractContextManager[None]:
        return nullcontext()

    def may_lead(self) -> bool:
        return True


class Following:
    """In a worker: sees to it that no request is answered from data older than what another host has confirmed.

    The agent notes in the marks until when workers may serve without asking it.
    """

    def __init__(self, marks: Marks, hosts: OtherHosts, monotonic: Monotonic) -> None:
        self._marks = marks
        self._hosts = hosts
        self._monotonic = monotonic
        self._asking = threading.Lock()
        self._asked_at = -_AGAIN_SECONDS

    def ensure(self) -> None:
        """Have the agent catch up if it has not done so for a second. Raises `Busy` until it has done so once.

        If the agent does not answer later, what this host has is served, and its state says what is wrong.
        """
        if self._marks.may_serve(self._monotonic()):
            return
        with self._asking:
            now = self._monotonic()
            if self._marks.may_serve(now) or (self._marks.has_served() and now - self._asked_at < _AGAIN_SECONDS):
                return
            try:
                with self._hosts.within(_ASK_SECONDS):
                    self._hosts.catch_up()
            except TowerError:
                if not self._marks.has_served():
                    raise Busy("This host is starting. Try again in some seconds.", 2) from None
            self._asked_at = self._monotonic()


class HostsRecord:
    """The state of this host's link to the others, as its agent stored it last."""

    def __init__(self, cache: SharedCache, marks: Marks, monotonic: Monotonic) -> None:
        self._cache = cache
        self._marks = marks
        self._monotonic = monotonic

    def report(self) -> dict[str, Any]:
        """`alive`: how many hosts are alive; `leader`: the name of the host that leads, or None; `leads`: whether this
        host leads; `redis`: "connected", or what is wrong with it."""
        stored = self._cache.get(STATE)
        if not isinstance(stored, dict):
            return {"alive": 0, "leader": None, "leads": False, "redis": "was not asked yet"}
        return {
            "alive": stored.get("alive", 0),
            "leader": stored.get("leader"),
            "leads": self.lease_seconds() > 0,
            "redis": stored.get("redis") or "connected",
        }

    def lease_seconds(self) -> float:
        """How long the lease of this host lasts if nobody renews it; 0 where another host leads."""
        return self._marks.lease_seconds(self._monotonic())

    def is_ready(self) -> bool:
        """Whether this host had what the other hosts have, once since its start."""
        return self._marks.has_served()
