"""Verdicts, with the reasons and figures that lead to them."""

from typing import Any

from marshmallow import Schema, fields, validate

from app.domain.monitoring.directions import DIRECTIONS
from app.domain.monitoring.evidence import PRODUCTION, TRAINING
from app.domain.monitoring.rules import RULES
from app.domain.monitoring.verdicts import VERDICTS
from app.schemas.base import (
    doc,
    flag,
    moment,
    number,
    real,
    text,
)


def verdict_field(description: str, example: str = "drifting", **options: Any) -> fields.String:
    return fields.String(validate=validate.OneOf(VERDICTS), metadata=doc(description, example), **options)


REASONS = [
    "accuracy fell to 0.860 on 5 December; at least 0.898 was expected from its first 20 days (0.940 ± 0.012). "
    "Below at 4 of the last 5 points since 3 December. Now 0.871."
]


def began_field(description: str = "When the change began that led to the verdict; null if no rule fired") -> Any:
    return moment(description, "2023-12-03T00:00:00Z", required=True, allow_none=True)


def reasons_field(description: str) -> fields.List[str]:
    return fields.List(fields.String(), required=True, metadata=doc(description, REASONS))


def recent_field() -> fields.List[float]:
    return fields.List(
        fields.Float(),
        required=True,
        metadata=doc("The last 20 values that are judged, the newest last", [0.94, 0.93, 0.871]),
    )


def direction_field() -> fields.String:
    return fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf(DIRECTIONS),
        metadata=doc("Whether `higher` or `lower` is better; null if that is not known", "higher"),
    )


class BaselineSchema(Schema):
    """The baseline that later points of a metric are compared with. Outliers are set aside."""

    mean = real("Mean", 0.94, required=True)
    std = real("Standard deviation", 0.012, required=True)
    n = number("Number of points, without those set aside", 20, required=True)


class AlarmSchema(Schema):
    """What a rule found wrong with a metric."""

    rule = fields.String(
        required=True,
        validate=validate.OneOf([rule.name for rule in RULES]),
        metadata=doc("The rule that fired", "baseline"),
    )
    verdict = verdict_field("What follows from this alarm", required=True)
    value = real("The value farthest out among the last points", 0.86, required=True, allow_none=True)
    at = moment(
        "Time of that value; both are null for `silence`", "2023-12-05T00:00:00Z", required=True, allow_none=True
    )
    expected_min = real("The least that was expected; null if that side is open", 0.898, required=True, allow_none=True)
    expected_max = real("The most that was expected; null if that side is open", None, required=True, allow_none=True)
    began_at = moment("When the change began", "2023-12-03T00:00:00Z", required=True)
    fired = number("At how many of the last points the rule fired", 4, required=True)
    of = number("How many points those are", 5, required=True)
    excess = real("How far out the value is, in multiples of what was allowed", 1.9, required=True)
    accumulates = flag(
        "Whether no value was out by itself, but the cumulative sum of small deviations", False, required=True
    )


class MetricVerdictSchema(Schema):
    """The verdict on one metric."""

    verdict = verdict_field("Verdict on the metric", required=True)
    reasons = reasons_field("Why, the worst first")
    population = fields.String(
        required=True,
        validate=validate.OneOf([PRODUCTION, TRAINING]),
        metadata=doc("`production`: logged outside the source run; `training`: by the source run", "production"),
    )
    baseline = fields.Nested(
        BaselineSchema,
        required=True,
        allow_none=True,
        metadata={"description": "Null if there are too few points for a baseline"},
    )
    last = real("Last value", 0.871, required=True, allow_none=True)
    last_at = moment("Time of the last value", "2023-12-07T00:00:00Z", required=True, allow_none=True)
    points = number("How many points are judged", 30, required=True)
    recent = recent_field()
    began_at = began_field()
    alarms = fields.List(
        fields.Nested(AlarmSchema), required=True, metadata={"description": "What the rules found, the worst first"}
    )
    direction = direction_field()


ALARM = {
    "rule": "baseline",
    "verdict": "drifting",
    "value": 0.86,
    "at": "2023-12-05T00:00:00Z",
    "expected_min": 0.898,
    "expected_max": None,
    "began_at": "2023-12-03T00:00:00Z",
    "fired": 4,
    "of": 5,
    "excess": 1.9,
    "accumulates": False,
}


class KeyMetricSchema(Schema):
    """The metric to look at first."""

    name = text("Name of the metric", "accuracy", required=True)
    last = real("Last value; null for NaN and infinity", 0.871, required=True, allow_none=True)
    last_at = moment(
        "Time of the last value; null before the first check", "2023-12-07T00:00:00Z", required=True, allow_none=True
    )
    verdict = verdict_field("Verdict on the metric; null before the first check", required=True, allow_none=True)
    direction = direction_field()
    baseline = fields.Nested(
        BaselineSchema,
        required=True,
        allow_none=True,
        metadata={"description": "Null if there are too few points for a baseline, and before the first check"},
    )
    change = real("The last value less the baseline's mean", -0.069, required=True, allow_none=True)
    worse = flag(
        "Whether the change is for the worse; null if nothing changed or the direction is not known",
        True,
        required=True,
        allow_none=True,
    )
    recent = recent_field()
