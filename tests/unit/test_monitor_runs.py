"""What a monitor run's tags hold of verdicts: bounded, and readable whatever somebody wrote there."""

from dataclasses import replace

import orjson
from hypothesis import given
from hypothesis import strategies as st

from app.domain.monitoring.monitor_runs import (
    MonitorState,
    Verdict,
    began_text,
    evidence_text,
    verdicts_from,
    verdicts_text,
)
from app.domain.monitoring.verdicts import VersionVerdict
from app.domain.registry.models import Registration
from app.domain.registry.names import LONGEST_TAG


def judged(verdict: str) -> VersionVerdict:
    return VersionVerdict(verdict, (), {})


_verdicts = st.lists(
    st.builds(
        Verdict,
        st.integers(0, 2**45),
        st.sampled_from(["healthy", "degraded", "drifting"]),
        st.lists(st.text(st.characters(codec="utf-8"), max_size=400), max_size=30).map(tuple),
        st.none() | st.integers(0, 2**45),
        st.none() | st.integers(0, 2**45),
    ),
    min_size=1,
    max_size=80,
    unique_by=lambda one: one.at,
)


@given(_verdicts)
def test_the_newest_changes_fit_into_a_tag_and_are_read_back(verdicts: list[Verdict]) -> None:
    text, evidence, began = verdicts_text(verdicts), evidence_text(verdicts), began_text(verdicts)
    assert max(len(text), len(evidence), len(began)) <= LONGEST_TAG
    found = verdicts_from(text, evidence, began)
    assert found
    newest = verdicts[-len(found) :]
    assert [replace(v, reasons=()) for v in found] == [replace(v, reasons=()) for v in newest]


@given(st.none() | st.text() | st.sampled_from(["[1]", "[[1,2]]", '[["x","y",[]]]', "{}", "null", '[[1,"a",5]]']))
def test_a_tag_that_somebody_wrote_by_hand_is_read_or_ignored(text: str | None) -> None:
    assert isinstance(verdicts_from(text), tuple)
    assert verdicts_from('[[1,"healthy",[]]]', text)[0].verdict == "healthy"


def test_an_older_version_of_the_service_reads_the_verdicts_and_its_own_are_read_here() -> None:
    ours = [Verdict(1, "healthy", ("fine",), 5)]
    assert orjson.loads(verdicts_text(ours)) == [[1, "healthy", ["fine"]]]
    # It writes one tag, and leaves the other as it was.
    theirs = verdicts_text([*ours, Verdict(2, "drifting")])
    assert verdicts_from(theirs, evidence_text(ours)) == (*ours, Verdict(2, "drifting"))


def test_a_verdict_that_comes_back_on_the_same_evidence_is_another_change() -> None:
    registration = Registration("m", 1, "classifier", "ada", 0, "run", 0, {})
    state = MonitorState(registration)
    for verdict in ("drifting", "healthy", "drifting"):
        state = replace(state, verdicts=(*state.verdicts, state.changed(9, judged(verdict), 5)))
    assert [(v.verdict, v.evidence) for v in state.verdicts] == [("drifting", 5), ("healthy", 5), ("drifting", 6)]
