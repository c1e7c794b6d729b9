"""What a monitor run's tags hold of verdicts: bounded, and readable whatever somebody wrote there."""

from hypothesis import given
from hypothesis import strategies as st

from app.domain.monitoring.monitor_runs import Verdict, verdicts_from, verdicts_text
from app.domain.registry.names import LONGEST_TAG

_verdicts = st.lists(
    st.builds(
        Verdict,
        st.integers(0, 2**45),
        st.sampled_from(["healthy", "degraded", "drifting"]),
        st.lists(st.text(st.characters(codec="utf-8"), max_size=400), max_size=30).map(tuple),
    ),
    min_size=1,
    max_size=80,
)


@given(_verdicts)
def test_the_newest_changes_fit_into_a_tag_and_are_read_back(verdicts: list[Verdict]) -> None:
    text = verdicts_text(verdicts)
    assert len(text) <= LONGEST_TAG
    found = verdicts_from(text)
    assert found
    assert [(one.at, one.verdict) for one in found] == [(one.at, one.verdict) for one in verdicts[-len(found) :]]


@given(st.none() | st.text() | st.sampled_from(["[1]", "[[1,2]]", '[["x","y",[]]]', "{}", "null", '[[1,"a",5]]']))
def test_a_tag_that_somebody_wrote_by_hand_is_read_or_ignored(text: str | None) -> None:
    assert isinstance(verdicts_from(text), tuple)
