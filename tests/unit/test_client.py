"""The Python client: it counts as the service does, takes rows of many kinds, and sends again what failed."""

import gzip
import json
import math
import shutil
import subprocess
import sys
import tomllib
import traceback
import uuid
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from app.domain.errors import InvalidInput
from app.domain.messages import ALREADY_MONITORED
from app.services.data_drift.job import done
from app.services.data_drift.order import JSON, PARQUET, Order

ROOT = Path(__file__).resolve().parents[2]
CLIENT = ROOT / "client"
sys.path.insert(0, str(CLIENT))

from control_tower_client import ControlTower, TowerError, client, counts_of  # noqa: E402

CLASSIFIER: dict[str, Any] = {
    "columns": {
        "age": {"kind": "numeric", "role": "input", "edges": [0.0, 5e-324, 30.5]},
        "code": {"kind": "categorical", "role": "input", "categories": ["1", "true", "a"], "others": ["007", "b"]},
        "said": {"kind": "categorical", "role": "prediction", "categories": ["no", "yes"], "others": []},
        "p": {"kind": "numeric", "role": "score", "edges": [0.5]},
    },
    "prediction": "said",
    "score": "p",
    "label": "true",
    "classes": ["no", "yes"],
    "segments": {"code": ["a", "1"]},
    "ignored": {"id": "It was said that it is to be ignored."},
}
REGRESSION: dict[str, Any] = {
    "columns": {name: {"kind": "numeric", "role": "input", "edges": [0.0, 10.0]} for name in ("age", "p")},
    "prediction": "p",
    "label": "true",
    "classes": [],
    "segments": {},
}
numbers = st.none() | st.floats(-1e9, 1e9) | st.integers(-(2**70), 2**70)
anything = numbers | st.sampled_from(
    ["1", "1.0", True, False, "True", "a", " a ", "", "NA", "007", "b", "2026-11-21 08:00:00", "new", "+5", "1e999"]
)


@settings(max_examples=40)
@given(
    st.lists(
        st.dictionaries(st.sampled_from(["age", "code", "p", "id", "other"]), anything)
        | st.fixed_dictionaries(
            {
                "age": anything,
                "code": anything,
                "said": st.sampled_from(["yes", "no", "?", None]),
                "p": numbers,
                "true": st.sampled_from(["yes", "no", "?", None, 3.5]),
            }
        ),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from([CLASSIFIER, REGRESSION]),
)
def test_the_client_counts_as_the_service_does(rows: list[dict[str, Any]], layout: dict[str, Any]) -> None:
    try:
        expected = done(Order(JSON, layout=layout), json.dumps({"rows": rows}).encode()).batch
    except InvalidInput:
        with pytest.raises(ValueError, match="none of these columns"):
            counts_of(rows, layout)
        return
    counted = counts_of(rows, layout)
    for counts in (expected, counted):
        counts.get("segments", []).sort(key=lambda segment: segment["value"])
    assert counted == expected
    # And so it is taken.
    assert done(Order(JSON, layout=layout), json.dumps({"counts": counted}).encode()).batch["rows"] == len(rows)


def test_the_client_has_the_service_s_rule_of_what_a_value_is() -> None:
    service = ROOT / "app" / "domain" / "data_drift" / "canonical.py"
    assert (CLIENT / "control_tower_client" / "canonical.py").read_text() == service.read_text()


def test_rows_of_every_kind_count_alike() -> None:
    moment = datetime(2026, 11, 21, 8)
    layout = {
        "columns": {
            "n": {"kind": "numeric", "edges": [1.5]},
            "t": {"kind": "categorical", "categories": ["x"]},
            "b": {"kind": "categorical", "categories": ["true"]},
            "at": {"kind": "categorical", "categories": ["2026-11-21T08:00:00Z"]},
        }
    }
    rows = [{"n": 1, "t": "x", "b": True, "at": moment}, {"n": None, "t": None, "b": None, "at": None}]
    expected = counts_of(rows, layout)
    assert expected["columns"]["at"] == {"cells": [1], "missing": 1, "unknown": 0}
    frame = pd.DataFrame(rows)
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    assert counts_of(frame, layout) == expected
    assert counts_of(frame.astype({"n": "Int64", "t": "category", "b": "boolean"}), layout) == expected
    assert counts_of(columns, layout) == expected
    assert counts_of([list(row.values()) for row in rows], layout, columns=list(columns)) == expected
    array = np.array([(1.0, "x"), (math.nan, "")], dtype=[("n", float), ("t", "U1")])
    of_array = counts_of(array, {"columns": {"n": layout["columns"]["n"], "t": layout["columns"]["t"]}})
    assert of_array["columns"] == {name: expected["columns"][name] for name in ("n", "t")}
    plain = counts_of(np.array([[1.0], [math.nan]]), {"columns": {"n": layout["columns"]["n"]}}, columns=["n"])
    assert plain["columns"]["n"] == expected["columns"]["n"]
    with pytest.raises(ValueError, match="name the 1 columns"):
        counts_of(np.zeros((2, 1)), layout)


ONE = [{"age": 1, "p": 2.0, "true": 1.5}]


@pytest.mark.parametrize(
    ("rows", "more", "problem"),
    [
        (ONE, {"label": "nope"}, "label of the reference is the column 'true', not 'nope'"),
        (ONE, {"label": "nope", "labels_only": True}, "not 'nope'"),
        (pd.DataFrame(np.ones((2, 2)), columns=["age", "age"]), {}, "'age' is there twice"),
        (pd.DataFrame(np.ones((1, 2)), columns=[1, "1"]), {}, "'1' is there twice"),
        (np.ones((2, 2)), {"columns": ["age", "age"]}, "'age' is there twice"),
        ([[1, 2]], {"columns": ["age", "age"]}, "'age' is there twice"),
        ([[1, 2], [1]], {"columns": ["age", "p"]}, "different lengths"),
        ([{"age": 10**400}], {}, "column 'age' has a whole number beyond the range of a float"),
        ([{"age": "a"}, {"age": -(10**400)}], {}, "'age' has a whole number beyond the range of a float"),
        ([{"age": [1]}], {}, "'age' has a value that is a list or an object: send numbers"),
        ([{"age": uuid.UUID(int=1)}], {}, "'age' has a value of the type UUID: send .* or leave the column out"),
        (pd.DataFrame({"age": pd.period_range("2026", periods=1)}), {}, "'age' has a value of the type Period"),
        (pd.DataFrame({"age": [b"\xff"]}), {}, "'age' has a value of the type bytes that are no text"),
        ([{"p": 1.0, "true": [1]}], {"labels_only": True}, "'true' has a value that is a list"),
        ([{"age": 1}, None], {}, "each must be a dictionary"),
        ([{"age": 1}, [2]], {}, "each must be a dictionary"),
        ([None], {}, "each must be a dictionary"),
        (None, {}, "send a frame"),
        ("age", {}, "send a frame"),
        ([], {}, "there are no rows"),
        (pd.DataFrame({"age": []}), {}, "there are no rows"),
        ([{"Alice": 31}], {}, "none of these columns"),
    ],
)
def test_rows_and_labels_that_the_service_would_refuse_are_refused_before_they_are_counted(
    rows: Any, more: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        counts_of(rows, REGRESSION, **more)


# What a frame may hold, and no rule counts.
BEYOND_RULES = [
    [1],
    {"a": 1},
    b"\xff",
    uuid.UUID(int=1),
    Path("a"),
    pd.Period("2026"),
    pd.Interval(0, 1),
    10**400,
    object(),
]


@pytest.mark.parametrize("labels_only", [False, True])
def test_of_a_column_that_is_not_counted_no_value_is_looked_at(labels_only: bool) -> None:
    layout = REGRESSION | {"ignored": {"id": "It was said that it is to be ignored."}}
    table = pd.DataFrame({"age": 1, "p": 2.0, "true": 1.5, "new": BEYOND_RULES, "id": BEYOND_RULES})
    records = [dict(zip(table.columns, row, strict=True)) for row in table.itertuples(index=False)]
    as_lists = [list(row.values()) for row in records]
    for rows, columns in ((table, None), (records, None), ({n: list(table[n]) for n in table}, None)):
        counted = counts_of(rows, layout, columns=columns, labels_only=labels_only)
        assert counted["errors"]["rows"] == len(table)
        assert counted.get("unknown_columns", []) == ([] if labels_only else ["new"])
        assert counts_of(as_lists, layout, columns=list(table.columns), labels_only=labels_only) == counted
    if labels_only:
        assert counts_of(table.assign(age=BEYOND_RULES), layout, labels_only=True) == counted


def test_of_a_column_of_a_reference_that_is_ignored_no_value_is_looked_at_and_of_others_the_column_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = Service(monkeypatch, (200, {}))
    rows = pd.DataFrame({"age": 1, "id": BEYOND_RULES})
    tower = ControlTower("http://tower")
    with pytest.raises(ValueError, match=r"column 'id' has .* leave the column out"):
        tower.set_reference("m", 1, rows)
    tower.set_reference("m", 1, rows, kinds={"id": "ignore"})
    lines = gzip.decompress(service.asked[0][2]).decode().splitlines()
    assert [json.loads(line) for line in lines] == [{"age": 1, "id": None}] * len(BEYOND_RULES)


DURATIONS = [timedelta(seconds=90, microseconds=1), None, timedelta(days=1)]


@pytest.mark.parametrize(
    "values",
    [
        DURATIONS,
        pd.Series(pd.to_timedelta(DURATIONS)),
        pd.Series(pd.to_timedelta(DURATIONS)).astype(object),
        pd.Series(pd.to_timedelta(DURATIONS)).astype("category"),
        np.array(DURATIONS, dtype="timedelta64[ns]"),
        np.array(DURATIONS, dtype="timedelta64[us]"),
        list(np.array(DURATIONS, dtype="timedelta64[ns]")),
    ],
)
@pytest.mark.parametrize("cells", [{"kind": "numeric", "edges": [90.0, 90.0000015]}, {"kind": "categorical"}])
def test_durations_are_seconds_as_in_parquet(values: Any, cells: dict[str, Any]) -> None:
    layout = {"columns": {"t": {"role": "input", "categories": ["90.000001", "86400"], **cells}}}
    if cells["kind"] == "numeric":
        del layout["columns"]["t"]["categories"]
    file = BytesIO()
    parquet.write_table(pa.table({"t": pa.array(DURATIONS, pa.duration("ns"))}), file)
    expected = done(Order(PARQUET, layout=layout), file.getvalue()).batch["columns"]["t"]
    assert sum(expected["cells"]) == 2
    assert counts_of({"t": values}, layout)["columns"]["t"] == expected


def test_times_of_numpy_count_alike_in_an_array_and_in_a_list() -> None:
    layout = {"columns": {"t": {"kind": "categorical", "categories": ["2026-11-21T08:00:00Z"]}}}
    times = np.array(["2026-11-21T08", "NaT"], dtype="datetime64[ns]")
    for values in (times, list(times), times.astype("datetime64[s]"), pd.Series(times)):
        assert counts_of({"t": values}, layout)["columns"]["t"] == {"cells": [1], "missing": 1, "unknown": 0}


def test_an_input_is_no_label() -> None:
    with pytest.raises(ValueError, match="'age' as an input"):
        counts_of(ONE, REGRESSION | {"label": None}, label="age")


class Service:
    """Answers requests from a list: a status with a body, or an error that is raised."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str, Any]] = []
        monkeypatch.setattr(requests.Session, "request", lambda _, *args, **options: self.answer(*args, **options))
        monkeypatch.setattr(client.time, "sleep", lambda _: None)

    def answer(self, method: str, url: str, **options: Any) -> requests.Response:
        body = options["data"]
        is_json = (options["headers"] or {}).get("Content-Type") == "application/json"
        self.asked.append((method, url, json.loads(body) if is_json else body))
        next_one = self.answers.pop(0)
        if isinstance(next_one, Exception):
            raise next_one
        answer = requests.Response()
        answer.status_code, body = next_one
        answer.raw = BytesIO(json.dumps(body).encode())
        return answer


REFERENCE = {"id": "r1", "layout": REGRESSION}
ROWS = [{"age": 1, "p": 2.0, "true": 1.5}]


def test_a_batch_that_fails_is_sent_again_with_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = (503, {"detail": "Busy."})
    service = Service(monkeypatch, (200, REFERENCE), requests.ConnectionError(), busy, (201, {"rows": 1}), (201, {}))
    tower = ControlTower("http://tower/")
    assert tower.send_batch("a b/ü", 3, ROWS, window_start=datetime(2026, 11, 21)) == {"rows": 1}
    sent = [body for method, _, body in service.asked if method == "POST"]
    assert len(sent) == 3
    assert sent[0] == sent[1] == sent[2]
    assert (sent[0]["reference"], sent[0]["window_start"]) == ("r1", "2026-11-21T00:00:00+00:00")
    assert sent[0]["counts"]["errors"]["absolute"] == 0.5
    assert service.asked[-1][1] == "http://tower/models/a%20b%2F%C3%BC/3/batches"
    tower.send_labels("a b/ü", 3, ROWS)
    assert [method for method, *_ in service.asked].count("GET") == 1, "the bins are fetched once"
    assert service.asked[-1][2]["counts"] == {"rows": 0, "errors": sent[0]["counts"]["errors"]}


def test_after_a_new_reference_rows_are_counted_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    newer = {"id": "r2", "layout": {"columns": {"age": {"kind": "numeric", "edges": [1.0]}}}}
    service = Service(monkeypatch, (200, REFERENCE), (409, {"detail": "Another."}), (200, newer), (201, {"rows": 1}))
    assert ControlTower("http://tower").send_batch("m", 1, ROWS) == {"rows": 1}
    first, second = (body for method, _, body in service.asked if method == "POST")
    assert (first["batch_id"], second["reference"]) == (second["batch_id"], "r2")
    assert second["counts"]["columns"]["age"]["cells"] == [0, 1]


def test_a_registration_whose_answer_was_lost_is_no_refusal_and_a_second_one_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = (400, {"detail": ALREADY_MONITORED})
    service = Service(monkeypatch, requests.ConnectionError(), known, (200, {"model_type": "classifier"}), known)
    tower = ControlTower("http://tower")
    assert tower.register("m", 1)["model_type"] == "classifier"
    assert [method for method, *_ in service.asked] == ["POST", "POST", "GET"]
    with pytest.raises(TowerError, match=ALREADY_MONITORED):
        tower.register("m", 1)


def test_a_refusal_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    Service(monkeypatch, (404, {"detail": "It is not monitored."}), *[requests.Timeout()] * 5)
    tower = ControlTower("http://tower")
    with pytest.raises(TowerError, match="404: It is not monitored"):
        tower.verdict("m", 1)
    with pytest.raises(TowerError, match="does not answer") as error:
        tower.verdict("m", 1)
    assert error.value.status is None


@pytest.mark.parametrize("failure", [requests.ConnectionError(), requests.exceptions.InvalidURL("u:secret@tower")])
def test_no_error_shows_the_credentials_of_the_address(monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    Service(monkeypatch, failure)
    address = "http://u:{}@tower:8000/".format("secret")
    with pytest.raises(TowerError, match="http://tower:8000") as error:
        ControlTower(address, retries=0).verdict("m", 1)
    assert "secret" not in "".join(traceback.format_exception(error.value))


def test_an_answer_that_is_no_json_and_an_address_without_a_scheme_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests.Response, "json", lambda _: json.loads("<html>"))
    Service(monkeypatch, (200, {}))
    with pytest.raises(TowerError, match="http://tower answers no JSON"):
        ControlTower("http://tower").verdict("m", 1)
    with pytest.raises(ValueError, match="must begin with http"):
        ControlTower("tower:8000")


def test_a_figure_of_numpy_is_sent_as_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(monkeypatch, (201, {"accepted": 1}))
    ControlTower("http://tower").observe("m", 1, {"accuracy": np.float32(0.5)})
    assert service.asked[0][2]["metrics"] == {"accuracy": 0.5}


def test_the_client_needs_numpy_and_requests_and_nothing_else(tmp_path: Path) -> None:
    project = tomllib.loads((CLIENT / "pyproject.toml").read_text())["project"]
    assert [needed.partition(">")[0] for needed in project["dependencies"]] == ["numpy", "requests"]
    shutil.copytree(CLIENT / "control_tower_client", tmp_path / "control_tower_client")
    program = f"""
import sys
class Only:
    known = {{"numpy", "requests", "urllib3", "idna", "certifi", "charset_normalizer", "control_tower_client"}}
    def find_spec(self, name, path=None, target=None):
        if "." not in name and name not in sys.stdlib_module_names and name not in self.known:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Only())
sys.path[:] = [{str(tmp_path)!r}] + [p for p in sys.path if p not in ("", {str(ROOT)!r})]
import doctest, control_tower_client.counting as counting
print(doctest.testmod(counting, raise_on_error=True), "pandas" in sys.modules)
"""
    command = [sys.executable, "-W", "ignore", "-c", program]
    found = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    assert found.stdout == "TestResults(failed=0, attempted=2) False\n"
