"""The agent's client: interfaces whose methods are called in the agent, over a socket that only this user may use."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from multiprocessing.connection import Client, Connection
from typing import Any, TypeVar, cast

from app.domain.errors import MlflowTooSlow, MlflowUnavailable
from app.domain.messages import STOPPING
from app.services.agent.calls import BadCall, Method, methods_of

T = TypeVar("T")

# How long a call waits for an agent that is starting. The agent listens before it imports mlflow.
_STARTING_SECONDS = 15.0
_POLL_SECONDS = 0.25
# The agent ends a call at its deadline. Without an answer for this much longer it counts as hanging.
_GRACE_SECONDS = 0.3


@dataclass
class Spent:
    """The requests of a block, always 0 here: they are counted in the agent, which makes them."""

    requests: int = 0


_deadline: ContextVar[float | None] = ContextVar("agent_deadline", default=None)


class AgentLink:
    """A worker's way to the agent of its host. `patience` is the longest that one call to MLflow may take, in seconds.

    Every call fails with `MlflowUnavailable` until the link has an address.
    """

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self._address: str | None = None
        self._stopping = False

    def use(self, address: str) -> None:
        """Ask the agent at this socket from now on."""
        self._address = address

    def stop(self) -> None:
        """Let every waiting call fail, since the process is about to end."""
        self._stopping = True

    @contextmanager
    def within(self, seconds: float) -> Iterator[Spent]:
        """Bound the time of all calls in the block together, also by the time that an enclosing block has left."""
        outer, until = _deadline.get(), time.monotonic() + seconds
        token = _deadline.set(min(until, outer) if outer is not None else until)
        try:
            yield Spent()
        finally:
            _deadline.reset(token)

    def ask(self, method: Method, args: tuple[object, ...], kwargs: Mapping[str, object]) -> Any:
        """Call a method in the agent, and return or raise its result. Raises `MlflowUnavailable` without an agent."""
        deadline = _deadline.get()
        try:
            with self._connected(deadline) as connection:
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                connection.send_bytes(method.request(args, kwargs, left))
                self._wait(connection, deadline)
                content = connection.recv_bytes()
        except (OSError, EOFError):
            raise MlflowUnavailable("The process that talks to MLflow has ended. Try again in some seconds.") from None
        try:
            return method.outcome(content)
        except BadCall:
            # The agent is of another version of the service, and about to be replaced.
            raise MlflowUnavailable("The process that talks to MLflow is of another version. Try again soon.") from None

    def _connected(self, deadline: float | None) -> Connection:
        until = time.monotonic() + _STARTING_SECONDS
        until = until if deadline is None else min(until, deadline)
        while True:
            try:
                return self._opened()
            except OSError:
                if self._stopping or time.monotonic() >= until:
                    raise MlflowUnavailable(
                        "The process that talks to MLflow is not there yet. Try again in some seconds."
                    ) from None
                time.sleep(0.05)

    def _opened(self) -> Connection:
        address = self._address or ""
        # Answers are trusted. If a cleaner removed the directory, another user may have made a new one.
        if os.lstat(os.path.dirname(address)).st_uid != os.getuid():
            raise PermissionError(f"{address} lies in a directory of another user's")
        return Client(address, "AF_UNIX")

    def _wait(self, connection: Connection, deadline: float | None) -> None:
        while not connection.poll(_POLL_SECONDS):
            if self._stopping:
                raise MlflowTooSlow(STOPPING)
            if deadline is not None and time.monotonic() > deadline + _GRACE_SECONDS:
                raise MlflowTooSlow("MLflow took longer than the time allowed. Try again later.")


class _Remote:
    """The base of remote objects, with the time bounds of the link."""

    def __init__(self, link: AgentLink) -> None:
        self._link = link
        self.patience = link.patience
        self.within = link.within
        self.stop = link.stop


def remote(interface: type[T], link: AgentLink) -> T:
    """An object with the methods of an interface, each of which calls the agent."""
    methods = {name: _asking(method) for name, method in methods_of(cast(type, interface)).items()}
    made = type(f"Remote{interface.__name__}", (_Remote,), methods)
    return cast(T, made(link))


def _asking(method: Method) -> Callable[..., Any]:
    def ask(self: _Remote, *args: object, **kwargs: object) -> Any:
        return self._link.ask(method, args, kwargs)

    return ask
