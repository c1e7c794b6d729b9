"""Watches on an alias or a stage."""

from typing import Any

from marshmallow import Schema, fields, post_load, validate

from app.domain.registry.query import ListQuery
from app.domain.registry.stages import STAGES
from app.schemas.base import PageQuerySchema, doc, moment, text
from app.schemas.monitoring import MonitoredVersionSchema
from app.schemas.registrations import settings_field
from app.schemas.verdicts import reasons_field, verdict_field


class WatchSchema(Schema):
    """A watch, and the verdict on the version that it covers."""

    model_name = text("Registered model", "DNA_Analysis_Model", required=True)
    alias = text("The alias that is watched; null for a stage", "champion", required=True, allow_none=True)
    stage = fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf(STAGES),
        metadata=doc("The stage that is watched; null for an alias", None),
    )
    model_version = text("The version that is there now; null if there is none", "3", required=True, allow_none=True)
    model_type = text("What it is registered as", "classifier", required=True)
    registered_by = text("Who made the watch", "data_scientist_john", required=True)
    registered_at = moment("When", "2023-11-01T10:00:00Z", required=True)
    watch_run_id = text("The run in MLflow that holds the watch", "5f2c9a71", required=True)
    settings = settings_field(
        "The settings of the watch. Those of the version itself count before these", required=True
    )
    verdict = verdict_field("The verdict on the version there; `insufficient_data` if there is none", required=True)
    since = moment(
        "Since when the version has this verdict; null if there is no version", "2023-12-06T10:15:00Z",
        required=True, allow_none=True,
    )  # fmt: skip
    reasons = reasons_field("Why, in words and figures, the worst first")
    monitor = fields.Nested(
        MonitoredVersionSchema,
        required=True,
        allow_none=True,
        metadata={"description": "The registration of the version there; null if there is no version"},
    )


class WatchesQuerySchema(PageQuerySchema):
    """Filter and page of the watches."""

    model = text("The whole name of a registered model: its watches", "DNA_Analysis_Model")

    @post_load
    def _query(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {"model": data.pop("model", None), "query": ListQuery(**data)}


class WatchRemovedSchema(Schema):
    """A watch that was removed."""

    message = text("What was done", "Watching the alias champion of DNA_Analysis_Model ended", required=True)
    model_name = text("Registered model", "DNA_Analysis_Model", required=True)
    removed_at = moment("When", "2023-12-07T11:00:00Z", required=True)


class WatchAcceptedSchema(Schema):
    """Observations that were written."""

    accepted = fields.Integer(required=True, metadata=doc("How many metric values", 2))
    model_version = text("The version that they are of", "3", required=True)
