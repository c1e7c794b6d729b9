"""Calls to MLflow that cannot block the service: time budgets, a limit on calls, errors in the service's words."""

import logging
import math
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from typing import Any, TypeVar

from app.domain.errors import (
    MlflowAddressRefused,
    MlflowDenied,
    MlflowMissing,
    MlflowOverloaded,
    MlflowRefused,
    MlflowTooSlow,
    MlflowUnavailable,
    TowerError,
)
from app.domain.messages import STOPPING, too_slow
from app.domain.ports import Telemetry
from app.domain.redact import redact
from app.services.host.term import check_term, is_term_limited

log = logging.getLogger(__name__)
T = TypeVar("T")

# The most calls under way at once in a process. A worker has more threads than this (gunicorn.conf.py). So requests
# that need no MLflow still get a thread when MLflow hangs on every call.
SLOTS = 64
# How many of these calls one `together` may use, and how many all of them.
AT_ONCE, AT_ONCE_IN_ALL = 8, 24
# How often a call made in a term checks whether the term has ended.
_TERM_SECONDS = 0.5


@dataclass
class Budget:
    """The time that several calls share, with the latest end to which it may be prolonged; the number of calls made."""

    until: float
    latest: float
    requests: int = 0
    counting: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def count(self, requests: int = 1) -> None:
        with self.counting:
            self.requests += requests

    def prolong(self, seconds: float) -> None:
        with self.counting:
            self.until = min(self.until + seconds, self.latest)


@dataclass(eq=False)
class _Pending:
    done: threading.Event = field(default_factory=threading.Event)
    result: Any = None
    error: BaseException | None = None


_budget: ContextVar[Budget | None] = ContextVar("mlflow_budget", default=None)


class Calls:
    """Runs each MLflow call on a thread of its own, so that a time-out works whatever the socket does.

    MLflow's time-out is per socket read: a server that drips bytes would hold a worker for ever. A thread left behind
    ends with its socket. It is a daemon, so it never delays the end of the process.
    """

    def __init__(self, patience: float, telemetry: Telemetry | None = None) -> None:
        self.patience = patience
        self._telemetry = telemetry
        self._slots = threading.BoundedSemaphore(SLOTS)
        self._turns = threading.BoundedSemaphore(AT_ONCE_IN_ALL)
        self._pending: set[_Pending] = set()
        self._stopping = False

    @contextmanager
    def within(self, seconds: float, longest: float = 0.0) -> Iterator[Budget]:
        """Bound the time of all calls in the block together, also by the time that an enclosing block has left.

        If the calls turn out to be more than was known, `prolong` may prolong the time up to `longest` seconds.
        """
        outer, now = _budget.get(), time.monotonic()
        end = outer.until if outer else math.inf
        budget = Budget(min(now + seconds, end), min(now + max(seconds, longest), end))
        token = _budget.set(budget)
        try:
            yield budget
        finally:
            _budget.reset(token)
            if outer:
                outer.count(budget.requests)

    def prolong(self, seconds: float) -> None:
        """Give the calls of the innermost block more time, up to the longest that the block may take."""
        budget = _budget.get()
        if budget:
            budget.prolong(seconds)

    def call(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """Return the function's answer, or raise one of the domain's MLflow errors, within the time left."""
        try:
            answer = self._call(function, args, kwargs)
        except TowerError as error:
            # A refusal or an unknown name is an answer, and stopping is no failure.
            self._count(failed=isinstance(error, MlflowUnavailable) and not self._stopping)
            raise
        self._count(failed=False)
        return answer  # type: ignore[no-any-return]  # what the function gave

    def together(self, tasks: Sequence[Callable[[], T]]) -> list[T | TowerError]:
        """The result or error of each task, in their order. Several run at once, and share the block's time."""
        if len(tasks) == 1:
            return [self._in_turn(tasks[0])]
        with ThreadPoolExecutor(AT_ONCE, "mlflow-together") as pool:
            under_way = [pool.submit(copy_context().run, self._in_turn, task) for task in tasks]
            return [future.result() for future in under_way]

    def _in_turn(self, task: Callable[[], T]) -> T | TowerError:
        budget = _budget.get()
        left = self.patience if budget is None else max(0.0, budget.until - time.monotonic())
        if not self._turns.acquire(timeout=left):
            return MlflowTooSlow(_OVERDUE)
        try:
            return task()
        except TowerError as error:
            return error
        finally:
            self._turns.release()

    def stop(self) -> None:
        """Let every waiting call fail, since the process is about to end."""
        self._stopping = True
        for pending in list(self._pending):
            pending.error = MlflowTooSlow(STOPPING)
            pending.done.set()

    def _count(self, *, failed: bool) -> None:
        if self._telemetry is not None:
            self._telemetry.mlflow_called(failed)

    def _call(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        budget = _budget.get()
        left = self.patience
        if budget:
            left = min(left, budget.until - time.monotonic())
            budget.count()
        if left <= 0 or self._stopping:
            raise MlflowTooSlow(_OVERDUE)
        check_term()
        pending = self._start(function, args, kwargs)
        if not _is_done(pending, left):
            # A call late in a block has little time left, so MLflow may not be what took the time.
            if left < self.patience:
                raise MlflowTooSlow(_OVERDUE)
            raise MlflowTooSlow(too_slow(left))
        if pending.error is not None:
            raise in_our_words(pending.error) from None
        return pending.result

    def _start(self, function: Callable[..., Any], args: Any, kwargs: Any) -> _Pending:
        if not self._slots.acquire(blocking=False):
            raise MlflowUnavailable("MLflow is slow and too many requests wait for it. Try again later.")
        pending = _Pending()
        context = copy_context()
        work = threading.Thread(
            target=context.run,
            args=(self._work, pending, function, args, kwargs),
            name="mlflow-call",
            daemon=True,
        )
        try:
            self._pending.add(pending)
            work.start()
        except BaseException:
            self._finish(pending)
            raise
        return pending

    def _work(self, pending: _Pending, function: Callable[..., Any], args: Any, kwargs: Any) -> None:
        try:
            pending.result = function(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            pending.error = error
        finally:
            self._finish(pending)

    def _finish(self, pending: _Pending) -> None:
        self._pending.discard(pending)
        self._slots.release()
        pending.done.set()


def _is_done(pending: _Pending, seconds: float) -> bool:
    """Wait for a call; returns whether it ended in time. Raises `Busy` where the term of the work ends first."""
    if not is_term_limited():
        return pending.done.wait(seconds)
    until = time.monotonic() + seconds
    while not pending.done.wait(min(_TERM_SECONDS, max(0.0, until - time.monotonic()))):
        check_term()
        if time.monotonic() >= until:
            return False
    return True


_OVERDUE = "MLflow took longer than the time allowed. Ask for less, or try again later."
# MLflow's error codes, and what a client reads for them.
_MISSING = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND")
_REFUSED = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_ALREADY_EXISTS", "INVALID_STATE")
_LOGIN = "MLflow does not accept the credentials. Check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."
NOT_THERE = "There is no MLflow at MLFLOW_TRACKING_URI. Check the address."
_NO_WORKSPACES = "This MLflow has no workspaces. Take MLFLOW_WORKSPACE away, or start MLflow with --enable-workspaces."
_UNAVAILABLE = {
    "UNAUTHENTICATED": _LOGIN,
    "CUSTOMER_UNAUTHORIZED": _LOGIN,
    "ENDPOINT_NOT_FOUND": NOT_THERE,
    "FEATURE_DISABLED": _NO_WORKSPACES,
}
# MLflow answers a locked database or a deadlock with this code and a 503, of which its client only says that there
# were too many; 429 is what proxies answer. It takes a server without a free database connection for a bad request.
_OVERLOADED = "TEMPORARILY_UNAVAILABLE"
_TOO_MUCH = re.compile(r"too many (?:429|503) error responses|QueuePool limit of size|database is locked")
UNEXPLAINED = "MLflow cannot be reached or failed. Check that it runs and that MLFLOW_TRACKING_URI is right."


# The text of MLflow's client for an error without JSON, which MLflow itself did not write.
_UNREAD = re.compile(r"API request to endpoint \S+ failed with error code (?:400|414|431) !=")


_ADDRESS = (
    "MLflow's web server, or a proxy before it, refused a request: most likely its address is too long. Let it take "
    "addresses of 8 KiB."
)


def in_our_words(error: BaseException) -> TowerError:
    """The domain error for an error of MLflow, whose own text may repeat credentials and must not be shown."""
    if isinstance(error, TowerError):
        return error
    code = getattr(error, "error_code", None)
    unread = _UNREAD.match(str(error))
    if str(error).startswith("Active workspace"):
        # MLflow's client says so before it asks a server that has no workspaces, whatever the error's code.
        return MlflowUnavailable(_NO_WORKSPACES)
    if code in _MISSING:
        return MlflowMissing("MLflow does not know what was asked for.")
    if code in _REFUSED and not unread and not _TOO_MUCH.search(str(error)):
        return MlflowRefused(f"MLflow refused the request ({code}). Check the names and values in it.")
    log.warning("MLflow failed: %s: %s", type(error).__name__, redact(str(error))[:2000])
    if unread:
        return MlflowAddressRefused(_ADDRESS)
    return _unavailable(str(code), str(error))


def _unavailable(code: str, text: str) -> TowerError:
    if code == _OVERLOADED or _TOO_MUCH.search(text):
        return MlflowOverloaded("MLflow has too much to do at present. Try again later.")
    if code == "PERMISSION_DENIED":
        return MlflowDenied("MLflow denies this service the permission. Give its user access in MLflow.")
    if "timed out" in text.lower():
        return MlflowTooSlow("MLflow did not answer in time. Try again later.")
    return MlflowUnavailable(_UNAVAILABLE.get(code, UNEXPLAINED))
