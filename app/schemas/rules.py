"""Monitoring rules."""

from typing import Any

from marshmallow import Schema, fields, post_load, validate

from app.domain.registry.names import LONGEST_NAME
from app.domain.registry.query import ListQuery
from app.domain.registry.stages import MODEL_TYPES, STAGES
from app.schemas.base import PageQuerySchema, doc, flag, moment, number, text
from app.schemas.registrations import json_field, settings_field

_MATCH = {"stages": ["Production"], "tags": {"team": "genomics"}}
_MATCH_DESCRIPTION = (
    "Which versions match: those for which every part that is given holds. `stages`: it is in one of them. `aliases`: "
    "it has one of them. `tags`: it or its registered model has each of them, with that value, or with any where the "
    "value is null. `name`: the registered model's name fits the pattern, in which `*` stands for any characters and "
    "`?` for one; upper and lower case differ"
)


class _Described(Schema):
    match = json_field(_MATCH_DESCRIPTION, _MATCH, required=True)
    model_type = text(
        "What a version is registered as whose own type is not known: `classifier`, which is the default, or "
        "`regressor`",
        "classifier",
        allow_none=True,
    )
    settings = settings_field(
        "As those of a registration. Those of the version, then those of an alias or a stage, count before these",
        allow_none=True,
    )
    registered_by = text(
        "Who makes the rule; by default the name of the access key, else `anonymous`",
        "data_scientist_john",
        validate=validate.Length(1, LONGEST_NAME),
    )


class PutRuleSchema(_Described):
    """A monitoring rule as it shall be."""


class MakeRuleSchema(_Described):
    """A new monitoring rule."""

    name = text("Its name: 1 to 100 letters, digits, dots, dashes, underscores or spaces", "production", required=True)


class RuleSchema(Schema):
    """A monitoring rule."""

    name = text("Its name", "production", required=True)
    match = json_field(_MATCH_DESCRIPTION, _MATCH, required=True)
    model_type = fields.String(
        required=True,
        validate=validate.OneOf(MODEL_TYPES),
        metadata=doc("What a version is registered as whose own type is not known", "classifier"),
    )
    settings = settings_field("The settings of the rule", required=True)
    registered_by = text("Who made it", "data_scientist_john", required=True)
    registered_at = moment("When", "2023-11-01T10:00:00Z", required=True)
    rule_run_id = text("The run in MLflow that holds the rule", "5f2c9a71", required=True)
    covers = number("How many versions it covers", 12, required=True)
    excludes = number("How many versions are excluded from it", 1, required=True)


class RuleRemovedSchema(Schema):
    """A monitoring rule that was removed."""

    message = text("What was done", "The monitoring rule production was removed", required=True)
    name = text("Its name", "production", required=True)
    removed_at = moment("When", "2023-12-07T11:00:00Z", required=True)


class RulesQuerySchema(PageQuerySchema):
    """The page of the rules."""

    @post_load
    def _query(self, data: dict[str, Any], **_: Any) -> ListQuery:
        return ListQuery(**data)


class RuleVersionsQuerySchema(PageQuerySchema):
    """Filter and page of the versions of a rule."""

    excluded = fields.Boolean(
        truthy={"true", "True"},
        falsy={"false", "False"},
        metadata=doc("`true`: versions that are excluded; `false`: versions that are covered", False),
    )


class RuleVersionSchema(Schema):
    """A version that a rule covers, or that is excluded from it."""

    model_name = text("Registered model", "DNA_Analysis_Model", required=True)
    model_version = text("Version", "3", required=True)
    stage = fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf(STAGES),
        metadata=doc("Effective stage; null if the version no longer exists", "Production"),
    )
    monitored = flag("Whether it is monitored, since this rule covers it or otherwise", False, required=True)
    excluded = flag("Whether it is excluded from the rule", True, required=True)
    excluded_by = text("Who excluded it; null if it is covered", "ada", required=True, allow_none=True)
    excluded_at = moment("When; null if it is covered", required=True, allow_none=True)
