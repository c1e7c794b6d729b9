"""The figures of MLflow that the agent provides to workers: the sign of life, and the number of runs."""

from app.domain.ports import Gateway
from app.services.mirror.health import Probe
from app.services.mirror.run_counter import RunCounter


class SharedFacts:
    """The agent's `MlflowFacts`."""

    def __init__(self, gateway: Gateway, probe: Probe, counter: RunCounter) -> None:
        self.within = gateway.within
        self.signs_of_life = probe.sign
        self.count_of_runs = counter.counted
