"""The JSON bodies of references, batches and labels, as OpenAPI shows them. The process that counts checks them."""

from typing import Any

from marshmallow import Schema, fields, validate

from app.domain.data_drift.bins import CATEGORICAL, NUMERIC
from app.schemas.base import doc, moment, number, text

_TEXTS = {"type": "array", "items": {"type": "string"}}
_NUMBERS = {"type": "array", "items": {"type": "number"}}
_ROW = {"age": 31, "job": "nurse", "said": "yes", "probability": 0.83}
_LAYOUT = {
    "columns": {
        "age": {"kind": NUMERIC, "edges": [18.0, 25.5, 31.0]},
        "said": {"kind": CATEGORICAL, "categories": ["no", "yes"], "others": []},
        "probability": {"kind": NUMERIC, "edges": [0.5]},
    },
    "prediction": "said",
    "score": "probability",
    "label": "true",
    "classes": ["no", "yes"],
}
_AGE = {"cells": [10, 0, 20, 0], "missing": 10, "unknown": 0}
_LABELLED = {"counts": [[[1, 0], [0, 0]], [[0, 0], [0, 1]]], "unknown": 0}
_COUNTS = {
    "rows": 40,
    "columns": {"age": _AGE, "said": {"cells": [30, 10]}, "probability": {"cells": [30, 10]}},
    "outcomes": {"counts": [[[30], [0]], [[0], [10]]], "unknown": 0},
    "unknown_columns": ["shoe_size"],
}
_TESTED = {
    "rows": 1000,
    "columns": {
        "age": {"cells": [150, 250, 350, 240], "missing": 10},
        "said": {"cells": [600, 400]},
        "probability": {"cells": [600, 400]},
    },
    "outcomes": {"counts": [[[600], [0]], [[0], [400]]]},
    "labelled": {"counts": [[[500, 100], [0, 0]], [[0, 0], [90, 310]]]},
}
REFERENCE_EXAMPLES = {
    "rows": {
        "rows": [_ROW | {"true": "yes"}],
        "prediction": "said",
        "score": "probability",
        "label": "true",
        "segment": ["job"],
        "kinds": {"age": NUMERIC},
    },
    "counts": {"layout": _LAYOUT, "counts": _TESTED},
}
BATCH_EXAMPLES = {
    "rows": {"rows": [_ROW], "batch_id": "2026-11-21"},
    "counts": {"counts": _COUNTS, "reference": "b1946ac9", "batch_id": "2026-11-21"},
}
LABEL_EXAMPLES = {
    "rows": {"rows": [{"said": "yes", "probability": 0.83, "true": "yes"}], "batch_id": "labels-2026-11-21"},
    "counts": {
        "counts": {"rows": 0, "labelled": _LABELLED},
        "reference": "b1946ac9",
        "batch_id": "labels-2026-11-21",
    },
}


def _numbers(description: str, example: list[Any], item: Any) -> fields.List[Any]:
    return fields.List(item, metadata=doc(description, example))


def _sum(of: str, example: float) -> fields.Raw:
    description = f"The sum of {of}: a number, or numbers that add up to it"
    return fields.Raw(required=True, metadata=doc(description, example, oneOf=[{"type": "number"}, _NUMBERS]))


class ColumnCountsSchema(Schema):
    """How many values of a column each cell has."""

    cells = _numbers("A count a cell", [10, 0, 20, 0], fields.Integer())
    missing = number("Rows without a value", 10)
    in_no_cell = number("Rows whose value is in no cell", 0, data_key="unknown")


class SegmentCountsSchema(Schema):
    """The counts of the rows that have a value of a segment."""

    column = text("The column of the segment", "job", required=True)
    value = text("Its value", "clerk", required=True)
    rows = number("How many rows have it", 20, required=True)
    columns = fields.Dict(
        keys=fields.String(),
        values=fields.Nested(ColumnCountsSchema),
        metadata=doc("The counts of each column, also that of the segment", {"age": {"cells": [10, 0, 10, 0]}}),
    )


class OutcomeCountsSchema(Schema):
    """Rows by predicted class, bin of the score and, if labels are known, true class."""

    counts = _numbers(
        "A list a predicted class, in it a list a bin of the score, in it a count a true class, or one count",
        [[[30], [0]], [[0], [10]]],
        fields.List(fields.List(fields.Integer())),
    )
    in_no_cell = number("Rows that lack one of them", 0, data_key="unknown")


class ErrorSumsSchema(Schema):
    """Errors of a regression, predicted less true value."""

    rows = number("Of how many rows the true value is known", 2, required=True)
    absolute = _sum("|e|", 1.5)
    squared = _sum("e²", 1.25)
    signed = _sum("e", 0.5)


class CountsSchema(Schema):
    """Rows as counts, by the layout of the reference."""

    rows = number("How many rows there are; 0 of labels that come later", 40, required=True)
    columns = fields.Dict(
        keys=fields.String(),
        values=fields.Nested(ColumnCountsSchema),
        metadata=doc("The counts of each column; one that is left out has no value in any row", {"age": _AGE}),
    )
    segments = _numbers("The counts of each segment that has rows", [], fields.Nested(SegmentCountsSchema))
    outcomes = fields.Nested(OutcomeCountsSchema, metadata={"description": "All rows, without labels"})
    labelled = fields.Nested(OutcomeCountsSchema, metadata={"description": "The rows whose label is known"})
    errors = fields.Nested(ErrorSumsSchema, metadata={"description": "Of a regression, instead of `labelled`"})
    unknown_columns = _numbers("Columns that the layout lacks", ["shoe_size"], fields.String())


class LayoutColumnSchema(Schema):
    """How a column is counted."""

    kind = text("How it is counted", NUMERIC, required=True, validate=validate.OneOf((NUMERIC, CATEGORICAL)))
    role = text("`input`, `prediction` or `score`, as answered; not needed", "input")
    edges = _numbers("Of a numeric column, where its cells end, rising", [18.0, 25.5, 31.0], fields.Float())
    categories = _numbers("Of a categorical column, those that have a cell each", ["clerk", "nurse"], fields.String())
    others = _numbers("Those that share the last cell", ["diver"], fields.String())


class LayoutBodySchema(Schema):
    """What is counted, and in which bins."""

    columns = fields.Dict(
        keys=fields.String(),
        values=fields.Nested(LayoutColumnSchema),
        required=True,
        metadata=doc("The columns that are counted", _LAYOUT["columns"]),
    )
    prediction = text("The column with the predictions", "said", allow_none=True)
    score = text("The column with the score", "probability", allow_none=True)
    label = text("The column with the true values, which is not among the columns", "true", allow_none=True)
    classes = _numbers("The classes, in the order in which outcomes are counted", ["no", "yes"], fields.String())
    segments = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        metadata=doc("The values of columns by which rows are judged apart", {"job": ["clerk", "nurse"]}),
    )
    ignored = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        metadata=doc("Why columns are not counted", {"id": "Column 'id' looks like an identifier."}),
    )


class _BodySchema(Schema):
    """Rows or counts, and what columns of rows are."""

    rows = _numbers("Rows: objects with the same names. Or counts, not both", [_ROW], fields.Dict(keys=fields.String()))
    counts = fields.Nested(CountsSchema, metadata={"description": "Counts of rows, by the layout of the reference"})
    prediction = text("The column with the predictions", "said")
    score = text("The column with the score", "probability")
    label = text("The column with the true values", "true")
    segment = fields.Raw(
        metadata=doc("The column, or columns, of segments", ["job"], oneOf=[{"type": "string"}, _TEXTS])
    )
    kinds = fields.Dict(
        keys=fields.String(),
        values=fields.String(validate=validate.OneOf((NUMERIC, CATEGORICAL, "ignore"))),
        metadata=doc("What columns are", {"age": NUMERIC, "zip": CATEGORICAL, "id": "ignore"}),
    )


class ReferenceBodySchema(_BodySchema):
    """A reference: rows, or counts with the layout by which they were made."""

    layout = fields.Nested(LayoutBodySchema, metadata={"description": "With counts: what was counted, in which bins"})


class BatchBodySchema(_BodySchema):
    """A batch, or labels: rows, or counts with the reference by whose layout they were made."""

    reference = text("With counts: the id of the reference, as `GET …/reference` answers it", "b1946ac9")
    batch_id = text("What is sent again with the same id counts once; by default a new one", "2026-11-21")
    window_start = moment("The start of the window, RFC 3339 with offset; by default today's, in UTC")
    window_end = moment("The end of the window, not included", "2023-12-02T10:00:00Z")
