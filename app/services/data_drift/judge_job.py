"""Judges a series. It runs in a process of its own, since numpy and scipy take 80 MB."""

from app.domain.data_drift.batch import whole
from app.domain.data_drift.batch_json import batch_from
from app.domain.data_drift.judging import Rules
from app.domain.data_drift.layout_json import layout_from
from app.domain.data_drift.report import Window, report
from app.domain.data_drift.series import inflated
from app.domain.errors import InvalidInput
from app.services.data_drift.judge_order import JudgeOrder, JudgeOutcome


def judged(order: JudgeOrder) -> JudgeOutcome:
    """The report. What somebody else wrote into MLflow's tags may be no counts, which is the problem then."""
    try:
        layout = layout_from(inflated(order.layout))
        reference = batch_from(inflated(order.reference), layout) if order.reference else None
        windows = [
            Window(start, end, whole(batch_from(inflated(body), layout) for body in bodies))
            for start, end, bodies in order.windows
        ]
        return JudgeOutcome(report(layout, reference, windows, Rules(floor=order.floor)))
    except (InvalidInput, ValueError) as error:
        return JudgeOutcome(problem=f"What MLflow holds cannot be read: {error}")
