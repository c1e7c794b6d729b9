"""A process that promotes on a real MLflow, and kills itself after a step: `python -m tests.long.promoting URI DIR …`.

The words after the directory are `propose`, `approve STEP`, `roll_back STEP` or `tick`; the step `none` kills nothing.
"""

import os
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from app.domain.promotion.promotions import WAITING
from app.services.mlflow_gateway.gateway import MlflowGateway
from app.wiring.world import now_ms
from tests.unit.promoters import Promoter


class Process(Promoter):
    """A host of its own process."""

    def _between(self, step: str) -> None:
        if step == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


def main(uri: str, directory: str, work: str, step: str = "none") -> None:
    """Do one thing."""
    gateway: Any = MlflowGateway.connect(uri, monitoring_experiment="control-tower", clock=now_ms)
    gateway.world = SimpleNamespace(tick=now_ms, seconds=time.monotonic)
    process = Process(Path(directory), gateway)
    process.look()
    process.kill_at = step
    if work == "propose":
        process.propose()
    elif work == "approve":
        waiting = next(one for one in process.promotions if one.state == WAITING)
        process.desk.approve("m", waiting.run_id, "bob", "")
    elif work == "roll_back":
        process.roll_back(2)
    else:
        process.desk.tick()
        process.look()
    changes = [(change.old, change.new, change.actor, change.through) for change in process.changes()
               if change.kind == "alias"]  # fmt: skip
    print([(one.state, one.is_open) for one in reversed(process.promotions)], changes)


if __name__ == "__main__":
    main(*sys.argv[1:])
