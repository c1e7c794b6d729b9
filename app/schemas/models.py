"""Model lists: ModelInfo, and the query that all lists take."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load, validate

from app.domain.monitoring.verdicts import VERDICTS
from app.domain.registry.query import EVERYTHING, SORTS, ListQuery
from app.domain.registry.stages import STAGES
from app.schemas.base import (
    Owners,
    PageQuerySchema,
    days_back,
    doc,
    flag,
    metric_choice,
    metrics,
    moment,
    owner_field,
    part_of_name,
    text,
    words,
)


class VersionSchema(Schema):
    """One version of a model."""

    version = text("Version", "1", required=True)
    stage = fields.String(
        required=True,
        validate=validate.OneOf(STAGES),
        metadata=doc("Effective stage: MLflow's, or the stage that an alias stands for", "Production"),
    )
    stage_source = fields.String(
        required=True,
        validate=validate.OneOf(["stage", "alias"]),
        metadata=doc("Whether the effective stage comes from MLflow's stage or from an alias", "stage"),
    )
    aliases = fields.List(fields.String(), required=True, metadata=doc("Aliases", ["champion"]))
    creation_timestamp = moment("When the version was registered", required=True, allow_none=True)
    last_updated_timestamp = moment("When it last changed", "2023-12-05T15:30:00Z", required=True, allow_none=True)
    description = text("Description", "Initial production model", required=True, allow_none=True)
    tags = words("Tags of the version", {"validated": "true"})
    metrics = metrics("Last values of the version's source run; null for NaN and infinity")
    model_type = text("`classifier`, `regressor`, or the value of a tag", "classifier", required=True, allow_none=True)
    owner = owner_field()
    run_id = text("Source run", "abc123def456", required=True, allow_none=True)
    monitored = flag("Whether the version is registered for monitoring", True, required=True)


class ModelInfoSchema(VersionSchema):
    """One model version in a list."""

    name = text("Registered model", "DNA_Analysis_Model", required=True)


def _tag(value: str) -> None:
    if ":" not in value:
        raise ValidationError("Write it as key:value.")


def _one_of_any_case(allowed: tuple[str, ...], value: str) -> str:
    for name in allowed:
        if name.lower() == value.lower():
            return name
    raise ValidationError(f"Must be one of {', '.join(allowed)}.")


class ListQuerySchema(PageQuerySchema):
    """Filters, order and page of a list."""

    name = part_of_name()
    stage = text("`None`, `Staging`, `Production` or `Archived`, in any case", "Production")
    alias = text("An alias", "champion")
    model_type = text("Model type", "classifier")
    tag = fields.List(
        fields.String(validate=_tag, metadata={"pattern": ":"}),
        metadata=doc("A tag as `key:value`; may be repeated", ["team:genomics"]),
    )
    owners = Owners()
    sort = fields.String(
        validate=validate.OneOf([*SORTS, *(f"-{name}" for name in SORTS)]),
        metadata=doc("Order; `-` for descending", "-creation_timestamp"),
    )

    @post_load
    def _query(self, data: dict[str, Any], **_: Any) -> ListQuery:
        query = ListQuery(**query_parts(data))
        # The shared object lets a prepared list be recognised by identity.
        return EVERYTHING if query == EVERYTHING else query


def query_parts(data: dict[str, Any]) -> dict[str, Any]:
    """The fields of a `ListQuery`, from a validated query string."""
    parts = {**data, "tags": tuple(tuple(tag.split(":", 1)) for tag in data.get("tag", ()))}
    parts.pop("tag", None)
    if "stage" in parts:
        try:
            parts["stage"] = _one_of_any_case(STAGES, parts["stage"])
        except ValidationError as error:
            raise ValidationError({"stage": error.messages}) from None
    return parts


class DriftQuerySchema(Schema):
    """The metrics, and how many days of them."""

    metric = metric_choice("A metric; may be repeated. By default all. Each costs a request to MLflow")
    days = days_back(30, default=30)


class DriftSchema(Schema):
    """One version's metrics by day."""

    version = text("Version", "1", required=True)
    stage = text("Effective stage", "Production", required=True)
    metrics_over_time = fields.List(
        fields.Dict(keys=fields.String()),
        required=True,
        metadata=doc(
            "One entry per UTC day with points: `date`, and the last value logged that day of each metric",
            [{"date": "2023-12-01T00:00:00Z", "accuracy": 0.945}],
        ),
    )
    verdict = fields.String(
        required=True,
        validate=validate.OneOf(VERDICTS),
        metadata=doc("Verdict of the worst of these metrics", "healthy"),
    )
    verdicts = words("The verdict on each metric", {"accuracy": "healthy"})
    populations = words(
        "Of each metric, whether its series was logged outside the source run (`production`) or by it (`training`)",
        {"accuracy": "production"},
    )
