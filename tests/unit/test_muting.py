"""Mutes: which changes of verdict a receiver is owed while they hold, and after."""

from typing import Any

import pytest

from app.domain.monitoring.alert_filters import alert_filter
from app.domain.monitoring.alerts import owed_changes
from app.domain.monitoring.monitor_runs import MonitorState, Verdict, verdicts_from, verdicts_text
from app.domain.monitoring.monitor_runs import causes_text as text_of
from app.domain.monitoring.verdicts import MetricVerdict, VersionVerdict
from app.domain.registry.models import Mute, Registration

A, B = ("acc",), ("acc", "loss")


def state(*verdicts: tuple[int, str, tuple[str, ...]], mutes: tuple[Mute, ...] = (), told: int = 0) -> MonitorState:
    registration = Registration("m", 1, "classifier", "ada", 0, "run", 0, mutes=mutes)
    changes = tuple(Verdict(at, verdict, causes=causes) for at, verdict, causes in verdicts)
    return MonitorState(registration, changes, {"slack": told})


def mute(until: int, metric: str | None = None, **more: Any) -> Mute:
    return Mute(metric, until, 0, "ada", **more)


def owed(of: MonitorState, now: int) -> list[tuple[str, str]]:
    return [(change.before, change.verdict) for change in owed_changes(of, "slack", now)]


BAD, BACK, WORSE = (10, "drifting", A), (20, "healthy", A), (30, "degraded", A)
NEW = ("insufficient_data", "drifting")


@pytest.mark.parametrize(
    ("verdicts", "mutes", "now", "expected"),
    [
        ([BAD], [mute(15)], 14, []),
        ([BAD], [mute(15)], 15, [NEW]),
        ([BAD], [mute(15, removed=True)], 12, [NEW]),
        ([BAD, BACK], [mute(25)], 25, [("insufficient_data", "healthy")]),
        ([BAD, BACK, WORSE], [mute(40)], 40, [("insufficient_data", "degraded")]),
        ([BAD, BACK, WORSE], [mute(25)], 40, [("insufficient_data", "degraded")]),
        ([BAD, BACK, WORSE], [mute(5)], 40, [NEW, ("drifting", "healthy"), ("healthy", "degraded")]),
        ([BAD], [mute(15, "acc")], 14, []),
        ([BAD], [mute(15, "acc")], 15, [NEW]),
        ([BAD], [mute(15, "loss")], 14, [NEW]),
        ([(10, "drifting", B)], [mute(15, "acc")], 14, [NEW]),
        ([(10, "drifting", B)], [mute(15, "acc"), mute(15, "loss")], 14, []),
        ([(10, "drifting", ())], [mute(15, "acc")], 14, [NEW]),
        ([(5, "degraded", ("loss",)), BAD], [mute(15, "acc")], 14, [("insufficient_data", "degraded")]),
        ([(5, "degraded", ("loss",)), BAD, (12, "degraded", A)], [mute(15, "acc")], 15,
         [("insufficient_data", "degraded")]),
    ],
)  # fmt: skip
def test_what_is_muted_is_told_after_the_mute_once_and_only_if_it_is_news(
    verdicts: list[Any], mutes: list[Mute], now: int, expected: list[tuple[str, str]]
) -> None:
    assert owed(state(*verdicts, mutes=tuple(mutes)), now) == expected


def test_who_knows_that_it_is_bad_is_told_after_the_mute_if_it_is_good_and_nothing_if_it_is_as_bad() -> None:
    muted = mute(50)
    assert owed(state(BAD, BACK, mutes=(muted,), told=10), 50) == [("drifting", "healthy")]
    assert owed(state(BAD, BACK, (30, "drifting", A), mutes=(muted,), told=10), 50) == []


def test_another_metric_that_gets_as_bad_as_a_muted_one_was_is_an_alert() -> None:
    other = state(BAD, BACK, (30, "drifting", ("loss",)), mutes=(mute(50, "acc"),), told=10)
    assert owed(other, 31) == owed(other, 60) == [("healthy", "drifting")]


def test_a_clock_that_jumps_neither_loses_nor_repeats_an_alert() -> None:
    muted = state(BAD, mutes=(mute(15),))
    # Ahead for a moment, it was sent; then the clock is right again.
    assert owed(muted, 1000) == [NEW]
    assert owed(state(BAD, mutes=(mute(15),), told=10), 12) == owed(state(BAD, mutes=(mute(15),), told=10), 16) == []
    assert owed(muted, 12) == []
    assert owed(muted, 16) == [NEW]


def judged(verdict: str, **metrics: str) -> VersionVerdict:
    rows = {name: MetricVerdict(one, (), "production", 9) for name, one in metrics.items()}
    return VersionVerdict(verdict, (verdict,), rows)


def test_a_change_is_made_by_the_metrics_that_are_worse_than_the_version_was() -> None:
    first = state((5, "degraded", ("loss",)))
    change = first.changed(10, judged("drifting", acc="drifting", loss="degraded", f1="healthy"), 3)
    assert change.causes == A
    later = state((5, "degraded", ("loss",)), (10, "drifting", A))
    assert later.changed(20, judged("degraded", acc="healthy", loss="degraded"), 4).causes == A
    assert later.joined(judged("drifting", acc="drifting", loss="degraded")) is None
    joined = later.joined(judged("drifting", acc="healthy", loss="drifting"))
    assert joined is not None
    assert (joined.at, joined.causes, joined.reasons) == (10, B, ("drifting",))


def test_the_metrics_that_made_the_changes_are_read_back_as_far_as_a_tag_holds_them() -> None:
    changes = [Verdict(at, "drifting", causes=tuple("é" * 240 + str(n) for n in range(9))) for at in range(40)]
    read = verdicts_from(verdicts_text(changes), causes=text_of(changes))
    assert [change.causes for change in read[-3:]] == [change.causes for change in changes[-3:]]
    assert read[0].causes == ()
    assert verdicts_from("[]", causes="nonsense") == ()


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, True), ({"owner": ["a", ""]}, True), ({"owner": ["a"]}, False), ({"verdict": ["healthy"]}, True),
        ({"verdict": ["drifting"]}, False), ({"tag": ["team:x", "k:a:b"]}, True), ({"tag": ["team:x"]}, False),
        ({"first_healthy": False}, False), ({"verdict": ["healthy"], "owner": ["a"]}, False),
    ],
)  # fmt: skip
def test_a_receiver_gets_what_its_filter_lets_pass(wanted: dict[str, Any], expected: bool) -> None:
    (change,) = owed_changes(state((10, "healthy", ())), "slack", 20)
    assert alert_filter(wanted).lets_pass(change, [("k", "a:b")]) is expected
