"""Asking the agent: calls of methods of its objects, over a socket that only this user may open."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Client, Connection
from typing import Any

from app.domain.errors import MlflowTooSlow, MlflowUnavailable

# An agent that has just been started imports mlflow, and listens before that.
_STARTING_SECONDS = 15.0
_POLL_SECONDS = 0.25
# The agent bounds what it does; this much later it counts as hanging.
_GRACE_SECONDS = 0.3


@dataclass
class Spent:
    """The requests of a block are counted where they are made: in the agent."""

    requests: int = 0


_deadline: ContextVar[float | None] = ContextVar("agent_deadline", default=None)


class Agent:
    """The agent as the workers see it. Until it has an address it is not used."""

    def __init__(self) -> None:
        self._address: str | None = None
        self._stopping = False

    @property
    def in_use(self) -> bool:
        return self._address is not None

    def use(self, address: str) -> None:
        """From now on ask the agent at this socket."""
        self._address = address

    def stop(self) -> None:
        """Let every caller go: the process is about to end."""
        self._stopping = True

    @contextmanager
    def within(self, seconds: float) -> Iterator[Spent]:
        """Bound all calls in the block together, and by what an enclosing block has left."""
        outer, until = _deadline.get(), time.monotonic() + seconds
        token = _deadline.set(min(until, outer) if outer is not None else until)
        try:
            yield Spent()
        finally:
            _deadline.reset(token)

    def ask(self, target: str, method: str, *args: Any) -> Any:
        """What the method of the agent's object gives or raises. Raises `MlflowUnavailable` where there is no agent."""
        deadline = _deadline.get()
        try:
            with self._connected(deadline) as connection:
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                connection.send((target, method, args, left))
                self._wait(connection, deadline)
                failed, value = connection.recv()
        except (OSError, EOFError):
            raise MlflowUnavailable("The process that talks to MLflow has ended. Try again in some seconds.") from None
        if failed:
            raise value
        return value

    def _connected(self, deadline: float | None) -> Connection:
        until = time.monotonic() + _STARTING_SECONDS
        until = until if deadline is None else min(until, deadline)
        while True:
            try:
                return Client(self._address or "", "AF_UNIX")
            except OSError:
                if self._stopping or time.monotonic() >= until:
                    raise MlflowUnavailable(
                        "The process that talks to MLflow is not there yet. Try again in some seconds."
                    ) from None
                time.sleep(0.05)

    def _wait(self, connection: Connection, deadline: float | None) -> None:
        while not connection.poll(_POLL_SECONDS):
            if self._stopping:
                raise MlflowTooSlow("The service is stopping.")
            if deadline is not None and time.monotonic() > deadline + _GRACE_SECONDS:
                raise MlflowTooSlow("MLflow took longer than the time allowed. Try again later.")


class Elsewhere:
    """An object whose methods are called in the agent, once that is used; until then, on the object here."""

    def __init__(self, agent: Agent, target: str, here: Any, methods: frozenset[str]) -> None:
        self._agent = agent
        self._target = target
        self._here = here
        self._methods = methods

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if self._agent.in_use:
            if name in self._methods:
                return partial(self._agent.ask, self._target, name)
            if name in ("within", "stop"):
                return getattr(self._agent, name)  # type: ignore[no-any-return]
        return getattr(self._here, name)  # type: ignore[no-any-return]
