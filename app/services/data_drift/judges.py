"""Has series judged in a process of its own, so that numpy is in no process that stays."""

import logging
import subprocess
from collections.abc import Callable, Sequence

import msgspec

from app.services.data_drift.children import ROOT, command, environment
from app.services.data_drift.judge_order import JudgeOrder, JudgeOutcome

log = logging.getLogger(__name__)

Judge = Callable[[Sequence[JudgeOrder]], Sequence[JudgeOutcome]]
"""Judges series; an outcome for each, in their order."""

_COMMAND = command("app.judging")
_SECONDS = 120.0
_ENDED = JudgeOutcome(problem="The process that judges ended, or took too long.")


def judge_elsewhere(orders: Sequence[JudgeOrder]) -> Sequence[JudgeOutcome]:
    """Judge series in another process, which ends with that."""
    try:
        done = subprocess.run(
            _COMMAND,
            input=msgspec.msgpack.encode(orders),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            env=environment(),
            timeout=_SECONDS,
            check=True,
        )
        return msgspec.msgpack.decode(done.stdout, type=list[JudgeOutcome])
    except (OSError, subprocess.SubprocessError, msgspec.DecodeError) as error:
        log.warning("Counted data could not be judged: %s", type(error).__name__)
        return [_ENDED] * len(orders)
