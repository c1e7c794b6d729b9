"""Data: references, batches and labels that are sent, and what is answered about them."""

from typing import Any

from marshmallow import Schema, fields, validate

from app.domain.data_drift.layout import LONGEST_NAME
from app.schemas.base import OnceQuerySchema, days_back, doc, flag, moment, number, text

_LAYOUT: dict[str, Any] = {
    "columns": {
        "age": {"kind": "numeric", "role": "input", "edges": [18.0, 25.5, 31.0]},
        "said": {"kind": "categorical", "role": "prediction", "categories": ["no", "yes"], "others": []},
        "probability": {"kind": "numeric", "role": "score", "edges": [0.25, 0.5, 0.75]},
    },
    "prediction": "said",
    "score": "probability",
    "label": "true",
    "classes": ["no", "yes"],
    "segments": {},
    "ignored": {"id": "Column 'id' looks like an identifier."},
}
_REFERENCE = {
    "id": "b1946ac9",
    "created_at": "2023-12-01T10:00:00Z",
    "created_by": "data_scientist_john",
    "origin": "sent",
    "rows": 10000,
}
_SUMMARY: dict[str, Any] = {
    "window": "2023-12-08T00:00:00Z",
    "at": "2023-12-07T00:00:00Z",
    "is_learning": False,
    "learnt_windows": 0,
    "reference_rows": 10000,
    "rows": 1200,
    "inputs": 17,
    "moved_inputs": [
        {
            "name": "loan_length",
            "column": "loan_length",
            "is_segment": False,
            "since": "2023-11-21T00:00:00Z",
            "words": "18 % of the mass moved, mostly to 24 to 36; outside what 31 earlier windows showed",
        }
    ],
    "moved_outputs": [],
    "moved_since": "2023-11-21T00:00:00Z",
    "estimated_fall": None,
}
_WINDOW: dict[str, Any] = {
    "start": "2023-12-07T00:00:00Z",
    "end": "2023-12-08T00:00:00Z",
    "rows": 1200,
    "is_reference": False,
    "labelled_rows": 0,
    "label_problem": None,
    "unknown_columns": [],
    "missing_columns": [],
    "estimated": {"accuracy": 0.91, "precision": 0.88, "recall": 0.9, "f1": 0.89, "roc_auc": 0.961},
    "no_estimate": None,
    "realised": None,
    "columns": [
        {
            "name": "loan_length",
            "role": "input",
            "segment": None,
            "verdict": "moved",
            "is_provisional": False,
            "moved": 0.18,
            "missing_change": 0.031,
            "unknown_change": 0.0,
            "p_chance": 1.2e-9,
            "p_history": 3.1e-6,
            "quiet_windows": 31,
            "words": "18 % of the mass moved, mostly to 24 to 36; outside what 31 earlier windows showed",
        }
    ],
}


def _names(description: str, example: list[str], **options: Any) -> fields.List[str]:
    names = fields.String(validate=validate.Length(1, LONGEST_NAME))
    return fields.List(names, metadata=doc(description, example), **options)


def _any(description: str, example: Any, **options: Any) -> fields.Raw:
    return fields.Raw(metadata=doc(description, example), **options)


class ColumnsQuerySchema(OnceQuerySchema):
    """What columns of rows are. A JSON body may say it as well."""

    prediction = text("The column with the predictions", "said", validate=validate.Length(1, LONGEST_NAME))
    score = text(
        "The column with the score: of two classes the probability of the second, of more that of the predicted class",
        "probability",
        validate=validate.Length(1, LONGEST_NAME),
    )
    label = text("The column with the true values", "true", validate=validate.Length(1, LONGEST_NAME))
    segment = _names("A column by whose values rows are judged apart as well; may be repeated", ["country"])
    numeric = _names("A column that is numeric; may be repeated", ["age"])
    categorical = _names("A column that is categorical, whatever its values look like; may be repeated", ["zip"])
    ignore = _names("A column that is not counted; may be repeated", ["id"])


class BatchQuerySchema(ColumnsQuerySchema):
    """Of which window rows or counts are, and what columns of rows are. A JSON body may say it as well."""

    window_start = moment("The start of the window, RFC 3339 with offset; by default today's, in UTC")
    window_end = moment("The end of the window, not included", "2023-12-02T10:00:00Z")
    batch_id = text("What is sent again with the same id counts once; by default a new one", "scoring-2023-12-07-1")
    reference = text(
        "The id of the reference by which counts were made, as GET …/reference answers it: required with counts, and "
        "one that was replaced is a 409",
        "b1946ac9",
    )


class LayoutReferenceSchema(Schema):
    """A reference that was taken."""

    id = text("The id of the reference", "b1946ac9", required=True)
    rows = number("How many rows it has", 10000, required=True)
    layout = _any("What each column was taken for, its bins, and what is ignored, with the reason", _LAYOUT)
    unknown_columns = _names("Columns that are not in the layout that came with the body", [], required=True)
    note = text("What to know about it; null if nothing", None, required=True, allow_none=True)


class ReferenceSchema(Schema):
    """The reference by which data is counted and judged."""

    id = text("The id of the reference", "b1946ac9", required=True)
    created_at = moment("When it was sent", required=True)
    created_by = text("Who sent it", "data_scientist_john", required=True)
    origin = text("`sent`, or `first_windows` if the first ten windows are it", "sent", required=True)
    rows = number(
        "How many rows it has; null until the first windows are judged, if these are it",
        10000,
        required=True,
        allow_none=True,
    )
    batches = number("How many batches were counted by it", 90, required=True)
    layout = _any("The columns with their bins", _LAYOUT, required=True)
    earlier = _any(
        "References before it, the newest first. Their answers are kept",
        [{"id": "a0e83b21", "created_at": "2023-06-01T10:00:00Z", "batches": 120}],
        required=True,
    )
    note = text("What to know about it; null if nothing", None, required=True, allow_none=True)


class BatchSchema(Schema):
    """A batch that was counted."""

    batch_id = text("Its id, by which it can be withdrawn", "scoring-2023-12-07-1", required=True)
    rows = number("How many rows were counted", 1200, required=True)
    labelled_rows = number("From how many labelled rows figures are made", 0, required=True)
    window = _any("The window", {"start": "2023-12-07T00:00:00Z", "end": "2023-12-08T00:00:00Z"}, required=True)
    features = number("How many inputs the reference has", 17, required=True)
    unknown_columns = _names("Columns that the reference does not have", ["shoe_size"], required=True)
    reference = text("The id of the reference by which they were counted", "b1946ac9", required=True)
    note = text("What to know about the reference; null if nothing", None, required=True, allow_none=True)


class WithdrawnBatchQuerySchema(OnceQuerySchema):
    """By which reference the batch was counted."""

    reference = text("The id of an earlier reference; by default the present one", "a0e83b21")


class WithdrawnBatchSchema(Schema):
    """A batch that no longer counts."""

    batch_id = text("Its id, which cannot be used again", "scoring-2023-12-07-1", required=True)
    rows = number("How many rows it has", 1200, required=True)


class DataDriftQuerySchema(OnceQuerySchema):
    """How many days, and by which reference."""

    days = days_back(90, default=90)
    reference = text("The id of an earlier reference; by default the present one", "a0e83b21")


class VersionDataSchema(Schema):
    """What there is to say of the data of a version."""

    model_version = text("Version", "3", required=True)
    sentence = text(
        "What there is to say, in one sentence",
        "3 of 17 inputs moved since 21 November, `loan_length` most; estimated ROC AUC 0.971 → 0.921",
        required=True,
    )
    is_learning = flag("Whether too few quiet windows are known to call anything moved", False, required=True)
    moved = flag("Whether an input or the predictions moved", True, required=True)
    estimate_fell = flag("Whether the estimated performance fell", True, required=True)
    note = text("What to know about the reference; null if nothing", None, required=True, allow_none=True)


class DataDriftSchema(Schema):
    """What moved in the data of a version, and how good it probably is."""

    model_name = text("Registered model", "DNA_Analysis_Model", required=True)
    model_version = text("Version", "1", required=True)
    sentence = text(
        "What there is to say, in one sentence",
        "1 of 17 inputs moved since 21 November: `loan_length`",
        required=True,
    )
    reference = _any("The reference", _REFERENCE, required=True)
    note = text("What to know about the reference; null if nothing", None, required=True, allow_none=True)
    batches = number("How many batches count", 90, required=True)
    judged_batches = number("How many of them the windows below have: soon all of them", 90, required=True)
    judged_at = moment("When they were judged; null if never", required=True, allow_none=True)
    problem = text("Why they could not be judged; null if they were", None, required=True, allow_none=True)
    limits = _any(
        "The shares that matter: of values that are elsewhere, and by which the share of missing and of unknown values "
        "changed; null before",
        {"moved": 0.05, "missing": 0.01, "unknown": 0.01},
        required=True,
        allow_none=True,
    )
    assumption = text(
        "What the estimated figures rest on; null where there are none",
        "This assumes that inputs that look the same still have the same label as often as in the reference.",
        required=True,
        allow_none=True,
    )
    summary = _any("The newest window: what moved, and whether the estimate fell; null before", _SUMMARY)
    windows = _any(
        "The windows, oldest first. `verdict` of a column is `quiet`, `out`, `moved` (out in two of the last three "
        "windows) or `too_few_rows`. `estimated` assumes that inputs that look the same still have the same label as "
        "often as in the reference",
        [_WINDOW],
        required=True,
    )


class HistogramQuerySchema(OnceQuerySchema):
    """Which window, and whether of a segment."""

    window_start = moment("The start of the window; by default the newest that has rows")
    segment = text("The column of a segment", "country")
    value = text("The value of the segment", "de")


_COUNTS = {"rows": 1200, "cells": [10, 400, 700, 50], "missing": 40, "unknown": 0}


class HistogramSchema(Schema):
    """Both histograms of a column."""

    window = _any("The window", {"start": "2023-12-07T00:00:00Z", "end": "2023-12-08T00:00:00Z"}, required=True)
    labels = _any("Each cell in words", ["below 18", "18 to 25.5", "25.5 to 31", "31 or more"], required=True)
    edges = _any("The edges of numeric cells; null for categories", [18.0, 25.5, 31.0], required=True)
    reference = _any("The counts of the reference", {**_COUNTS, "rows": 10000}, required=True)
    present = _any("The counts of the window", _COUNTS, required=True, data_key="counts")
    is_enough = flag("Whether both have the 30 rows that a judgement takes", True, required=True)
    note = text("What to know about the reference; null if nothing", None, required=True, allow_none=True)
