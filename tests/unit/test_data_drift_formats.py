"""Bodies with rows: the same data counts the same in every format, and what cannot be counted is refused."""

import gzip
import io
import json
import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.data_drift.batch import whole
from app.domain.data_drift.batch_json import batch_from, batch_value
from app.domain.data_drift.canonical import number_of, read, text_of
from app.domain.data_drift.layout_json import layout_from
from app.domain.errors import InvalidInput, TooLarge
from app.services.data_drift.job import done
from app.services.data_drift.order import CSV, JSON, NDJSON, PARQUET, Order

LAYOUT: dict[str, Any] = {
    "columns": {
        "age/é.x": {"kind": "numeric", "edges": [0.0, 5e-324, 30.5]},
        "code": {"kind": "categorical", "categories": ["1", "true", "a"], "others": ["007", "2026-11-21T08:00:00Z"]},
        "said": {"kind": "categorical", "categories": ["no", "yes"]},
        "p": {"kind": "numeric", "edges": [0.5]},
    },
    "prediction": "said",
    "score": "p",
    "label": "true",
    "classes": ["no", "yes"],
    "segments": {"code": ["a", "1"]},
}
COLUMNS = ["age/é.x", "code", "said", "p", "true", "other"]


def in_format(media_type: str, rows: list[dict[str, Any]], columns: list[str] = COLUMNS) -> bytes:
    if media_type == JSON:
        return json.dumps({"rows": rows}).encode()
    if media_type == NDJSON:
        return b"\n".join(json.dumps(row).encode() for row in rows)
    table = pa.table({name: pa.array([row.get(name) for row in rows]) for name in columns})
    file = io.BytesIO()
    pcsv.write_csv(table, file) if media_type == CSV else pq.write_table(table, file)
    return file.getvalue()


def counts(media_type: str, body: bytes, **order: Any) -> dict[str, Any]:
    return done(Order(media_type, layout=LAYOUT, **order), body).batch


numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, -0.0, 30.5, -999.0])
texts = st.sampled_from(["1", "1.0", "true", "True", "a", " a ", "", "NA", "007", "2026-11-21 08:00:00", "new", None])
rows_of_any_kind = st.lists(
    st.fixed_dictionaries(
        {
            "age/é.x": numbers,
            "code": texts,
            "said": st.sampled_from(["yes", "no", "?", None]),
            "p": st.none() | st.floats(0, 1),
            "true": st.sampled_from(["yes", "no", None]),
            "other": st.just("x"),
        }
    ),
    min_size=1,
    max_size=20,
)


@settings(max_examples=25)
@given(rows_of_any_kind)
def test_the_same_rows_give_the_same_counts_in_every_format(rows: list[dict[str, Any]]) -> None:
    expected = counts(JSON, in_format(JSON, rows))
    assert expected["rows"] == len(rows)
    assert expected["unknown_columns"] == ["other"]
    for media_type in (NDJSON, CSV, PARQUET):
        body = in_format(media_type, rows)
        assert counts(media_type, body) == expected
        assert counts(media_type, gzip.compress(body), coding="gzip") == expected
    assert done(Order(JSON, layout=LAYOUT), json.dumps({"counts": expected}).encode()).batch == expected


@pytest.mark.parametrize(
    ("alike", "number", "text"),
    [
        ((1, 1.0, "1", "1.0", " 1 ", "1e0"), 1.0, "1"),
        ((True, "true", "True"), 1.0, "true"),
        (("007",), 7.0, "007"),
        ((0.1, "0.1", "1e-1"), 0.1, "0.1"),
        ((-0.0, 0, "-0"), 0.0, "0"),
        ((-999, "-999"), -999.0, "-999"),
        ((None, math.nan, "", " ", "NaN", "nan", "NA", "N/A", "null", "None", "NaT", "<NA>"), None, None),
        (
            (
                "2026-11-21T08:00:00Z",
                "2026-11-21 09:00+01:00",
                datetime(2026, 11, 21, 8),
                datetime(2026, 11, 21, 8, tzinfo=UTC),
            ),
            1795248000.0,
            "2026-11-21T08:00:00Z",
        ),
        (("2026-02-30",), None, "2026-02-30"),
        ((timedelta(minutes=1), 60), 60.0, "60"),
        (("Nine", b"Nine"), None, "Nine"),
    ],
)
def test_spellings_of_one_value_are_one_value(alike: tuple[Any, ...], number: float | None, text: str | None) -> None:
    for value in alike:
        assert (number_of(read(value)), text_of(read(value))) == (number, text), value


def test_every_type_of_parquet_counts_as_its_values_do_in_json() -> None:
    moment = datetime(2026, 11, 21, 8)
    columns = {
        "age/é.x": [pa.array([1, None], kind) for kind in (pa.int8(), pa.uint64(), pa.float32(), pa.float16())]
        + [pa.array([Decimal("1.00"), None]), pa.array(["1", None]).dictionary_encode()]
        + [pa.array([timedelta(seconds=1), None]), pa.array([True, None]), pa.array([b"1", None])],
        "code": [pa.array([moment, None], pa.timestamp(unit)) for unit in ("s", "ms", "us", "ns")]
        + [pa.array([moment, None]).cast(pa.string()), pa.array([moment, None], pa.timestamp("us", "Europe/Berlin"))],
    }
    for name, value in (("age/é.x", 1), ("code", "2026-11-21T08:00:00Z")):
        expected = counts(JSON, in_format(JSON, [{name: value}, {name: None}]))
        for array in columns[name]:
            file = io.BytesIO()
            pq.write_table(pa.table({name: array}), file)
            assert counts(PARQUET, file.getvalue()) == expected, array.type


def test_a_text_far_down_in_a_column_of_numbers_is_unknown() -> None:
    rows = [{"age/é.x": n / 7} for n in range(3000)] + [{"age/é.x": "much"}, {"age/é.x": "nan"}]
    expected = counts(JSON, in_format(JSON, rows))["columns"]["age/é.x"]
    assert (expected["unknown"], expected["missing"]) == (1, 1)
    body = "\n".join(["age/é.x", *(str(row["age/é.x"]) for row in rows)]).encode()
    assert counts(CSV, body)["columns"]["age/é.x"] == expected


@pytest.mark.parametrize("number", ["1" * 5000, "-" + "9" * 400, "1e999", "-1e999", "9" * 30])
def test_a_number_of_any_length_counts_alike_in_every_format(number: str) -> None:
    csv = counts(CSV, f"p,code\n{number},a\n0.1,a\n".encode())
    assert csv["columns"]["p"]["unknown"] == csv["columns"]["p"]["missing"] == 0
    rows = [f'{{"p": {number}, "code": "a"}}', '{"p": 0.1, "code": "a"}']
    assert counts(NDJSON, "\n".join(rows).encode()) == csv
    assert counts(JSON, f'{{"rows": [{",".join(rows)}]}}'.encode()) == csv
    twice = f'{{"p": {number}, "code": "a", "code": "b"}}'.encode()
    for refused in (twice, rows[0].replace('"a"', "NaN").encode(), rows[0].replace('"a"', r'"\ud800"').encode()):
        with pytest.raises(InvalidInput):
            counts(NDJSON, refused)


def test_labels_that_come_later_count_no_inputs() -> None:
    rows = [{"said": "yes", "p": 0.9, "true": "yes", "age/é.x": 3}, {"said": "yes", "p": 0.2, "true": "no"}]
    batch = counts(JSON, in_format(JSON, rows), labels_only=True)
    assert (batch["rows"], batch["columns"]) == (0, {})
    assert batch["labelled"] == {"counts": [[[0, 0], [0, 0]], [[1, 0], [0, 1]]], "unknown": 0}
    with pytest.raises(InvalidInput, match="nothing to count"):
        counts(JSON, in_format(JSON, [{"said": "yes"}]), labels_only=True)


def reference(rows: list[dict[str, Any]], media_type: str = JSON, **said: Any) -> dict[str, Any]:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return done(Order(media_type, **said), in_format(media_type, rows, columns)).layout


ROWS = [
    {
        "id": f"x{n}",
        "zip": f"0{n % 3}",
        "number": n,
        "at": f"2026-11-{n % 28 + 1:02}",
        "empty": None,
        "said": n % 2,
        "score": 0.8 if n % 2 == 0 else 0.1,
        "true": n % 3 % 2,
    }
    for n in range(300)
]


@pytest.mark.parametrize("media_type", [JSON, NDJSON, CSV, PARQUET])
def test_a_reference_says_what_each_column_was_taken_for(media_type: str) -> None:
    said: dict[str, Any] = {"prediction": "said", "score": "score", "label": "true", "segments": ("zip",)}
    layout = reference(ROWS, media_type, **said)
    assert {name: (column["kind"], column["role"]) for name, column in layout["columns"].items()} == {
        "zip": ("categorical", "input"),
        "number": ("numeric", "input"),
        "empty": ("numeric", "input"),
        "said": ("categorical", "prediction"),
        "score": ("numeric", "score"),
    }
    assert "identifier" in layout["ignored"]["id"]
    assert "times" in layout["ignored"]["at"]
    assert layout["segments"] == {"zip": ["00", "01", "02"]}
    assert layout["classes"] == ["1", "0"], "the score is that of the second class"
    kinds = {"at": "numeric", "number": "ignore", "id": "ignore"}
    told = reference(ROWS, media_type, kinds=kinds)
    assert told["columns"]["at"]["kind"] == "numeric"
    assert "said" in told["ignored"]["number"]


SUMS = "absolute", "squared", "signed"


def test_a_prediction_that_is_no_class_is_that_of_a_regression() -> None:
    rows = [{"x": n, "y": n / 10, "true": n / 10 + 0.5 * (-1) ** n} for n in range(100)]
    counted = done(Order(JSON, prediction="y", label="true"), in_format(JSON, rows))
    assert counted.layout["classes"] == []
    errors = counted.batch["errors"]
    sums = [sum(errors[name]) if isinstance(errors[name], list) else errors[name] for name in SUMS]
    assert (errors["rows"], sums) == (100, pytest.approx([50.0, 25.0, 0.0]))


REGRESSION: dict[str, Any] = {
    "columns": {"said": {"kind": "numeric", "edges": [0.0]}},
    "prediction": "said",
    "label": "true",
}


@settings(max_examples=25)
@given(st.lists(st.fixed_dictionaries({"said": numbers, "true": numbers}), min_size=1, max_size=20), st.data())
def test_errors_of_a_regression_are_the_same_in_every_format_order_and_split(
    rows: list[dict[str, Any]], data: st.DataObject
) -> None:
    layout = layout_from(REGRESSION)
    expected = done(Order(JSON, layout=REGRESSION), in_format(JSON, rows)).batch
    shuffled = data.draw(st.permutations(rows))
    cut = data.draw(st.integers(0, len(rows)))
    for media_type in (JSON, NDJSON, CSV, PARQUET):
        parts = [
            done(Order(media_type, layout=REGRESSION), in_format(media_type, part, ["said", "true"])).batch
            for part in (shuffled[:cut], shuffled[cut:])
            if part
        ]
        whole_of_parts = whole(batch_from(json.loads(json.dumps(part)), layout) for part in parts)
        assert batch_value(whole_of_parts) == expected


def test_errors_that_are_too_great_to_be_added_up_are_left_out() -> None:
    great = [{"said": 1e154, "true": -1e154}] * 2 + [{"said": 1.7e308, "true": -1.7e308}]
    rows = [*great, {"said": 3.0, "true": 1.0}]
    errors = done(Order(JSON, layout=REGRESSION), in_format(JSON, rows)).batch["errors"]
    assert errors == {"rows": 1, "absolute": 2.0, "squared": 4.0, "signed": 2.0}


def test_what_a_json_body_says_of_columns_counts_and_the_rest_is_handed_on() -> None:
    body = json.dumps({"rows": ROWS, "prediction": "said", "kinds": {"id": "ignore"}, "batch_id": "7"}).encode()
    counted = done(Order(JSON), body)
    assert (counted.layout["prediction"], counted.fields) == ("said", {"batch_id": "7"})


def parquet(table: dict[str, Any] | pa.Table) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(table), file)
    return file.getvalue()


def wide(many: int) -> str:
    return ",".join(f"c{n}" for n in range(many))


@pytest.mark.parametrize(
    ("media_type", "body", "reason"),
    [
        (JSON, b"[]", "object"),
        (JSON, b'{"rows": 1}', "list of objects"),
        (JSON, b'{"rows": []}', "no rows"),
        (JSON, b'{"rows": [{"p": NaN}]}', "NaN"),
        (JSON, b'{"rows": [{"p": 1}, 2]}', "Row 2"),
        (JSON, b'{"rows": [{"p": 1, "p": 2}]}', "twice"),
        (JSON, b'{"rows": [{"p": {"a": 1}}]}', "dict"),
        (JSON, b'{"rows": [{"code": [1]}]}', "list"),
        (JSON, b'{"rows": ' + b"[" * 100_000, "not valid JSON"),
        (JSON, b'{"rows": [{"code": "' + b"x" * 10_000_000 + b'"}]}', "65536"),
        (JSON, b'{"rows": [{"..": 1}]}', "no address"),
        (JSON, b'{"counts": {"rows": -1}}', "whole number"),
        (JSON, b'{"counts": {"rows": 0}}', "no rows"),
        (NDJSON, b'{"p": 1}\n{"p": 1}, {"p": 2}\n', "Line 2"),
        (NDJSON, b'{"p": 1}\n{"p": 1, "p" :\t2}\n', "twice"),
        (NDJSON, b'{"p": 1}\n7\n', "Row 2"),
        (NDJSON, b'{"code": "' + b"x" * 10_000_000, "4 MiB"),
        (CSV, b"", "no line"),
        (CSV, b"p,p\n1,2\n", "twice"),
        (CSV, b",p\n1,2\n", "Column 1 has no name: names have 1 to 250 characters.*index=False"),
        (CSV, "größe,p\n1,2\n".encode("latin-1"), "first line is no UTF-8"),
        (CSV, "p,code\n1,2\n".encode("utf-16"), "first line is no UTF-8"),
        (CSV, b"p,..\n1,2\n", "no address"),
        (CSV, b"p,code\n1,2\n1,x,y\n", "read: row 3 has 3 values, and there are 2 columns.$"),
        (CSV, b"p,code\n1,\xff\n", "UTF8"),
        (CSV, b"p,code\n1," + b"x" * 10_000_000 + b"\n", "1 MiB"),
        (CSV, b"p,code\n1," + b"x" * 200_000 + b"\n", "65536"),
        (CSV, wide(100_000).encode() + b"\n", "columns"),
        (PARQUET, parquet(pa.Table.from_arrays([pa.array([1.0])] * 2, ["p", "p"])), "twice"),
        (PARQUET, b"PAR1 no", "damaged"),
        (PARQUET, b"no", "no Parquet"),
        (CSV, b'p\n1\n"2\n3\n', "not closed"),
        # Elsewhere is a quotation mark that is a part of its value.
        (CSV, b'p,code\n1,5" pipe\n2,"y\n3,z\n', "not closed"),
        (CSV, b'p,code\n1,5" pipe\n"2,y\n3,z\n', "not closed"),
        (CSV, b'p,code\n1,"5"" pipe\n2,y\n', "not closed"),
        (CSV, b'p,"code\n1,2\n', "not closed"),
        (CSV, b'p,code\n1,"' + b"y\n" * 2_000_000, "not closed"),
        pytest.param(
            *(CSV, b"p,code\n1,\xff,y\n", "row 2 has 3 values"),
            marks=pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
        ),
        (PARQUET, parquet({"p": [[1]]}), "list"),
        (PARQUET, parquet({".": [1]}), "no address"),
        (PARQUET, parquet({f"c{n}": [1] for n in range(1001)}), "1001 columns"),
        (PARQUET, parquet({"p": [1.0] * 10}).replace(b"p", b"q")[:-9], "damaged"),
        (PARQUET, parquet({"code": ["x" * 10_000_000]}), "65536"),
    ],
)
def test_what_cannot_be_counted_is_refused_with_the_reason(media_type: str, body: bytes, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        counts(media_type, body)


def test_quotation_marks_that_are_closed_or_a_part_of_a_value_are_taken() -> None:
    body = b'p,code\n1,5" pipe\n2,"a ""b"""\n3,"x\ny"\n4,"c"d"\n"5",""'
    assert counts(CSV, body)["rows"] == 5


@pytest.mark.parametrize("newline", [b"", b"\n", b"\r\n", b"\n\n"])
@pytest.mark.parametrize("before_end", range(-40, 41, 8))
def test_rows_that_end_where_a_piece_ends_are_all_counted(before_end: int, newline: bytes) -> None:
    size, many = (1 << 20) - before_end, 260_000
    body = b"p,code\n" + b"1,x\n" * many + b"2,"
    body += b"y" * (size - len(body) - len(newline)) + newline
    assert (len(body), counts(CSV, body)["rows"]) == (size, many + 1)
    with pytest.raises(InvalidInput, match="not closed"):
        counts(CSV, body.replace(b"2,y", b'2,"'))


LONG = "x" * 10_000_000


@pytest.mark.parametrize("labels_only", [False, True])
@pytest.mark.parametrize("kinds", [None, {"note": "ignore"}])
@pytest.mark.parametrize(
    ("media_type", "body", "reason"),
    [
        (JSON, json.dumps({"rows": [{"p": 0.1, "note": LONG}]}).encode(), "'note' has a value of more than 1048576"),
        (JSON, b'{"rows": [{"p": 0.1, "note": [1' + b",1" * 2_000_000 + b"]}]}", "'note' has a value of more than"),
        (NDJSON, json.dumps({"p": 0.1, "note": LONG}).encode(), "4 MiB"),
        (NDJSON, json.dumps({"p": 0.1, "note": LONG[: 2 << 20]}).encode(), "'note' has a value of more than"),
        (CSV, f"p,note\n0.1,{LONG}\n".encode(), "1 MiB"),
        (PARQUET, parquet({"p": [0.1] * 3, "note": ["", LONG, None]}), "'note' has a value of more than 1048576"),
        (PARQUET, parquet({"p": [0.1] * 2, "note": [b"", LONG.encode()]}), "'note' has a value of more than 1048576"),
        (PARQUET, parquet({"p": [0.1], "note": pa.array([LONG]).dictionary_encode()}), "'note' has a value of more"),
    ],
)
def test_a_cell_of_ten_megabytes_is_refused_also_where_it_is_not_counted(
    media_type: str, body: bytes, reason: str, kinds: dict[str, str] | None, labels_only: bool
) -> None:
    layout = None
    if kinds is None:
        rows = [{"p": n / 100, "note": "a", "said": "yes" if n % 2 else "no"} for n in range(100)]
        order = Order(JSON, kinds={"note": "ignore"}, prediction="said", score="p", label="true")
        layout = done(order, in_format(JSON, [row | {"true": row["said"]} for row in rows])).layout
    with pytest.raises(InvalidInput, match=reason):
        done(Order(media_type, layout=layout, kinds=kinds or {}, labels_only=labels_only), body)


@pytest.mark.parametrize("media_type", [JSON, NDJSON, CSV, PARQUET])
def test_a_long_text_that_is_not_counted_is_taken(media_type: str) -> None:
    rows = [{"p": n / 10, "note": "é" * 200_000 if n == 3 else None} for n in range(10)]
    counted = done(Order(media_type, kinds={"note": "ignore"}), in_format(media_type, rows, ["p", "note"]))
    assert (counted.batch["rows"], list(counted.layout["columns"])) == (10, ["p"])


@pytest.mark.parametrize("body", ["31,nurse,0.7\n32,cook,0.6\n", "-5,nurse\n3,cook\n", "31,4,yes\n32,,no\n,5,no\n"])
def test_a_first_line_that_is_a_row_is_refused_and_what_it_has_is_not_told(body: str) -> None:
    with pytest.raises(InvalidInput, match="first line looks like a row") as error:
        done(Order(CSV), body.encode())
    assert not any(value in str(error.value) for value in body.partition("\n")[0].split(","))


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_reference_without_commas_is_refused_and_one_column_is_not(separator: str) -> None:
    with pytest.raises(InvalidInput, match="commas between the columns"):
        done(Order(CSV), f"age{separator}job\n31{separator}nurse\n".encode())
    assert list(done(Order(CSV), b"age\n31\n32\n").layout["columns"]) == ["age"]


@pytest.mark.parametrize("names", ["0,1,2", "2019,2020,who", "age,0.5,who", "1,b,c"])
def test_names_that_are_numbers_are_names_where_they_count_up_or_others_are_texts(names: str) -> None:
    counted = done(Order(CSV), f"{names}\n3,4,a\n5,,b\n".encode())
    assert list(counted.layout["columns"]) == names.split(",")


def test_of_nested_columns_that_are_not_counted_nothing_is_read() -> None:
    nested = pa.array([["x" * 2_000_000], []])
    body = bytearray(parquet({"p": [0.1, 0.2], "note": nested}))
    about = pq.ParquetFile(pa.BufferReader(bytes(body))).metadata.row_group(0).column(1)
    # So damaged that to read it would fail.
    start = about.dictionary_page_offset or about.data_page_offset
    body[start : start + about.total_compressed_size] = bytes(about.total_compressed_size)
    assert done(Order(PARQUET, kinds={"note": "ignore"}), bytes(body)).batch["rows"] == 2


def test_what_inflates_too_far_is_refused() -> None:
    bomb = gzip.compress(b"\n" * (1 << 24))
    with pytest.raises(TooLarge, match="1 MiB"):
        counts(NDJSON, bomb, coding="gzip", most_bytes=1 << 20)
    for body in (bomb[:-9], b"no gzip", b""):
        with pytest.raises(InvalidInput, match="gzip"):
            counts(NDJSON, body, coding="gzip")
    many = parquet({"p": pa.nulls(10_000_001)})
    with pytest.raises(TooLarge, match="10000001 rows"):
        counts(PARQUET, many)


def test_odd_columns_are_counted_as_what_they_are() -> None:
    rows = [
        {
            "zeros": 0 if n % 20 else n,
            "codes": n % 7,
            "constant": "on",
            "nulls": None,
            "mixed": ("1", 1, 1.0)[n % 3],
            "gap": -999 if n % 50 == 0 else n / 3,
        }
        for n in range(2000)
    ]
    counted = done(Order(JSON), in_format(JSON, rows))
    columns = counted.batch["columns"]
    kinds = {name: column["kind"] for name, column in counted.layout["columns"].items()}
    assert kinds == {**dict.fromkeys(kinds, "numeric"), "constant": "categorical"}
    assert max(columns["zeros"]["cells"]) == 1901
    assert [n for n in columns["codes"]["cells"] if n] == [286] * 5 + [285] * 2
    assert columns["nulls"] == {"cells": [0], "missing": 2000, "unknown": 0}
    assert columns["constant"]["cells"] == [2000]
    assert max(columns["mixed"]["cells"]) == 2000
    assert columns["gap"]["missing"] == 0
    assert columns["gap"]["cells"][counted.layout["columns"]["gap"]["edges"].index(-999.0) + 1] == 40

    def later(rows: list[dict[str, Any]]) -> dict[str, Any]:
        return done(Order(NDJSON, layout=counted.layout), in_format(NDJSON, rows)).batch

    assert later([{"constant": f"new {n}"} for n in range(5000)])["columns"]["constant"]["unknown"] == 5000
    renamed = later([{"constants": "on", "codes": 1}])
    assert (renamed["columns"]["constant"]["missing"], renamed["unknown_columns"]) == (1, ["constants"])
    missing = later([{"gap": value} for value in (None, "", "NaN", -999)])["columns"]["gap"]
    assert (missing["missing"], sum(missing["cells"])) == (3, 1)


@pytest.mark.parametrize("media_type", [JSON, NDJSON, CSV, PARQUET])
def test_rows_of_which_the_reference_has_no_column_are_refused_and_their_names_are_in_no_answer(
    media_type: str,
) -> None:
    layout = done(Order(JSON), in_format(JSON, [{"age": n} for n in range(100)])).layout
    with pytest.raises(InvalidInput, match="has none of these columns") as error:
        done(Order(media_type, layout=layout), in_format(media_type, [{"Alice": 31}, {"Alice": 32}]))
    assert "Alice" not in str(error.value)
    if media_type in (JSON, NDJSON):
        with pytest.raises(InvalidInput, match="has none of these columns"):
            done(Order(media_type, layout=layout), in_format(media_type, [{}, {}]))


@pytest.mark.parametrize("kind", ["numeric", "categorical", "ignore"])
def test_a_kind_of_a_column_that_is_not_there_is_refused(kind: str) -> None:
    with pytest.raises(InvalidInput, match=f"no column 'nope', which is named as {kind}"):
        done(Order(CSV, kinds={"nope": kind}), b"age,id\n1,2\n")
    ignored = done(Order(CSV, kinds={"id": "ignore"}), b"age,id\n1,2\n").layout["ignored"]
    assert list(ignored) == ["id"]
