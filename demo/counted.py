"""What a monitored version saw and said, as a tower keeps it: a reference at training, and windows of a day each."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

from app.domain.data_drift.batch import Batch
from app.domain.data_drift.batch_json import batch_value
from app.domain.data_drift.canonical import read
from app.domain.data_drift.layout import Layout
from app.domain.data_drift.layout_json import layout_from, layout_value
from app.domain.data_drift.series import (
    About,
    Series,
    StoredBatch,
    batch_tags,
    compressed,
    content_of,
    in_requests,
    inflated,
    series_from,
    series_tags,
)
from app.domain.registry.models import Registration
from app.services.data_drift.columns import Chunk, Coded, ColumnValues, Numbers
from app.services.data_drift.profiling import Columns, layout_of
from app.services.data_drift.tallying import counted
from app.services.mlflow_gateway.gateway import MlflowGateway
from app.wiring.world import now_ms
from demo.data import Array, Task, batch
from demo.fleet import Model
from demo.learn import confidence

_BY = "demo"
_PREDICTION, _SCORE, _TRUTH = "prediction", "score", "truth"


def midnight(day: date) -> int:
    """The start of a day in UTC, in milliseconds."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)


class Data:
    """The data of one registered version. What is written is written once, whole or not at all."""

    def __init__(
        self, gateway: MlflowGateway, registration: Registration, model: Model, task: Task, estimator: Any
    ) -> None:
        self._gateway = gateway
        self._registration = registration
        self._model = model
        self._task = task
        self._estimator = estimator

    def send(self, days: list[date], drift_from: date) -> int:
        """Count the days that are missing, and labels that are known by the last day; how many days were counted.

        Nothing is sent where somebody else has sent a reference.
        """
        series = self._series()
        if series.about.created_by != _BY:
            return 0
        layout = layout_from(inflated(series.layout))
        batches = list(self._missing(series, layout, days, drift_from))
        tags = {key: text for one in batches for key, text in batch_tags(one).items()}
        for request in in_requests(tags):
            self._gateway.write_data(series.run_id, request, {})
        return sum(one.rows > 0 for one in batches)

    def _series(self) -> Series:
        runs = self._gateway.data_series(*self._registration.key)
        known = [series for run in runs if (series := series_from(run)) and series.is_open]
        return known[0] if known else self._made()

    def _made(self) -> Series:
        """The reference: the rows by which the version was tested after its training, with their labels."""
        rows = self._rows(self._task.x_held, self._task.y_held)
        score = _SCORE if self._model.kind == "classifier" else None
        layout = layout_of([rows], Columns(_PREDICTION, score, _TRUTH))
        about = About(*self._registration.key, self._registration.version_created, now_ms(), _BY, is_sent=True)
        packed, reference = compressed(layout_value(layout)), compressed(batch_value(counted([rows], layout)))
        run_id = self._gateway.make_data_series(*self._registration.key, {})
        if self._model.labels_late_days:
            # Its evaluation run has the same figures of the same days.
            settings = {**self._registration.settings, "data_drift": {"observe": False}}
            self._gateway.change_settings(self._registration.monitor_run_id, settings)
        for request in in_requests(series_tags(about, packed, reference)):
            self._gateway.write_data(run_id, request, {})
        return Series(run_id, about, packed, reference)

    def _missing(self, series: Series, layout: Layout, days: list[date], drift_from: date) -> Iterator[StoredBatch]:
        late = self._model.labels_late_days
        for day in days:
            drift_days = (day - drift_from).days + 1 if self._model.drifts else 0
            x, y = batch(self._task, self._model.name, day, drift_days)
            batch_id, with_labels = f"{day}", f"labels of {day}"
            if batch_id not in series.batches:
                yield _stored(batch_id, day, counted([self._rows(x)], layout))
            if late and day + timedelta(days=late) <= days[-1] and with_labels not in series.batches:
                yield _stored(with_labels, day, counted([self._rows(x, y)], layout, labels_only=True))

    def _rows(self, x: Array, y: Array | None = None) -> Chunk:
        """Rows as they are counted: inputs, what the version says of them, and the truth if it is known."""
        said = self._estimator.predict(x)
        columns: dict[str, ColumnValues] = {
            name: Numbers(x[:, place].astype(float)) for place, name in enumerate(self._task.features)
        }
        columns[_PREDICTION] = self._labels(said)
        if self._task.classes:
            columns[_SCORE] = Numbers(confidence(self._estimator, x))
        if y is not None:
            columns[_TRUTH] = self._labels(y)
        return Chunk(len(x), columns, frozenset(columns))

    def _labels(self, values: Array) -> ColumnValues:
        if not self._task.classes:
            return Numbers(values.astype(float))
        return Coded(values.astype(int), [read(name) for name in self._task.classes])


def _stored(batch_id: str, day: date, counts: Batch) -> StoredBatch:
    start, end, body = midnight(day), midnight(day + timedelta(days=1)), compressed(batch_value(counts))
    return StoredBatch(batch_id, start, end, counts.rows, now_ms(), content_of(body, start, end), body)
