"""The history of the registry: its changes, and a registered model as it was at a time."""

from typing import Any

from marshmallow import Schema, fields, post_load, validate

from app.domain.registry.names import version_number
from app.domain.registry.query import ListQuery
from app.domain.registry.stages import STAGES, STAGES_IN_USE
from app.domain.registry_history.change import KINDS, THROUGH
from app.domain.registry_history.index import ChangeQuery
from app.domain.registry_history.past import REASONS
from app.domain.times import parse_rfc3339
from app.schemas.base import PageQuerySchema, doc, flag, moment, text, words

_TIME = "2026-11-20T12:00:00Z"


def moment_asked_for(**options: Any) -> fields.String:
    """The time of which a state is wanted."""
    return moment("The time of which the state is wanted", _TIME, **options)


def time_of(data: dict[str, Any], name: str) -> int | None:
    """A time in a query, in milliseconds; None where it was left out. Raises `InvalidInput`."""
    return parse_rfc3339(data[name], name) if name in data else None


class ChangesQuerySchema(PageQuerySchema):
    """Filters and page of the changes."""

    name = text("A registered model: its changes under all its names", "DNA_Analysis_Model")
    kind = fields.String(validate=validate.OneOf(KINDS), metadata=doc("A kind of change", "alias"))
    version = text("A version: changes of it, and aliases that were moved to it or away from it", "4")
    since = moment("Changes that may have happened at this time or later", "2026-11-01T00:00:00Z")
    until = moment("Changes that may have happened at this time or earlier", "2026-11-30T00:00:00Z")

    @post_load
    def _query(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        since, until = time_of(data, "since"), time_of(data, "until")
        version = data.get("version")
        # No version is 0, so that an impossible version matches nothing.
        number = None if version is None else version_number(version) or -1
        wanted = ChangeQuery(data.get("name"), data.get("kind"), number, since, until)
        page = ListQuery(page=data.get("page"), page_size=data.get("page_size"))
        return {"query": page, "wanted": wanted}


class ModelChangesQuerySchema(ChangesQuerySchema):
    """Filters and page of the changes of one model."""

    class Meta:
        exclude = ("name",)


class ChangeSchema(Schema):
    """A change in the registry."""

    id = text("Identifies the change", "3f2a9c1e5b7d4a6088c1d2e3", required=True)
    kind = fields.String(required=True, validate=validate.OneOf(KINDS), metadata=doc("What changed", "alias"))
    model_name = text("Registered model, by its name after the change", "DNA_Analysis_Model", required=True)
    version = text(
        "Version that changed, or to which the alias points now; null for a model, and for an alias that was removed",
        "4",
        required=True,
        allow_none=True,
    )
    alias = text("The alias; null for other kinds", "champion", required=True, allow_none=True)
    from_ = fields.String(
        data_key="from",
        required=True,
        allow_none=True,
        metadata=doc(
            "What was: the stage, the version of the alias, the name of a model that was renamed or deleted, the "
            "creation time of what was created again; null if there was nothing",
            "3",
        ),
    )
    to = text("What is, as `from`; null if there is nothing", "4", required=True, allow_none=True)
    not_before = moment("It happened after this time", "2026-11-20T11:59:12Z", required=True)
    not_after = moment("It happened at this time or before", _TIME, required=True)
    actor = text("Who did it; null if it was done outside this service", None, required=True, allow_none=True)
    through = fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf(THROUGH),
        metadata=doc(
            "`tower` if this service did it, otherwise how it was seen: `push` (MLflow's webhook), `poll` or `sweep`; "
            "null if the process that saw it ended before it recorded it, or if this service found it only when it was "
            "about to move something",
            "push",
        ),
    )


class StateQuerySchema(Schema):
    """The time of which the state is wanted."""

    at = moment_asked_for(required=True)

    @post_load
    def _query(self, data: dict[str, Any], **_: Any) -> int:
        return parse_rfc3339(data["at"], "at")


class PastVersionSchema(Schema):
    """A version as it was."""

    version = text("Version", "4", required=True)
    stage = fields.String(required=True, validate=validate.OneOf(STAGES), metadata=doc("Effective stage", "Production"))
    stage_source = fields.String(
        required=True,
        validate=validate.OneOf(["stage", "alias"]),
        metadata=doc("Whether the effective stage comes from MLflow's stage or from an alias", "alias"),
    )
    aliases = fields.List(fields.String(), required=True, metadata=doc("Aliases", ["champion"]))
    creation_timestamp = moment("When it was registered", required=True, allow_none=True)


class GapSchema(Schema):
    """A time in which the service did not look at the registry."""

    not_before = moment("It began after this time", "2026-11-20T09:00:00Z", required=True)
    not_after = moment("It ended at this time or before", "2026-11-20T09:40:00Z", required=True)


class StateSchema(Schema):
    """A registered model as it was at a time, or, where that is not known, as it was last seen before."""

    model_name = text("Registered model", "DNA_Analysis_Model", required=True)
    name_then = text("Its name at that time", "DNA_Analysis_Model", required=True)
    at = moment("The time", _TIME, required=True)
    known = flag("Whether all of this is known", True, required=True)
    why = fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf(REASONS),
        metadata=doc(
            "Why it is not known: the time is before this service first looked at the registry, or in a time in which "
            "it did not look, or after its last look, or something changed between two looks; null if it is known",
            None,
        ),
    )
    not_before = moment("Since when it is not known", _TIME, required=True, allow_none=True)
    not_after = moment("Until when it is not known", _TIME, required=True, allow_none=True)
    exists = fields.Boolean(
        required=True, allow_none=True, metadata=doc("Whether the model existed; null if that is not known", True)
    )
    production = fields.List(
        fields.String(), required=True, metadata=doc("Versions with the effective stage Production", ["4"])
    )
    staging = fields.List(
        fields.String(), required=True, metadata=doc("Versions with the effective stage Staging", ["5"])
    )
    aliases = words("The version under each alias", {"champion": "4"})
    versions = fields.List(fields.Nested(PastVersionSchema), required=True)
    unsure = fields.List(
        fields.Nested(ChangeSchema),
        required=True,
        metadata={"description": "The changes that may have happened before that time or after it"},
    )
    first_look = moment(
        "When the service first looked at the registry; null if it has not yet", required=True, allow_none=True
    )
    not_looked = fields.List(
        fields.Nested(GapSchema),
        required=True,
        metadata={"description": "The times before that one in which the service did not look, oldest first"},
    )


class HoldersQuerySchema(PageQuerySchema):
    """The page of the holders."""

    @post_load
    def _query(self, data: dict[str, Any], **_: Any) -> ListQuery:
        return ListQuery(**data)


class HolderSchema(Schema):
    """A version that had an alias, or was in a stage, for some time."""

    stage = fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf(STAGES_IN_USE),
        metadata=doc("The effective stage; null for an alias", None),
    )
    alias = text("The alias; null for a stage", "champion", required=True, allow_none=True)
    version = text("The version that was there", "4", required=True)
    since = fields.Nested(
        ChangeSchema,
        required=True,
        allow_none=True,
        metadata={"description": "The change that brought it there; null if it was there at the first look"},
    )
    until = fields.Nested(
        ChangeSchema,
        required=True,
        allow_none=True,
        metadata={"description": "The change after which it was there no longer; null if it is there still"},
    )
