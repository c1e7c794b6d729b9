"""The points of a version, and verdicts with other settings."""

from marshmallow import Schema, fields

from app.domain.monitoring.evidence import SOURCES
from app.domain.monitoring.preview import PREVIEW_DAYS
from app.domain.monitoring.rules import RULES
from app.schemas.base import (
    days_back,
    doc,
    metric_choice,
    moment,
    text,
)
from app.schemas.registrations import settings_field
from app.schemas.verdicts import ALARM, REASONS, reasons_field, verdict_field


class SeriesQuerySchema(Schema):
    """The metrics, and how many days of them."""

    metric = metric_choice("A metric; may be repeated. By default all. Each costs a request to MLflow")
    days = days_back(90, default=3650)


_POINT = {
    "time": "2023-12-07T00:00:00Z",
    "value": 0.871,
    "source": "monitor run",
    "run_id": "b1946ac9",
    "n": 500,
    "replaced": 0,
    "fired": ["baseline"],
}


_RULES = ", ".join(f"`{rule.name}`" for rule in RULES if rule.fires_at_points)


_SOURCES = ", ".join(f"`{source}`" for source in SOURCES)


class SeriesSchema(Schema):
    """The points of a version's metrics."""

    model_name = text("Registered model", "DNA_Analysis_Model", required=True)
    model_version = text("Version", "1", required=True)
    metrics = fields.Dict(
        keys=fields.String(),
        required=True,
        metadata=doc(
            "Per metric: `points`, the series that is judged, by time; `reference`, the points shown beside it; "
            f"where each was logged (`source`: {_SOURCES}), the number of cases behind it (`n`), how many other values "
            f"of the same time it `replaced`, and the rules that `fired` there ({_RULES}); "
            "`population`, `verdict`, `reasons`, `began_at`, `alarms`, `baseline` and its `reach` to either "
            "side, `limits`, `possible` (the least and the most that the metric can be, by its name), `direction`",
            {
                "accuracy": {
                    "verdict": "drifting",
                    "reasons": REASONS,
                    "population": "production",
                    "baseline": {"mean": 0.94, "std": 0.012, "n": 20},
                    "reach": 0.042,
                    "limits": {"min": 0.9, "max": None},
                    "possible": {"min": 0.0, "max": 1.0},
                    "direction": "higher",
                    "last": 0.871,
                    "last_at": "2023-12-07T00:00:00Z",
                    "recent": [0.94, 0.93, 0.871],
                    "began_at": "2023-12-03T00:00:00Z",
                    "alarms": [ALARM],
                    "points": [_POINT],
                    "reference": [{**_POINT, "source": "source run", "fired": []}],
                }
            },
        ),
    )


class PreviewedVerdictSchema(Schema):
    """A verdict that settings give, or would have given."""

    verdict = verdict_field("The verdict", required=True)
    reasons = reasons_field("Why, in words and figures, the worst first")


class PreviewDaySchema(Schema):
    """The verdicts at the end of a day, or now for today."""

    day = moment("The UTC day", "2023-12-07T00:00:00Z", required=True)
    before = fields.Nested(
        PreviewedVerdictSchema, required=True, metadata={"description": "Under the present settings"}
    )
    after = fields.Nested(PreviewedVerdictSchema, required=True, metadata={"description": "Under the settings sent"})


class PreviewSchema(Schema):
    """What settings would have made of the last days."""

    model_name = text("Registered model", "DNA_Analysis_Model", required=True)
    model_version = text("Version", "1", required=True)
    settings = settings_field("The settings that would be in force", required=True)
    days = fields.List(
        fields.Nested(PreviewDaySchema),
        required=True,
        metadata={
            "description": f"The last {PREVIEW_DAYS} days, today last; fewer where the version has very many points"
        },
    )
