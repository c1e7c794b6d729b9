"""The history of the registrations: complete, in order, and cheap to change."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.monitoring.history_codec import history_from, index_value, parts_value
from app.domain.monitoring.history_index import HistoryIndex
from app.domain.monitoring.monitor_history import MonitorHistory, all_changes, completed, merged, run_history
from app.domain.monitoring.monitor_runs import MonitorState, Verdict
from app.domain.registry.models import Registration

HOSTILE_TIMES = st.one_of(st.integers(0, 50), st.integers(-(2**80), 2**80))
STATES = st.lists(
    st.builds(
        MonitorState,
        st.builds(
            Registration,
            st.sampled_from(["m", "n", "a b", "🧬"]),
            st.integers(1, 3),
            st.just("classifier"),
            st.text(st.characters(codec="utf-8"), max_size=5),
            HOSTILE_TIMES,
            st.integers(0, 300).map(lambda number: f"run-{number}"),
            st.just(1),
        ),
        st.lists(
            st.builds(Verdict, HOSTILE_TIMES, st.sampled_from(["healthy", "drifting"]), st.just(("why",))), max_size=4
        ).map(lambda found: all_changes(found, ())),
        st.just({}),
        st.none() | HOSTILE_TIMES,
        st.none() | st.just("bob"),
        st.none() | st.just("enough"),
    ),
    max_size=12,
    unique_by=lambda state: state.registration.monitor_run_id,
)


def history_of(states: list[MonitorState], before: MonitorHistory | None = None) -> MonitorHistory:
    before = before or MonitorHistory()
    return before.after([run_history(one, whole=True, revision=before.revision + 1) for one in states], (), 5)


def in_order(states: list[MonitorState]) -> list[tuple[str, str, object]]:
    """Every event, by a plain sort: the newest first, of one time what came later first."""
    found: list[tuple[int, int, Registration, str, object]] = []
    for state in states:
        one = state.registration
        found.append((_clamped(one.registered_at), 0, one, "registered", None))
        found += [(_clamped(change.at), 1, one, "verdict", change.verdict) for change in state.verdicts]
        if state.ended_at is not None:
            found.append((_clamped(state.ended_at), 2, one, "removed", None))
    found.sort(key=lambda event: (-event[0], -event[1], _clamped(event[2].registered_at), event[2].monitor_run_id))
    return [(one.monitor_run_id, what, verdict) for _, _, one, what, verdict in found]


def _clamped(ms: int) -> int:
    return min(max(ms, 0), 253_402_300_799_999)


def told(index: HistoryIndex, name: str | None = None, version: int | None = None) -> list[tuple[str, str, object]]:
    return [(e["monitor_run_id"], e["event"], e["verdict"]) for e in index.rows(index.find(name, version))]


def test_events_are_newest_first_and_say_who() -> None:
    one = Registration("m", 1, "classifier", "ada", 1000, "run", 1)
    verdicts = (Verdict(2000, "healthy"), Verdict(3000, "drifting", ("bad",)))
    index = HistoryIndex(history_of([MonitorState(one, verdicts, {}, 4000, "bob", "enough")]))
    events = index.rows(index.find(None, None))
    assert [(e["event"], e["by"], e["before"], e["verdict"], e["reasons"]) for e in events] == [
        ("removed", "bob", None, None, ["enough"]),
        ("verdict", "control-tower", "healthy", "drifting", ["bad"]),
        ("verdict", "control-tower", "insufficient_data", "healthy", []),
        ("registered", "ada", None, None, []),
    ]
    assert events[0]["at"] == "1970-01-01T00:00:04Z"
    assert {(e["name"], e["version"], e["monitor_run_id"]) for e in events} == {("m", "1", "run")}


@given(STATES)
def test_whatever_clocks_said_no_event_is_lost_and_each_has_a_time(states: list[MonitorState]) -> None:
    index = HistoryIndex(history_of(states))
    assert told(index) == in_order(states)
    assert all(event["at"] for event in index.rows(index.find(None, None)))
    for name, version in (("m", None), ("m", 1), (None, 2), ("nobody", None)):
        chosen = [
            one
            for one in states
            if name in (None, one.registration.name) and version in (None, one.registration.version)
        ]
        assert told(index, name, version) == in_order(chosen)


@given(st.lists(STATES, max_size=4))
def test_an_order_that_was_changed_bit_by_bit_is_the_one_that_is_made_anew(steps: list[list[MonitorState]]) -> None:
    known: dict[str, MonitorState] = {}
    history = MonitorHistory()
    index = HistoryIndex(history)
    for states in steps:
        known |= {one.registration.monitor_run_id: one for one in states}
        history = history_of(states, history)
        index = index.after(history)
        assert told(index) == in_order(list(known.values()))
    gone = list(known)[:1]
    history = history.after((), gone, 6)
    assert told(index.after(history)) == in_order([known[run_id] for run_id in known if run_id not in gone])


@given(STATES, STATES)
def test_what_is_stored_is_read_back_and_a_change_writes_only_the_segments_it_touches(
    states: list[MonitorState], later: list[MonitorState]
) -> None:
    first = history_of(states)
    stored: dict[str, Any] = dict(parts_value(first, None, "x"))
    second = history_of(later, first)
    parts = parts_value(second, first, "x")
    assert len(parts) <= len(later)
    found = history_from(index_value(first, "x"), stored.get, None, "x")
    assert found == first
    again = history_from(index_value(second, "x"), {**stored, **parts}.get, found, "x")
    assert again == second
    assert again is not None
    assert again.seal == second.seal
    assert history_from(index_value(first, "x"), stored.get, None, "another MLflow") is None


@given(
    STATES.filter(bool),
    st.sampled_from([None, 5, "x", {}, {"runs": []}, {"source": "x", "digest": "d", "runs": [[1, [2]]]}]),
)
def test_a_segment_that_is_damaged_is_no_history(states: list[MonitorState], damaged: Any) -> None:
    history = history_of(states)
    stored = {**parts_value(history, None, "x")}
    stored[next(iter(stored))] = damaged
    assert history_from(index_value(history, "x"), stored.get, None, "x") is None


def test_a_tag_that_follows_on_what_is_known_needs_no_reading_and_one_that_does_not_does() -> None:
    one = Registration("m", 1, "classifier", "ada", 1000, "run", 1)
    changes = tuple(Verdict(2000 + n, ("healthy", "drifting")[n % 2], (f"why {n}",)) for n in range(6))
    known = run_history(MonitorState(one, changes[:3]), whole=True, revision=1)
    follows = merged(known, MonitorState(one, changes[2:5]), 2)
    assert follows.whole
    gap = merged(follows, MonitorState(one, changes[5:]), 3)
    assert not gap.whole
    assert not merged(None, MonitorState(one, changes[5:]), 1).whole
    whole = completed(gap, [(change.at, change.verdict) for change in changes], 4)
    assert whole.whole
    index = HistoryIndex(MonitorHistory().after([whole], (), 1))
    reasons = [event["reasons"] for event in index.rows(index.find(None, None))]
    # Those that MLflow's tag no longer holds are not kept.
    assert reasons == [["why 5"], [], [], [], [], [], []]


@settings(max_examples=20)
@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_a_version_registered_twice_at_any_two_times_has_both_registrations(first: int, second: int) -> None:
    runs = [MonitorState(Registration("m", 1, "c", "a", at, f"run-{n}", 1)) for n, at in enumerate((first, second))]
    assert len(told(HistoryIndex(history_of(runs)), "m", 1)) == 2
