"""What happened to the registrations."""

from typing import Any

from marshmallow import Schema, fields, post_load

from app.domain.monitoring.acts import ACTS
from app.domain.registry.query import ListQuery
from app.schemas.base import (
    PageQuerySchema,
    doc,
    moment,
    text,
)
from app.schemas.verdicts import began_field, reasons_field, verdict_field


class HistoryQuerySchema(PageQuerySchema):
    """Filters and page of the history."""

    name = text("A registered model", "DNA_Analysis_Model")
    version = text("A version", "1")

    @post_load
    def _query(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {"name": data.pop("name", None), "version": data.pop("version", None), "query": ListQuery(**data)}


class EventSchema(Schema):
    """Something that happened to a registration, or that somebody did about it."""

    at = moment("When", "2023-12-06T10:15:00Z", required=True)
    event = fields.String(
        required=True,
        metadata=doc("What", "verdict", enum=["registered", "verdict", *ACTS, "withdrawn", "removed"]),
    )
    name = text("Registered model", "DNA_Analysis_Model", required=True)
    version = text("Version", "1", required=True)
    monitor_run_id = text("The run in MLflow that holds the registration", "b1946ac9", required=True)
    by = text("Who did it", "control-tower", required=True, allow_none=True)
    verdict = verdict_field(
        "The new verdict, or the one that was acknowledged; null for other events", required=True, allow_none=True
    )
    before = verdict_field("The verdict before; null for other events", "degraded", required=True, allow_none=True)
    began_at = began_field("When the change began that led to the verdict; null if not known, or no rule fired")
    reasons = reasons_field("Why. The reasons of old changes of verdict are not kept")
    note = text(
        "What was written with an act, the text of a comment; null for other events",
        None,
        required=True,
        allow_none=True,
    )
    metric = text(
        "The metric that was muted, or no longer is; null for a whole version, and for other events",
        None,
        required=True,
        allow_none=True,
    )
    until = moment("Until when it was muted; null for other events", None, required=True, allow_none=True)
