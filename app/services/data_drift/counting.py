"""Has bodies counted in a process of their own, one at a time on a host. Workers import this, so it needs no numpy."""

import logging
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import BinaryIO

import msgspec

from app.domain.errors import Busy, Conflict, InvalidInput, LockTimeout, TooLarge, TowerError
from app.domain.messages import OTHERS_ARE_COUNTED
from app.domain.ports import Locks
from app.services.data_drift.children import ROOT, command, environment
from app.services.data_drift.order import MOST_SECONDS, Counted, CountOutcome, Order, Refused

log = logging.getLogger(__name__)

SECONDS = 90.0
"""How long a body may take to be counted, in which the process gets at most 60 s of a processor."""
# How long a body waits for others that are being counted.
_WAIT_SECONDS = 20.0
_LOCK = "counting"
_COMMAND = command("app.counting")
# What a million rows do not take. A process that was killed below it would have been killed with fewer rows too.
_MUCH_MEMORY = 256 << 20
# What the system counts of processor time ends close to the limit.
_AT_LIMIT = 0.9
_LOOKS_EVERY = 0.005
# Of the greatest memory that the system tells of a process.
_UNIT = 1 if sys.platform == "darwin" else 1024
# How Python, C++ and the loader of libraries say that there was no memory.
_NO_MEMORY = re.compile(rb"MemoryError|bad_alloc|[Cc]annot allocate memory|failed to map segment")
_CRASHES = (
    "The body cannot be read: it made the process that reads it crash, twice. It is damaged, or nested too deeply."
)

Count = Callable[[Order, BinaryIO], Counted]
"""Counts a body, which is in a file. Raises InvalidInput, TooLarge, Conflict and Busy."""


class Counting:
    """Counts bodies. `locks` are those of this host; `command` is what is run.

    It may take `seconds`, and `most_seconds` of a processor. A body waits for others so many seconds as `wait` says.
    """

    def __init__(
        self,
        locks: Locks,
        command: Sequence[str] = _COMMAND,
        seconds: float = SECONDS,
        wait: float = _WAIT_SECONDS,
        most_seconds: float = MOST_SECONDS,
    ) -> None:
        self._locks = locks
        self._command = command
        self._seconds = seconds
        self._wait = wait
        self._most_seconds = most_seconds

    def count(self, order: Order, body: BinaryIO) -> Counted:
        """The body as counts; its file has a descriptor.

        Raises InvalidInput; TooLarge where less could be counted; Conflict where it names another reference; Busy: send
        it again. A process that ends without an answer is started once more.
        """
        try:
            with self._locks.hold(_LOCK, self._wait):
                message = msgspec.json.encode(order)
                outcome = self._outcome(message, body) or self._outcome(message, body, is_again=True)
        except LockTimeout:
            raise LockTimeout(OTHERS_ARE_COUNTED) from None
        if outcome is None:
            raise Busy("The process that counted the body ended before it was done. Send it again later.")
        if outcome.refused:
            raise _error_of(outcome.refused)
        if outcome.counted is None:
            raise ValueError("the outcome is empty")
        return outcome.counted

    def _outcome(self, message: bytes, body: BinaryIO, is_again: bool = False) -> CountOutcome | None:
        """What the process answers; None if it ended without an answer, which says nothing about the body."""
        # The process inherits the descriptor with its place. Through a pipe the body would cost this process time.
        body.seek(0)
        descriptor = body.fileno()
        with _Process(
            [*self._command, str(descriptor)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[descriptor],
            env=environment(),
            cwd=ROOT,
        ) as process:
            try:
                answer, errors = process.communicate(message, self._seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                # With the processor for itself it would have ended by its own limit.
                raise Busy(
                    f"The body was not counted within {self._seconds:.0f} s, since this host has too much to do. "
                    "Send it again later."
                ) from None
            except BaseException:
                process.kill()
                raise
        status = process.returncode
        is_at_limit = status == -signal.SIGXCPU or (status == -signal.SIGKILL and self._took_much(process))
        if is_at_limit or (status and _NO_MEMORY.search(errors)):
            raise TooLarge("Counting the body took too much time or memory. Send fewer rows at once.")
        if status == -signal.SIGSEGV and is_again:
            raise InvalidInput(_CRASHES)
        if status:
            # The last line names the error. The lines before it may quote what was sent.
            log.error("Counting a body failed (%d): %s", status, _kind_of(errors))
        try:
            return msgspec.json.decode(answer, type=CountOutcome)
        except msgspec.DecodeError:
            return None

    def _took_much(self, process: "_Process") -> bool:
        """Whether a process that was killed may have been killed for what it took: others end processes too."""
        # A process begins with the peak of the one that started it.
        inherited = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT
        is_large = process.most_memory > max(_MUCH_MEMORY, inherited)
        return is_large or process.processor_seconds >= self._most_seconds * _AT_LIMIT


class _Process(subprocess.Popen[bytes]):
    """A process that says, once it has ended, how many bytes and seconds of a processor it took at most."""

    most_memory = 0
    processor_seconds = 0.0

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end, and keep what it took."""
        end = None if timeout is None else time.monotonic() + timeout
        while self.returncode is None:
            pid, status, taken = os.wait4(self.pid, 0 if end is None else os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
                self.most_memory = taken.ru_maxrss * _UNIT
                self.processor_seconds = taken.ru_utime + taken.ru_stime
            elif end is not None and time.monotonic() >= end:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            else:
                time.sleep(_LOOKS_EVERY)
        return self.returncode


def _error_of(refused: Refused) -> TowerError:
    if refused.is_conflict:
        return Conflict(refused.detail)
    return (TooLarge if refused.is_too_large else InvalidInput)(refused.detail)


def _kind_of(trace: bytes) -> str:
    lines = trace.decode(errors="replace").strip().splitlines()
    return lines[-1].partition(":")[0][:100] if lines else "no error was written"
