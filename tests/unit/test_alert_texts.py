"""What people read of alerts: short, the worst first, and without effect, whatever models are called."""

import json

import pytest
from apprise import Apprise, NotifyFormat
from hypothesis import given
from hypothesis import strategies as st

from app.domain.monitoring.alert_texts import harmless, title_and_text, worst
from tests.receivers import HOUR, START, change, receiving
from tests.servers import HOST

HOSTILE = "<!channel> @channel @everyone <@U1> ![i](http://e/i.png) <b>&\n# head\x07\u202e\ud800"
SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general"


@pytest.mark.parametrize(
    ("verdict", "title"),
    [
        ("drifting", "digit-recognition v3 is drifting"),
        ("degraded", "digit-recognition v3 is degraded"),
        ("healthy", "digit-recognition v3 is healthy"),
        ("insufficient_data", "digit-recognition v3 has too little data to be judged"),
    ],
)
def test_of_one_change_the_title_says_it(verdict: str, title: str) -> None:
    assert title_and_text([change(name="digit-recognition", verdict=verdict)])[0] == title


def test_the_text_says_what_it_was_since_when_and_why() -> None:
    reasons = tuple(f"reason {number}" for number in range(5))
    changed = change(before="insufficient_data", reasons=reasons, began=START - HOUR)
    assert title_and_text([changed])[1].splitlines() == [
        "model-0 v3 is drifting, was insufficient data, since 2026-11-23T22:38:34Z"
        "; the change began at 2026-11-23T21:38:34Z",
        "- reason 0", "- reason 1", "- reason 2", "- and 2 more reasons",
    ]  # fmt: skip


def test_a_first_verdict_was_nothing_before() -> None:
    assert title_and_text([change(before="", reasons=())])[1] == "model-0 v3 is drifting, since 2026-11-23T22:38:34Z"


def test_several_changes_are_counted_and_the_worst_stand_first() -> None:
    verdicts = ("healthy", "drifting", "insufficient_data", "degraded", "drifting")
    changes = [change(number, verdict=verdict, reasons=()) for number, verdict in enumerate(verdicts)]
    title, text = title_and_text(changes)
    assert title == "5 model versions changed: 2 drifting, 1 degraded, 1 with too little data, 1 healthy"
    assert [line.split()[0] for line in text.splitlines()] == ["model-1", "model-4", "model-3", "model-2", "model-0"]
    assert worst(changes) == "drifting"


def test_a_version_that_changed_twice_is_told_once_as_it_is_now() -> None:
    changes = [change(at=START + HOUR, before="drifting", verdict="degraded"), change(at=START, before="healthy")]
    title, text = title_and_text(changes)
    assert title == "model-0 v3 is degraded"
    assert "was healthy, since 2026-11-23T23:38:34Z" in text
    assert worst(changes) == "degraded"


def test_a_thousand_changes_are_a_text_of_some_lines() -> None:
    changes = [change(number, name="n" * 300, version=number, reasons=("r" * 9999,) * 99) for number in range(1000)]
    title, text = title_and_text(changes)
    assert title == "1000 model versions changed: 1000 drifting"
    assert text.splitlines()[-1] == "and 980 more"
    assert len(text) < 20_000
    assert all(len(line) < 300 for line in text.splitlines())


@given(st.lists(st.tuples(st.text(), st.text(), st.text(st.characters())), min_size=1, max_size=30))
def test_whatever_a_model_is_called_title_and_lines_can_be_shown(parts: list[tuple[str, str, str]]) -> None:
    changes = [change(number, name=name, reasons=(one, two)) for number, (name, one, two) in enumerate(parts)]
    title, text = title_and_text(changes)
    assert all(line.replace("\u200b", "").isprintable() for line in [title, *text.split("\n")])
    assert (title + text).encode()


@given(st.text(st.sampled_from("@<!#]([:/\u200b\nab")))
def test_no_mention_tag_link_or_address_survives(text: str) -> None:
    shown = harmless(text, 1000)
    assert not any(mark in shown for mark in ("](", "://", "<!", "<@", "\n"))
    assert shown.count("@") == shown.count("@\u200b")


def test_of_an_ordinary_name_nothing_is_changed() -> None:
    for name in ("digit-recognition", "Größe_模型 (v2) [beta] 50% a:b/c", "team.schema.model*"):
        assert harmless(name, 100) == name


@pytest.mark.parametrize(
    "url",
    [
        SLACK, f"{SLACK}?format=markdown", f"{SLACK}?blocks=yes", "mmost://{host}/abcdefgh", "json://{host}/",
        f"discord://{'1' * 18}/{'a' * 60}", f"discord://{'1' * 18}/{'a' * 60}?format=markdown",
    ],
)  # fmt: skip
def test_no_chat_is_made_to_call_everybody_by_the_name_of_a_model(url: str) -> None:
    title, text = title_and_text([change(name=HOSTILE, reasons=(HOSTILE,))])
    with receiving() as receiver:
        service = Apprise.instantiate(url.format(host=f"{HOST}:{receiver.port}"))
        assert service is not None
        for address in ("webhook_url", "notify_url"):
            setattr(service, address, receiver.url.partition("?")[0])
        assert Apprise(service).notify(text, title=title, body_format=NotifyFormat.TEXT)
    ((_, _, body),) = receiver.requests
    sent = json.dumps(json.loads(body), ensure_ascii=False)
    assert "channel" in sent
    # Twice, in title and text: what Slack, Mattermost or Discord would take for a call, a link or a picture.
    assert not [mark for mark in ("<!", "<@", "@channel", "@everyone", "](", "://e", "\\u0007") if mark in sent]
