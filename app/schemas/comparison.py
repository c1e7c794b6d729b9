"""Champion against challenger: two versions of one model compared."""

from marshmallow import Schema, fields, validate

from app.domain.comparison.differences import METHODS
from app.domain.monitoring.evidence import PRODUCTION, TRAINING
from app.domain.registry.names import LONGEST_ALIAS
from app.domain.registry.stages import STAGES
from app.schemas.base import doc, flag, metric_choice, number, real, text
from app.schemas.verdicts import direction_field

_WHICH = {"required": "Needed: a version or an alias."}


def _numbers(description: str, example: list[str]) -> fields.List[str]:
    """Numbers by metric, which `domain.comparison.requirements` reads."""
    return fields.List(fields.String(), load_default=(), metadata=doc(description, example))


class CompareQuerySchema(Schema):
    """The versions and metrics to compare, and how much worse the candidate may be."""

    baseline = text(
        "Version or alias that the candidate is compared with; a number is a version",
        "champion",
        required=True,
        validate=validate.Length(1, LONGEST_ALIAS),
        error_messages=_WHICH,
    )
    candidate = text(
        "Version or alias that may replace the baseline; a number is a version",
        "challenger",
        required=True,
        validate=validate.Length(1, LONGEST_ALIAS),
        error_messages=_WHICH,
    )
    margin = _numbers(
        "How much worse the candidate may be, in the unit of the metric, 0 to 1e9: a number, for one metric "
        "`METRIC=NUMBER`; may be repeated. The default is 0",
        ["0.01", "rmse=2"],
    )
    min = _numbers(
        "What the candidate's value has to be at least, as `METRIC=NUMBER`; may be repeated", ["accuracy=0.9"]
    )
    max = _numbers("What the candidate's value may be at most, as `METRIC=NUMBER`; may be repeated", ["rmse=40"])
    metric = metric_choice("A metric to compare; may be repeated. Every metric named here counts")


class ComparedVersionSchema(Schema):
    """One of the two versions."""

    version = text("Version", "3", required=True)
    alias = text("The alias in the request; null if the request names a number", None, required=True,
                 allow_none=True)  # fmt: skip
    stage = fields.String(required=True, validate=validate.OneOf(STAGES), metadata=doc("Effective stage", "Production"))


class MetricComparisonSchema(Schema):
    """The comparison of one metric."""

    metric = text("Name of the metric", "accuracy", required=True)
    direction = direction_field()
    population = fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf([PRODUCTION, TRAINING]),
        metadata=doc("Where both versions' values come from; null if not from the same", "production"),
    )
    method = fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf(METHODS),
        metadata=doc("How they were compared; null if they cannot be", "paired days"),
    )
    n = number("Days, or points of the smaller sample", 30, required=True)
    baseline = real("The baseline's mean, or its last value", 0.925, required=True, allow_none=True)
    candidate = real("The candidate's mean, or its last value", 0.931, required=True, allow_none=True)
    difference = real("The candidate's less the baseline's", 0.006, required=True, allow_none=True)
    better = fields.Boolean(
        required=True,
        allow_none=True,
        metadata=doc("Whether the candidate is better; null if both are equal or it is not known", True),
    )
    non_inferior = fields.Boolean(
        required=True,
        allow_none=True,
        metadata=doc("Whether the candidate is not worse by more than the margin; null if it is not known", True),
    )
    margin = real("How much worse the candidate may be", 0.01, required=True)
    min = real("What its value has to be at least; null without such a limit", 0.9, required=True, allow_none=True)
    max = real("What its value may be at most; null without such a limit", None, required=True, allow_none=True)
    within_limits = fields.Boolean(
        required=True,
        allow_none=True,
        metadata=doc("Whether the value is within `min` and `max`; null without limits, or without a value", True),
    )
    reason = text(
        "The result in words and figures",
        "0.931 against 0.925 in production, means of 30 shared days: +0.006, with 95 % confidence at least +0.002; "
        "within the margin of 0.01",
        required=True,
    )


class ComparisonSchema(Schema):
    """Two versions of one model compared."""

    name = text("Registered model", "DNA_Analysis_Model", required=True)
    baseline = fields.Nested(ComparedVersionSchema, required=True)
    candidate = fields.Nested(ComparedVersionSchema, required=True)
    margin = real("How much worse the candidate may be in metrics without a margin of their own", 0.01, required=True)
    non_inferior = fields.Boolean(
        required=True,
        allow_none=True,
        metadata=doc("Whether the candidate is not worse in any metric that counts; null if not known", True),
    )
    passes = flag("Whether a gate lets it pass: it is not worse, and every value that has a limit keeps it", True,
                  required=True)  # fmt: skip
    metrics = fields.List(fields.Nested(MetricComparisonSchema), required=True)
