"""Corrections of observations: what was replaced or withdrawn counts no more, in whatever order things happen."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.errors import InvalidInput
from app.domain.monitoring.corrections import Withdrawal, points_to_withdraw, withdrawal_from, withdrawal_text
from app.domain.monitoring.evidence import points_by_metric, series_by_metric
from app.domain.monitoring.observations import Observation
from app.domain.monitoring.sent_once import SentOnce, page_from, page_text, sent_once
from app.domain.times import rfc3339
from app.services.host.file_cache import FileCache
from app.services.host.file_locks import FileLocks
from app.services.host.holding_cache import HoldingCache
from app.services.monitoring.monitor_run_writer import MonitorRunWriter
from app.services.monitoring.registration_list import RegistrationStore
from tests.fakes.memory_mlflow import MemoryGateway
from tests.unit.mirrors import MirrorProcess

START = 1_700_000_000_000

_metric, _time, _value = st.sampled_from(["accuracy", "rmse"]), st.integers(0, 6), st.sampled_from([0.1, 0.5, 0.9])
_rows = st.lists(st.tuples(_metric, _time, _value), min_size=1, max_size=4)
_observe = st.tuples(st.just("observe"), _rows, st.none() | st.integers(0, 3))
_withdraw = st.tuples(st.just("withdraw"), st.none() | _metric, st.tuples(st.none() | _time, st.none() | _time))


@settings(max_examples=150, deadline=None)
@given(st.lists(_observe | _withdraw, min_size=1, max_size=12))
def test_no_verdict_comes_from_a_point_that_was_replaced_or_withdrawn_whatever_the_order(steps: list[tuple]) -> None:
    gateway = MemoryGateway()
    gateway.world.add_version("m")
    with tempfile.TemporaryDirectory() as folder:
        locks, cache = FileLocks(Path(folder) / "locks", ""), HoldingCache(FileCache(Path(folder) / "cache"))
        mirror = MirrorProcess(gateway, cache, locks).tracker
        registrations = RegistrationStore(gateway, cache, locks, gateway.world.seconds, "here", True, mirror)
        now = START + 60_000
        writer = MonitorRunWriter(gateway, registrations, mirror, locks, lambda: now)
        run = writer.register("m", "1", "classifier", "ada").monitor_run_id
        expected: dict[tuple[str, int], float] = {}
        sent: set[int] = set()
        for kind, what, more in steps:
            if kind == "observe":
                # The same id always has the same content: the rows are those of its first sending.
                if more in sent:
                    continue
                rows = [Observation(metric, START + at * 400, value) for metric, at, value in what]
                once = None if more is None else sent_once(str(more), rows, now)
                writer.observe("m", "1", rows, once)
                expected |= {(row.metric, row.time): row.value for row in rows}
                if more is not None:
                    sent.add(more)
                    before = dict(expected)
                    # A client that lost the answer sends it again, after others have sent theirs.
                    other = [Observation("accuracy", START + 800, 0.7)]
                    writer.observe("m", "1", other)
                    writer.observe("m", "1", rows, once)
                    expected = before | {("accuracy", START + 800): 0.7}
            else:
                first, last = (None if at is None else START + at * 400 for at in more)
                writer.withdraw("m", "1", what, first, last, "bob")
                for metric, time in list(expected):
                    inside = (first is None or first <= time) and (last is None or time <= last)
                    if what in (None, metric) and inside:
                        del expected[metric, time]
        row = gateway.find_version("m", 1)
        assert row is not None
        evidence = gateway.evidence([row], {("m", 1): run})["m", 1]
        found = {
            (metric, point.time): point.value
            for metric, series in series_by_metric(points_by_metric(evidence), now).items()
            for point in series.points
        }
        assert found == expected


def test_an_unlabelled_point_of_the_present_counts_after_its_metric_was_withdrawn() -> None:
    gone = Withdrawal(3, START, "ada", START, "accuracy")
    assert gone.covers("accuracy", START)
    assert not gone.covers("accuracy", START + 1)
    assert not gone.covers("rmse", START)


@pytest.mark.parametrize(
    ("metrics", "since", "until", "problem"),
    [
        ([], None, None, "Give metric"),
        ([], "yesterday", None, "from: Not a time"),
        (["a"], None, "2023-12-07", "to: Not a time"),
        ([], rfc3339(START + 1000), rfc3339(START), "from is after to"),
        (["a"], None, "1961-01-01T00:00:00Z", "to: No observation is from before 1970"),
        (["a"], "9999-01-01T00:00:00Z", None, "from: No observation is from the future"),
        (["a", "b"], None, None, "metric: Give one metric"),
    ],
)
def test_what_is_withdrawn_must_be_said(metrics: list[str], since: str | None, until: str | None, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        points_to_withdraw(metrics, since, until, START + 10_000)


@given(st.text(max_size=20), st.none() | st.text(max_size=20), st.none() | st.integers(0, START))
def test_a_tag_of_a_withdrawal_is_read_back_or_ignored(by: str, metric: str | None, since: int | None) -> None:
    by, metric = by.encode(errors="replace").decode(), metric and metric.encode(errors="replace").decode()
    made = Withdrawal(7, START, by, START + 1, metric, since)
    assert withdrawal_from("7", withdrawal_text(made)) == made
    assert withdrawal_from("7", by) is None or by.startswith("[")
    assert withdrawal_from("x", withdrawal_text(made)) is None


def test_ids_keep_the_order_of_their_write_and_older_ones_are_read() -> None:
    rows = [SentOnce(f"{n:016x}", f"{n:08x}", START + n, n % 2 * n) for n in range(300)]
    text = page_text(rows)
    assert len(text) <= 8000
    assert page_from(text) == rows[-len(page_from(text)) :]
    assert len(page_from(text)) >= 160
    assert page_from("00000000000000aa 000000bb 5") == [SentOnce("00000000000000aa", "000000bb", 5)]
