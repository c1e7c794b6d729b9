"""Registrations and their settings, as clients send them and read them."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from app.domain.messages import INVALID_MODEL_TYPE
from app.domain.monitoring.check_settings import (
    DEFAULT_BASELINE,
    DEFAULT_M,
    DEFAULT_N,
    LEAST_BASELINE,
    MOST_BASELINE,
)
from app.domain.registry.names import LONGEST_NAME, LONGEST_TAG
from app.domain.registry.stages import MODEL_TYPES
from app.schemas.base import (
    doc,
    flag,
    moment,
    text,
)


def _model_type(value: object) -> None:
    if value not in MODEL_TYPES:
        raise ValidationError(INVALID_MODEL_TYPE)


class JsonValue(fields.Raw):
    """JSON as received. The domain parses it, and names the field in an error."""


_SETTINGS: dict[str, Any] = {
    "limits": {"accuracy": {"min": 0.9}},
    "baseline": {"points": 30},
    "silence_hours": 48,
    "alarm": {"m": 3, "n": 5},
    "direction": {"my_score": "higher"},
    "data_drift": {"inputs": "off"},
}


SETTINGS_DESCRIPTION = (
    "How it is checked. `limits` per metric (`min`, `max`); "
    f"`baseline`: `{{points}}` ({LEAST_BASELINE} to {MOST_BASELINE}, default {DEFAULT_BASELINE}), "
    "`{from, to}` or `{version}`; `silence_hours`; "
    f"`alarm`: `m` of the last `n` points (default {DEFAULT_M} of {DEFAULT_N}); `direction` of metrics whose name does "
    "not show it: `higher` or `lower` is better; `data_drift`: what moved `inputs` and `predictions` and a fallen "
    f"`estimate` make (`off`, `degraded`, `drifting`), `observe`, `floor`. At most {LONGEST_TAG} characters"
)


def json_field(description: str, example: Any, **options: Any) -> JsonValue:
    """A JSON object that the domain parses."""
    return JsonValue(metadata={"type": "object", **doc(description, example)}, **options)


def settings_field(description: str, **options: Any) -> JsonValue:
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
    settings = settings_field(SETTINGS_DESCRIPTION, allow_none=True)


class SettingsSchema(Schema):
    """A request to change the settings of a registration."""

    settings = settings_field(
        f"{SETTINGS_DESCRIPTION}. Settings that are not named stay; null restores a default (RFC 7396). A baseline is "
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
