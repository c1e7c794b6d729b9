"""The agent's server answers calls, each on a thread of its own, until the keeper is gone."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import Any, Protocol

import msgspec

from app.services.agent.calls import BadCall, Method, answer, arguments_of, crash, methods_of, read_request

log = logging.getLogger(__name__)

# At the end other workers may still answer requests that need the agent. It leaves when nobody has called for so long.
_QUIET_SECONDS = 1.0
# More than all worker threads of a usual host. Further calls wait to be accepted.
_BACKLOG = 512


class Alive(Protocol):
    """The interface by which the keeper sees whether the agent is stuck."""

    def is_alive(self) -> bool: ...


class Handover(msgspec.Struct, frozen=True):
    """What the keeper hands to a new agent: where to listen, the settings as JSON, and the descriptor of the marks."""

    address: str
    settings: str
    marks: int | None = None


class AgentServer:
    """Calls methods of objects for other processes of this user.

    `exposed` maps an interface to the object that has its methods.
    """

    def __init__(
        self,
        address: str,
        within: Callable[[float], AbstractContextManager[Any]],
        exposed: Mapping[type, object],
    ) -> None:
        self._within = within
        self._methods: dict[tuple[str, str], tuple[Method, Callable[..., object]]] = {}
        for interface, target in {**exposed, Alive: self}.items():
            for name, method in methods_of(interface).items():
                self._methods[interface.__name__, name] = (method, getattr(target, name))
        self._under_way = 0
        self._called_at = time.monotonic()
        self._counting = threading.Lock()
        # The old socket is that of a killed agent, or of one that is about to end and shall get no more calls.
        Path(address).unlink(missing_ok=True)
        self._listener = Listener(address, "AF_UNIX", _BACKLOG)

    def serve(self) -> None:
        """Answer calls for ever."""
        while True:
            try:
                connection = self._listener.accept()
            except OSError as error:
                log.warning("A call could not be taken: %s", error)
                time.sleep(0.1)
                continue
            threading.Thread(target=self._answer, args=(connection,), name="asked", daemon=True).start()

    def is_alive(self) -> bool:
        return True

    def wait_for_the_last(self, seconds: float) -> None:
        """Return when the calls under way are done and no more come, at the latest after `seconds`."""
        began = time.monotonic()
        while (now := time.monotonic()) < began + seconds:
            if not self._under_way and now > max(began, self._called_at) + _QUIET_SECONDS:
                break
            time.sleep(0.02)

    def _answer(self, connection: Connection) -> None:
        with self._counting:
            self._under_way += 1
            self._called_at = time.monotonic()
        try:
            with connection, suppress(OSError, EOFError):
                connection.send_bytes(self._outcome(connection.recv_bytes()))
        finally:
            with self._counting:
                self._under_way -= 1

    def _outcome(self, content: bytes) -> bytes:
        try:
            request = read_request(content)
            method, function = self._methods[request.interface, request.method]
            args = arguments_of(method, request)
        except (BadCall, KeyError) as error:
            log.warning("A call that is not of this interface was refused: %s", error)
            return crash(error)
        try:
            with nullcontext() if request.seconds is None else self._within(request.seconds):
                return answer(lambda: function(*args))
        except Exception as error:
            log.exception("A call of %s failed", request.method)
            return crash(error)
