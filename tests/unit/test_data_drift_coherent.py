"""Counts that no rows could have together are refused where they arrive, and those of any rows are taken."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import InvalidInput
from app.services.data_drift.job import done
from app.services.data_drift.order import JSON, Order

CLASSIFIER: dict[str, Any] = {
    "columns": {
        "age": {"kind": "numeric", "edges": [30.0]},
        "job": {"kind": "categorical", "categories": ["a", "b"], "others": ["c", "d"]},
        "said": {"kind": "categorical", "categories": ["no"], "others": ["yes"]},
        "p": {"kind": "numeric", "edges": [0.5]},
    },
    "prediction": "said",
    "score": "p",
    "label": "true",
    "classes": ["no", "yes", "rare"],
    "segments": {"job": ["a", "d"], "team": ["x", "y"]},
}
REGRESSION: dict[str, Any] = {
    "columns": {"p": {"kind": "numeric", "edges": [0.0]}},
    "prediction": "p",
    "label": "true",
    "segments": {"team": ["x"]},
}
classes = st.sampled_from(["no", "yes", "rare", "?", None])
rows = st.lists(
    st.fixed_dictionaries(
        {
            "age": st.sampled_from([20, 40, "?", None]),
            "job": st.sampled_from(["a", "b", "c", "d", "e", None]),
            "team": st.sampled_from(["x", "y", "z", None]),
            "said": classes,
            "p": st.sampled_from([0.2, 0.8, None]),
            "true": classes,
        }
    ),
    min_size=1,
    max_size=12,
)


def sent(body: dict[str, Any], layout: dict[str, Any]) -> dict[str, Any]:
    return done(Order(JSON, layout=layout), json.dumps(body).encode()).batch


@given(rows)
def test_the_counts_of_any_rows_are_taken(made: list[dict[str, Any]]) -> None:
    counts = sent({"rows": made}, CLASSIFIER)
    assert sent({"counts": counts}, CLASSIFIER) == counts


# The only row in each of its cells, when it is among others.
ALONE = {"age": 40, "job": "d", "team": "x", "said": "rare", "p": 0.8, "true": "rare"}
OTHERS = {"age": (20, "?", None), "job": ("a", "b", "e", None), "said": ("no", "yes", None), "p": (0.2, None)}
others = st.lists(
    st.fixed_dictionaries({name: st.sampled_from(values) for name, values in OTHERS.items()} | {"true": classes}),
    max_size=12,
)


@given(others, st.sampled_from(["age", "job", "said", "p", "outcomes"]))
def test_a_part_that_has_a_row_more_than_the_whole_is_refused(made: list[dict[str, Any]], where: str) -> None:
    counts = sent({"rows": [*made, ALONE]}, CLASSIFIER)
    without = sent({"rows": [*made, ALONE | {"p" if where == "outcomes" else where: None}]}, CLASSIFIER)
    if where == "outcomes":
        counts["outcomes"] = without["outcomes"]
    else:
        counts["columns"][where] = without["columns"][where]
    with pytest.raises(InvalidInput, match=r"has more|have more"):
        sent({"counts": counts}, CLASSIFIER)


@given(st.lists(st.floats(-1e140, 1e140) | st.floats(-1e-150, 1e-150) | st.sampled_from([0.1]), max_size=30))
def test_the_errors_of_any_rows_are_taken(errors: list[float]) -> None:
    counts = sent({"rows": [{"p": error, "true": 0.0} for error in errors] + [{"p": None}]}, REGRESSION)
    assert sent({"counts": counts}, REGRESSION) == counts
    # A sender may add floats up as they come.
    plain = {"absolute": sum(map(abs, errors)), "squared": sum(e * e for e in errors), "signed": sum(errors)}
    sent({"counts": counts | {"errors": {"rows": len(errors), **plain}}}, REGRESSION)


@pytest.mark.parametrize(
    ("errors", "problem"),
    [
        ({"rows": 2, "absolute": 1.5, "squared": 0.1, "signed": 0.5}, "the square of 'absolute' is more"),
        ({"rows": 2, "absolute": 1.5, "squared": 1.25, "signed": 9}, "'signed' is further from 0"),
        ({"rows": 2, "absolute": 1.5, "squared": 1.25, "signed": -1.6}, "'signed' is further from 0"),
        ({"rows": 2, "absolute": 1.5, "squared": 2.5, "signed": 0.5}, "more than the square of 'absolute'"),
        ({"rows": 0, "absolute": 1.5, "squared": 1.25, "signed": 0.5}, "those of 0 rows"),
        ({"rows": 2, "absolute": 1e300, "squared": 1e300, "signed": 0}, "the square of 'absolute' is more"),
    ],
)
@pytest.mark.parametrize("is_late", [False, True])
def test_sums_of_errors_that_contradict_each_other_are_refused(
    errors: dict[str, Any], problem: str, is_late: bool
) -> None:
    counts = {"rows": 0} if is_late else {"rows": 3, "columns": {"p": {"cells": [1, 2]}}}
    if is_late and not errors["rows"]:
        problem = "no rows"
    with pytest.raises(InvalidInput, match=problem):
        sent({"counts": counts | {"errors": errors}}, REGRESSION)


WHOLE: dict[str, Any] = {
    "rows": 4,
    "columns": {
        "age": {"cells": [3, 1]},
        "job": {"cells": [2, 1, 1]},
        "said": {"cells": [3, 1]},
        "p": {"cells": [3, 1]},
    },
}
SEGMENT: dict[str, Any] = {
    "column": "job",
    "value": "a",
    "rows": 2,
    "columns": {
        "age": {"cells": [1, 1]},
        "job": {"cells": [2, 0, 0]},
        "said": {"cells": [2, 0]},
        "p": {"cells": [2, 0]},
    },
}


def segment(**columns: list[int]) -> dict[str, Any]:
    return SEGMENT | {"columns": SEGMENT["columns"] | {name: {"cells": cells} for name, cells in columns.items()}}


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"segments": [segment(age=[0, 2])]}, "more rows in a cell of column 'age'"),
        ({"segments": [SEGMENT | {"columns": {}}]}, "A segment has the counts of every column"),
        ({"segments": [segment(job=[1, 1, 0])]}, "Segment 'a' has rows with another value"),
        ({"outcomes": {"counts": [[[2], [0]], [[1], [1]], [[0], [0]]]}}, "more rows of a class than column 'said'"),
        ({"outcomes": {"counts": [[[2], [1]], [[0], [0]], [[1], [0]]]}}, "more rows of a class than column 'said'"),
        ({"outcomes": {"counts": [[[2], [1]], [[0], [1]], [[0], [0]]]}}, "more rows in a bin .* than column 'p'"),
        (
            {
                "outcomes": {"counts": [[[3], [0]], [[0], [1]], [[0], [0]]]},
                "labelled": {"counts": [[[2, 0, 0], [1, 0, 0]], [[0, 0, 0]] * 2, [[0, 0, 0]] * 2]},
            },
            "'labelled' has more rows of a class in a bin",
        ),
        ({"labelled": {"counts": [[[0, 0, 0]] * 2, [[0, 2, 0], [0, 0, 0]], [[0, 0, 0]] * 2]}}, "'labelled' has more"),
        ({"labelled": {"counts": [[[0, 0, 0]] * 2] * 3, "unknown": 5}}, "5 rows have labels, and 'rows' is 4"),
    ],
)
def test_counts_of_which_one_contradicts_another_are_refused_with_the_reason(
    more: dict[str, Any], problem: str
) -> None:
    sent({"counts": WHOLE | {"segments": [SEGMENT]}}, CLASSIFIER)
    with pytest.raises(InvalidInput, match=problem):
        sent({"counts": WHOLE | more}, CLASSIFIER)


def test_a_regression_has_no_more_errors_than_predictions() -> None:
    errors = {"rows": 3, "absolute": 3, "squared": 3, "signed": 3}
    with pytest.raises(InvalidInput, match="more rows than column 'p' has values"):
        sent({"counts": {"rows": 4, "columns": {"p": {"cells": [1, 1], "missing": 2}}, "errors": errors}}, REGRESSION)
