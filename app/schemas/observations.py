"""Observations, as clients send and withdraw them."""

from marshmallow import Schema, ValidationError, fields, validate

from app.domain.monitoring.observations import MOST_VALUES
from app.domain.monitoring.sendings import MOST_PARTS
from app.domain.monitoring.sent_once import LONGEST_ID
from app.schemas.base import (
    doc,
    metric_choice,
    moment,
    number,
    text,
)
from app.schemas.registrations import JsonValue


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
    metrics = JsonValue(
        metadata={"type": "object", **doc("Values by the name of the metric", {"accuracy": 0.93, "f1_score": 0.91})}
    )
    timestamp = JsonValue(
        metadata={
            "type": "string",
            **doc(
                "Time of the values, RFC 3339 with offset; by default now", "2023-12-07T10:30:00Z", format="date-time"
            ),
        }
    )
    n = JsonValue(
        metadata={
            "type": "integer",
            **doc(
                "The number of cases behind the values, such as the rows that were scored. The limits of shares "
                "(accuracy, recall and the like) follow it",
                500,
            ),
        }
    )
    observations = JsonValue(
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
        JsonValue(metadata={"type": "object"}),
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
