"""How the processes that count and judge are started: what of this process' environment they get."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
"""The directory in which `python -m app.…` works."""

# They parse what others sent, so they do not get the environment, in which there may be secrets. One thread each: more
# would take processor time from the workers. Arrow's own allocator would reserve memory that then counts as used.
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
_PASSED_ON = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "SYSTEMROOT")


def command(module: str) -> Sequence[str]:
    """The command that runs a module of this application."""
    return (sys.executable, "-m", module)


def environment() -> dict[str, str]:
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | _ENVIRONMENT
