"""Telling receivers of changes of verdict: each in the end, once, in few messages, and none waits for another."""

import base64
import hashlib
import hmac
import logging
from collections.abc import Iterator, Sequence

import pytest

from app.domain.alerts import VerdictChange, delivery_id, message, signature_headers, title_and_text
from app.domain.errors import InvalidInput, MlflowUnavailable
from app.logs import logging_config
from app.services.alerts import Announcer, AppriseReceiver, NotDelivered, WebhookReceiver, alert_urls, refuse_bad_urls
from app.services.alerts.announcer import Pace
from tests.receiver import Receiver, receiver
from tests.servers import until

NOW = 1_701_945_000_000
SECRET = "a secret of enough characters"
QUICK = Pace(gather=0.02, pause=0.05, retry=0.02, longest=0.1)


def change(
    name: str = "m", at: int = NOW, verdict: str = "drifting", reasons: tuple[str, ...] = ("bad",)
) -> VerdictChange:
    return VerdictChange(name, 3, "classifier", f"run of {name}", "healthy", verdict, at, reasons)


@pytest.fixture
def there() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


class Desk:
    """An announcer with what it noted."""

    def __init__(self, *receivers: WebhookReceiver | AppriseReceiver) -> None:
        self.noted: list[tuple[str, VerdictChange]] = []
        self.failures = 0
        self.announcer = Announcer(receivers, self.delivered, QUICK)
        self.announcer.start()

    def delivered(self, receiver_id: str, changes: Sequence[VerdictChange]) -> None:
        if self.failures:
            self.failures -= 1
            raise MlflowUnavailable("MLflow is down.")
        self.noted += [(receiver_id, one) for one in changes]


@pytest.fixture
def desks() -> Iterator[list[Desk]]:
    made: list[Desk] = []
    yield made
    for desk in made:
        desk.announcer.stop()


def webhook(there: Receiver, secret: str | None = SECRET, patience: float = 0.5) -> WebhookReceiver:
    return WebhookReceiver(there.url, secret, lambda: NOW, patience)


def test_a_program_gets_the_changes_as_json_signed_as_standard_webhooks_are(there: Receiver) -> None:
    webhook(there).deliver([change("a"), change("b", NOW + 1)])
    ((headers, body),) = there.arrived
    assert there.bodies() == [
        {
            "event": "verdict_changed",
            "sent_at": "2023-12-07T10:30:00Z",
            "changes": [
                {
                    "name": name,
                    "version": "3",
                    "model_type": "classifier",
                    "verdict": "drifting",
                    "before": "healthy",
                    "since": since,
                    "reasons": ["bad"],
                    "monitor_run_id": f"run of {name}",
                }
                for name, since in (("a", "2023-12-07T10:30:00Z"), ("b", "2023-12-07T10:30:00.001Z"))
            ],
        }
    ]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert headers["webhook-timestamp"] == "1701945000"


def test_without_a_secret_nothing_is_signed_and_a_standard_secret_is_taken_out_of_its_base64() -> None:
    assert "webhook-signature" not in signature_headers(None, "id", NOW, b"{}")
    encoded = "whsec_" + base64.b64encode(b"0123456789abcdef").decode()
    plain = signature_headers("0123456789abcdef", "id", NOW, b"{}")
    assert signature_headers(encoded, "id", NOW, b"{}") == plain
    assert signature_headers("whsec_not base64!", "id", NOW, b"{}")["webhook-signature"]


def test_a_delivery_has_the_same_id_when_it_is_tried_again() -> None:
    assert delivery_id([change("a")]) == delivery_id([change("a")]) != delivery_id([change("b")])
    assert message([change("a")], NOW)["changes"] == message([change("a")], NOW + 5)["changes"]


@pytest.mark.parametrize("status", [302, 400, 404, 500, 503])
def test_what_is_not_taken_is_not_delivered_and_a_redirection_is_not_followed(there: Receiver, status: int) -> None:
    there.status = status
    with pytest.raises(NotDelivered, match=f"HTTP {status}"):
        webhook(there).deliver([change()])
    assert len(there.arrived) == 1


@pytest.mark.parametrize("mode", ["hang", "drip"])
def test_a_receiver_that_hangs_or_drips_is_given_up_in_bounded_time(there: Receiver, mode: str) -> None:
    there.mode = mode
    with pytest.raises(NotDelivered, match=r"no answer within 0\.3 s"):
        webhook(there, patience=0.3).deliver([change()])


def test_nobody_there_is_not_delivered_and_the_address_is_not_repeated(there: Receiver) -> None:
    there.close()
    with pytest.raises(NotDelivered) as error:
        webhook(there).deliver([change()])
    assert "hidden-token" not in str(error.value)


def test_apprise_delivers_for_people(there: Receiver) -> None:
    AppriseReceiver(f"json://{there.address}/").deliver([change("digits")])
    (body,) = there.bodies()
    assert body["title"] == "digits v3 is drifting, was healthy"
    assert "bad" in body["message"]
    there.status = 500
    with pytest.raises(NotDelivered):
        AppriseReceiver(f"json://{there.address}/").deliver([change()])
    with pytest.raises(NotDelivered):
        AppriseReceiver("nonsense").deliver([change()])


def test_the_name_of_a_model_mentions_nobody_and_breaks_no_line() -> None:
    title, text = title_and_text([change("<!channel> @everyone\n\u202eevil", reasons=("x\ny",))])
    assert "<!" not in title
    assert "@everyone" not in title
    assert "\n" not in title
    assert "\u202e" not in title
    assert text == "  x y"


def test_many_changes_are_one_digest_that_counts_the_newest_verdict_of_each_version() -> None:
    many = [change(f"m{n}", NOW + n, "degraded" if n % 2 else "drifting") for n in range(60)]
    title, text = title_and_text([*many, change("m1", NOW + 100, "healthy")])
    assert title == "60 model versions changed: 30 drifting, 29 degraded, 1 healthy"
    assert text.splitlines()[-1] == "and 41 changes before these"


def test_each_change_is_told_once_and_noted(there: Receiver, desks: list[Desk]) -> None:
    desk = Desk(webhook(there))
    desks.append(desk)
    (receiver_id,) = desk.announcer.receivers
    for _ in range(3):
        desk.announcer.owe(receiver_id, [change("a"), change("b")])
    until(lambda: len(desk.noted) == 2, 10)
    desk.announcer.owe(receiver_id, [change("a"), change("c")])
    until(lambda: len(desk.noted) == 3, 10)
    assert sorted(there.changes()) == [("a", "drifting"), ("b", "drifting"), ("c", "drifting")]


def test_a_flood_is_a_digest(there: Receiver, desks: list[Desk]) -> None:
    desk = Desk(webhook(there))
    desks.append(desk)
    for n in range(500):
        desk.announcer.owe(desk.announcer.receivers[0], [change(f"m{n}", NOW + n)])
    until(lambda: len(desk.noted) == 500, 20)
    assert len(there.arrived) <= 10
    assert len(there.changes()) == 500


def test_of_more_than_a_thousand_the_newest_are_told(there: Receiver, desks: list[Desk]) -> None:
    desk = Desk(webhook(there))
    desks.append(desk)
    desk.announcer.owe(desk.announcer.receivers[0], [change(f"m{n}", NOW + n) for n in range(1200)])
    until(lambda: len(desk.noted) == 1000, 20)
    assert ("m1199", "drifting") in there.changes()
    assert ("m199", "drifting") not in there.changes()


def test_what_fails_is_tried_again_until_it_is_delivered_together_with_what_came_meanwhile(
    there: Receiver, desks: list[Desk]
) -> None:
    there.status = 500
    desk = Desk(webhook(there))
    desks.append(desk)
    desk.announcer.owe(desk.announcer.receivers[0], [change("a")])
    until(lambda: len(there.arrived) >= 3, 10)
    desk.announcer.owe(desk.announcer.receivers[0], [change("b", NOW + 1)])
    there.status = 200
    until(lambda: len(desk.noted) == 2, 10)
    assert [one["name"] for one in there.bodies()[-1]["changes"]] == ["a", "b"]


def test_a_receiver_that_hangs_delays_nobody_else(there: Receiver, desks: list[Desk]) -> None:
    with receiver() as hanging:
        hanging.mode = "hang"
        desk = Desk(WebhookReceiver(hanging.url, None, lambda: NOW, 60), webhook(there))
        desks.append(desk)
        for one in desk.announcer.receivers:
            desk.announcer.owe(one, [change("a")])
        until(lambda: there.changes() == [("a", "drifting")], 10)
        assert len(desk.noted) == 1


def test_where_mlflow_cannot_note_it_the_message_is_not_sent_again(there: Receiver, desks: list[Desk]) -> None:
    desk = Desk(webhook(there))
    desks.append(desk)
    desk.failures = 3
    desk.announcer.owe(desk.announcer.receivers[0], [change("a")])
    until(lambda: desk.noted, 10)
    assert there.changes() == [("a", "drifting")]


def test_no_address_and_no_secret_is_logged(
    there: Receiver, desks: list[Desk], caplog: pytest.LogCaptureFixture
) -> None:
    # As the service runs, at its most talkative.
    for name, one in logging_config("DEBUG", "text")["loggers"].items():
        caplog.set_level(one["level"], logger=name)
    caplog.set_level(logging.DEBUG)
    there.status = 500
    desk = Desk(webhook(there), AppriseReceiver(f"json://user:hidden-word@{there.address}/hidden-token"))
    desks.append(desk)
    for one in desk.announcer.receivers:
        desk.announcer.owe(one, [change()])
    until(lambda: caplog.text.count("was not told") >= 4, 20)
    told = "".join(record.getMessage() for record in caplog.records if record.name.startswith("app."))
    assert "json was not told of 1 changes" in told
    for hidden in ("hidden-token", "hidden-word", SECRET, there.url):
        assert hidden not in caplog.text


def test_addresses_are_separated_by_commas_and_blanks() -> None:
    assert alert_urls("slack://a/b/c, mailto://x:y@z.org?to=a@b.org,c@d.org  json://h/") == [
        "slack://a/b/c",
        "mailto://x:y@z.org?to=a@b.org,c@d.org",
        "json://h/",
    ]
    assert alert_urls(" ") == []


def test_an_address_that_apprise_does_not_understand_is_named_by_its_place() -> None:
    refuse_bad_urls([])
    refuse_bad_urls(["json://localhost/"])
    with pytest.raises(InvalidInput) as error:
        refuse_bad_urls(["json://localhost/", "nonsense://hidden-token"])
    assert error.value.detail.startswith("address 2 of 2 ")
    assert "hidden-token" not in error.value.detail
