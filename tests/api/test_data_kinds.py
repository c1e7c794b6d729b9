"""Data of every kind of model: more than two classes, numbers, segments; labels that come weeks late."""

import io
import math
import random
from collections import Counter
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.domain.times import rfc3339
from tests.api.data import NAME, PATH, TODAY, day, judge, rows, send
from tests.api.service import Row, Service

SPECIES = ["setosa", "versicolor", "virginica"]


@pytest.fixture
def host(service: Service) -> Service:
    service.world.add_version(NAME)
    assert service.register(NAME).status_code == 201
    return service


def refer(host: Service, of: list[Row], **columns: Any) -> Row:
    answer = host.call("PUT", f"{PATH}/reference", json={"rows": of, **columns})
    assert answer.status_code == 200, answer.json
    layout: Row = answer.json["layout"]
    return layout


def three_classes(count: int, seed: int) -> list[Row]:
    """Rows whose score is the probability of the predicted class, and how often that is right."""
    rng = random.Random(seed)
    made = []
    for _ in range(count):
        sure, said = rng.uniform(0.4, 1), rng.choice(SPECIES)
        true = said if rng.random() < sure else rng.choice([other for other in SPECIES if other != said])
        made.append({"petal": rng.gauss(4, 1), "said": said, "p": sure, "true": true})
    return made


def numbers(count: int, seed: int, off: float = 0.0) -> list[Row]:
    rng = random.Random(seed)
    made = []
    for _ in range(count):
        x = rng.gauss(0, 1)
        made.append({"x": x, "said": 3 * x, "true": 3 * x + rng.gauss(off, 0.5)})
    return made


def without(of: list[Row], *names: str) -> list[Row]:
    return [{name: value for name, value in row.items() if name not in names} for row in of]


def sorted_by_frequency(of: list[Row]) -> list[str]:
    return [country for country, _ in Counter(row["country"] for row in of).most_common()]


def observed(host: Service) -> dict[str, float]:
    return {
        point.metric: point.value
        for points in host.world.monitor_points.values()
        for point in points
        if point.value is not None
    }


def test_a_reference_that_would_tell_of_single_rows_is_refused(host: Service) -> None:
    counts = {"rows": 19, "columns": {"x": {"cells": [10, 9]}}}
    layout = {"columns": {"x": {"kind": "numeric", "edges": [0.5]}}}
    for body in ({"rows": numbers(19, 1)}, {"layout": layout, "counts": counts}):
        answer = host.call("PUT", f"{PATH}/reference", json=body)
        assert (answer.status_code, answer.json["detail"]) == (
            400,
            "A reference has at least 20 rows, since the bins of fewer would tell of single rows. This one has 19.",
        )
    assert host.get(f"{PATH}/reference").status_code == 404
    assert refer(host, numbers(20, 1))["columns"]["x"]["edges"] == []


def test_a_reference_with_too_few_rows_to_judge_by_says_so_in_every_answer_and_what_to_do(host: Service) -> None:
    made = host.call("PUT", f"{PATH}/reference", json={"rows": numbers(29, 1)}).json
    note = made["note"]
    assert note.startswith("The reference has 29 rows: by fewer than 30 nothing is judged. PUT …/reference")
    for back in range(13, 0, -1):
        came = send(host, {"rows": numbers(100, back, 5 * back), **day(back)}).json
    report = judge(host)
    (of_model,) = host.json("/model/m%20with%20%25%20and%20../data-drift")
    assert report["sentence"] == of_model["sentence"]
    assert report["sentence"] == (
        "Nothing is judged, since the reference has only 29 rows: send another one of at least 30."
    )
    answers = [came, report, of_model, host.json(f"{PATH}/reference"), host.json(f"{PATH}/data-drift/x")]
    assert {answer["note"] for answer in answers} == {note}
    assert {column["words"] for column in report["windows"][-1]["columns"]} == {
        "the reference has 29 rows, too few to judge"
    }


def test_a_newest_window_with_too_few_rows_is_said_and_is_no_learning(host: Service) -> None:
    refer(host, numbers(1000, 1))
    for back in range(13, 0, -1):
        send(host, {"rows": numbers(400, back), **day(back)})
    assert judge(host)["sentence"] == "No input and no prediction moved."
    send(host, {"rows": numbers(1, 99), **day(0)})
    assert judge(host)["sentence"] == (
        "The newest window has only 1 row, and fewer than 30 are not judged: send more, or choose longer windows."
    )


def test_more_than_two_classes_are_estimated_by_the_score_of_the_predicted_one(host: Service) -> None:
    layout = refer(host, three_classes(3000, 1), prediction="said", score="p", label="true")
    assert layout["classes"] == SPECIES
    batch = three_classes(1000, 2)
    assert send(host, {"rows": without(batch, "true"), **day(1)}).status_code == 201
    (before,) = judge(host)["windows"]
    right = sum(row["said"] == row["true"] for row in batch) / len(batch)
    assert before["estimated"]["accuracy"] == pytest.approx(right, abs=0.04)
    assert (before["estimated"]["roc_auc"], before["realised"]) == (None, None)
    host.post(f"{PATH}/labels", json={"rows": without(batch, "petal"), **day(1)})
    (after,) = judge(host)["windows"]
    assert after["realised"]["accuracy"] == pytest.approx(right)
    assert observed(host)["f1_score"] == pytest.approx(after["realised"]["f1"])


def test_a_regression_has_the_distribution_of_what_it_predicts_and_errors_once_labels_come(host: Service) -> None:
    layout = refer(host, numbers(3000, 1), prediction="said", label="true")
    assert (layout["classes"], layout["columns"]["said"]["kind"]) == ([], "numeric")
    batch = numbers(500, 2)
    send(host, {"rows": without(batch, "true"), **day(1)})
    (before,) = judge(host)["windows"]
    assert (before["estimated"], before["no_estimate"]) == (None, "No predictions with scores were counted.")
    assert {one["role"] for one in before["columns"]} == {"input", "prediction"}
    # In parts, of which one comes twice.
    for part in (0, 1, 0):
        labels = without(batch[part::2], "x")
        host.post(f"{PATH}/labels", json={"rows": labels, "batch_id": f"labels {part}", **day(1)})
    (after,) = judge(host)["windows"]
    errors = [row["said"] - row["true"] for row in batch]
    expected = {
        "mae": math.fsum(map(abs, errors)) / 500,
        "rmse": math.sqrt(math.fsum(error * error for error in errors) / 500),
        "bias": math.fsum(errors) / 500,
        "rows": 500,
    }
    assert after["realised"] == pytest.approx(expected, rel=1e-5)
    assert {name: observed(host)[name] for name in ("mae", "rmse")} == pytest.approx(
        {name: expected[name] for name in ("mae", "rmse")}, rel=1e-5
    )


def test_labels_of_which_no_row_can_be_used_are_refused_in_words_of_the_kind_of_model_and_never_block_right_ones(
    host: Service,
) -> None:
    def refused(of: list[Row]) -> str:
        came = host.post(f"{PATH}/labels", json={"rows": of, **day(1)})
        assert came.status_code == 400, came.json
        detail: str = came.json["detail"]
        return detail

    refer(host, rows(3000, 1, labels=True), prediction="said", score="p", label="true")
    batch = rows(500, 5, labels=True)
    send(host, {"rows": without(batch, "true"), **day(1)})
    labels = without(batch, "id", "age", "country")
    assert "a score ('p') and a label ('true')" in refused(without(labels, "p"))
    assert "classes of the reference" in refused([row | {"true": "maybe"} for row in labels])
    # Rows that cannot be used beside one that can.
    some = [*labels[:1], *([labels[0] | {"true": "maybe"}] * 300)]
    came = host.post(f"{PATH}/labels", json={"rows": some, **day(1)})
    assert (came.status_code, came.json["labelled_rows"]) == (201, 1)
    host.post(f"{PATH}/labels", json={"rows": labels[1:], **day(1)})
    (window,) = judge(host)["windows"]
    assert (window["labelled_rows"], window["realised"]["rows"], window["label_problem"]) == (500, 500, None)
    refer(host, numbers(3000, 1), prediction="said", label="true")
    send(host, {"rows": without(numbers(500, 2), "true"), **day(1)})
    of_numbers = refused(without(numbers(500, 2), "x", "said"))
    assert "a prediction ('said') and a label ('true') that are numbers" in of_numbers
    assert "score" not in of_numbers
    refer(host, rows(3000, 2, labels=True), prediction="said", label="true")
    assert "names no score" in refused(labels)


def test_labels_that_come_weeks_late_and_twice_count_once_in_their_window(host: Service) -> None:
    refer(host, rows(3000, 1, labels=True), prediction="said", score="p", label="true")
    for number in (30, 29, 1, 0):
        send(host, {"rows": rows(400, number), **day(number)})
    judge(host)
    labels = without(rows(400, 30, labels=True), "id", "age", "country")
    for _ in range(2):
        came = host.post(f"{PATH}/labels", json={"rows": labels, "batch_id": "labels", **day(30)})
        assert (came.status_code, came.json["labelled_rows"]) == (201, 400)
    found = judge(host)["windows"]
    assert [window["labelled_rows"] for window in found] == [400, 0, 0, 0]
    assert [window["rows"] for window in found] == [400] * 4
    assert found[0]["realised"]["rows"] == 400
    times = {point.time for points in host.world.monitor_points.values() for point in points}
    assert times == {TODAY - 29 * 86_400_000 - 1}, "they are observations of the end of their window"


def test_an_estimate_ends_once_labels_contradict_what_it_rests_on(host: Service) -> None:
    refer(host, rows(3000, 1, labels=True), prediction="said", score="p", label="true")
    turned = [row | {"true": "no" if row["true"] == "yes" else "yes"} for row in rows(500, 5, labels=True)]
    for number in (2, 1):
        send(host, {"rows": rows(500, number), **day(number)})
    assert all(window["estimated"] for window in judge(host)["windows"])
    host.post(f"{PATH}/labels", json={"rows": without(turned, "id", "age", "country"), **day(2)})
    later = judge(host)["windows"][-1]
    assert later["estimated"] is None
    assert "Labels that came later contradict" in later["no_estimate"]


def test_a_segment_has_its_twenty_most_frequent_values_and_one_with_few_rows_is_said_and_not_judged(
    host: Service,
) -> None:
    def of_shops(each: int) -> list[Row]:
        return [
            {"x": (shop * 7 + n) % 50, "shop": f"s{shop:02}"} for shop in range(25) for n in range(each + 25 - shop)
        ]

    layout = refer(host, [*of_shops(100), *[{"x": 1, "shop": "rare"}] * 19], segment="shop")
    assert layout["segments"] == {"shop": [f"s{shop:02}" for shop in range(20)]}
    assert layout["other_values"] == {"shop": 6}
    assert host.json(f"{PATH}/reference")["note"] == (
        "Column 'shop' has 26 values: 20 of them are judged apart, the most frequent that are there 20 times or more, "
        "and 6 are not."
    )
    send(host, {"rows": of_shops(10), **day(1)})
    columns = {one["segment"]["value"]: one for one in judge(host)["windows"][0]["columns"] if one["segment"]}
    assert len(columns) == 20
    assert (columns["s00"]["verdict"], columns["s19"]["verdict"]) == ("quiet", "too_few_rows")
    assert "16 rows" in columns["s19"]["words"]
    histogram = f"{PATH}/data-drift/x?segment"
    assert host.json(f"{histogram}=shop&value=s00")["counts"]["rows"] == 35
    for other in ("shop&value=s24", "x&value=1"):
        assert host.get(f"{histogram}={other}").status_code == 404


def test_a_segment_all_of_whose_values_are_judged_apart_needs_no_note(host: Service) -> None:
    made = host.call("PUT", f"{PATH}/reference", json={"rows": rows(1000, 1), "segment": "country"}).json
    assert (made["note"], made["layout"]["segments"]["country"]) == (None, sorted_by_frequency(rows(1000, 1)))
    assert "other_values" not in made["layout"]


def test_parquet_is_counted_in_the_window_of_today_unless_another_is_named(host: Service) -> None:
    refer(host, rows(1000, 1))
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows(300, 2)), file)
    sent = host.post(
        f"{PATH}/batches", data=file.getvalue(), headers={"Content-Type": "application/vnd.apache.parquet"}
    )
    today = {"start": rfc3339(TODAY), "end": rfc3339(TODAY + 86_400_000)}
    assert (sent.status_code, sent.json["rows"], sent.json["window"]) == (201, 300, today)
