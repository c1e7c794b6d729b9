"""Acknowledging a verdict, muting, commenting: what comes of it, as clients of any worker see it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from app.domain.monitoring.acts import ACTS
from app.domain.times import DAY_MS, rfc3339
from tests.api.service import Service
from tests.api.test_verdicts import STEADY, daily
from tests.fakes.memory_mlflow import MemoryGateway, MemoryWorld
from tests.receivers import receiving
from tests.servers import until

NAME = "a b.ü 100%"
PATH = f"/models/{quote(NAME, safe='')}/1"
PAGE = quote(NAME, safe="")
BAD = [*STEADY, 0.94, 0.8, 0.81, 0.8]


@pytest.fixture
def drifting(service: Service, world: MemoryWorld) -> Service:
    """A version that drifts."""
    world.add_version(NAME, {"accuracy": 0.9})
    service.register(NAME)
    service.observe(NAME, observations=daily(BAD))
    service.check()
    return service


def later(service: Service, days: float) -> str | None:
    return rfc3339(service.clock() + int(days * DAY_MS))


def acts(service: Service) -> list[tuple[Any, ...]]:
    events = service.json(f"/monitoring/history?name={quote(NAME)}")
    return [
        (e["event"], e["by"], e["note"], e["metric"], e["until"], e["verdict"]) for e in events if e["event"] in ACTS
    ]


def shown(service: Service) -> list[tuple[Any, Any]]:
    rows = [service.verdict(NAME), service.json("/monitoring")[0], service.json("/fleet")[0]]
    return [(row["acknowledged"], row["mutes"]) for row in rows]


def test_a_verdict_is_acknowledged_until_it_changes_and_every_worker_shows_by_whom(
    drifting: Service, start: Callable[..., Service]
) -> None:
    other = start()
    assert shown(other) == [(None, [])] * 3
    since = drifting.verdict(NAME)["since"]
    made = drifting.post(f"{PATH}/acknowledgement", json={"note": "known\nbug", "since": since})
    assert (made.status_code, made.json["event"], made.json["verdict"]) == (201, "acknowledged", "drifting")
    known = {"by": "anonymous", "at": made.json["at"], "note": "known\nbug"}
    for worker in (drifting, other):
        assert shown(worker) == [(known, [])] * 3
        assert acts(worker) == [("acknowledged", "anonymous", "known\nbug", None, None, "drifting")]
    drifting.observe(NAME, observations=daily([*BAD, *[0.94] * 30]))
    drifting.check()
    assert drifting.verdict(NAME)["verdict"] == "healthy"
    assert shown(drifting) == [(None, [])] * 3
    assert drifting.post(f"{PATH}/acknowledgement", json={}).status_code == 409
    assert drifting.delete(f"{PATH}/acknowledgement").status_code == 404


def test_an_acknowledgement_is_taken_back_and_refused_for_a_verdict_that_nobody_has_seen(drifting: Service) -> None:
    refused = drifting.post(f"{PATH}/acknowledgement", json={"since": "2023-01-01T00:00:00Z"})
    assert (refused.status_code, refused.json["detail"][:30]) == (409, "The verdict has changed meanwh")
    drifting.post(f"{PATH}/acknowledgement", json={})
    drifting.post(f"{PATH}/acknowledgement", json={"note": "again"})
    assert drifting.verdict(NAME)["acknowledged"]["note"] == "again"
    assert drifting.delete(f"{PATH}/acknowledgement").status_code == 200
    assert drifting.verdict(NAME)["acknowledged"] is None
    assert [kind for kind, *_ in acts(drifting)] == ["unacknowledged", "acknowledged", "acknowledged"]


def test_a_version_and_a_metric_are_muted_until_a_time_and_marked_in_the_lists(drifting: Service) -> None:
    until, late = later(drifting, 1), later(drifting, 2)
    drifting.post(f"{PATH}/mutes", json={"until": late, "metric": "acc uracy/x", "note": "late"})
    drifting.post(f"{PATH}/mutes", json={"until": later(drifting, 3)})
    drifting.post(f"{PATH}/mutes", json={"until": until})
    for _, mutes in shown(drifting):
        assert [(m["metric"], m["until"], m["note"]) for m in mutes] == [
            (None, until, ""),
            ("acc uracy/x", late, "late"),
        ]
    assert drifting.verdict(NAME)["verdict"] == drifting.json("/fleet?verdict=drifting")[0]["verdict"] == "drifting"
    drifting.clock.forward(86_400)
    drifting.check()
    assert [m["metric"] for m in shown(drifting)[0][1]] == ["acc uracy/x"]
    assert drifting.delete(f"{PATH}/mutes").status_code == 404
    assert drifting.delete(f"{PATH}/mutes?metric=acc%20uracy/x").status_code == 200
    assert shown(drifting) == [(None, [])] * 3


@pytest.mark.parametrize(
    ("act", "body", "problem"),
    [
        ("mutes", {}, "until"),
        ("mutes", {"until": "tomorrow"}, "until"),
        ("mutes", {"until": "2023-01-01T00:00:00Z"}, "until: must be later than now"),
        ("mutes", {"until": "9999-01-01T00:00:00Z"}, "at most 366 days"),
        ("mutes", {"until": 5}, "until"),
        ("mutes", {"until": None}, "until"),
        ("mutes", {"until": "2024-01-01T00:00:00Z", "metric": ""}, "metric"),
        ("mutes", {"until": "2023-11-15T00:00:00Z", "metric": "a\u2028b"}, "metric"),
        ("comments", {"text": ""}, "text"),
        ("comments", {"text": " \n"}, "text"),
        ("comments", {"text": "a" * 1001}, "text"),
        ("comments", {"text": "a\u0007"}, "text"),
        ("comments", {"text": ["a"]}, "text"),
        ("comments", {"text": "a", "by": "eve"}, "by"),
        ("acknowledgement", {"note": 5}, "note"),
        ("acknowledgement", {"since": "now"}, "since"),
    ],
)
def test_what_cannot_be_used_is_a_400_and_changes_nothing(
    drifting: Service, act: str, body: dict[str, Any], problem: str
) -> None:
    answer = drifting.post(f"{PATH}/{act}", json=body)
    assert (answer.status_code, problem in answer.json["detail"]) == (400, True), answer.json
    assert acts(drifting) == []


@pytest.mark.parametrize("act", ["acknowledgement", "mutes", "comments"])
def test_what_is_not_monitored_is_a_404(service: Service, world: MemoryWorld, act: str) -> None:
    world.add_version("m")
    body = {"mutes": {"until": later(service, 1)}, "comments": {"text": "a"}}.get(act, {})
    for version in ("1", "01", "999"):
        answer = service.post(f"/models/m/{version}/{act}", json=body)
        assert (answer.status_code, answer.json["detail"]) == (404, "Model is not being monitored")


def test_so_many_mutes_that_a_tag_cannot_hold_them_are_refused(drifting: Service) -> None:
    body = {"until": later(drifting, 1), "note": "n" * 1000}
    answers = [drifting.post(f"{PATH}/mutes", json={**body, "metric": f"m{n}"}).status_code for n in range(9)]
    assert answers == [*[201] * 7, 400, 400]


def test_comments_stay_in_the_history_and_a_new_registration_begins_without_acts(drifting: Service) -> None:
    drifting.post(f"{PATH}/mutes", json={"until": later(drifting, 1)})
    for number in range(102):
        made = drifting.post(f"{PATH}/comments", json={"text": f"<b>{number}</b> ü"})
        assert made.status_code == 201
    drifting.remove(NAME)
    drifting.register(NAME)
    assert shown(drifting) == [(None, [])] * 3
    events = acts(drifting)
    assert len(events) == 103
    assert events[0] == ("commented", "anonymous", "<b>101</b> ü", None, None, None)


def test_acts_survive_the_loss_of_the_cache(drifting: Service, gateway: MemoryGateway, tmp_path: Path) -> None:
    drifting.post(f"{PATH}/acknowledgement", json={"note": "a"})
    drifting.post(f"{PATH}/mutes", json={"until": later(drifting, 1)})
    before = shown(drifting), acts(drifting)
    other = Service(tmp_path / "elsewhere", gateway)
    other.check()
    assert (shown(other), acts(other)) == before


def test_a_muted_version_sends_no_alert_until_it_is_unmuted_and_then_one(
    start: Callable[..., Service], world: MemoryWorld
) -> None:
    with receiving() as receiver:
        wanted = '{"webhook": {"owner": ["R & D"], "tag": ["Owner:R & D"]}}'
        public = "https://tower.example.com/mlops/"
        service = start(alert_webhook_url=receiver.url, public_url=public, alert_filters=wanted)
        for name, tags in ((NAME, {"Owner": "R & D"}), ("other", {})):
            world.add_version(name, {"accuracy": 0.9}, tags=tags)
            service.register(name)
        service.observe("other", observations=daily(BAD))
        service.post(f"{PATH}/mutes", json={"until": later(service, 1)})
        service.observe(NAME, observations=daily(BAD))
        service.check()
        service.agent.announcer.start()
        service.check()
        assert service.verdict(NAME)["verdict"] == "drifting"
        assert receiver.requests == []
        service.delete(f"{PATH}/mutes")
        service.check()
        service.check()
        until(lambda: len(receiver.requests) == 1)
        service.agent.announcer.stop()
        (change,) = receiver.messages[0]["changes"]
        assert (change["before"], change["verdict"]) == ("insufficient_data", "drifting")
        assert (change["owner"], change["url"]) == ("R & D", f"https://tower.example.com/mlops/ui/model/{PAGE}")


def test_a_metric_that_is_not_muted_sends_an_alert_although_a_muted_one_is_as_bad(
    start: Callable[..., Service], world: MemoryWorld
) -> None:
    with receiving() as receiver:
        service = start(alert_webhook_url=receiver.url)
        world.add_version(NAME, {"accuracy": 0.9})
        service.register(NAME, settings={"limits": {name: {"min": 0.5} for name in ("accuracy", "recall")}})
        service.agent.announcer.start()
        service.post(f"{PATH}/mutes", json={"until": later(service, 1), "metric": "accuracy"})
        for metric in ("accuracy", "recall"):
            service.clock.forward(60)
            service.observe(NAME, metrics={metric: 0.1})
            service.check()
        assert service.verdict(NAME)["verdict"] == "degraded"
        until(lambda: len(receiver.requests) == 1)
        service.agent.announcer.stop()
        (change,) = receiver.messages[0]["changes"]
        assert (change["before"], "recall" in " ".join(change["reasons"])) == ("insufficient_data", True)
