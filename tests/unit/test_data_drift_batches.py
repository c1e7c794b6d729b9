"""Batches and layouts: they add up, and what arrives as JSON is checked before it counts."""

import contextlib
import json
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.data_drift.batch import Batch, Errors, whole
from app.domain.data_drift.batch_json import batch_from, batch_value
from app.domain.data_drift.bins import Categories, NumericBins
from app.domain.data_drift.counts import ColumnCounts, RowCounts
from app.domain.data_drift.layout import Layout
from app.domain.data_drift.layout_json import layout_from, layout_value
from app.domain.data_drift.outcomes import Outcomes
from app.domain.data_drift.sums import exact_sum
from app.domain.errors import InvalidInput

LAYOUT = Layout(
    {"age/é": NumericBins((0.0, 5e-324, 30.5)), "job": Categories(("a", "b"), ("c",)), "p": NumericBins((0.5,))},
    score="p",
    classes=("no", "yes"),
    segments={"job": ("a", "b")},
    ignored={"id": "Column 'id' looks like an identifier."},
)
CLASSIFIER = Layout(
    LAYOUT.columns | {"said": Categories(("no", "yes"))},
    "said",
    "p",
    "true",
    LAYOUT.classes,
    LAYOUT.segments,
    LAYOUT.ignored,
)
few = st.integers(0, 5)


@st.composite
def row_counts(draw: st.DrawFn, rows: int) -> RowCounts:
    columns = {}
    for name, bins in CLASSIFIER.columns.items():
        left, cells = rows, []
        for _ in range(bins.cells):
            cells.append(draw(st.integers(0, left)))
            left -= cells[-1]
        columns[name] = ColumnCounts(tuple(cells), left)
    return RowCounts(rows, columns)


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    first, second = draw(few), draw(few)
    outcomes = Outcomes(CLASSIFIER.classes, (((first,), (0,)), ((0,), (second,))))
    labelled = Outcomes(CLASSIFIER.classes, (((first, 0), (0, second)), ((0, 1), (0, 0))), 1)
    return Batch(
        draw(row_counts(first + second)),
        {("job", "a"): draw(row_counts(first))},
        draw(st.sampled_from([outcomes, None])),
        draw(st.sampled_from([labelled, None])),
        unknown_columns=draw(st.frozensets(st.text(max_size=3), max_size=2)),
    )


@given(st.lists(batches(), min_size=1, max_size=5), st.randoms())
def test_batches_add_up_to_the_same_in_any_order_and_any_split(parts: list[Batch], random: Any) -> None:
    shuffled = random.sample(parts, len(parts))
    cut = random.randint(0, len(parts))
    assert whole([whole(shuffled[:cut]), whole(shuffled[cut:])]) == whole(parts)


@given(batches())
def test_a_batch_is_the_same_after_its_way_as_json(batch: Batch) -> None:
    assert batch_from(json.loads(json.dumps(batch_value(batch))), CLASSIFIER) == batch


def test_a_layout_is_the_same_after_its_way_as_json() -> None:
    assert layout_from(json.loads(json.dumps(layout_value(CLASSIFIER)))) == CLASSIFIER
    assert (CLASSIFIER.role("said"), CLASSIFIER.kind("said"), CLASSIFIER.inputs) == ("prediction", "categorical", 2)


def test_a_column_that_is_not_sent_has_no_value_in_any_row() -> None:
    assert batch_from({"rows": 3}, LAYOUT).counts.columns["job"] == ColumnCounts((0, 0, 0), missing=3)


def test_the_errors_of_a_regression_add_up() -> None:
    regression = Layout({"said": NumericBins((1.0,))}, prediction="said", label="true")
    sent = {"rows": 0, "errors": {"rows": 2, "absolute": 1.5, "squared": 2, "signed": -0.5}}
    errors = (batch_from(sent, regression) + batch_from(sent, regression)).errors
    assert errors == Errors(4, (3.0,), (4.0,), (-1.0,))


@given(st.lists(st.floats(-1e140, 1e140), max_size=20), st.randoms(use_true_random=False))
def test_sums_of_errors_are_the_same_in_any_order_and_any_split(errors: list[float], random: Any) -> None:
    shuffled = random.sample(errors, len(errors))
    cut = random.randint(0, len(errors))
    total = exact_sum(errors)
    assert sum(map(Fraction, total)) == sum(map(Fraction, errors))
    assert exact_sum([*exact_sum(shuffled[:cut]), *exact_sum(shuffled[cut:])]) == total


COLUMN = {"cells": [1, 0, 0], "missing": 1, "unknown": 0}


@pytest.mark.parametrize(
    ("counts", "problem"),
    [
        ([], "must be an object"),
        ({}, "'rows' must be a whole number"),
        ({"rows": True}, "'rows' must be a whole number"),
        ({"rows": 10**13}, "'rows' must be a whole number"),
        ({"rows": 2, "columns": {"job": COLUMN | {"cells": [1, 1]}}}, "2 counts; its bins have 3 cells"),
        ({"rows": 2, "columns": {"job": COLUMN | {"cells": [1, 1, -1]}}}, "whole number from 0"),
        ({"rows": 2, "columns": {"job": COLUMN | {"cells": [1.0, 0, 0]}}}, "whole number from 0"),
        ({"rows": 3, "columns": {"job": COLUMN}}, "add up to 2, and 'rows' is 3"),
        ({"rows": 2, "columns": {"other": COLUMN}}, "no column 'other'"),
        ({"rows": 2, "segments": {}}, "must be a list"),
        ({"rows": 2, "segments": [{"column": "job", "value": "c", "rows": 1}]}, "no such segment"),
        ({"rows": 2, "segments": [{"column": "job", "value": "a", "rows": 1}] * 2}, "is there twice"),
        ({"rows": 2, "segments": [{"column": "job", "value": "a", "rows": 3}]}, "add up to 3, and 'rows' is 2"),
        ({"rows": 2, "outcomes": {"counts": [[[1], [1]]]}}, "shape 2 by 2 by 1"),
        ({"rows": 2, "outcomes": {"counts": [[[1], [1]], [[1], [1]]]}}, "add up to 4"),
        ({"rows": 2, "labelled": {"counts": [[[1], [1]], [[1], [1]]]}}, "shape 2 by 2 by 2"),
        ({"rows": 2, "errors": {"rows": 1}}, "the reference has classes"),
        ({"rows": 2, "unknown_columns": [3]}, "'unknown_columns' must have names"),
        ({"rows": 2, "labeled": {}}, "unknown member 'labeled'"),
        ({"rows": 2, "columns": {"job": COLUMN | {"cell": 1}}}, "unknown member 'cell'"),
        ({"rows": 2, "segments": [{"column": "job", "value": "a", "rows": 1, "n": 1}]}, "unknown member 'n'"),
        ({"rows": 2, "labelled": {"counts": [], "unkown": 1}}, "unknown member 'unkown'"),
    ],
)
def test_counts_that_do_not_fit_are_refused_with_the_reason(counts: Any, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        batch_from(counts, CLASSIFIER)


@pytest.mark.parametrize("absolute", [None, "1", True, -1, float("inf"), 1e301, [], [1.0, None], [1.0] * 65])
def test_sums_that_are_none_are_refused(absolute: Any) -> None:
    regression = Layout({"said": NumericBins((1.0,))}, prediction="said", label="true")
    with pytest.raises(InvalidInput, match="'absolute'"):
        batch_from({"rows": 0, "errors": {"rows": 1, "absolute": absolute, "squared": 1, "signed": 0}}, regression)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"columns": {}}, "no columns"),
        ({"columns": {"a": {"kind": "date"}}}, "must be 'numeric' or 'categorical'"),
        ({"columns": {"a": {"kind": "numeric", "edges": [1, 1]}}}, "must rise"),
        ({"columns": {"a": {"kind": "numeric", "edges": [float("nan")]}}}, "must be finite"),
        ({"columns": {"a": {"kind": "numeric", "edges": [10**400]}}}, "must be finite"),
        ({"columns": {"a": {"kind": "categorical", "categories": ["a", "a"]}}}, "an entry twice"),
        ({"columns": {"a": {"kind": "categorical", "categories": ["a"], "others": ["a"]}}}, "a category twice"),
        ({"columns": {str(n): {"kind": "numeric", "edges": []} for n in range(1001)}}, "more than 1000 entries"),
        ({"columns": {"..": {"kind": "numeric", "edges": []}}}, "no address"),
        ({"columns": {"": {"kind": "numeric", "edges": []}}}, "1 to 250 characters"),
        ({"prediction": "nowhere"}, "is not among the columns"),
        ({"score": "job"}, "must be numeric"),
        ({"label": "job"}, "must not be among the columns"),
        ({"classes": ["one"]}, "at least two classes"),
        ({"segments": {"job": [str(n) for n in range(21)]}}, "at most 20 texts"),
    ],
)
def test_a_layout_that_cannot_be_used_is_refused_with_the_reason(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        layout_from(layout_value(CLASSIFIER) | changes)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "rows",
                        "columns",
                        "job",
                        "p",
                        "cells",
                        "missing",
                        "outcomes",
                        "counts",
                        "errors",
                        "edges",
                        "kind",
                        "segments",
                        "value",
                        "classes",
                        "score",
                        "categories",
                    ]
                ),
                inner,
                max_size=6,
            )
        ),
    )
)
def test_nothing_that_is_sent_raises_anything_but_bad_input(sent: Any) -> None:
    for decode in (lambda: batch_from(sent, CLASSIFIER), lambda: layout_from(sent)):
        with contextlib.suppress(InvalidInput):
            decode()
