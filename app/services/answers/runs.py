"""The runs of an experiment, read live, since there are too many to mirror."""

from typing import Any

from app.domain.errors import NotFound
from app.domain.messages import EXPERIMENT_NOT_FOUND
from app.domain.ports import Gateway
from app.domain.registry.names import is_experiment_id
from app.domain.views import run_info


class Runs:
    """Reads the runs that a client asks for."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def of(self, experiment_id: str, limit: int, page_token: str | None) -> tuple[list[dict[str, Any]], str | None]:
        """Runs, newest first, and the token of the next page. Raises `NotFound` and `InvalidInput`."""
        if not is_experiment_id(experiment_id) or self._gateway.find_experiment(experiment_id) is None:
            raise NotFound(EXPERIMENT_NOT_FOUND)
        # Each page has its own time budget, since 50,000 runs take MLflow a minute.
        runs, token = self._gateway.list_runs(experiment_id, limit, page_token)
        return [run_info(run) for run in runs], token
