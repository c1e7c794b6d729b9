"""Reading the registry: models, versions, the last metrics of their runs, experiments."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from app.domain.errors import MlflowRefused
from app.domain.models import Experiment, ModelVersion, RegisteredModel, Run
from app.services.mlflow_gateway import pages, rows
from app.services.mlflow_gateway.calls import Calls
from app.services.mlflow_gateway.client import Connection

_ALL = 3  # mlflow.entities.ViewType.ALL
# A run id is whatever a client wrote beside a version; only these can be put into a filter.
_RUN_ID = re.compile(r"[0-9A-Za-z_-]{1,64}\Z", re.ASCII)


class Registry:
    """The large reads. Each answers its rows and how many could not be read."""

    def __init__(self, connection: Connection, calls: Calls) -> None:
        self._connection = connection
        self._calls = calls

    def experiments(self) -> tuple[list[Experiment], int]:
        # The first read of a sweep, and the sign of life: it is not tried again with smaller pages.
        search = self._connection.client().search_experiments
        found = pages.read_all(self._calls, search, pages.EXPERIMENTS, shrink=False, view_type=_ALL)
        return rows.readable(rows.experiment, found, "experiment")

    def experiment_ids(self) -> list[str]:
        return [experiment.experiment_id for experiment in self.experiments()[0]]

    def models(self) -> tuple[list[RegisteredModel], int]:
        search = self._connection.client().search_registered_models
        found = pages.read_all(self._calls, search, pages.MODELS, order_by=["name ASC"])
        return rows.readable(rows.registered_model, found, "registered model")

    def versions(self) -> tuple[list[ModelVersion], int]:
        search = self._connection.client().search_model_versions
        # Pages are offsets: in the order of names a change in mid-read moves few rows.
        found = pages.read_all(self._calls, search, pages.VERSIONS, order_by=["name ASC"])
        return rows.readable(rows.model_version, found, "model version")

    def versions_of(self, name: str) -> tuple[list[ModelVersion], int]:
        search = self._connection.client().search_model_versions
        try:
            found = list(pages.read_all(self._calls, search, pages.VERSIONS, filter_string=_name_filter(name)))
        except MlflowRefused:
            # A name that no filter can write: read them all.
            found = list(pages.read_all(self._calls, search, pages.VERSIONS))
        return rows.readable(rows.model_version, (row for row in found if row.name == name), "model version")

    def with_runs(
        self, versions: Sequence[ModelVersion], experiments: Sequence[str] | Callable[[], Sequence[str]]
    ) -> tuple[list[ModelVersion], int]:
        """The versions with the last metrics of their source runs, deleted runs included."""
        ids = [row.run_id for row in versions if row.run_id]
        if not ids:
            return list(versions), 0
        found, bad = self.runs(ids, experiments() if callable(experiments) else experiments)
        return [_joined(row, found.get(row.run_id or "")) for row in versions], bad

    def runs(self, ids: Iterable[str], experiments: Sequence[str]) -> tuple[dict[str, Run], int]:
        """Runs by id, some thousands a call."""
        wanted = sorted({run_id for run_id in ids if _RUN_ID.match(run_id)})
        found: dict[str, Run] = {}
        bad = 0
        for start in range(0, len(wanted), pages.RUNS):
            # A bare comma: with a blank after it the server's parser takes a third fewer.
            quoted = ",".join(f"'{run_id}'" for run_id in wanted[start : start + pages.RUNS])
            good, unreadable = self._search_runs(f"attributes.run_id IN ({quoted})", experiments)
            found.update((run.run_id, run) for run in good)
            bad += unreadable
        return found, bad

    def _search_runs(self, condition: str, experiments: Sequence[str]) -> tuple[list[Run], int]:
        # Without experiments MLflow silently finds nothing.
        search = self._connection.client().search_runs
        found = pages.read_all(
            self._calls,
            search,
            pages.RUNS,
            experiment_ids=list(experiments),
            filter_string=condition,
            run_view_type=_ALL,
        )
        return rows.readable(rows.run, found, "run")

    def evaluation_runs(self, name: str, experiments: Sequence[str]) -> list[Run]:
        """Runs that say they evaluate a version of this model; the caller compares the tag's text."""
        # Quotes and backslashes cannot be written in a filter: `_` stands for any character.
        pattern = re.sub(r"['\"\\]", "_", name)
        condition = f"tags.`control_tower.evaluates` LIKE 'models:/{pattern}/%'"
        return self._search_runs(condition, experiments)[0]


def _joined(row: ModelVersion, run: Run | None) -> ModelVersion:
    if run is None:
        return row
    return replace(row, metrics=run.metrics, run_model_type=run.tags.get("model_type"))


def _name_filter(name: str) -> str:
    quote = '"' if "'" in name else "'"
    return f"name = {quote}{name}{quote}"
