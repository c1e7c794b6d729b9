"""One body with rows or counts, made to counts. Runs in a process of its own, which `counting.py` starts."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import msgspec

from app.domain.data_drift.batch import Batch
from app.domain.data_drift.batch_json import batch_from, batch_value
from app.domain.data_drift.bins import NUMERIC, NumericBins
from app.domain.data_drift.coherent import check_coherent
from app.domain.data_drift.layout import Layout
from app.domain.data_drift.layout_json import layout_from, layout_value
from app.domain.errors import Conflict, InvalidInput
from app.domain.messages import NO_ROWS, REPLACED
from app.services.data_drift import inflating, json_rows
from app.services.data_drift.columns import Chunk, Wanted
from app.services.data_drift.order import CSV, IGNORE, JSON, NDJSON, Counted, Order
from app.services.data_drift.profiling import Columns, layout_of
from app.services.data_drift.tallying import counted

_WHICH_REFERENCE = (
    "Say with 'counts' by which reference they were made, since those of other bins may look alike: GET …/reference "
    "answers its id, which is sent as 'reference', and the layout to count by."
)
T = TypeVar("T")
Use = Callable[[Iterable[Chunk]], T]
# After inflating: a JSON document takes some twelve times its size while it is parsed, and Parquet has to be there as a
# whole.
_MOST_OF_JSON = 32 << 20
_MOST_OF_PARQUET = 64 << 20
_NO_BINS = (
    "There are no bins to count by yet. Send a reference first (PUT …/reference), or a first batch as rows, and count "
    "by the bins that GET …/reference then answers."
)


def done(order: Order, body: bytes) -> Counted:
    """The body as counts.

    Raises InvalidInput; TooLarge where less could be counted; Conflict where it names another reference; MemoryError.
    """
    known = layout_from(order.layout) if order.layout is not None else None
    fields: dict[str, Any] = {}
    if order.media_type == JSON:
        document = json_rows.document(inflating.whole(body, order.coding, min(_MOST_OF_JSON, order.most_bytes)))
        fields = {name: value for name, value in document.items() if name not in ("rows", "counts", "layout")}
        order = _with_fields(order, fields)
        if order.reference is not None and fields.get("reference") not in (None, order.reference):
            # By other bins these counts would seem to be wrong.
            raise Conflict(REPLACED)
        if "counts" in document:
            if order.reference is not None and order.counted_by is None and fields.get("reference") is None:
                raise InvalidInput(_WHICH_REFERENCE)
            return _from_counts(document, known, order.labels_only, fields)
        rows = _Rows(order, body, document.get("rows"))
    else:
        rows = _Rows(order, body)
    layout = _by(known or rows.layout(), order)
    batch = rows.counted(layout)
    _check(batch, layout, order, known is None)
    return Counted(batch_value(batch), layout_value(layout), fields)


class _Rows:
    """The rows of a body, which can be read more than once."""

    def __init__(self, order: Order, body: bytes, document: object = None) -> None:
        self._order = order
        self._body = body
        self._document = document

    def layout(self) -> Layout:
        """The layout that they make."""
        order = self._order
        said = Columns(order.prediction, order.score, order.label, tuple(order.segments), order.kinds)
        return self._read(lambda name: order.kinds.get(name) != IGNORE, None, lambda chunks: layout_of(chunks, said))

    def counted(self, layout: Layout) -> Batch:
        """The rows as counts."""
        needed = {layout.prediction, layout.score, layout.label}
        if not self._order.labels_only:
            needed |= {*layout.columns, *layout.segments}
        numeric = {name for name, bins in layout.columns.items() if isinstance(bins, NumericBins)}
        if not layout.classes and layout.label:
            numeric.add(layout.label)
        use = partial(counted, layout=layout, labels_only=self._order.labels_only)
        return self._read(needed.__contains__, numeric, use)

    def _read(self, wanted: Wanted, numeric: set[str] | None, use: Use[T]) -> T:
        order = self._order
        if order.media_type == JSON:
            return use(json_rows.chunks_of(self._document, wanted))
        if order.media_type == NDJSON:
            return use(json_rows.chunks_of_lines(self._pieces(), wanted))
        # Arrow takes half as long to import as a small body takes to be counted, and JSON does not need it.
        if order.media_type == CSV:
            from app.services.data_drift.csv_rows import Csv  # noqa: PLC0415 - see above

            return Csv(self._pieces, wanted, numeric).consumed(use)
        from app.services.data_drift.parquet_rows import chunks_of  # noqa: PLC0415 - see above

        return use(
            chunks_of(inflating.whole(self._body, order.coding, min(_MOST_OF_PARQUET, order.most_bytes)), wanted)
        )

    def _pieces(self) -> Iterable[bytes]:
        return inflating.pieces(self._body, self._order.coding, self._order.most_bytes)


def _from_counts(document: dict[str, Any], known: Layout | None, labels_only: bool, fields: dict[str, Any]) -> Counted:
    if "rows" in document:
        raise InvalidInput("Send 'rows' or 'counts', not both.")
    if "layout" in document and known is None:
        layout = layout_from(document["layout"])
    elif known is not None:
        layout = known
    else:
        raise InvalidInput(_NO_BINS)
    counts = document["counts"]
    if labels_only and isinstance(counts, dict):
        inputs = ("rows", "columns", "segments", "outcomes", "unknown_columns")
        counts = {"rows": 0} | {name: value for name, value in counts.items() if name not in inputs}
    batch = batch_from(counts, layout)
    if labels_only and not batch.labelled_rows:
        raise InvalidInput(_no_labels(layout))
    if not batch.rows and not batch.labelled_rows:
        raise InvalidInput(NO_ROWS)
    check_coherent(batch, layout)
    return Counted(batch_value(batch), layout_value(layout), fields)


def _by(layout: Layout, order: Order) -> Layout:
    """The layout with the label's column, if it is named first now. InvalidInput where a name contradicts it."""
    for what in ("prediction", "score", "label"):
        said, known = getattr(order, what), getattr(layout, what)
        if said is not None and known is not None and said != known:
            raise InvalidInput(f"The {what} of the reference is the column '{known}', not '{said}'.")
    if order.label is None or layout.label is not None:
        return layout
    if order.label in layout.columns:
        raise InvalidInput(f"The reference has '{order.label}' as an input, so it cannot be the label.")
    return replace(layout, label=order.label)


def _check(batch: Batch, layout: Layout, order: Order, makes_bins: bool) -> None:
    if order.labels_only:
        if not batch.labelled_rows:
            raise InvalidInput(_no_labels(layout))
    elif not batch.rows:
        raise InvalidInput(NO_ROWS)
    elif makes_bins and batch.rows < order.fewest_rows:
        raise InvalidInput(
            f"There is no reference yet, so these rows would set the bins: {batch.rows} of them are too few, "
            f"{order.fewest_rows} are needed. Send a reference first (PUT …/reference), or more rows at once."
        )


def _no_labels(layout: Layout) -> str:
    """What labels need and no row has, for the kind of model that the reference is of."""
    prediction, label = (f" ('{name}')" if name else "" for name in (layout.prediction, layout.label))
    if not layout.prediction:
        return "The reference names no prediction, so labels have nothing to be compared with. Send another reference."
    if layout.counts_outcomes:
        needed = f"a prediction{prediction}, a score ('{layout.score}') and a label{label}, where prediction and label "
        needed += "are classes of the reference"
    elif layout.kind(layout.prediction) == NUMERIC:
        needed = f"a prediction{prediction} and a label{label} that are numbers"
    elif layout.classes:
        return "The reference names no score, so labels of its classes are not counted. Send another reference."
    else:
        return "The reference has fewer than two classes, so its labels are not counted. Send another reference."
    columns = "" if layout.label else " Say with `label` which column has the labels."
    return f"No row has {needed}, so there is nothing to count.{columns}"


def _with_fields(order: Order, fields: dict[str, Any]) -> Order:
    """What a JSON body says of columns counts where the query does not say it."""
    said: dict[str, Any] = {}
    for name in ("prediction", "score", "label"):
        value = fields.pop(name, None)
        if value is not None and getattr(order, name) is None:
            if not isinstance(value, str):
                raise InvalidInput(f"'{name}' must be the name of a column.")
            said[name] = value
    segments, kinds = fields.pop("segment", None), fields.pop("kinds", None)
    if segments is not None and not order.segments:
        segments = [segments] if isinstance(segments, str) else segments
        if not isinstance(segments, list) or not all(isinstance(name, str) for name in segments):
            raise InvalidInput("'segment' must be the name of a column, or a list of names.")
        said["segments"] = segments
    if kinds is not None and not order.kinds:
        if not isinstance(kinds, dict) or not all(isinstance(kind, str) for kind in kinds.values()):
            raise InvalidInput("'kinds' must be an object that says the kind of columns by their names.")
        said["kinds"] = kinds
    return msgspec.structs.replace(order, **said)
