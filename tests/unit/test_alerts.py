"""Alerts: what receivers are told, how it is signed, once, in few messages, and none of them waits for another."""

import base64
import hashlib
import hmac
import json
import logging
import logging.config
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest

from app.domain.errors import DeliveryFailed, MlflowUnavailable
from app.domain.monitoring.alerts import VerdictChange, delivery_id, message, receiver_id, signed
from app.logs import logging_config
from app.services.alerts import Announcer, AppriseReceiver, Pace, Receiver, WebhookReceiver, not_understood
from app.services.alerts.outbox import MOST_OWED
from config import ROOT
from tests.receivers import START, HttpReceiver, change, receiving
from tests.servers import HOST, free_port, until

PAGE = (ROOT / "docs" / "alerts.md").read_text()
SECRET = "a secret of some length"
QUICK = Pace(gather=0.05, between=0.05, first_retry=0.05, last_retry=0.2)

# How these behave shows after a time alone; the others answer, also on a machine that is busy.
SILENT = ("hang", "drip")

Start = Callable[..., Announcer]
Noted = list[tuple[str, list[VerdictChange]]]


class Notes:
    """MLflow's record of who was notified: it calls `delivered`, and what another host delivered is in `elsewhere`."""

    def __init__(
        self, delivered: Callable[[str, Sequence[VerdictChange]], None], elsewhere: Sequence[str] = ()
    ) -> None:
        self.mark_notified = delivered
        self.elsewhere = elsewhere
        self.failure: Exception | None = None

    def still_owed(self, _: str, changes: Sequence[VerdictChange]) -> list[VerdictChange]:
        if self.failure:
            raise self.failure
        return [one for one in changes if one.name not in self.elsewhere]


def clock() -> int:
    return START


def webhook(receiver: HttpReceiver, seconds: float = 5, secret: str | None = SECRET) -> WebhookReceiver:
    return WebhookReceiver(receiver.url, secret, clock, seconds)


@pytest.fixture
def noted() -> Noted:
    """What the announcer said that arrived."""
    return []


@pytest.fixture
def start(noted: Noted) -> Iterator[Start]:
    """Starts an announcer to receivers, with short pauses."""
    with ExitStack() as stack:

        def start(*receivers: Receiver, pace: Pace = QUICK, notes: Notes | None = None) -> Announcer:
            made = Announcer(receivers, notes or Notes(lambda who, what: noted.append((who, list(what)))), pace)
            stack.callback(made.stop)
            made.start()
            return made

        yield start


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What the service logs at its most talkative, as an operator sees it."""
    found: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(self.format(record))

    settings = logging_config("DEBUG", "text")
    loggers = [logging.getLogger(name) for name in ("", *settings["loggers"])]
    before = [(one, one.handlers[:], one.level, one.propagate) for one in loggers]
    settings["handlers"]["stderr"] = {"()": Lines, "filters": ["request_id"], "formatter": "text"}
    logging.config.dictConfig(settings)
    yield found
    for logger, handlers, level, propagate in before:
        logger.handlers[:], logger.propagate = handlers, propagate
        logger.setLevel(level)


def owe(announcer: Announcer, changes: Sequence[VerdictChange]) -> None:
    for who in announcer.receiver_ids:
        announcer.owe(who, changes)


def test_a_change_arrives_as_json_that_says_it_all(start: Start, noted: Noted) -> None:
    with receiving() as receiver:
        announcer = start(webhook(receiver))
        owe(announcer, [change(7, began=START)])
        until(lambda: noted)
    ((path, headers, body),) = receiver.requests
    assert path == "/services/path-token?key=query-token"
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body) == {
        "event": "verdict_changed",
        "sent_at": "2026-11-23T22:38:34Z",
        "changes": [
            {
                "name": "model-7", "version": "3", "model_type": "classifier", "verdict": "drifting",
                "before": "healthy", "since": "2026-11-23T22:38:34.007Z", "began_at": "2026-11-23T22:38:34Z",
                "reasons": ["accuracy fell"], "monitor_run_id": "run-7",
                "owner": None, "url": None,
            }
        ],
        "more": 0,
    }  # fmt: skip
    assert noted == [(receiver_id(receiver.url), [change(7, began=START)])]


@pytest.mark.parametrize(
    ("secret", "key"),
    [(SECRET, SECRET.encode()), ("whsec_" + base64.b64encode(b"\0\xff" * 12).decode(), b"\0\xff" * 12)],
)
def test_the_signature_is_that_of_the_standard_webhooks(start: Start, noted: Noted, secret: str, key: bytes) -> None:
    with receiving() as receiver:
        owe(start(webhook(receiver, secret=secret)), [change()])
        until(lambda: noted)
    ((_, headers, body),) = receiver.requests
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert headers["webhook-timestamp"] == str(START // 1000)


def test_the_signature_is_that_of_the_standards_own_example() -> None:
    # https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    headers = signed(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_code_of_the_readme_verifies_a_message(start: Start, noted: Noted) -> None:
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "def verified" in block]
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - what users are told to run
    with receiving() as receiver:
        made = WebhookReceiver(receiver.url, SECRET, lambda: time.time_ns() // 1_000_000)
        owe(start(made), [change()])
        until(lambda: noted)
    ((_, headers, body),) = receiver.requests
    assert names["verified"](SECRET, headers, body)
    assert not names["verified"](SECRET + "!", headers, body)
    assert not names["verified"](SECRET, headers, body + b" ")
    assert not names["verified"](SECRET, {**headers, "webhook-timestamp": str(START // 1000 - 9999)}, body)


def test_without_a_secret_nothing_is_signed() -> None:
    assert set(signed(None, "msg_1", 1, b"{}")) == {"webhook-id", "webhook-timestamp"}


def test_a_failed_message_is_tried_until_it_arrives_with_the_same_id(start: Start, noted: Noted) -> None:
    with receiving(500) as receiver:
        owe(start(webhook(receiver)), [change()])
        until(lambda: len(receiver.requests) >= 3)
        assert noted == []
        receiver.mode = 200
        until(lambda: noted)
    assert len({headers["webhook-id"] for _, headers, _ in receiver.requests}) == 1


def test_what_comes_while_a_receiver_fails_goes_out_together(start: Start, noted: Noted) -> None:
    with receiving(503) as receiver:
        announcer = start(webhook(receiver))
        owe(announcer, [change(1)])
        until(lambda: receiver.requests)
        owe(announcer, [change(2), change(3)])
        receiver.mode = 200
        until(lambda: sum(len(changes) for _, changes in noted) == 3)
    assert [row["name"] for row in receiver.messages[-1]["changes"]][-2:] == ["model-2", "model-3"]


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        (500, "HTTP 500"), (404, "HTTP 404"), (302, "redirects are not followed"), (307, "redirects are not followed"),
        ("hang", "no answer within"), ("drip", "no answer within"), ("close", "it cannot be reached"),
        ("nonsense", "HTTP 500"),
    ],
)  # fmt: skip
def test_what_a_receiver_does_wrong_is_told_in_words_without_its_address(mode: int | str, words: str) -> None:
    with receiving(mode) as receiver:
        with pytest.raises(DeliveryFailed) as failed:
            webhook(receiver, 0.3 if mode in SILENT else 20).deliver([change()])
        until(lambda: len(receiver.requests) == 1)
    assert words in failed.value.detail
    assert "token" not in failed.value.detail


def test_a_receiver_that_speaks_no_tls_is_told_as_such() -> None:
    with receiving() as receiver, pytest.raises(DeliveryFailed) as failed:
        WebhookReceiver(receiver.url.replace("http:", "https:"), SECRET, clock).deliver([change()])
    assert "TLS failed" in failed.value.detail


def test_a_proxy_that_fails_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://{HOST}:{free_port()}")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(DeliveryFailed) as failed:
        WebhookReceiver("http://hooks.example.org/path-token", SECRET, clock).deliver([change()])
    assert "the proxy on the way fails" in failed.value.detail


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_status_of_success_is_an_arrival(status: int) -> None:
    with receiving(status) as receiver:
        webhook(receiver).deliver([change()])
        assert receiver.names == ["model-0"]


@pytest.mark.parametrize("mode", [201, 500, 302, "hang", "drip", "close", "nonsense"])
def test_the_log_tells_of_each_try_and_holds_no_secret(
    start: Start, noted: Noted, lines: list[str], mode: int | str
) -> None:
    with receiving(mode, then=200) as receiver:
        owe(start(webhook(receiver, 0.3 if mode in SILENT else 20)), [change()])
        until(lambda: noted)
    told = [line for line in lines if "app.services.alerts" in line]
    assert all(f"webhook {HOST}" in line for line in told)
    assert ["failed" in line for line in told[:1]] == [mode != 201]
    assert "Notified webhook" in told[-1]
    text = "\n".join(lines)
    assert not [word for word in ("path-token", "query-token", "/services", SECRET) if word in text]


def test_a_receiver_that_cannot_be_reached_is_told_later(start: Start, lines: list[str]) -> None:
    url = f"http://{HOST}:{free_port()}/path-token"
    owe(start(WebhookReceiver(url, SECRET, clock)), [change()])
    until(lambda: [line for line in lines if "it cannot be reached; next try" in line])
    assert "path-token" not in "\n".join(lines)


@pytest.mark.parametrize("mode", ["hang", "drip"])
def test_a_receiver_that_hangs_delays_nobody_else(start: Start, noted: Noted, mode: str) -> None:
    with receiving(mode) as stuck, receiving() as other:
        owe(start(webhook(stuck, 30), webhook(other)), [change()])
        until(lambda: noted)
        assert [who for who, _ in noted] == [receiver_id(other.url)]
        assert other.names == ["model-0"]


def test_a_receiver_that_lets_every_try_hang_has_few_of_them_open() -> None:
    with receiving("drip") as receiver:
        made = webhook(receiver, 0.1)
        for _ in range(8):
            with pytest.raises(DeliveryFailed) as failed:
                made.deliver([change()])
        assert "earlier attempts still hang" in failed.value.detail
        until(lambda: len(receiver.requests) == 4)
        receiver.mode = 200
        receiver.closing.set()
        until(lambda: _arrives(made))


def _arrives(receiver: Receiver) -> bool:
    try:
        receiver.deliver([change()])
    except DeliveryFailed:
        return False
    return True


def test_a_flood_is_a_few_messages_and_nothing_of_it_is_lost(start: Start, noted: Noted) -> None:
    flood = [change(number) for number in range(500)]
    with receiving(503) as receiver:
        announcer = start(webhook(receiver))
        owe(announcer, flood[:1])
        until(lambda: receiver.requests)
        # All come before the next try can arrive.
        for one in flood[1:]:
            owe(announcer, [one])
        refused = len(receiver.requests)
        receiver.mode = 200
        until(lambda: sum(len(changes) for _, changes in noted) == 500)
    assert len(receiver.requests) - refused <= 12
    assert sorted(one.name for _, changes in noted for one in changes) == sorted(one.name for one in flood)
    assert set(receiver.names) == {one.name for one in flood}
    assert all(len(found["changes"]) <= 100 for found in receiver.messages)


def test_a_message_has_at_most_a_hundred_changes_and_says_how_many_follow() -> None:
    found = message([change(number) for number in range(130)], START)
    assert ([row["name"] for row in found["changes"]][::99], found["more"]) == (["model-0", "model-99"], 30)


def test_the_newest_change_stands_last(start: Start, noted: Noted) -> None:
    with receiving() as receiver:
        owe(start(webhook(receiver)), [change(3), change(1), change(2)])
        until(lambda: noted)
    assert receiver.names == ["model-1", "model-2", "model-3"]


def test_a_change_that_is_owed_again_is_told_once(start: Start, noted: Noted) -> None:
    with receiving() as receiver:
        announcer = start(webhook(receiver))
        for _ in range(5):
            owe(announcer, [change(1), change(1)])
        until(lambda: noted)
        owe(announcer, [change(1), change(2)])
        until(lambda: len(noted) == 2)
    assert receiver.names == ["model-1", "model-2"]


def test_after_a_restart_what_is_owed_is_told_again_with_the_same_id(start: Start, noted: Noted) -> None:
    with receiving() as receiver:
        for runs in (1, 2):
            owe(start(webhook(receiver)), [change()])
            until(lambda runs=runs: len(noted) == runs)
    assert receiver.names == ["model-0", "model-0"]
    assert len({headers["webhook-id"] for _, headers, _ in receiver.requests}) == 1


def test_other_changes_are_another_message() -> None:
    ids = {delivery_id(one) for one in ([change(1)], [change(2)], [change(1), change(2)], [change(1, at=START + 99)])}
    assert len(ids) == 4


def test_the_id_is_that_of_the_evidence_whichever_host_found_the_changes_and_when() -> None:
    here = [change(1, evidence=7), change(2, evidence=7)]
    there = [change(2, evidence=7, at=START + 50), change(1, evidence=7, at=START + 60)]
    assert delivery_id(here) == delivery_id(there)
    assert delivery_id(here[:1]) != delivery_id([change(1, evidence=8)])
    assert delivery_id(here[:1]) != delivery_id([change(1, evidence=7, verdict="degraded")])


def test_what_another_host_has_delivered_meanwhile_is_not_sent_again(start: Start, noted: Noted) -> None:
    notes = Notes(lambda who, what: noted.append((who, list(what))))
    with receiving(500) as receiver:
        announcer = start(webhook(receiver), notes=notes)
        owe(announcer, [change(1)])
        until(lambda: receiver.requests)
        notes.elsewhere = ["model-1"]
        receiver.mode = 200
        owe(announcer, [change(2)])
        until(lambda: noted)
    assert [changes for _, changes in noted] == [[change(2)]]


def test_while_mlflow_cannot_say_who_was_notified_the_message_is_sent(start: Start, noted: Noted) -> None:
    notes = Notes(lambda who, what: noted.append((who, list(what))))
    notes.failure = MlflowUnavailable("MLflow is down.")
    with receiving() as receiver:
        owe(start(webhook(receiver), notes=notes), [change()])
        until(lambda: noted)
    assert receiver.names == ["model-0"]


def test_a_delivered_change_that_another_host_wrote_later_is_noted_and_not_sent_again(
    start: Start, noted: Noted
) -> None:
    with receiving() as receiver:
        announcer = start(webhook(receiver))
        owe(announcer, [change(1, evidence=7)])
        until(lambda: noted)
        later = change(1, evidence=7, at=START + 99)
        owe(announcer, [later])
        until(lambda: len(noted) == 2)
    assert noted[1][1] == [later]
    assert receiver.names == ["model-1"]


def test_what_arrived_is_noted_again_when_that_failed_and_not_told_again(start: Start, lines: list[str]) -> None:
    calls: list[list[VerdictChange]] = []

    def delivered(_: str, changes: Sequence[VerdictChange]) -> None:
        calls.append(list(changes))
        if len(calls) < 3:
            raise ConnectionError("http://ada:hunter2@mlflow/?token=path-token")

    with receiving() as receiver:
        announcer = start(webhook(receiver), notes=Notes(delivered))
        owe(announcer, [change(1)])
        until(lambda: len(calls) == 3)
        owe(announcer, [change(1), change(2)])
        until(lambda: len(calls) == 4)
    assert calls == [[change(1)], [change(1)], [change(1)], [change(2)]]
    assert receiver.names == ["model-1", "model-2"]
    assert "was notified of 1 change of verdict failed: ConnectionError" in "\n".join(lines)
    assert "path-token" not in "\n".join(lines)


def test_of_a_receiver_that_takes_nothing_the_newest_changes_are_kept(
    start: Start, noted: Noted, lines: list[str]
) -> None:
    with receiving(500) as receiver:
        announcer = start(webhook(receiver))
        owe(announcer, [change(number) for number in range(MOST_OWED + 50)])
        owe(announcer, [change(MOST_OWED + 50)])
        until(lambda: receiver.requests)
        receiver.mode = 200
        until(lambda: noted)
        # What was let go may be owed again.
        owe(announcer, [change(0)])
        until(lambda: len(noted) == 2)
    assert len(noted[0][1]) == MOST_OWED
    assert noted[0][1][-1] == change(MOST_OWED + 50)
    assert noted[1][1] == [change(0)]
    assert len([line for line in lines if "is owed more than 1000 changes" in line]) == 1


def test_who_is_not_a_receiver_any_more_is_told_nothing_and_the_others_are_told_theirs(
    start: Start, noted: Noted
) -> None:
    with receiving() as receiver:
        announcer = start(webhook(receiver))
        announcer.owe("0123456789abcdef", [change(1)])
        owe(announcer, [change(2)])
        until(lambda: noted)
    assert noted == [(receiver_id(receiver.url), [change(2)])]


def test_the_same_address_twice_is_one_receiver(start: Start, noted: Noted) -> None:
    with receiving() as receiver:
        announcer = start(webhook(receiver), webhook(receiver))
        assert len(announcer.receiver_ids) == 1
        owe(announcer, [change()])
        until(lambda: noted)
    assert receiver.names == ["model-0"]


def test_a_stopped_announcer_begins_nothing_more_and_its_threads_end() -> None:
    with receiving(500) as receiver:
        announcer = Announcer([webhook(receiver)], Notes(lambda *_: None), Pace(gather=0.01, first_retry=3600))
        announcer.start()
        owe(announcer, [change()])
        until(lambda: receiver.requests)
        announcer.stop()
        name = f"alerts-{receiver_id(receiver.url)}"
        until(lambda: name not in [thread.name for thread in threading.enumerate()])
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(("failures", "seconds"), [(1, 5), (2, 10), (3, 20), (7, 320), (8, 600), (10_000, 600)])
def test_the_pause_doubles_with_each_failure_up_to_ten_minutes(failures: int, seconds: float) -> None:
    pace = Pace()
    assert pace.last_of(failures) == seconds
    assert 0.8 * seconds <= pace.retry(failures) <= 1.2 * seconds


def apprise(receiver: HttpReceiver, more: str = "", seconds: float = 20) -> AppriseReceiver:
    return AppriseReceiver(f"json://ada:hunter2@{HOST}:{receiver.port}/path-token{more}", seconds=seconds)


def test_apprise_brings_title_text_and_severity(start: Start, noted: Noted, lines: list[str]) -> None:
    with receiving() as receiver:
        owe(start(apprise(receiver)), [change(7)])
        until(lambda: noted)
        (found,) = receiver.messages
    assert found["title"] == "model-7 v3 is drifting"
    assert found["message"].splitlines() == [
        "model-7 v3 is drifting, was healthy, since 2026-11-23T22:38:34.007Z", "- accuracy fell",
    ]  # fmt: skip
    assert found["type"] == "failure"
    assert "Notified json of 1 change of verdict" in lines[-1]


@pytest.mark.parametrize("mode", [500, 302, "hang", "close"])
@pytest.mark.parametrize("more", ["", "&optional=yes", "&retry=1&wait=0"])
def test_what_apprise_cannot_deliver_is_a_failure_and_tells_no_secret(
    lines: list[str], mode: int | str, more: str
) -> None:
    with receiving(mode) as receiver, pytest.raises(DeliveryFailed) as failed:
        apprise(receiver, f"?rto={0.3 if mode in SILENT else 20}{more}").deliver([change()])
    if isinstance(mode, int):
        assert failed.value.detail == f"HTTP {mode}"
    text = "\n".join([*lines, failed.value.detail])
    assert not [word for word in ("path-token", "hunter2", HOST) if word in text]


def test_apprise_is_bounded_by_the_clock_too(lines: list[str]) -> None:
    with receiving("drip") as receiver:
        made = apprise(receiver, seconds=-7.5)
        with pytest.raises(DeliveryFailed) as failed:
            made.deliver([change()])
        assert "no answer within 0.5 s" in failed.value.detail
    assert "hunter2" not in "\n".join(lines)


def test_apprise_says_which_urls_it_cannot_use_in_a_process_of_its_own() -> None:
    good = [
        f"json://{HOST}/",
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general",
        "mailto://a:b@gmail.com",
    ]
    assert not_understood(good) == []
    assert not_understood([good[0], "nobody://x", good[1], "slack://short"]) == [2, 4]


def test_a_url_that_apprise_does_not_understand_is_told_as_such() -> None:
    with pytest.raises(DeliveryFailed) as failed:
        AppriseReceiver("nobody://path-token").deliver([change()])
    assert failed.value.detail == "Apprise does not understand the URL"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("slack://T1/A1/token/#general", "slack"), ("mailto://ada:hunter2@example.org", "mailto"),
        ("https://hooks.slack.com/services/T1/A1/token", "hooks.slack.com"), ("JSONS://[x/", "jsons"),
    ],
)  # fmt: skip
def test_the_name_of_a_receiver_holds_no_secret(url: str, name: str) -> None:
    assert AppriseReceiver(url).name == name
    assert len(AppriseReceiver(url).id) == 16
