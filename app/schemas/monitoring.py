"""Monitoring: registering a model version, removing it, its status."""

from marshmallow import Schema, ValidationError, fields, validate

from app.domain.stages import MODEL_TYPES
from app.schemas.base import flag, moment, text, told

INVALID_TYPE = "Invalid model type. Must be classifier or regressor"
_LONGEST_NAME = 250


def _model_type(value: object) -> None:
    if value not in MODEL_TYPES:
        raise ValidationError(INVALID_TYPE)


class RegisterSchema(Schema):
    """What a registration needs."""

    model_type = fields.String(
        required=True,
        validate=_model_type,
        error_messages={
            "invalid": INVALID_TYPE,
            "null": INVALID_TYPE,
            "required": "Needed: classifier or regressor.",
        },
        metadata=told("`classifier` or `regressor`", "classifier", enum=list(MODEL_TYPES)),
    )
    registered_by = text(
        "Who adds the model; by default the name of the access key, else `anonymous`",
        "data_scientist_john",
        validate=validate.Length(1, _LONGEST_NAME),
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
