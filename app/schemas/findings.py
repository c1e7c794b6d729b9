"""Findings: what is out of order in the registry."""

from typing import Any

from marshmallow import Schema, fields, post_load, validate

from app.domain.findings import FINDINGS, FindingsQuery
from app.schemas.base import Owners, PageQuerySchema, doc, owner_field, part_of_name, text


class FindingsQuerySchema(PageQuerySchema):
    """Filters and page of the findings."""

    name = part_of_name()
    finding = fields.String(validate=validate.OneOf(FINDINGS), metadata=doc("Kind of finding", FINDINGS[0]))
    owners = Owners()

    @post_load
    def _query(self, data: dict[str, Any], **_: Any) -> FindingsQuery:
        return FindingsQuery(**data)


class FindingSchema(Schema):
    """One finding."""

    finding = fields.String(
        required=True, validate=validate.OneOf(FINDINGS), metadata=doc("Kind of finding", FINDINGS[0])
    )
    name = text("Registered model; for `rule_matches_nothing` the monitoring rule", "DNA_Analysis_Model", required=True)
    version = text(
        "Version; null if the finding is about the model as a whole or about a rule",
        "3",
        required=True,
        allow_none=True,
    )
    detail = text("What is out of order", "Version 3 is in Production and not monitored.", required=True)
    action = text(
        "What to do",
        "Register it for monitoring: POST /models/DNA_Analysis_Model/3/monitor.",
        required=True,
    )
    owner = owner_field()
