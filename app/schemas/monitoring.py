"""The monitored versions with their verdicts, and the query of their list."""

from typing import Any

from marshmallow import Schema, fields, post_load, validate

from app.domain.monitoring.verdicts import VERDICTS
from app.domain.registry.query import VERDICT_SORTS, FleetQuery
from app.domain.registry.stages import MODEL_TYPES, STAGES
from app.schemas.acts import acknowledged_field, mutes_field
from app.schemas.base import (
    Owners,
    PageQuerySchema,
    doc,
    moment,
    owner_field,
    part_of_name,
    text,
)
from app.schemas.registrations import SETTINGS_DESCRIPTION, settings_field
from app.schemas.verdicts import (
    ALARM,
    REASONS,
    KeyMetricSchema,
    MetricVerdictSchema,
    began_field,
    reasons_field,
    verdict_field,
)


class MonitoredVersionSchema(Schema):
    """A registration, and the verdict on its version."""

    model_name = text("Registered model", "DNA_Analysis_Model", required=True)
    model_version = text("Version", "1", required=True)
    model_type = text("What it is registered as", "classifier", required=True)
    stage = fields.String(
        required=True, allow_none=True, validate=validate.OneOf(STAGES), metadata=doc("Effective stage", "Production")
    )
    owner = owner_field()
    registered_by = text("Who registered it", "data_scientist_john", required=True)
    registered_at = moment("When", "2023-11-01T10:00:00Z", required=True)
    monitor_run_id = text(
        "The run in MLflow that holds registration, observations and verdicts", "b1946ac9", required=True
    )
    settings = settings_field(f"Those in force. {SETTINGS_DESCRIPTION}", required=True)
    own_settings = settings_field(
        "Those of the version itself, which count before those of what watches it; null if it is monitored only since "
        "it is watched",
        required=True,
        allow_none=True,
    )
    watched_by = fields.List(
        fields.String(),
        required=True,
        metadata=doc("The watches that cover it, in the order in which their settings count", ["alias champion"]),
    )
    verdict = verdict_field("The verdict of its worst metric", required=True)
    since = moment("Since when it has this verdict", "2023-12-06T10:15:00Z", required=True)
    began_at = began_field()
    reasons = reasons_field("Why, in words and figures, the worst first")
    checked_at = moment("When it was checked last", "2023-12-07T10:15:00Z", required=True, allow_none=True)
    acknowledged = acknowledged_field()
    mutes = mutes_field()
    metric = fields.Nested(
        KeyMetricSchema,
        required=True,
        allow_none=True,
        metadata={
            "description": "The worst metric, which the first reason names; among equals the best known. Null before "
            "the first check"
        },
    )
    metrics = fields.Dict(
        keys=fields.String(),
        values=fields.Nested(MetricVerdictSchema),
        required=True,
        metadata=doc(
            "Per metric its verdict, baseline, last value, number of points and direction",
            {
                "accuracy": {
                    "verdict": "drifting",
                    "reasons": REASONS,
                    "population": "production",
                    "baseline": {"mean": 0.94, "std": 0.012, "n": 20},
                    "last": 0.871,
                    "last_at": "2023-12-07T00:00:00Z",
                    "points": 30,
                    "recent": [0.94, 0.93, 0.871],
                    "began_at": "2023-12-03T00:00:00Z",
                    "alarms": [ALARM],
                    "direction": "higher",
                }
            },
        ),
    )


class MonitoringQuerySchema(PageQuerySchema):
    """Filters, order and page of the registrations."""

    verdict = fields.String(validate=validate.OneOf(VERDICTS), metadata=doc("A verdict", "drifting"))
    model_type = fields.String(
        validate=validate.OneOf(MODEL_TYPES), metadata=doc("What it is registered as", "classifier")
    )
    type = fields.String(validate=validate.OneOf(MODEL_TYPES), metadata=doc("The same as `model_type`", "classifier"))
    name = part_of_name()
    stage = fields.String(validate=validate.OneOf(STAGES), metadata=doc("Effective stage", "Production"))
    owners = Owners()
    sort = fields.String(
        validate=validate.OneOf([sign + sort for sort in ("name", *VERDICT_SORTS) for sign in ("", "-")]),
        metadata=doc(
            "Order: `name` (the default), `verdict` (the worst first, and among equal verdicts the newest change), "
            "`since`; `-` for descending",
            "verdict",
        ),
    )

    @post_load
    def _query(self, data: dict[str, Any], **_: Any) -> FleetQuery:
        short = data.pop("type", None)
        return FleetQuery(**{"model_type": short, **data}, monitored=True)
