"""Data as a client sees it: a reference, batches in any form, what moved, labels that come later, withdrawals."""

import csv
import gzip
import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

from app.domain.times import DAY_MS, rfc3339
from app.schemas.data_bodies import BATCH_EXAMPLES, LABEL_EXAMPLES, REFERENCE_EXAMPLES
from app.services.data_drift.judge_job import judged
from app.services.data_drift.judge_order import JudgeOrder, JudgeOutcome
from tests.api.data import NAME, PATH, TODAY, day, judge, rows, send
from tests.api.service import Row, Service
from tests.exposition import figure
from tests.exposition import figures as scraped
from tests.fakes.memory_mlflow import MemoryGateway, MemoryWorld
from tests.fakes.memory_world import memory_world
from tests.receivers import receiving
from tests.servers import HOST, until

FOUND = "/models/findings?finding=data_without_reference"
COLUMNS = {"prediction": "said", "score": "p", "label": "true", "segment": "country"}


@pytest.fixture
def host(service: Service) -> Service:
    service.world.add_version(NAME)
    assert service.register(NAME).status_code == 201
    return service


def refer(host: Service, count: int = 5000) -> Row:
    response = host.call("PUT", f"{PATH}/reference", json={"rows": rows(count, 1, labels=True), **COLUMNS})
    assert response.status_code == 200, response.json
    made: Row = response.json
    return made


def test_a_batch_is_counted_in_the_window_and_what_moved_is_said(host: Service) -> None:
    made = refer(host)
    assert made["layout"]["ignored"]["id"].startswith("Column 'id' looks like an identifier")
    assert (made["rows"], made["layout"]["columns"]["age"]["kind"]) == (5000, "numeric")
    for number in range(14, -1, -1):
        shift = 1.0 if number < 2 else 0.0
        sent = send(host, {"rows": rows(400, 100 + number, shift), "batch_id": f"day {number}", **day(number)})
        assert sent.status_code == 201, sent.json
    answer = {"rows": 400, "features": 2, "labelled_rows": 0, "note": None, "reference": made["id"]}
    assert {name: sent.json[name] for name in answer} == answer
    found = judge(host)
    assert (found["batches"], found["judged_batches"], len(found["windows"])) == (15, 15, 15)
    assert found["sentence"].startswith("1 of 2 inputs moved since 13 November")
    verdicts = {
        (one["name"], one["segment"] and one["segment"]["value"]): one["verdict"]
        for one in found["windows"][-1]["columns"]
    }
    assert verdicts["age", None] == verdicts["age", "de"] == "moved"
    assert verdicts["country", None] == verdicts["said", None] == "quiet"
    assert 0.6 < found["windows"][0]["estimated"]["accuracy"] < 0.9
    assert found["limits"] == {"moved": 0.05, "missing": 0.01, "unknown": 0.01}
    assert host.get("/model/m%20with%20%25%20and%20../data-drift").json == [
        {
            "model_version": "1",
            "sentence": found["sentence"],
            "is_learning": False,
            "moved": True,
            "estimate_fell": False,
            "note": None,
        }
    ]
    histogram = host.get(f"{PATH}/data-drift/age?segment=country&value=de").json
    assert histogram["counts"]["rows"] < 400
    assert len(histogram["labels"]) == len(histogram["counts"]["cells"]) == len(histogram["edges"]) + 1
    figures = {name: value for name, (value, _) in host.world.data_figures[made["id"]].items()}
    assert (figures["control_tower.moved_inputs"], figures["control_tower.rows"]) == (1.0, 400.0)
    assert 0.6 < figures["control_tower.estimated_accuracy"] < 0.9
    row = host.json("/fleet/models")[0]["key_version"]
    assert row["data"] == {
        "inputs": 2,
        "moved_inputs": 1,
        "moved_outputs": 0,
        "moved_since": rfc3339(TODAY - DAY_MS),
        "window_end": rfc3339(TODAY + DAY_MS),
        "has_reference": True,
        "estimated": found["windows"][-1]["estimated"],
    }
    assert "data_without_reference" not in row["findings"]
    gauges = scraped(host.get("/metrics").data)
    version = {"name": NAME, "version": "1"}
    assert figure(gauges, "model_moved_inputs", **version) == 1
    assert figure(gauges, "model_moved_outputs", **version) == 0
    estimated = row["data"]["estimated"]["accuracy"]
    assert figure(gauges, "model_estimated_metric", **version, metric="accuracy") == estimated
    host.agent.checker.round()
    verdict = host.get(f"{PATH}/monitor").json
    assert (verdict["verdict"], verdict["reasons"][0]) == ("degraded", f"data: {found['sentence']}"), verdict
    host.call("PATCH", f"{PATH}/monitor", json={"settings": {"data_drift": {"inputs": "off"}}})
    host.agent.checker.round()
    assert host.get(f"{PATH}/monitor").json["verdict"] == "insufficient_data"
    assert len(host.get(f"{PATH}/data-drift?days=3").json["windows"]) == 4


def test_every_time_in_an_answer_about_data_is_rfc_3339(host: Service) -> None:
    refer(host)
    for number in range(14, -1, -1):
        send(host, {"rows": rows(400, 100 + number, 1.0 if number < 2 else 0.0), **day(number)})
    summary = judge(host)["summary"]
    assert summary["at"] == rfc3339(TODAY)
    assert summary["moved_inputs"][0]["since"] == rfc3339(TODAY - DAY_MS)
    assert summary["window"] == rfc3339(TODAY + DAY_MS)
    answers = [host.get(f"{PATH}/{part}").text for part in ("data-drift", "data-drift/age", "reference", "monitor")]
    assert [re.findall(r"(?<![\d.])\d{12,13}(?![\d.])", answer) for answer in answers] == [[]] * 4


def test_a_fallen_estimate_and_moved_predictions_make_of_the_verdict_what_the_settings_say(host: Service) -> None:
    refer(host)
    for number in range(15, -1, -1):
        batch = rows(600, 100 + number)
        if number < 3:
            # The model is less sure, and its inputs are as they were.
            batch = [row | {"p": round(0.3 + 0.4 * row["p"], 6)} for row in batch]
        send(host, {"rows": batch, **day(number)})
    found = judge(host)
    assert found["summary"]["estimated_fall"]["figure"] == "accuracy"
    assert found["assumption"] == found["summary"]["estimated_fall"]["assumption"]
    assert "; estimated accuracy 0.7" in found["sentence"]
    estimate, predictions = "data: estimated accuracy 0.7", "data: predictions moved since"
    for settings, verdict, expected in (
        ({}, "degraded", [predictions, estimate]),
        ({"predictions": "off"}, "degraded", [estimate]),
        ({"predictions": "off", "estimate": "drifting"}, "drifting", [estimate]),
        ({"predictions": "drifting", "estimate": "off"}, "drifting", [predictions]),
        ({"predictions": "off", "estimate": "off"}, "insufficient_data", []),
    ):
        body = {"settings": {"data_drift": settings | {"inputs": "off"}}}
        assert host.patch(f"{PATH}/monitor", json={"settings": {"data_drift": None}}).status_code == 200
        assert host.patch(f"{PATH}/monitor", json=body).status_code == 200
        host.check()
        now = host.json(f"{PATH}/monitor")
        reasons = [reason for reason in now["reasons"] if reason.startswith("data: ")]
        assert (now["verdict"], len(reasons)) == (verdict, len(expected)), (settings, now["reasons"])
        assert all(any(reason.startswith(words) for reason in reasons) for words in expected), reasons
        assert all(found["assumption"] in reason for reason in reasons if reason.startswith(estimate))
        assert host.json("/monitoring/history")[0]["verdict"] == verdict


def test_people_are_told_in_words_and_once_that_inputs_moved_and_once_that_they_are_as_before(
    start: Callable[..., Service], world: MemoryWorld
) -> None:
    with receiving() as receiver:
        host = start(alert_urls=f"json://{HOST}:{receiver.port}")
        world.add_version(NAME)
        host.register(NAME, settings={"limits": {"accuracy": {"min": 0.5}}, "data_drift": {"estimate": "off"}})
        refer(host)
        host.observe(NAME, metrics={"accuracy": 0.9})
        host.agent.announcer.start()
        told = []
        for days, shift in ((range(14, 4, -1), 0.0), ((4, 3), 1.0), ((2, 1), 0.0)):
            for number in days:
                send(host, {"rows": rows(400, 100 + number, shift), **day(number)})
            judge(host)
            host.check()
            host.check()
            told.append(host.verdict(NAME)["verdict"])
            until(lambda: len(receiver.requests) >= len(told))
        host.agent.announcer.stop()
        texts = [json.loads(body)["message"] for _, _, body in receiver.requests]
    assert told == ["healthy", "degraded", "healthy"]
    assert len(texts) == 3
    assert "- data: 1 of 2 inputs moved since 10 November" in texts[1]
    assert "`age" in texts[1]
    assert "is healthy, was degraded" in texts[2]
    assert "moved" not in texts[2]
    history = host.json(f"/monitoring/history?name={quote(NAME)}")
    assert "data: 1 of 2 inputs moved since 10 November" in json.dumps(history)


def test_a_reference_of_counts_alone_is_what_data_is_compared_with(host: Service) -> None:
    layout = {"columns": {"age": {"kind": "numeric", "role": "input", "edges": [30.0, 50.0]}}}
    counts = {"rows": 5000, "columns": {"age": {"cells": [1000, 3000, 900], "missing": 100}}}
    refused = host.call("PUT", f"{PATH}/reference", json={"counts": counts})
    assert (refused.status_code, "no bins" in refused.json["detail"]) == (400, True), refused.json
    made = host.call("PUT", f"{PATH}/reference", json={"layout": layout, "counts": counts})
    assert (made.status_code, made.json["rows"]) == (200, 5000), made.json
    known = host.json(f"{PATH}/reference")
    assert (known["rows"], known["origin"], known["id"]) == (5000, "sent", made.json["id"])
    assert known["layout"]["columns"]["age"]["edges"] == [30.0, 50.0]
    send(host, {"rows": [{"age": age} for age in (20, 40, 40, 60)] * 10, **day(1)})
    found = judge(host)
    assert (found["reference"]["rows"], found["windows"][0]["rows"], found["assumption"]) == (5000, 40, None)
    assert host.json(f"{PATH}/data-drift/age")["reference"]["cells"] == [1000, 3000, 900]


def documented_bodies() -> list[Row]:
    page = (Path(__file__).resolve().parents[2] / "docs" / "data-drift.md").read_text()
    return [json.loads(block) for block in re.findall(r"```json\n(.*?)```", page, re.DOTALL)]


def openapi_bodies() -> list[Row]:
    return [examples["counts"] for examples in (REFERENCE_EXAMPLES, BATCH_EXAMPLES, LABEL_EXAMPLES)]


@pytest.mark.parametrize("bodies", [documented_bodies, openapi_bodies])
def test_the_documented_bodies_with_counts_are_taken_with_the_id_of_the_reference(
    host: Service, bodies: Callable[[], list[Row]]
) -> None:
    reference, batch, labels = bodies()
    made = host.call("PUT", f"{PATH}/reference", json=reference)
    assert made.status_code == 200, made.json
    for path, body, count in (("batches", batch, (4, 2)), ("labels", labels, (0, 1))):
        sent = host.post(f"{PATH}/{path}", json=body | {"reference": made.json["id"]})
        assert sent.status_code == 201, sent.json
        if bodies is documented_bodies:
            assert (sent.json["rows"], sent.json["labelled_rows"]) == count


def test_the_documented_bodies_with_rows_are_taken_and_say_what_the_address_could_say(host: Service) -> None:
    body: Row = dict(REFERENCE_EXAMPLES["rows"])
    other = {"said": "no", "probability": 0.2, "true": "no"}
    body |= {"rows": [body["rows"][0] | {"age": age} | (other if age % 2 else {}) for age in range(18, 90)]}
    by_body = host.call("PUT", f"{PATH}/reference", json=body)
    assert by_body.status_code == 200, by_body.json
    query = "prediction=said&score=probability&label=true&segment=job&numeric=age"
    by_address = host.call("PUT", f"{PATH}/reference?{query}", json={"rows": body["rows"]})
    assert (by_address.status_code, by_address.json) == (200, by_body.json)
    sent = [
        host.post(f"{PATH}/{path}", json=examples["rows"])
        for path, examples in (("batches", BATCH_EXAMPLES), ("labels", LABEL_EXAMPLES))
    ]
    assert [(one.json["rows"], one.json["labelled_rows"]) for one in sent] == [(1, 0), (0, 1)]


@pytest.mark.parametrize("path", ["batches", "labels"])
def test_counts_that_do_not_say_by_which_reference_they_were_made_are_refused_although_they_fit_its_bins(
    host: Service, path: str
) -> None:
    made = refer(host)
    bins = len(made["layout"]["columns"]["p"]["edges"]) + 1
    labelled = {"counts": [[[1, 0]] * bins] * 2}
    counts = {"rows": 3} if path == "batches" else {"rows": 0, "labelled": labelled}
    refused = host.post(f"{PATH}/{path}", json={"counts": counts})
    assert (refused.status_code, "GET …/reference" in refused.json["detail"]) == (400, True), refused.json
    assert host.get(f"{PATH}/data-drift").json["batches"] == 0
    said = {"counts": counts, "reference": made["id"], "batch_id": "1"}
    assert host.post(f"{PATH}/{path}", json=said).status_code == 201
    by_address = host.post(f"{PATH}/{path}?reference={made['id']}&batch_id=2", json={"counts": counts})
    assert by_address.status_code == 201, by_address.json


def test_the_same_rows_in_every_form_give_the_same_counts(host: Service) -> None:
    made = refer(host)
    layout = made["layout"]
    batch = rows(300, 7)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(batch[0]))
    writer.writeheader()
    writer.writerows(batch)
    lines = "\n".join(map(json.dumps, batch)).encode()
    bodies = [
        ("application/json", json.dumps({"rows": batch}).encode(), {}),
        ("text/csv; charset=utf-8", text.getvalue().encode(), {}),
        ("application/x-ndjson", lines, {}),
        ("application/x-ndjson", gzip.compress(lines), {"Content-Encoding": "gzip"}),
    ]
    for number, (media_type, body, headers) in enumerate(bodies):
        window = "&".join(f"{key}={value}" for key, value in day(number + 1).items())
        sent = host.post(f"{PATH}/batches?{window}", data=body, headers={"Content-Type": media_type, **headers})
        assert sent.status_code == 201, sent.json
    columns = [[one["p_chance"] for one in window["columns"]] for window in judge(host)["windows"]]
    assert len(columns) == 4
    assert all(one == columns[0] for one in columns)
    counted = host.get(f"{PATH}/data-drift/age").json["counts"]
    counts = {"rows": 300, "columns": {"age": {"cells": counted["cells"]}}}
    assert len(layout["columns"]["age"]["edges"]) + 1 == len(counted["cells"])
    assert send(host, {"counts": counts, "batch_id": "counts", "reference": made["id"]}).json["rows"] == 300
    host.agent.data.judge.judge_now(NAME, 1)
    assert host.get(f"{PATH}/data-drift/age").json["counts"]["cells"] == counted["cells"]


def test_a_batch_sent_again_counts_once_other_rows_under_its_id_are_refused_and_a_withdrawn_one_does_not_count(
    host: Service,
) -> None:
    refer(host)
    body = {"rows": rows(300, 2), "batch_id": "one/b", **day(1)}
    first = send(host, body)
    unjudged = host.json(f"{PATH}/data-drift")
    assert (unjudged["batches"], unjudged["judged_batches"]) == (1, 0)
    again = send(host, body)
    assert (again.status_code, again.json) == (201, first.json)
    other = send(host, body | {"rows": rows(300, 3)})
    assert (other.status_code, "was sent before" in other.json["detail"]) == (409, True)
    assert judge(host)["windows"][0]["rows"] == 300
    gone = host.delete(f"{PATH}/batches/one%2Fb")
    assert (gone.status_code, gone.json["rows"]) == (200, 300)
    assert host.delete(f"{PATH}/batches/one%2Fb").status_code == 200
    assert send(host, body).status_code == 409
    assert host.delete(f"{PATH}/batches/other").status_code == 404
    assert judge(host)["windows"] == []


def test_a_request_has_as_many_megabytes_as_the_setting_says_and_what_is_sent_beyond_counts_nowhere(
    start: Callable[..., Service], world: MemoryWorld
) -> None:
    host = start(max_batch_mb=1)
    world.add_version(NAME)
    host.register(NAME)
    refer(host, 1000)
    body = b"age,country,p,said\n" + b"40.5,de,0.25,no\n" * 100_000
    for content, status in ((body, 413), (body[: 1 << 20].rpartition(b"\n")[0], 201)):
        sent = host.post(f"{PATH}/batches", data=content, content_type="text/csv")
        assert (sent.status_code, host.json(f"{PATH}/data-drift")["batches"]) == (status, int(status == 201))


def test_a_report_is_made_once_until_it_is_judged_again_or_a_window_is_too_old(host: Service) -> None:
    refer(host)
    send(host, {"rows": rows(300, 2), **day(1)})
    judge(host)
    first = host.get(f"{PATH}/data-drift?days=2")
    assert [window["rows"] for window in first.json["windows"]] == [300]
    host.clock.forward(60)
    assert host.get(f"{PATH}/data-drift?days=2").headers["X-Data-As-Of"] == first.headers["X-Data-As-Of"]
    send(host, {"rows": rows(200, 3), **day(1)})
    host.agent.data.judge.judge_now(NAME, 1)
    assert [window["rows"] for window in host.json(f"{PATH}/data-drift?days=2")["windows"]] == [500]
    host.clock.forward(2 * 86_400)
    assert host.json(f"{PATH}/data-drift?days=2")["windows"] == []


def test_without_a_reference_the_first_large_batch_sets_the_bins_and_every_answer_says_so(host: Service) -> None:
    assert host.get(f"{PATH}/data-drift").status_code == 404
    assert host.get("/model/m%20with%20%25%20and%20../data-drift").json == []
    assert "too few" in send(host, {"rows": rows(999, 1), **day(20)}).json["detail"]
    refused = send(host, {"counts": {"rows": 2000}})
    assert (refused.status_code, "Send a reference first" in refused.json["detail"]) == (400, True)
    for number in range(12, -1, -1):
        sent = send(host, {"rows": rows(1000, number), **day(number)})
        assert sent.status_code == 201, sent.json
        assert "the first ten windows are the reference" in sent.json["note"]
    found = judge(host)
    assert [window["is_reference"] for window in found["windows"]] == [True] * 10 + [False] * 3
    assert host.get(f"{PATH}/reference").json["origin"] == found["reference"]["origin"] == "first_windows"
    assert host.get(f"{PATH}/reference").json["rows"] == 10_000
    answers = [host.json(f"{PATH}/{part}") for part in ("reference", "data-drift", "data-drift/age")]
    answers += host.json("/model/m%20with%20%25%20and%20../data-drift")
    assert {answer["note"] for answer in answers} == {sent.json["note"]}
    assert host.json("/fleet")[0]["data"]["has_reference"] is False


def test_data_without_a_reference_is_a_finding_until_one_is_sent(host: Service) -> None:
    assert host.json(FOUND) == []
    assert send(host, {"rows": rows(1000, 1)}).status_code == 201
    judge(host)
    (one,) = host.json(FOUND)
    assert (one["name"], one["version"]) == (NAME, "1")
    assert one["action"].endswith(f"PUT {PATH}/reference.")
    assert host.keys("/fleet?finding=data_without_reference") == [(NAME, "1")]
    refer(host)
    assert host.json(FOUND) == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/models/m%20with%20%25%20and%20../aliases/live/monitor", {}),
        ("/monitoring/rules", {"name": "live", "match": {"aliases": ["live"]}}),
    ],
)
def test_what_watches_a_version_says_what_its_data_makes_of_the_verdict(service: Service, path: str, body: Row) -> None:
    service.world.add_version(NAME)
    service.world.set_alias(NAME, "live", 1)
    service.refresh()
    settings = {"data_drift": {"inputs": "drifting", "floor": 0.1}}
    made = service.post(path, json={"model_type": "classifier", "settings": settings, **body})
    assert made.status_code == 201, made.json
    service.agent.watcher.tick()
    refer(service)
    for number in range(14, -1, -1):
        sent = send(service, {"rows": rows(400, 100 + number, 1.0 if number < 2 else 0.0), **day(number)})
        assert sent.status_code == 201, sent.json
    judge(service)
    service.agent.checker.round()
    verdict = service.get(f"{PATH}/monitor").json
    assert (verdict["verdict"], verdict["own_settings"]) == ("drifting", None)
    assert verdict["reasons"][0].startswith("data: 1 of 2 inputs moved")


def test_labels_that_come_later_count_no_input_again_and_become_observations(host: Service) -> None:
    refer(host)
    labelled = rows(500, 5, labels=True)
    for row in labelled:
        del row["id"]
    unlabelled = [{name: value for name, value in row.items() if name != "true"} for row in labelled]
    assert send(host, {"rows": unlabelled, **day(1)}).status_code == 201
    body = {"rows": [{name: row[name] for name in ("p", "said", "true")} for row in labelled], **day(1)}
    came = host.post(f"{PATH}/labels", json=body | {"batch_id": "labels 1"})
    assert (came.status_code, came.json["rows"], came.json["labelled_rows"]) == (201, 0, 500)
    (window,) = judge(host)["windows"]
    right = sum(row["said"] == row["true"] for row in labelled) / 500
    assert (window["rows"], window["labelled_rows"]) == (500, 500)
    assert window["realised"]["accuracy"] == pytest.approx(right)
    (point,) = host.json(f"{PATH}/series?metric=accuracy")["metrics"]["accuracy"]["points"]
    assert (repr(window["realised"]["rows"]), point["n"]) == ("500", 500)
    assert window["estimated"]["accuracy"] == pytest.approx(right, abs=0.05)
    observed = {row.metric: row.value for points in host.world.monitor_points.values() for row in points}
    assert observed["accuracy"] == pytest.approx(right)
    assert {"f1_score", "roc_auc"} <= set(observed)


def judged_accuracy(host: Service) -> float:
    """The newest observed accuracy that the verdict knows."""
    judge(host)
    host.agent.checker.round()
    last: float = host.json(f"{PATH}/monitor")["metrics"]["accuracy"]["last"]
    return last


def test_the_newest_observation_is_what_counts_however_often_labels_are_sent_and_withdrawn(host: Service) -> None:
    refer(host)
    right = [{"p": 0.9, "said": "yes", "true": "yes"}] * 40
    wrong = [row | {"true": "no"} for row in right]
    send(host, {"rows": rows(200, 5), **day(1)})
    host.post(f"{PATH}/labels", json={"rows": right, **day(1)})
    assert judged_accuracy(host) == 1.0
    for batch_id in ("first", "second"):
        host.post(f"{PATH}/labels", json={"rows": wrong, "batch_id": batch_id, **day(1)})
        assert judged_accuracy(host) == 0.5
        host.delete(f"{PATH}/batches/{batch_id}")
        assert judged_accuracy(host) == 1.0


def observed(host: Service, metric: str = "accuracy") -> list[float]:
    """The values of a metric that count, by time."""
    found = host.json(f"{PATH}/series?metric={metric}&days=10")["metrics"].get(metric, {"points": []})
    return [point["value"] for point in found["points"]]


@pytest.mark.parametrize("number", [1, 0])
def test_the_observation_of_a_window_goes_when_all_its_labels_are_withdrawn_and_those_of_others_stay(
    host: Service, number: int
) -> None:
    refer(host)
    right = [{"p": 0.9, "said": "yes", "true": "yes"}] * 40
    end = TODAY - (number - 1) * DAY_MS - 1 if number else host.clock()
    for time, metrics in ((end, {"note": 1.0}), (end - 1000, {"accuracy": 0.7})):
        sent = host.post(f"{PATH}/observations", json={"metrics": metrics, "timestamp": rfc3339(time)})
        assert sent.status_code == 201, sent.json
    send(host, {"rows": rows(200, 5), "batch_id": "rows", **day(number)})
    for batch_id in ("first", "second", "third"):
        host.clock.forward(60)
        sent = {"rows": right, "batch_id": batch_id, **day(number)}
        assert host.post(f"{PATH}/labels", json=sent).status_code == 201
        judge(host)
        assert observed(host) == [0.7, 1.0]
        host.delete(f"{PATH}/batches/{batch_id}")
        judge(host)
        assert (observed(host), observed(host, "note")) == ([0.7], [1.0])
    host.delete(f"{PATH}/batches/rows")
    assert judge(host)["windows"] == []
    assert (observed(host), observed(host, "note")) == ([0.7], [1.0])


def test_in_a_window_that_is_open_the_observations_follow_the_labels_that_are_left(host: Service) -> None:
    refer(host)
    right = [{"p": 0.9, "said": "yes", "true": "yes"}] * 40
    wrong = [row | {"true": "no"} for row in right]
    send(host, {"rows": rows(200, 5), **day(0)})
    for batch_id, sent in (("first", right), ("second", wrong), ("third", right)):
        host.clock.forward(60)
        host.post(f"{PATH}/labels", json={"rows": sent, "batch_id": batch_id, **day(0)})
        judge(host)
    assert observed(host) == [1.0, 0.5, pytest.approx(2 / 3, rel=1e-5)]
    host.delete(f"{PATH}/batches/second")
    judge(host)
    assert observed(host) == [1.0]
    host.delete(f"{PATH}/batches/third")
    assert judged_accuracy(host) == 1.0
    host.delete(f"{PATH}/batches/first")
    judge(host)
    assert observed(host) == []


def test_realised_figures_become_observations_once_mlflow_takes_writes_again(host: Service) -> None:
    refer(host)
    send(host, {"rows": rows(200, 1, labels=True), **day(1)})
    host.gateway.locked = True
    judge(host)
    assert observed(host) == []
    host.gateway.locked = False
    host.agent.data.judge.tick()
    assert len(observed(host)) == 1


def test_a_batch_that_comes_while_older_counts_are_judged_stays_in_the_report(
    tmp_path: Path, gateway: MemoryGateway
) -> None:
    coming = [{"rows": rows(200, 2), **day(0)}]

    def judge_slowly(orders: Sequence[JudgeOrder]) -> list[JudgeOutcome]:
        if coming and orders[0].windows:
            send(host, coming.pop())
            judge(host)
        return [judged(order) for order in orders]

    gateway.world.add_version(NAME)
    host = Service(tmp_path, gateway, replace(memory_world(tmp_path, gateway), judge=judge_slowly))
    host.register(NAME)
    refer(host)
    send(host, {"rows": rows(200, 1), **day(1)})
    host.agent.data.judge.tick()
    found = host.get(f"{PATH}/data-drift").json
    assert (found["batches"], found["judged_batches"]) == (2, 2)


def test_a_tower_that_starts_writes_no_realised_figure_again(
    host: Service, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    refer(host)
    for number in (1, 0):
        send(host, {"rows": rows(200, number, labels=True), **day(number)})
    judge(host)
    written = sorted(map(str, (row for points in host.world.monitor_points.values() for row in points)))
    assert written
    for days in (0, 2):
        # In two days the window that was open is over.
        host.clock.forward(days * 86_400)
        other = Service(tmp_path / f"after {days} days", host.gateway)
        other.refresh()
        judge(other)
        now = sorted(map(str, (row for points in host.world.monitor_points.values() for row in points)))
        assert now == written
    assert "no observations yet" not in caplog.text


def test_a_batch_sent_again_on_another_day_is_of_the_window_of_its_first_day(host: Service) -> None:
    refer(host)
    body = {"rows": rows(300, 2), "batch_id": "nightly"}
    first = send(host, body)
    host.clock.forward(86_400)
    again = send(host, body)
    assert (again.status_code, again.json) == (201, first.json)
    refused = [send(host, body | day(-1)), send(host, body | {"rows": rows(300, 3)})]
    assert [answer.status_code for answer in refused] == [409, 409]
    assert "with another window: 2023-11-14T00:00:00Z to 2023-11-15T00:00:00Z" in refused[0].json["detail"]
    assert "with other rows" in refused[1].json["detail"]


def test_a_batch_id_belongs_to_a_reference_and_one_of_an_earlier_reference_is_withdrawn_by_its_id(
    host: Service,
) -> None:
    def windows(reference: str) -> list[int]:
        return [one["rows"] for one in host.json(f"{PATH}/data-drift?reference={reference}")["windows"]]

    references = []
    for count in (300, 200):
        references.append(refer(host, 5000 + count)["id"])
        sent = send(host, {"rows": rows(count, count), "batch_id": "A1", **day(1)})
        assert (sent.status_code, sent.json["rows"]) == (201, count)
    earlier, present = references
    judge(host)
    assert (windows(earlier), windows(present)) == ([300], [200])
    for _ in range(2):
        withdrawn = host.delete(f"{PATH}/batches/A1?reference={earlier}")
        assert (withdrawn.status_code, withdrawn.json) == (200, {"batch_id": "A1", "rows": 300})
    judge(host)
    assert (windows(earlier), windows(present)) == ([], [200])
    assert host.delete(f"{PATH}/batches/A1").json["rows"] == 200
    judge(host)
    assert windows(present) == []
    unknown = host.delete(f"{PATH}/batches/A1?reference=nope")
    assert (unknown.status_code, "no reference with this id" in unknown.json["detail"]) == (404, True)
    other = host.delete(f"{PATH}/batches/A2")
    assert (other.status_code, "?reference=" in other.json["detail"]) == (404, True)


def test_more_labels_than_rows_are_said_and_are_no_observations_until_that_is_mended(host: Service) -> None:
    made = refer(host)
    bins = len(made["layout"]["columns"]["p"]["edges"]) + 1
    labelled = [{"age": 40, "country": "de", "p": 0.9, "said": "yes", "true": "yes"}] * 40
    send(host, {"rows": labelled, **day(1)})
    assert judged_accuracy(host) == 1.0
    wrong = [row | {"true": "no"} for row in labelled]
    host.post(f"{PATH}/labels", json={"rows": wrong, "batch_id": "again", **day(1)})
    assert judged_accuracy(host) == 1.0
    (window,) = judge(host)["windows"]
    assert window["label_problem"].startswith("80 rows have labels, and 40 rows were counted")
    host.delete(f"{PATH}/batches/again")
    assert judge(host)["windows"][0]["label_problem"] is None
    in_one = {"rows": 1, "labelled": {"counts": [[[0, 0]] * bins] * 2, "unknown": 2}}
    refused = send(host, {"counts": in_one, "reference": made["id"]})
    assert (refused.status_code, "rows have labels" in refused.json["detail"]) == (400, True), refused.json


@pytest.mark.parametrize("query", ["numeric=age&categorical=age", "ignore=age&ignore=age", "numeric=nope"])
def test_a_kind_that_is_said_twice_or_of_no_column_is_refused(host: Service, query: str) -> None:
    lines = "\n".join(map(json.dumps, rows(100, 1))).encode()
    answer = host.call("PUT", f"{PATH}/reference?{query}", data=lines, headers={"Content-Type": "application/x-ndjson"})
    assert (answer.status_code, "olumn '" in answer.json["detail"]) == (400, True)


@pytest.mark.parametrize("name", ["/a", "a/", "a//b", "a/../b", "%2F", "?x=1&y#z", "…", "+ +", "age"])
def test_a_column_and_a_batch_of_any_name_have_an_address(host: Service, name: str) -> None:
    body = {"rows": [{name: number % 7} for number in range(1000)], "batch_id": name}
    assert host.call("PUT", f"{PATH}/reference", json={"rows": body["rows"]}).status_code == 200
    assert send(host, body).status_code == 201
    assert host.get(f"{PATH}/data-drift/{quote(name, safe='')}").json["counts"]["rows"] == 1000
    assert host.delete(f"{PATH}/batches/{quote(name, safe='')}").json == {"batch_id": name, "rows": 1000}


def test_a_column_whose_name_has_lines_has_an_address(host: Service) -> None:
    assert host.call("PUT", f"{PATH}/reference", json={"rows": [{"a\nb": 1}] * 1000}).status_code == 200
    assert send(host, {"rows": [{"a\nb": 1}] * 40}).status_code == 201
    assert host.get(f"{PATH}/data-drift/a%0Ab").json["counts"]["rows"] == 40


@pytest.mark.parametrize("name", [".", ".."])
def test_a_column_or_a_batch_that_no_address_could_name_is_refused(host: Service, name: str) -> None:
    answers = [send(host, {"rows": [{name: 1}] * 1000}), send(host, {"rows": rows(1000, 1), "batch_id": name})]
    assert [(answer.status_code, "address" in answer.json["detail"]) for answer in answers] == [(400, True)] * 2


def test_another_reference_begins_a_new_series_and_the_old_one_stays_readable(host: Service) -> None:
    old = refer(host)
    assert refer(host)["id"] == old["id"]
    send(host, {"rows": rows(300, 2), **day(1)})
    new = refer(host, 3000)
    assert new["id"] != old["id"]
    assert host.get(f"{PATH}/reference").json["earlier"][0]["id"] == old["id"]
    assert judge(host)["windows"] == []
    earlier = host.get(f"{PATH}/data-drift?reference={old['id']}")
    assert [window["rows"] for window in earlier.json["windows"]] == [300]
    late = send(host, {"counts": {"rows": 3}, "reference": old["id"]})
    assert (late.status_code, "Another reference" in late.json["detail"]) == (409, True)
    unknown = host.get(f"{PATH}/data-drift?reference=unknown")
    assert (unknown.status_code, "no reference with this id" in unknown.json["detail"]) == (404, True)


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("PUT", "reference", "prediction"),
        ("POST", "batches", "window_start"),
        ("POST", "batches", "batch_id"),
        ("POST", "labels", "window_end"),
        ("GET", "data-drift", "days"),
        ("GET", "data-drift", "reference"),
        ("GET", "data-drift/age", "segment"),
    ],
)
def test_a_parameter_that_takes_one_value_and_is_given_twice_is_refused_by_name(
    host: Service, method: str, path: str, name: str
) -> None:
    body = {"json": {"rows": rows(1000, 1)}} if method != "GET" else {}
    refused = host.call(method, f"{PATH}/{path}?{name}=1&x=2&{name}=1", **body)
    assert (refused.status_code, refused.json["detail"]) == (400, f"{name}: Give it once.")
    assert host.get(f"{PATH}/data-drift").status_code == 404


def test_a_parameter_that_may_be_repeated_is_taken_as_often_as_it_is_given(host: Service) -> None:
    body = {"rows": rows(1000, 1)}
    made = host.call("PUT", f"{PATH}/reference?ignore=age&ignore=p&segment=country&segment=said", json=body)
    assert (made.status_code, made.json["layout"]["segments"].keys()) == (200, {"country", "said"})
    assert {"age", "p"} <= made.json["layout"]["ignored"].keys()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "reference"),
        ("GET", "reference"),
        ("POST", "batches"),
        ("POST", "labels"),
        ("DELETE", "batches/b"),
        ("GET", "data-drift"),
        ("GET", "data-drift/age"),
    ],
)
def test_a_version_that_is_not_monitored_has_no_data(service: Service, method: str, path: str) -> None:
    service.world.add_version(NAME)
    body = {} if method in ("GET", "DELETE") else {"json": {"rows": rows(10, 1)}}
    answer = service.call(method, f"{PATH}/{path}", **body)
    assert (answer.status_code, answer.json) == (404, {"detail": "Model is not being monitored"})


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("?window_start=2023-11-10T00:00:00Z", "Give both"),
        ("?window_start=2023-11-11T00:00:00Z&window_end=2023-11-10T00:00:00Z", "after window_start"),
        ("?window_start=2020-11-11T00:00:00Z&window_end=2023-11-10T00:00:00Z", "at most 366 days"),
        ("?window_start=2123-11-10T00:00:00Z&window_end=2123-11-11T00:00:00Z", "in the future"),
        ("?window_start=yesterday&window_end=today", "window_start"),
        ("?window_start=1969-12-31T23:59:59.999Z&window_end=1970-01-01T00:00:00Z", "before 1970"),
        ("?window_start=0001-01-01T00:00:00Z&window_end=0001-01-02T00:00:00Z", "before 1970"),
        ("?batch_id=%0A", "batch_id"),
        ("?batch_id=a%7Fb", "batch_id"),
        (f"?batch_id={'x' * 201}", "batch_id"),
    ],
)
def test_a_window_that_cannot_be_is_refused(host: Service, query: str, problem: str) -> None:
    counts = {"counts": {"rows": 3}, "reference": refer(host)["id"]}
    labels = {"rows": [{"p": 0.9, "said": "yes", "true": "no"}]}
    for path, body in (("batches", {"rows": rows(40, 1)}), ("batches", counts), ("labels", labels)):
        answer = host.post(f"{PATH}/{path}{query}", json=body)
        assert (answer.status_code, problem in answer.json["detail"]) == (400, True), answer.json


def test_bodies_that_are_no_rows_are_refused_with_the_reason(host: Service) -> None:
    as_csv, as_page = {"Content-Type": "text/csv"}, {"Content-Type": "text/html"}
    answers = [
        (host.post(f"{PATH}/batches", data=b"{}", headers=as_page), 400, "Content-Type"),
        (host.post(f"{PATH}/batches", json={"rows": rows(1000, 1), "what": 1}), 400, "what: Unknown field"),
        (host.post(f"{PATH}/batches", data=b"x" * ((32 << 20) + 1), headers=as_csv), 413, "32 MiB"),
    ]
    for answer, status, words in answers:
        assert (answer.status_code, words in answer.json["detail"]) == (status, True), answer.json
