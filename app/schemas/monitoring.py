"""Monitoring: registrations, their settings, observations, verdicts and history."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load, validate

from app.domain.messages import INVALID_MODEL_TYPE
from app.domain.monitoring.acts import ACTS
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
from app.domain.monitoring.preview import PREVIEW_DAYS
from app.domain.monitoring.rules import RULES
from app.domain.monitoring.sendings import MOST_PARTS
from app.domain.monitoring.sent_once import LONGEST_ID
from app.domain.monitoring.verdicts import VERDICTS
from app.domain.registry.names import LONGEST_NAME, LONGEST_TAG
from app.domain.registry.query import VERDICT_SORTS, FleetQuery, ListQuery
from app.domain.registry.stages import MODEL_TYPES, STAGES
from app.schemas.acts import acknowledged_field, mutes_field
from app.schemas.base import (
    Owners,
    PageQuerySchema,
    days_back,
    doc,
    flag,
    metric_choice,
    moment,
    number,
    owner_field,
    part_of_name,
    real,
    text,
)


def _model_type(value: object) -> None:
    if value not in MODEL_TYPES:
        raise ValidationError(INVALID_MODEL_TYPE)


class _Json(fields.Raw):
    """JSON as received. The domain parses it, and names the field in an error."""


_SETTINGS: dict[str, Any] = {
    "limits": {"accuracy": {"min": 0.9}},
    "baseline": {"points": 30},
    "silence_hours": 48,
    "alarm": {"m": 3, "n": 5},
    "direction": {"my_score": "higher"},
    "data_drift": {"inputs": "off"},
}
_SETTINGS_DESCRIPTION = (
    "How it is checked. `limits` per metric (`min`, `max`); "
    f"`baseline`: `{{points}}` ({LEAST_BASELINE} to {MOST_BASELINE}, default {DEFAULT_BASELINE}), "
    "`{from, to}` or `{version}`; `silence_hours`; "
    f"`alarm`: `m` of the last `n` points (default {DEFAULT_M} of {DEFAULT_N}); `direction` of metrics whose name does "
    "not show it: `higher` or `lower` is better; `data_drift`: what moved `inputs` and `predictions` and a fallen "
    f"`estimate` make (`off`, `degraded`, `drifting`), `observe`, `floor`. At most {LONGEST_TAG} characters"
)


def json_field(description: str, example: Any, **options: Any) -> _Json:
    """A JSON object that the domain parses."""
    return _Json(metadata={"type": "object", **doc(description, example)}, **options)


def settings_field(description: str, **options: Any) -> _Json:
    return json_field(description, _SETTINGS, **options)


class RegisterSchema(Schema):
    """A request to register a model version for monitoring."""

    model_type = fields.String(
        required=True,
        validate=_model_type,
        error_messages={
            "invalid": INVALID_MODEL_TYPE,
            "null": INVALID_MODEL_TYPE,
            "required": "Needed: classifier or regressor.",
        },
        metadata=doc("`classifier` or `regressor`", "classifier", enum=list(MODEL_TYPES)),
    )
    registered_by = text(
        "Who adds the model; by default the name of the access key, else `anonymous`",
        "data_scientist_john",
        validate=validate.Length(1, LONGEST_NAME),
    )
    settings = settings_field(_SETTINGS_DESCRIPTION, allow_none=True)


class SettingsSchema(Schema):
    """A request to change the settings of a registration."""

    settings = settings_field(
        f"{_SETTINGS_DESCRIPTION}. Settings that are not named stay; null restores a default (RFC 7396). A baseline is "
        "replaced as a whole",
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
    return fields.String(validate=validate.OneOf(VERDICTS), metadata=doc(description, example), **options)


_REASONS = [
    "accuracy fell to 0.860 on 5 December; at least 0.898 was expected from its first 20 days (0.940 ± 0.012). "
    "Below at 4 of the last 5 points since 3 December. Now 0.871."
]


def began_field(description: str = "When the data changed that led to the verdict; null if no rule fired") -> Any:
    return moment(description, "2023-12-03T00:00:00Z", required=True, allow_none=True)


def reasons_field(description: str) -> fields.List[str]:
    return fields.List(fields.String(), required=True, metadata=doc(description, _REASONS))


def recent_field() -> fields.List[float]:
    return fields.List(
        fields.Float(),
        required=True,
        metadata=doc("The last 20 values that are judged, the newest last", [0.94, 0.93, 0.871]),
    )


def direction_field() -> fields.String:
    return fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf(DIRECTIONS),
        metadata=doc("Whether `higher` or `lower` is better; null if that is not known", "higher"),
    )


class BaselineSchema(Schema):
    """The baseline that later points of a metric are compared with. Outliers are set aside."""

    mean = real("Mean", 0.94, required=True)
    std = real("Standard deviation", 0.012, required=True)
    n = number("Number of points, without those set aside", 20, required=True)


class AlarmSchema(Schema):
    """What a rule found wrong with a metric."""

    rule = fields.String(
        required=True,
        validate=validate.OneOf([rule.name for rule in RULES]),
        metadata=doc("The rule that fired", "baseline"),
    )
    verdict = verdict_field("What follows from this alarm", required=True)
    value = real("The value farthest out among the last points", 0.86, required=True, allow_none=True)
    at = moment(
        "Time of that value; both are null for `silence`", "2023-12-05T00:00:00Z", required=True, allow_none=True
    )
    expected_min = real("The least that was expected; null if that side is open", 0.898, required=True, allow_none=True)
    expected_max = real("The most that was expected; null if that side is open", None, required=True, allow_none=True)
    began_at = moment("When the data changed", "2023-12-03T00:00:00Z", required=True)
    fired = number("At how many of the last points the rule fired", 4, required=True)
    of = number("How many points those are", 5, required=True)
    excess = real("How far out the value is, in multiples of what was allowed", 1.9, required=True)
    accumulates = flag(
        "Whether no value was out by itself, but the cumulative sum of small deviations", False, required=True
    )


class MetricVerdictSchema(Schema):
    """The verdict on one metric."""

    verdict = verdict_field("Verdict on the metric", required=True)
    reasons = reasons_field("Why, the worst first")
    population = fields.String(
        required=True,
        validate=validate.OneOf([PRODUCTION, TRAINING]),
        metadata=doc("`production`: logged outside the source run; `training`: by the source run", "production"),
    )
    baseline = fields.Nested(
        BaselineSchema,
        required=True,
        allow_none=True,
        metadata={"description": "Null if there are too few points for a baseline"},
    )
    last = real("Last value", 0.871, required=True, allow_none=True)
    last_at = moment("Time of the last value", "2023-12-07T00:00:00Z", required=True, allow_none=True)
    points = number("How many points are judged", 30, required=True)
    recent = recent_field()
    began_at = began_field()
    alarms = fields.List(
        fields.Nested(AlarmSchema), required=True, metadata={"description": "What the rules found, the worst first"}
    )
    direction = direction_field()


_ALARM = {
    "rule": "baseline",
    "verdict": "drifting",
    "value": 0.86,
    "at": "2023-12-05T00:00:00Z",
    "expected_min": 0.898,
    "expected_max": None,
    "began_at": "2023-12-03T00:00:00Z",
    "fired": 4,
    "of": 5,
    "excess": 1.9,
    "accumulates": False,
}


class KeyMetricSchema(Schema):
    """The metric to look at first."""

    name = text("Name of the metric", "accuracy", required=True)
    last = real("Last value; null for NaN and infinity", 0.871, required=True, allow_none=True)
    last_at = moment(
        "Time of the last value; null before the first check", "2023-12-07T00:00:00Z", required=True, allow_none=True
    )
    verdict = verdict_field("Verdict on the metric; null before the first check", required=True, allow_none=True)
    direction = direction_field()
    baseline = fields.Nested(
        BaselineSchema,
        required=True,
        allow_none=True,
        metadata={"description": "Null if there are too few points for a baseline, and before the first check"},
    )
    change = real("The last value less the baseline's mean", -0.069, required=True, allow_none=True)
    worse = flag(
        "Whether the change is for the worse; null if nothing changed or the direction is not known",
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
        required=True, allow_none=True, validate=validate.OneOf(STAGES), metadata=doc("Effective stage", "Production")
    )
    owner = owner_field()
    registered_by = text("Who registered it", "data_scientist_john", required=True)
    registered_at = moment("When", "2023-11-01T10:00:00Z", required=True)
    monitor_run_id = text(
        "The run in MLflow that holds registration, observations and verdicts", "b1946ac9", required=True
    )
    settings = settings_field(f"Those in force. {_SETTINGS_DESCRIPTION}", required=True)
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
                    "reasons": _REASONS,
                    "population": "production",
                    "baseline": {"mean": 0.94, "std": 0.012, "n": 20},
                    "last": 0.871,
                    "last_at": "2023-12-07T00:00:00Z",
                    "points": 30,
                    "recent": [0.94, 0.93, 0.871],
                    "began_at": "2023-12-03T00:00:00Z",
                    "alarms": [_ALARM],
                    "direction": "higher",
                }
            },
        ),
    )


def _printable(value: str) -> None:
    if not value.isprintable():
        raise ValidationError("No control characters.")


class ObservationsSchema(Schema):
    """Metric values of a monitored version: one observation, or several."""

    id = text(
        "Makes the request count once: sent again with the same id, after a 500, a 503 or a lost answer, the "
        "observations are written once. Each registration keeps its latest ids, at least 1000. With other observations "
        "the same id is refused. No control characters",
        "batch-2023-12-07",
        validate=[validate.Length(1, LONGEST_ID), _printable],
    )
    metrics = _Json(
        metadata={"type": "object", **doc("Values by the name of the metric", {"accuracy": 0.93, "f1_score": 0.91})}
    )
    timestamp = _Json(
        metadata={
            "type": "string",
            **doc(
                "Time of the values, RFC 3339 with offset; by default now", "2023-12-07T10:30:00Z", format="date-time"
            ),
        }
    )
    n = _Json(
        metadata={
            "type": "integer",
            **doc(
                "The number of cases behind the values, such as the rows that were scored. The limits of shares "
                "(accuracy, recall and the like) follow it",
                500,
            ),
        }
    )
    observations = _Json(
        metadata={
            "type": "array",
            "items": {"type": "object"},
            **doc(
                f"Several observations, instead of the fields above; at most {MOST_VALUES} values in all",
                [{"metrics": {"accuracy": 0.93}, "timestamp": "2023-12-07T10:30:00Z", "n": 500}],
            ),
        }
    )


class ManyObservationsSchema(Schema):
    """Metric values of many versions."""

    versions = fields.List(
        _Json(metadata={"type": "object"}),
        required=True,
        error_messages={"required": "Needed: a list of objects with model_name, model_version and metrics."},
        metadata=doc(
            f"At most {MOST_PARTS} objects: `model_name`, `model_version`, and what "
            "`POST /models/{model_name}/{model_version}/observations` takes",
            [
                {
                    "model_name": "DNA_Analysis_Model",
                    "model_version": "1",
                    "metrics": {"accuracy": 0.93},
                    "timestamp": "2023-12-07T10:30:00Z",
                    "n": 500,
                }
            ],
        ),
    )


class OutcomeSchema(Schema):
    """What became of the observations of one version."""

    model_name = text("Registered model", "DNA_Analysis_Model", required=True)
    model_version = text("Version", "1", required=True)
    status = number("The status that the version would have been answered with by itself", 201, required=True)
    accepted = number("How many metric values were written", 1, required=True)
    detail = text("What is wrong; null if they were written", None, required=True, allow_none=True)


class OutcomesSchema(Schema):
    """What became of the observations of many versions, in their order."""

    results = fields.List(fields.Nested(OutcomeSchema), required=True)


class AcceptedSchema(Schema):
    """Observations that were written."""

    accepted = number("How many metric values", 2, required=True)


class WithdrawalQuerySchema(Schema):
    """Which observations no longer count."""

    metric = metric_choice("A metric, one in a request; by default all")
    since = moment("The first time, RFC 3339 with offset", "2023-12-07T00:00:00Z", data_key="from")
    until = moment("The last time, itself included; at the latest now", "2023-12-07T23:59:59Z", data_key="to")


class WithdrawnSchema(Schema):
    """Observations that no longer count."""

    message = text("What was done", "Observations of model DNA_Analysis_Model v1 withdrawn", required=True)
    model_name = text("Registered model", "DNA_Analysis_Model", required=True)
    model_version = text("Version", "1", required=True)
    metric = text("The metric; null for all", "acuracy", required=True, allow_none=True)
    withdrawn_at = moment("When", "2023-12-08T10:30:00Z", required=True)

    since = moment(
        "The first time; null for all until `to`",
        "2023-12-07T00:00:00Z",
        data_key="from",
        required=True,
        allow_none=True,
    )
    until = moment("The last time", "2023-12-07T23:59:59Z", data_key="to", required=True)


class SeriesQuerySchema(Schema):
    """The metrics, and how many days of them."""

    metric = metric_choice("A metric; may be repeated. By default all. Each costs a request to MLflow")
    days = days_back(90, default=3650)


_POINT = {
    "time": "2023-12-07T00:00:00Z",
    "value": 0.871,
    "source": "monitor run",
    "run_id": "b1946ac9",
    "n": 500,
    "replaced": 0,
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
        metadata=doc(
            "Per metric: `points`, the series that is judged, by time; `reference`, the points shown beside it; "
            f"where each was logged (`source`: {_SOURCES}), the number of cases behind it (`n`), how many other values "
            f"of the same time it `replaced`, and the rules that `fired` there ({_RULES}); "
            "`population`, `verdict`, `reasons`, `began_at`, `alarms`, `baseline` and its `reach` to either "
            "side, `limits`, `possible` (the least and the most that the metric can be, by its name), `direction`",
            {
                "accuracy": {
                    "verdict": "drifting",
                    "reasons": _REASONS,
                    "population": "production",
                    "baseline": {"mean": 0.94, "std": 0.012, "n": 20},
                    "reach": 0.042,
                    "limits": {"min": 0.9, "max": None},
                    "possible": {"min": 0.0, "max": 1.0},
                    "direction": "higher",
                    "last": 0.871,
                    "last_at": "2023-12-07T00:00:00Z",
                    "recent": [0.94, 0.93, 0.871],
                    "began_at": "2023-12-03T00:00:00Z",
                    "alarms": [_ALARM],
                    "points": [_POINT],
                    "reference": [{**_POINT, "source": "source run", "fired": []}],
                }
            },
        ),
    )


class PreviewedVerdictSchema(Schema):
    """A verdict that settings give, or would have given."""

    verdict = verdict_field("The verdict", required=True)
    reasons = reasons_field("Why, in words and figures, the worst first")


class PreviewDaySchema(Schema):
    """The verdicts at the end of a day, or now for today."""

    day = moment("The UTC day", "2023-12-07T00:00:00Z", required=True)
    before = fields.Nested(
        PreviewedVerdictSchema, required=True, metadata={"description": "Under the present settings"}
    )
    after = fields.Nested(PreviewedVerdictSchema, required=True, metadata={"description": "Under the settings sent"})


class PreviewSchema(Schema):
    """What settings would have made of the last days."""

    model_name = text("Registered model", "DNA_Analysis_Model", required=True)
    model_version = text("Version", "1", required=True)
    settings = settings_field("The settings that would be in force", required=True)
    days = fields.List(
        fields.Nested(PreviewDaySchema),
        required=True,
        metadata={
            "description": f"The last {PREVIEW_DAYS} days, today last; fewer where the version has very many points"
        },
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
    began_at = began_field("When the data changed that led to the verdict; null if that is not known, or no rule fired")
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
