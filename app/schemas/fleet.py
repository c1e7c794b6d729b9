"""The fleet: every version with its verdict, and the figures of all."""

from typing import Any

from marshmallow import Schema, fields, post_load, validate

from app.domain.findings import FINDINGS, OF_VERSIONS
from app.domain.monitoring.model_groups import GROUP_SORTS
from app.domain.monitoring.verdicts import VERDICTS
from app.domain.registry.query import SORTS, FleetQuery
from app.domain.registry.stages import STAGES
from app.schemas.acts import acknowledged_field, mutes_field
from app.schemas.base import doc, flag, moment, number, text
from app.schemas.history import moment_asked_for, time_of
from app.schemas.models import ListQuerySchema, ModelInfoSchema, query_parts
from app.schemas.verdicts import KeyMetricSchema, began_field, reasons_field, verdict_field

_SORTS = (*SORTS, "verdict")


class FleetQuerySchema(ListQuerySchema):
    """Filters, order and page of the fleet: those of a list, and filters by verdict, monitoring and finding."""

    model = text("The whole name of a registered model", "DNA_Analysis_Model")
    verdict = verdict_field("A verdict; versions that are not monitored have none")
    monitored = fields.Boolean(
        truthy={"true", "True"},
        falsy={"false", "False"},
        metadata=doc("`true`: versions that are registered for monitoring; `false`: the others", True),
    )
    finding = fields.String(
        validate=validate.OneOf(OF_VERSIONS),
        metadata=doc("A kind of finding that names the version", "production_stale"),
    )
    sort = fields.String(
        validate=validate.OneOf([*_SORTS, *(f"-{name}" for name in _SORTS)]),
        metadata=doc(
            "Order; `-` for descending. `verdict` puts the worst first, and among equal verdicts the newest change; "
            "versions that are not monitored come last",
            "verdict",
        ),
    )

    at = moment_asked_for()

    @post_load
    def _query(self, data: dict[str, Any], **_: Any) -> FleetQuery:
        return FleetQuery(**{**query_parts(data), "at": time_of(data, "at")})


class FleetDataSchema(Schema):
    """What moved in the data of a version, as of its newest window."""

    inputs = number("How many inputs are counted", 17, required=True)
    moved_inputs = number("How many of them moved", 3, required=True)
    moved_outputs = number("How many of prediction and score moved", 0, required=True)
    moved_since = moment(
        "Since when the first of those moved; null if none did", "2023-11-21T00:00:00Z", required=True, allow_none=True
    )
    window_end = moment("When the newest window ends; null before the first", required=True, allow_none=True)
    has_reference = flag("Whether a reference was sent; else the first ten windows are it", True, required=True)
    estimated = fields.Dict(
        keys=fields.String(),
        values=fields.Float(allow_none=True),
        required=True,
        allow_none=True,
        metadata=doc(
            "Its performance as estimated before labels come; null if nothing could be estimated",
            {"accuracy": 0.91, "precision": 0.88, "recall": 0.9, "f1": 0.89, "roc_auc": 0.961},
        ),
    )


class FleetRowSchema(ModelInfoSchema):
    """One model version with its verdict, key metric and findings."""

    verdict = verdict_field(
        "The verdict of its worst metric; null if it is not monitored", required=True, allow_none=True
    )
    since = moment(
        "Since when it has this verdict; null if it is not monitored",
        "2023-12-06T10:15:00Z",
        required=True,
        allow_none=True,
    )
    began_at = began_field()
    reasons = reasons_field("Why, in words and figures, the worst first; empty if it is not monitored")
    registered_by = text(
        "Who registered it for monitoring; null if nobody did", "data_scientist_john", required=True, allow_none=True
    )
    metric = fields.Nested(
        KeyMetricSchema,
        required=True,
        allow_none=True,
        metadata={
            "description": "The worst of the checked metrics, which the first reason names; before the first check the "
            "best known metric of the source run. Null if there is no metric"
        },
    )
    findings = fields.List(
        fields.String(validate=validate.OneOf(OF_VERSIONS)),
        required=True,
        metadata=doc("The kinds of findings that name this version, sorted", ["production_stale"]),
    )
    data = fields.Nested(
        FleetDataSchema,
        required=True,
        allow_none=True,
        metadata={"description": "What moved in its data; null where nothing was sent, or judged yet"},
    )
    acknowledged = acknowledged_field()
    mutes = mutes_field()
    known = flag("With `at`: whether all of this is known of that time; otherwise absent", True)


class FleetModelsQuerySchema(FleetQuerySchema):
    """Filters, order and page of the registered models. A model matches if one of its versions does."""

    sort = fields.String(
        validate=validate.OneOf([*GROUP_SORTS, *(f"-{name}" for name in GROUP_SORTS)]),
        metadata=doc(
            "Order; `-` for descending. Without it models in Production come first, and the worst verdict among those. "
            "`verdict` is that of the key version, `last_at` the time of its metric's last value. Models without a "
            "value come last",
            "verdict",
        ),
    )


def _counts(names: tuple[str, ...], description: str, example: dict[str, int]) -> fields.Dict:
    return fields.Dict(
        keys=fields.String(validate=validate.OneOf(names)),
        values=fields.Integer(),
        required=True,
        metadata=doc(description, {**dict.fromkeys(names, 0), **example}),
    )


class FleetModelSchema(Schema):
    """One registered model, with those of its versions that the query matches."""

    name = text("Registered model", "DNA_Analysis_Model", required=True)
    versions = number("How many of its versions match", 12, required=True)
    verdicts = _counts(VERDICTS, "Those that are monitored, by verdict", {"healthy": 2, "drifting": 1})
    in_production = fields.List(
        fields.String(), required=True, metadata=doc("Those in Production, the highest first", ["3"])
    )
    last_updated_timestamp = moment("When the last of them changed", required=True, allow_none=True)
    key_version = fields.Nested(
        FleetRowSchema,
        required=True,
        metadata={
            "description": "The version to look at first, as in `/fleet`: the worst that drifts or is degraded, else "
            "the one in Production, else a monitored one, else the highest"
        },
    )
    known = flag("With `at`: whether all of this is known of that time; otherwise absent", True)


class MissingSchema(Schema):
    """What versions lack that cannot be judged."""

    what = text("What is missing", "1 point; a baseline needs 10, and 2 later points", required=True)
    versions = number("How many versions lack it", 500, required=True)


class AttentionSchema(Schema):
    """What needs attention among the monitored versions."""

    message = text(
        "The state in one sentence. `Nothing needs attention` only if everything that is monitored can be judged, "
        "and every watch covers a version",
        "Nothing is drifting; 500 of 500 cannot be judged yet",
        required=True,
    )
    missing = fields.List(
        fields.Nested(MissingSchema),
        required=True,
        metadata={"description": "What those lack that cannot be judged, the most frequent first, five at most"},
    )
    idle_watches = number("Aliases and stages that are watched and have no version", 0, required=True)


class FleetSummarySchema(Schema):
    """Counts of the whole fleet."""

    versions = number("Model versions", 15, required=True)
    models = number("Registered models", 5, required=True)
    monitored = number("Versions that are monitored", 3, required=True)
    verdicts = _counts(VERDICTS, "Monitored versions by verdict", {"healthy": 2, "drifting": 1})
    attention = fields.Nested(AttentionSchema, required=True)
    findings = _counts(FINDINGS, "Findings by kind, including those about a model as a whole", {"production_stale": 1})
    stages = _counts(STAGES, "Versions by effective stage", {"None": 7, "Staging": 5, "Production": 3})
