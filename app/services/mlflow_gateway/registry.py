"""Reads the registry: models, versions, the last metrics of their runs, experiments."""

import logging
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import quote_plus

from app.domain.errors import (
    NOTHING_AT_ALL,
    MlflowAddressRefused,
    MlflowDenied,
    MlflowMissing,
    MlflowRefused,
    MlflowUnavailable,
    TowerError,
)
from app.domain.registry.models import Experiment, ModelVersion, RegisteredModel, Run
from app.domain.registry.names import EVALUATES
from app.services.mlflow_gateway import pages, rows
from app.services.mlflow_gateway.batches import batches, read_each, room_for
from app.services.mlflow_gateway.calls import Calls
from app.services.mlflow_gateway.client import MlflowConnection

log = logging.getLogger(__name__)
T = TypeVar("T")
LastLogged = Mapping[str, tuple[int, float | None]]

# mlflow.entities.ViewType.ACTIVE_ONLY and ALL.
_ACTIVE, _ALL = 1, 3
_NO_SUCH_WORKSPACE = "MLflow has no workspace {}. Check MLFLOW_WORKSPACE."
# Names that can be written in a filter's list without quoting.
_PLAIN = re.compile(r"[\w .-]+\Z", re.ASCII)
_NAMES_A_CALL = 200
_MODELS_PATH, _VERSIONS_PATH = "/api/2.0/mlflow/registered-models/search", "/api/2.0/mlflow/model-versions/search"
# A text of the length that a page token may have.
_TOKEN = "x" * 200
MODELS_A_CALL = 200
# How many names missing from a search are looked up one by one. If all of these are gone, so are the others.
_ASKED_BY_THEMSELVES = 20


class Registry:
    """The large reads. Most return the rows, and the number of rows that could not be converted."""

    def __init__(self, connection: MlflowConnection, calls: Calls) -> None:
        self._connection = connection
        self._calls = calls
        # Servers before MLflow 3 refuse a list of names in a filter.
        self._takes_lists = True

    def experiments(self) -> tuple[list[Experiment], int]:
        # This is the first read of a sweep and a sign of life, so it is not tried again with smaller pages.
        search = self._connection.client().search_experiments
        try:
            listed = list(self._all(search, pages.EXPERIMENTS, rows.EXPERIMENT_KEY, shrink=False, view_type=_ALL))
        except MlflowMissing:
            # A search finds nothing or something; only the workspace can be missing.
            workspace = self._connection.workspace
            detail = _NO_SUCH_WORKSPACE.format(workspace) if workspace else NOTHING_AT_ALL
            raise MlflowUnavailable(detail) from None
        if not listed:
            self._ensure_answer()
        return rows.readable(rows.experiment, listed, "experiment")

    def _ensure_answer(self) -> None:
        """Raise `MlflowUnavailable` unless it is MLflow itself that lists no experiment.

        It does so to a user who may read none, and in a new workspace.
        """
        try:
            default = self._calls.call(self._connection.client().get_experiment_by_name, "Default")
        except MlflowDenied:
            return
        if default is not None and not default.experiment_id:
            raise MlflowUnavailable(NOTHING_AT_ALL)

    def experiment_ids(self) -> list[str]:
        """The experiments to search for runs."""
        return [experiment.experiment_id for experiment in self.experiments()[0]]

    def models(self) -> tuple[list[RegisteredModel], int]:
        search = self._connection.search_registered_models
        listed = self._all(search, pages.MODELS, rows.MODEL_KEY, order_by=["name ASC"])
        return rows.readable(rows.registered_model, listed, "registered model")

    def versions(self) -> tuple[list[ModelVersion], int]:
        search = self._connection.client().search_model_versions
        listed = self._all(search, pages.VERSIONS, rows.VERSION_KEY, order_by=["name ASC"])
        return rows.readable(rows.model_version, listed, "model version")

    def newest(self, limit: int) -> tuple[list[RegisteredModel], list[ModelVersion]]:
        """A page of models and a page of versions, the last updated first."""
        order = {"max_results": limit, "order_by": ["last_updated_timestamp DESC"]}
        models = self._calls.call(self._connection.search_registered_models, **order)
        versions = self._calls.call(self._connection.client().search_model_versions, **order)
        return (
            rows.readable(rows.registered_model, models, "registered model")[0],
            rows.readable(rows.model_version, versions, "model version")[0],
        )

    def named(self, names: Sequence[str]) -> dict[str, RegisteredModel | None]:
        """Registered models by name, None where MLflow has no such model.

        A name is left out where MLflow does not say whether the model exists: under basic authentication a search
        omits models that this user may not read, so each missing name is looked up by itself. Raises
        `MlflowUnavailable` where that leaves out every name.
        """
        search = self._connection.search_registered_models
        listed, failures = self._of_names(search, _MODELS_PATH, pages.MODELS, rows.MODEL_KEY, names)
        models = {model.name: model for model in rows.readable(rows.registered_model, listed, "registered model")[0]}
        absent = [name for name in names if name not in models and name not in failures]
        unclear: TowerError | None = next(iter(failures.values()), None)
        gone: dict[str, None] = {}
        for name in absent[:_ASKED_BY_THEMSELVES]:
            try:
                if self._is_gone(name):
                    gone[name] = None
                    continue
                unclear = MlflowUnavailable("MLflow has a registered model and does not list it. Try again later.")
            except (MlflowDenied, MlflowAddressRefused) as error:
                unclear = error
            log.warning("Whether there is a registered model %r is not known: %s", name, unclear.detail)
        if unclear is None:
            gone.update(dict.fromkeys(absent[_ASKED_BY_THEMSELVES:]))
        elif not models and not gone:
            raise unclear
        return {**models, **gone}

    def version(self, name: str, version: int) -> ModelVersion | None:
        """A version; None where MLflow does not have it."""
        try:
            row = self._calls.call(self._connection.client().get_model_version, name, str(version))
        except MlflowMissing:
            return None
        except MlflowRefused:
            # An old registry may have a name that MLflow no longer accepts. Only a search finds it.
            return next((listed for listed in self._versions_of_model(name) if listed.version == version), None)
        known = rows.only(rows.model_version, row, "model version")
        # MySQL and MariaDB compare without case.
        return known if known.name == name else None

    def _versions_of_model(self, name: str) -> list[ModelVersion]:
        versions, _, failures = self.versions_of([name])
        for failure in failures.values():
            raise failure
        return versions

    def versions_of(self, names: Sequence[str]) -> tuple[list[ModelVersion], int, dict[str, TowerError]]:
        """All versions of some registered models, the number of bad rows, and the models that could not be read."""
        search = self._connection.client().search_model_versions
        listed, failures = self._of_names(search, _VERSIONS_PATH, pages.VERSIONS, rows.VERSION_KEY, names)
        return *rows.readable(rows.model_version, listed, "model version"), failures

    def _all(self, search: Callable[..., Any], size: int, key: Callable[[Any], Hashable], **more: Any) -> Iterator[Any]:
        return pages.read_all(self._calls.call, search, size, key, **more)

    def _of_names(
        self,
        search: Callable[..., Any],
        path: str,
        size: int,
        key: Callable[[Any], Hashable],
        names: Sequence[str],
    ) -> tuple[list[Any], dict[str, TowerError]]:
        """The rows of a search for these names, and the names for which the search failed."""

        def read(batch: Sequence[str]) -> list[Any]:
            if len(batch) > 1:
                quoted = ",".join(f"'{name}'" for name in batch)
                try:
                    return read_where(f"name IN ({quoted})", batch)
                except MlflowRefused:
                    self._takes_lists = False
            return [row for name in batch for row in read_where(_name_filter(name), [name])]

        def read_where(condition: str, batch: Sequence[str]) -> list[Any]:
            listed = self._all(search, size, key, filter_string=condition, order_by=["name ASC"])
            # The names are compared again, since a pattern matches several names and MySQL ignores case.
            return [row for row in listed if row.name in batch]

        plain = [name for name in names if self._takes_lists and _PLAIN.match(name)]
        fixed = [("filter", "name IN ()"), ("max_results", str(size)), ("order_by", "name ASC"), ("page_token", _TOKEN)]
        room = room_for(self._connection.uri, path, fixed)
        parts = [
            *([name] for name in names if not (self._takes_lists and _PLAIN.match(name))),
            *batches(plain, _NAMES_A_CALL, room, lambda name: len(quote_plus(f"'{name}',"))),
        ]
        answers, failures = read_each(self._calls, [(read, part) for part in parts])
        return [row for answer in answers for row in answer], failures

    def _is_gone(self, name: str) -> bool:
        """Whether a model that a search does not list is really gone."""
        try:
            model = self._calls.call(self._connection.client().get_registered_model, name)
        except (MlflowMissing, MlflowRefused):
            # A refused name, of an old registry, can only be searched for.
            return True
        # MLflow stores a prompt as a registered model, which no search for models lists.
        return bool(model.name == name and model._is_prompt())  # type: ignore[no-untyped-call]  # of mlflow

    def with_runs(self, versions: Sequence[ModelVersion], experiments: Sequence[str]) -> tuple[list[ModelVersion], int]:
        """The versions with the last metrics of their source runs, deleted runs included."""
        ids = [row.run_id for row in versions if row.run_id]
        if not ids:
            return list(versions), 0
        runs, bad = self.runs(ids, experiments)
        return [_joined(row, runs.get(row.run_id or "")) for row in versions], bad

    def with_few_runs(
        self, versions: Sequence[ModelVersion], experiments: Sequence[str]
    ) -> tuple[list[ModelVersion], int]:
        """As `with_runs`, for versions read between two sweeps, whose runs may be in new experiments."""
        ids = sorted({row.run_id for row in versions if row.run_id and rows.RUN_ID.match(row.run_id)})
        runs: dict[str, Run] = {}
        bad = 0
        if len(ids) > 1 and experiments:
            runs, bad = self.runs(ids, experiments)
        missing = [run_id for run_id in ids if run_id not in runs]
        if len(missing) == 1:
            runs.update(self._run(missing[0]))
        elif missing:
            others = sorted({*self.experiment_ids()} - {*experiments})
            if others:
                more, unreadable = self.runs(missing, others)
                runs, bad = {**runs, **more}, bad + unreadable
        return [_joined(row, runs.get(row.run_id or "")) for row in versions], bad

    def _run(self, run_id: str) -> dict[str, Run]:
        try:
            row = self._calls.call(self._connection.client().get_run, run_id)
        except (MlflowMissing, MlflowRefused, MlflowDenied):
            # A search omits such runs as well.
            return {}
        return {run.run_id: run for run in rows.readable(rows.run, [row], "run")[0]}

    def runs(self, ids: Iterable[str], experiments: Sequence[str]) -> tuple[dict[str, Run], int]:
        """Runs by id, read with some thousands a call, and the number of bad rows."""
        wanted = sorted({run_id for run_id in ids if rows.RUN_ID.match(run_id)})
        runs: dict[str, Run] = {}
        bad = 0
        for condition in _listed("attributes.run_id", wanted, pages.RUNS):
            good, unreadable = self._search_runs(condition, experiments, rows.run)
            runs.update((run.run_id, run) for run in good)
            bad += unreadable
        return runs, bad

    def dated_runs(self, ids: Iterable[str], experiments: Sequence[str]) -> dict[str, tuple[Run, LastLogged]]:
        """As `runs`, with time and value of the last point of each metric."""
        wanted = sorted({run_id for run_id in ids if rows.RUN_ID.match(run_id)})
        dated: dict[str, tuple[Run, LastLogged]] = {}
        for condition in _listed("attributes.run_id", wanted, pages.RUNS):
            dated.update((run.run_id, (run, last)) for run, last in self._search_dated(condition, experiments))
        return dated

    def _search_dated(
        self, condition: str, experiments: Sequence[str], view: int = _ALL
    ) -> list[tuple[Run, LastLogged]]:
        def convert(row: Any) -> tuple[Run, LastLogged]:
            return rows.run(row), rows.last_logged(row)

        return self._search_runs(condition, experiments, convert, view)[0]

    def _search_runs(
        self, condition: str, experiments: Sequence[str], convert: Callable[[Any], T], view: int = _ALL
    ) -> tuple[list[T], int]:
        # Without experiments MLflow returns no runs, and no error.
        search = self._connection.client().search_runs
        listed = self._all(
            search,
            pages.RUNS,
            rows.RUN_KEY,
            experiment_ids=list(experiments),
            filter_string=condition,
            run_view_type=view,
        )
        return rows.readable(convert, listed, "run")

    def evaluation_runs(self, names: Iterable[str] | None, experiments: Sequence[str]) -> list[tuple[Run, LastLogged]]:
        """Runs tagged as evaluations of these models, or of any model. The caller compares the tag's exact text."""
        # Quotes and backslashes cannot be written in a filter, so `_` replaces them, which matches any character.
        patterns = ["%"] if names is None else [re.sub(r"['\"\\]", "_", name) + "/%" for name in names]
        by_id: dict[str, tuple[Run, LastLogged]] = {}
        for pattern in patterns:
            # Only active runs count: whoever deletes an evaluation withdraws it.
            dated = self._search_dated(f"tags.`{EVALUATES}` LIKE 'models:/{pattern}'", experiments, _ACTIVE)
            by_id.update((run.run_id, (run, last)) for run, last in dated)
        return list(by_id.values())

    def logged_models(self, ids: Iterable[str], experiments: Sequence[str]) -> Iterator[Any]:
        """Logged models by id, each with every point of its metrics."""
        search = self._connection.client().search_logged_models
        for condition in _listed("model_id", sorted(ids), MODELS_A_CALL):
            yield from self._all(
                search,
                MODELS_A_CALL,
                rows.LOGGED_MODEL_KEY,
                experiment_ids=list(experiments),
                filter_string=condition,
            )


def _listed(attribute: str, values: Sequence[str], most: int) -> Iterator[str]:
    """Filters by the values of an attribute, each with at most `most` of them."""
    for start in range(0, len(values), most):
        # No blank follows the comma: with one, the server's parser accepts a third fewer values.
        quoted = ",".join(f"'{value}'" for value in values[start : start + most])
        yield f"{attribute} IN ({quoted})"


def _joined(row: ModelVersion, run: Run | None) -> ModelVersion:
    if run is None:
        return row
    return replace(row, metrics=run.metrics, run_model_type=run.tags.get("model_type"))


def _name_filter(name: str) -> str:
    if "\\" not in name and "'" not in name:
        return f"name = '{name}'"
    if "\\" not in name and '"' not in name:
        return f'name = "{name}"'
    # A filter cannot hold both quotes, nor a backslash at its end, so `_` replaces them and matches any character.
    return "name LIKE '" + re.sub(r"['\\]", "_", name) + "'"
