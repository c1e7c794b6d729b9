"""Whether MLflow answers. All workers together ask at most once in five seconds."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, TypedDict

from app.domain.errors import Busy, LockTimeout, TowerError
from app.domain.ports import Clock, Gateway, Locks, MlflowFacts, Monotonic, SharedCache, WritableCache
from app.domain.shapes import has_shape
from app.domain.times import age_ms
from app.services.host.marks import Marks

log = logging.getLogger(__name__)

_PROBE = "probe"
_EVERY_SECONDS = 5.0
# `/health` promises an answer within 2 s.
_WAIT_SECONDS = 1.5
_ASK_SECONDS = _WAIT_SECONDS - 0.1
# For this time after its start a process asks MLflow itself, without MLflow's client: the agent may not run yet.
_STARTING_SECONDS = 30.0


class _Probe(TypedDict):
    asked_at: int
    experiments: int | None
    connected: bool


class SharedSign:
    """This process's view of the last sign of life that the agent shares."""

    def __init__(self, cache: SharedCache, clock: Clock, monotonic: Monotonic) -> None:
        self._cache = cache
        self._clock = clock
        self._monotonic = monotonic
        # The last sign that this process saw, and when it first did, in seconds.
        self._seen: tuple[Any, float] = (None, 0.0)

    def seen(self) -> tuple[int, bool] | None:
        """When MLflow was last asked for a sign of life (milliseconds), and whether it gave one. Does not ask it."""
        last = self._last()
        asked_at = last.get("asked_at")
        if not asked_at or age_ms(asked_at, self._clock()) is None:
            return None
        return asked_at, bool(last.get("connected"))

    def _last(self) -> dict[str, Any]:
        stored = self._cache.get(_PROBE)
        return stored if has_shape(stored, _Probe) else {}

    def _is_fresh(self, probe: dict[str, Any]) -> bool:
        now = self._monotonic()
        if probe != self._seen[0]:
            self._seen = (probe, now)
        # The time of day holds between processes; the monotonic clock helps where the time of day was turned back.
        age = (self._clock() - (probe.get("asked_at") or 0)) / 1000
        # The clock of another host may be a little ahead.
        return abs(age) < _EVERY_SECONDS and now - self._seen[1] < _EVERY_SECONDS


class Probe(SharedSign):
    """The agent's sign of life: it asks MLflow, and shares the answer."""

    def __init__(
        self, gateway: Gateway, cache: WritableCache, locks: Locks, clock: Clock, monotonic: Monotonic
    ) -> None:
        super().__init__(cache, clock, monotonic)
        self._gateway = gateway
        self._writable = cache
        self._locks = locks

    def sign(self) -> tuple[bool, int | None]:
        """Whether MLflow answers, and how many active experiments it has (None: it never said)."""
        last = self._last()
        if not self._is_fresh(last):
            try:
                # Whoever holds the lock asks; the others wait for the answer, no longer than it may take.
                with self._locks.hold(_PROBE, _WAIT_SECONDS):
                    last = self._last()
                    if not self._is_fresh(last):
                        last = self._ask(last)
            except (LockTimeout, OSError):
                last = self._last()
            except Busy:
                # The other hosts cannot be asked, so this host asks MLflow itself.
                last = self._ask(last)
        return _answer_of(last)

    def _ask(self, last: dict[str, Any]) -> dict[str, Any]:
        probe: dict[str, Any] = {
            "asked_at": self._clock(),
            "experiments": last.get("experiments"),
            "connected": False,
        }
        try:
            with self._gateway.within(_ASK_SECONDS):
                probe |= {"experiments": self._gateway.ping(), "connected": True}
        except TowerError as error:
            log.warning("MLflow gives no sign of life: %s", error.detail)
        self._writable.set(_PROBE, probe)
        return probe


class Health(SharedSign):
    """A worker's sign of life: the shared one while it is fresh; then the agent is asked.

    `gives_sign` asks MLflow from this process, in its first half minute: there may be no agent yet. By `marks` the
    workers share that sign; without, each has its own.
    """

    def __init__(
        self,
        cache: SharedCache,
        facts: MlflowFacts,
        clock: Clock,
        monotonic: Monotonic,
        gives_sign: Callable[[float], bool],
        marks: Marks | None = None,
    ) -> None:
        super().__init__(cache, clock, monotonic)
        self._marks = marks
        self._facts = facts
        self._gives_sign = gives_sign
        self._first_asked: float | None = None
        # When this process last had a sign without the agent, in seconds.
        self._own_sign_at: float | None = None
        self._asking = threading.Lock()

    def mlflow(self) -> tuple[bool, int | None]:
        """Whether MLflow answers, and how many active experiments it has (None: it never said)."""
        last = self._last()
        if self._is_fresh(last):
            return _answer_of(last)
        if not self._is_starting():
            return self._of_agent(_WAIT_SECONDS)
        until = time.monotonic() + _WAIT_SECONDS
        if not self._asking.acquire(timeout=_WAIT_SECONDS):
            return _answer_of(last)
        try:
            if self._has_own_sign() or self._gives_sign(max(0.0, until - time.monotonic() - 0.1)):
                return self._with_own_sign(last)
        finally:
            self._asking.release()
        return self._of_agent(until - time.monotonic())

    def _of_agent(self, seconds: float) -> tuple[bool, int | None]:
        try:
            with self._facts.within(max(0.0, seconds)):
                return self._facts.signs_of_life()
        except TowerError as error:
            log.warning("MLflow gives no sign of life: %s", error.detail)
            return False, self._last().get("experiments")

    def _has_own_sign(self) -> bool:
        at = self._own_sign_at if self._marks is None else self._marks.sign_at()
        return bool(at) and 0 <= self._monotonic() - (at or 0.0) < _EVERY_SECONDS

    def _with_own_sign(self, last: dict[str, Any]) -> tuple[bool, int | None]:
        if not self._has_own_sign():
            self._own_sign_at = self._monotonic()
            if self._marks is not None:
                self._marks.note_sign(self._own_sign_at)
        return True, last.get("experiments")

    def _is_starting(self) -> bool:
        if self._first_asked is None:
            self._first_asked = time.monotonic()
        return time.monotonic() - self._first_asked < _STARTING_SECONDS


def _answer_of(sign: dict[str, Any]) -> tuple[bool, int | None]:
    return bool(sign.get("connected")), sign.get("experiments")
