"""Whether MLflow answers. All workers together ask at most once in five seconds."""

import logging
import time
from collections.abc import Callable
from typing import Any

from app.domain.errors import LockTimeout, TowerError
from app.domain.ports import Clock, Gateway, Locks, Monotonic, SharedCache
from app.domain.times import age_ms

log = logging.getLogger(__name__)

_PROBE = "probe"
_EVERY_SECONDS = 5.0
# `/health` promises an answer within 2 s.
_WAIT_SECONDS = 1.5
_ASK_SECONDS = _WAIT_SECONDS - 0.1
# For this time after its start a process asks MLflow itself, without MLflow's client: the agent may not run yet.
_STARTING_SECONDS = 30.0


class Health:
    """Shares MLflow's last sign of life between the workers.

    `gives_sign` asks MLflow from this process, as long as the agent may not run yet.
    """

    def __init__(
        self,
        gateway: Gateway,
        cache: SharedCache,
        locks: Locks,
        clock: Clock,
        monotonic: Monotonic,
        gives_sign: Callable[[float], bool],
    ) -> None:
        self._gateway = gateway
        self._cache = cache
        self._locks = locks
        self._clock = clock
        self._monotonic = monotonic
        # The last probe that this process saw, and when it first saw that, in seconds.
        self._seen: tuple[Any, float] = (None, 0.0)
        self._gives_sign = gives_sign
        self._first_asked: float | None = None

    def mlflow(self) -> tuple[bool, int | None]:
        """Whether MLflow answers, and its number of active experiments, None where that was never known."""
        last = self._last()
        if not self._is_fresh(last):
            try:
                # The holder of the lock asks MLflow. The others wait for the answer as long as it may take.
                with self._locks.hold(_PROBE, _WAIT_SECONDS):
                    last = self._last()
                    if not self._is_fresh(last):
                        last = self._ask(last)
            except (LockTimeout, OSError):
                last = self._last()
        return bool(last.get("connected")), last.get("experiments")

    def seen(self) -> tuple[int, bool] | None:
        """When MLflow was last asked for a sign of life (milliseconds), and whether it gave one. Does not ask it."""
        last = self._last()
        asked_at = last.get("asked_at")
        if not asked_at or age_ms(asked_at, self._clock()) is None:
            return None
        return asked_at, bool(last.get("connected"))

    def _last(self) -> dict[str, Any]:
        stored = self._cache.get(_PROBE)
        return stored if isinstance(stored, dict) else {}

    def _is_fresh(self, probe: dict[str, Any]) -> bool:
        now = self._monotonic()
        if probe != self._seen[0]:
            self._seen = (probe, now)
        # The time of day holds between processes; the monotonic clock helps where the time of day was turned back.
        age = (self._clock() - (probe.get("asked_at") or 0)) / 1000
        return 0 <= age < _EVERY_SECONDS and now - self._seen[1] < _EVERY_SECONDS

    def _ask(self, last: dict[str, Any]) -> dict[str, Any]:
        probe: dict[str, Any] = {
            "asked_at": self._clock(),
            "experiments": last.get("experiments"),
            "connected": False,
        }
        until = time.monotonic() + _ASK_SECONDS
        try:
            if self._is_starting() and self._gives_sign(_ASK_SECONDS):
                probe["connected"] = True
            else:
                with self._gateway.within(max(0.0, until - time.monotonic())):
                    probe |= {"experiments": self._gateway.ping(), "connected": True}
        except TowerError as error:
            log.warning("MLflow gives no sign of life: %s", error.detail)
        self._cache.set(_PROBE, probe)
        return probe

    def _is_starting(self) -> bool:
        if self._first_asked is None:
            self._first_asked = time.monotonic()
        return time.monotonic() - self._first_asked < _STARTING_SECONDS
