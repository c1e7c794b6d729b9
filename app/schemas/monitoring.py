"""Monitoring: registering a model version, removing it, its status."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load, validate

from app.domain.messages import INVALID_MODEL_TYPE
from app.domain.monitoring.check_settings import (
    DEFAULT_BASELINE,
    DEFAULT_M,
    DEFAULT_N,
    LEAST_BASELINE,
    MOST_BASELINE,
)
from app.domain.monitoring.directions import DIRECTIONS
from app.domain.monitoring.evidence import PRODUCTION, SOURCES, TRAINING
from app.domain.monitoring.observations import MOST_VALUES
from app.domain.monitoring.rules import RULES
from app.domain.monitoring.verdicts import VERDICTS
from app.domain.registry.names import LONGEST_NAME, LONGEST_TAG
from app.domain.registry.query import VERDICT_SORTS, FleetQuery, ListQuery
from app.domain.registry.stages import MODEL_TYPES, STAGES
from app.schemas.base import (
    PageQuerySchema,
    days_back,
    flag,
    metric_choice,
    moment,
    number,
    part_of_name,
    real,
    text,
    told,
)


def _model_type(value: object) -> None:
    if value not in MODEL_TYPES:
        raise ValidationError(INVALID_MODEL_TYPE)


class _Json(fields.Raw):
    """JSON as it came: the domain parses it, and says what is wrong where."""


_SETTINGS: dict[str, Any] = {
    "limits": {"accuracy": {"min": 0.9}},
    "baseline": {"points": 30},
    "silence_hours": 48,
    "alarm": {"m": 3, "n": 5},
    "direction": {"my_score": "higher"},
}
_SETTINGS_TOLD = (
    "How it is checked. `limits` per metric (`min`, `max`); "
    f"`baseline`: `{{points}}` ({LEAST_BASELINE} to {MOST_BASELINE}, default {DEFAULT_BASELINE}), "
    "`{from, to}` or `{version}`; `silence_hours`; "
    f"`alarm`: `m` of the last `n` points (default {DEFAULT_M} of {DEFAULT_N}); `direction` of metrics whose name does "
    f"not tell: `higher` or `lower` is better. At most {LONGEST_TAG} characters"
)


def _settings(description: str, **options: Any) -> _Json:
    return _Json(metadata={"type": "object", **told(description, _SETTINGS)}, **options)


class RegisterSchema(Schema):
    """What a registration needs."""

    model_type = fields.String(
        required=True,
        validate=_model_type,
        error_messages={
            "invalid": INVALID_MODEL_TYPE,
            "null": INVALID_MODEL_TYPE,
            "required": "Needed: classifier or regressor.",
        },
        metadata=told("`classifier` or `regressor`", "classifier", enum=list(MODEL_TYPES)),
    )
    registered_by = text(
        "Who adds the model; by default the name of the access key, else `anonymous`",
        "data_scientist_john",
        validate=validate.Length(1, LONGEST_NAME),
    )
    settings = _settings(_SETTINGS_TOLD, allow_none=True)


class SettingsSchema(Schema):
    """A change of the settings of a registration."""

    settings = _settings(
        f"{_SETTINGS_TOLD}. What is not named stays; null restores a default (RFC 7396). A baseline is replaced whole",
        required=True,
        allow_none=True,
        error_messages={"required": 'Needed, as {{"silence_hours": 48}}.'},
    )


class RegisteredSchema(Schema):
    """A registration that was made."""

    message = text("What was done", "Model DNA_Analysis_Model v1 added to monitoring as classifier", required=True)
    model_name = text("Registered model", "DNA_Analysis_Model", required=True)
    model_version = text("Version", "1", required=True)
    model_type = text("What it was registered as", "classifier", required=True)
    registered_at = moment("When", "2023-12-07T10:30:00Z", required=True)


class RemovedSchema(Schema):
    """A registration that was removed."""

    message = text("What was done", "Model DNA_Analysis_Model v1 removed from monitoring", required=True)
    model_name = text("Registered model", "DNA_Analysis_Model", required=True)
    model_version = text("Version", "1", required=True)
    removed_at = moment("When", "2023-12-07T11:00:00Z", required=True)


class StatusSchema(Schema):
    """Whether a model version is monitored."""

    model_name = text("Registered model", "DNA_Analysis_Model", required=True)
    model_version = text("Version", "1", required=True)
    is_monitored = flag("Whether it is registered for monitoring", True, required=True)


def verdict_field(description: str, example: str = "drifting", **options: Any) -> fields.String:
    return fields.String(validate=validate.OneOf(VERDICTS), metadata=told(description, example), **options)


_REASONS = ["accuracy 0.871, baseline 0.940 ± 0.012, below for 4 of the last 5 points since 2023-12-03"]


def reasons_field(description: str) -> fields.List[str]:
    return fields.List(fields.String(), required=True, metadata=told(description, _REASONS))


def recent_field() -> fields.List[float]:
    return fields.List(
        fields.Float(),
        required=True,
        metadata=told("The last 20 values that are judged, the newest last", [0.94, 0.93, 0.871]),
    )


def direction_field() -> fields.String:
    return fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf(DIRECTIONS),
        metadata=told("Whether `higher` or `lower` is better; null where that is not known", "higher"),
    )


class BaselineSchema(Schema):
    """What the later points of a metric are held against. Points far from all others are set aside."""

    mean = real("Mean", 0.94, required=True)
    std = real("Standard deviation", 0.012, required=True)
    n = number("Of how many points, without those set aside", 20, required=True)


class MetricVerdictSchema(Schema):
    """The verdict on one metric."""

    verdict = verdict_field("Verdict on the metric", required=True)
    reasons = reasons_field("Why, the worst first")
    population = fields.String(
        required=True,
        validate=validate.OneOf([PRODUCTION, TRAINING]),
        metadata=told("`production`: logged outside the source run; `training`: by the source run", "production"),
    )
    baseline = fields.Nested(
        BaselineSchema,
        required=True,
        allow_none=True,
        metadata={"description": "Null where there are too few points for one"},
    )
    last = real("Last value", 0.871, required=True, allow_none=True)
    last_at = moment("When that was", "2023-12-07T00:00:00Z", required=True, allow_none=True)
    points = number("How many points are judged", 30, required=True)
    recent = recent_field()
    direction = direction_field()


class KeyMetricSchema(Schema):
    """The metric to look at first."""

    name = text("Name of the metric", "accuracy", required=True)
    last = real("Last value; null for NaN and infinity", 0.871, required=True, allow_none=True)
    last_at = moment("When that was; null before a check", "2023-12-07T00:00:00Z", required=True, allow_none=True)
    verdict = verdict_field("Verdict on the metric; null before a check", required=True, allow_none=True)
    direction = direction_field()
    baseline = fields.Nested(
        BaselineSchema,
        required=True,
        allow_none=True,
        metadata={"description": "Null where there are too few points for one, and before a check"},
    )
    change = real("The last value less the baseline's mean", -0.069, required=True, allow_none=True)
    worse = flag(
        "Whether that is to the worse side; null where nothing changed or nobody knows which side that is",
        True,
        required=True,
        allow_none=True,
    )
    recent = recent_field()


class MonitoredVersionSchema(Schema):
    """A registration, and the verdict on its version."""

    model_name = text("Registered model", "DNA_Analysis_Model", required=True)
    model_version = text("Version", "1", required=True)
    model_type = text("What it is registered as", "classifier", required=True)
    stage = fields.String(
        required=True, allow_none=True, validate=validate.OneOf(STAGES), metadata=told("Effective stage", "Production")
    )
    registered_by = text("Who registered it", "data_scientist_john", required=True)
    registered_at = moment("When", "2023-11-01T10:00:00Z", required=True)
    monitor_run_id = text(
        "The run in MLflow that holds registration, observations and verdicts", "b1946ac9", required=True
    )
    settings = _settings(_SETTINGS_TOLD, required=True)
    verdict = verdict_field("The verdict of its worst metric", required=True)
    since = moment("Since when it is that", "2023-12-06T10:15:00Z", required=True)
    reasons = reasons_field("Why, in words and figures, the worst first")
    checked_at = moment("When it was checked last", "2023-12-07T10:15:00Z", required=True, allow_none=True)
    metric = fields.Nested(
        KeyMetricSchema,
        required=True,
        allow_none=True,
        metadata={"description": "Of its metrics the worst, then the best known; null before the first check"},
    )
    metrics = fields.Dict(
        keys=fields.String(),
        values=fields.Nested(MetricVerdictSchema),
        required=True,
        metadata=told(
            "Per metric its verdict, baseline, last value, number of points and direction",
            {
                "accuracy": {
                    "verdict": "drifting",
                    "reasons": _REASONS,
                    "population": "production",
                    "baseline": {"mean": 0.94, "std": 0.012, "n": 20},
                    "last": 0.871,
                    "last_at": "2023-12-07T00:00:00Z",
                    "points": 30,
                    "recent": [0.94, 0.93, 0.871],
                    "direction": "higher",
                }
            },
        ),
    )


class ObservationsSchema(Schema):
    """Metric values of a monitored version: one observation, or several."""

    metrics = _Json(
        metadata={"type": "object", **told("Values by the name of the metric", {"accuracy": 0.93, "f1_score": 0.91})}
    )
    timestamp = _Json(
        metadata={
            "type": "string",
            **told(
                "When that was, RFC 3339 with its offset; by default now", "2023-12-07T10:30:00Z", format="date-time"
            ),
        }
    )
    observations = _Json(
        metadata={
            "type": "array",
            "items": {"type": "object"},
            **told(
                f"Several, instead of the two above; at most {MOST_VALUES} values in all",
                [{"metrics": {"accuracy": 0.93}, "timestamp": "2023-12-07T10:30:00Z"}],
            ),
        }
    )


class AcceptedSchema(Schema):
    """Observations that were written."""

    accepted = number("How many metric values", 2, required=True)


class SeriesQuerySchema(Schema):
    """Which points."""

    metric = metric_choice()
    days = days_back(90, default=3650)


_POINT = {
    "time": "2023-12-07T00:00:00Z",
    "value": 0.871,
    "source": "monitor run",
    "run_id": "b1946ac9",
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
        metadata=told(
            "Per metric: `points`, the series that is judged, by time; `reference`, the points shown beside it; "
            f"where each came from (`source`: {_SOURCES}) and the rules that `fired` there ({_RULES}); "
            "`population`, `verdict`, `reasons`, `baseline` and its `reach` to either side, `limits`, "
            "`direction`",
            {
                "accuracy": {
                    "verdict": "drifting",
                    "reasons": _REASONS,
                    "population": "production",
                    "baseline": {"mean": 0.94, "std": 0.012, "n": 20},
                    "reach": 0.042,
                    "limits": {"min": 0.9, "max": None},
                    "direction": "higher",
                    "last": 0.871,
                    "last_at": "2023-12-07T00:00:00Z",
                    "recent": [0.94, 0.93, 0.871],
                    "points": [_POINT],
                    "reference": [{**_POINT, "source": "source run", "fired": []}],
                }
            },
        ),
    )


class MonitoringQuerySchema(PageQuerySchema):
    """Filters, order and page of the registrations."""

    verdict = fields.String(validate=validate.OneOf(VERDICTS), metadata=told("A verdict", "drifting"))
    model_type = fields.String(
        validate=validate.OneOf(MODEL_TYPES), metadata=told("What it is registered as", "classifier")
    )
    type = fields.String(validate=validate.OneOf(MODEL_TYPES), metadata=told("The same as `model_type`", "classifier"))
    name = part_of_name()
    stage = fields.String(validate=validate.OneOf(STAGES), metadata=told("Effective stage", "Production"))
    sort = fields.String(
        validate=validate.OneOf(["name", *VERDICT_SORTS, *(f"-{sort}" for sort in VERDICT_SORTS)]),
        metadata=told(
            "Order: `name` (the default), `verdict` (the worst first, of equal ones the newest change), `since`; "
            "`-` turns it round",
            "verdict",
        ),
    )

    @post_load
    def _query(self, data: dict[str, Any], **_: Any) -> FleetQuery:
        short = data.pop("type", None)
        return FleetQuery(**{"model_type": short, **data}, monitored=True)


class HistoryQuerySchema(PageQuerySchema):
    """Of which model or version, and which page."""

    name = text("A registered model", "DNA_Analysis_Model")
    version = text("A version", "1")

    @post_load
    def _query(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {"name": data.pop("name", None), "version": data.pop("version", None), "query": ListQuery(**data)}


class EventSchema(Schema):
    """Something that happened to a registration."""

    at = moment("When", "2023-12-06T10:15:00Z", required=True)
    event = fields.String(
        required=True,
        metadata=told("What", "verdict", enum=["registered", "verdict", "removed"]),
    )
    name = text("Registered model", "DNA_Analysis_Model", required=True)
    version = text("Version", "1", required=True)
    monitor_run_id = text("The run in MLflow that holds the registration", "b1946ac9", required=True)
    by = text("Who", "control-tower", required=True, allow_none=True)
    verdict = verdict_field("The new verdict, of a change of it", required=True, allow_none=True)
    before = verdict_field("The verdict before, of a change of it", "degraded", required=True, allow_none=True)
    reasons = reasons_field("Why; of old changes of verdict the reasons are not kept")
