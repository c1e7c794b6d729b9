"""Findings: what is out of order in the registry."""

from typing import Any

from marshmallow import Schema, fields, post_load, validate

from app.domain.findings import FINDINGS, FindingsQuery
from app.schemas.base import PageQuerySchema, part_of_name, text, told


class FindingsQuerySchema(PageQuerySchema):
    """Which findings, and which page of them."""

    name = part_of_name()
    finding = fields.String(validate=validate.OneOf(FINDINGS), metadata=told("One kind of finding", FINDINGS[0]))

    @post_load
    def _query(self, data: dict[str, Any], **_: Any) -> FindingsQuery:
        return FindingsQuery(**data)


class FindingSchema(Schema):
    """One finding."""

    finding = fields.String(
        required=True, validate=validate.OneOf(FINDINGS), metadata=told("What kind it is of", FINDINGS[0])
    )
    name = text("Registered model", "DNA_Analysis_Model", required=True)
    version = text("Version; null where it is of the model as a whole", "3", required=True, allow_none=True)
    detail = text("What was found", "Version 3 is in Production and not monitored.", required=True)
    action = text(
        "What to do",
        "Register it for monitoring: POST /models/DNA_Analysis_Model/3/monitor.",
        required=True,
    )
