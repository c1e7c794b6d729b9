"""The process that judges: it answers what was asked, and what is no series is a problem, not a crash."""

from app.services.data_drift.judge_order import JudgeOrder
from app.services.data_drift.judges import judge_elsewhere


def test_series_are_judged_in_another_process_each_with_its_outcome() -> None:
    (outcome,) = judge_elsewhere([JudgeOrder(b"no layout", None, [], 0.05)])
    assert outcome.report is None
    assert outcome.problem is not None
    assert "cannot be read" in outcome.problem
