"""The agent's side: it answers calls, each on a thread of its own, until its keeper is gone."""

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import Any

from app.domain.errors import TowerError

log = logging.getLogger(__name__)

# More than the threads of all workers of a usual host; a call beyond waits to be accepted.
_BACKLOG = 512
# What the keeper asks to see whether the agent is stuck.
SIGN_OF_LIFE = ("server", "is_there")


@dataclass(frozen=True)
class Handover:
    """What the keeper tells a new agent: where to listen, and the settings of the service."""

    address: str
    settings: Any


class Server:
    """Calls methods of objects for other processes of this user."""

    def __init__(self, address: str, within: Callable[[float], AbstractContextManager[Any]]) -> None:
        # What a killed agent left behind, or one that is about to end: it gets no more calls.
        Path(address).unlink(missing_ok=True)
        self._listener = Listener(address, "AF_UNIX", _BACKLOG)
        self._within = within
        self._under_way = 0
        self._counting = threading.Lock()

    def serve(self, targets: Mapping[str, tuple[object, frozenset[str]]]) -> None:
        """Answer calls of the methods named, for ever."""
        name, method = SIGN_OF_LIFE
        targets = {**targets, name: (self, frozenset({method}))}
        while True:
            try:
                connection = self._listener.accept()
            except OSError as error:
                log.warning("A call could not be taken: %s", error)
                time.sleep(0.1)
                continue
            threading.Thread(target=self._answer, args=(connection, targets), name="asked", daemon=True).start()

    def is_there(self) -> bool:
        """A sign of life."""
        return True

    def leave(self, seconds: float) -> None:
        """End the process when the calls under way are done, or after so long."""
        until = time.monotonic() + seconds
        while self._under_way and time.monotonic() < until:
            time.sleep(0.02)
        # Not through the interpreter's end, which would wait for threads that hang in MLflow.
        os._exit(0)

    def _answer(self, connection: Connection, targets: Mapping[str, tuple[object, frozenset[str]]]) -> None:
        with self._counting:
            self._under_way += 1
        try:
            with connection, suppress(OSError, EOFError):
                name, method, args, seconds = connection.recv()
                connection.send(self._call(targets, name, method, args, seconds))
        finally:
            with self._counting:
                self._under_way -= 1

    def _call(
        self,
        targets: Mapping[str, tuple[object, frozenset[str]]],
        name: str,
        method: str,
        args: tuple[Any, ...],
        seconds: float | None,
    ) -> tuple[bool, Any]:
        target, methods = targets[name]
        try:
            if method not in methods:
                raise AttributeError(method)
            with nullcontext() if seconds is None else self._within(seconds):
                return False, getattr(target, method)(*args)
        except TowerError as error:
            return True, error
        except Exception as error:
            log.exception("A call of %s failed", method)
            return True, RuntimeError(type(error).__name__)
