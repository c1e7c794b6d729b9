"""Has series judged in a process of its own, so that numpy is in no process that stays."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from app.services.data_drift.judge_order import JudgeOrder, JudgeOutcome

log = logging.getLogger(__name__)

Judge = Callable[[Sequence[JudgeOrder]], Sequence[JudgeOutcome]]
"""Judges series; an outcome for each, in their order."""

_ROOT = Path(__file__).resolve().parents[3]
_COMMAND = (sys.executable, "-m", "app.judging")
_SECONDS = 120.0
# One thread each: more would take processor time from the workers. It needs no secret that may be in the environment.
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
_PASSED_ON = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "SYSTEMROOT")
_ENDED = JudgeOutcome(problem="The process that judges ended, or took too long.")


def judge_elsewhere(orders: Sequence[JudgeOrder]) -> Sequence[JudgeOutcome]:
    """Judge series in another process, which ends with that."""
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | _ENVIRONMENT
    try:
        done = subprocess.run(
            _COMMAND,
            input=msgspec.msgpack.encode(orders),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=_ROOT,
            env=environment,
            timeout=_SECONDS,
            check=True,
        )
        return msgspec.msgpack.decode(done.stdout, type=list[JudgeOutcome])
    except (OSError, subprocess.SubprocessError, msgspec.DecodeError) as error:
        log.warning("Counted data could not be judged: %s", type(error).__name__)
        return [_ENDED] * len(orders)
