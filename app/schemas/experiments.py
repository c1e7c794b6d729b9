"""Experiments and runs."""

from marshmallow import Schema, fields, validate

from app.schemas.base import doc, metrics, moment, number, text, words

_MOST_RUNS = 50_000
LIFECYCLE_CHOICES = ("active", "deleted", "all")
"""The lifecycle stages that can be asked for; the first is the default."""


class ExperimentSchema(Schema):
    """One experiment."""

    experiment_id = text("Experiment", "1", required=True)
    name = text("Name", "DNA_Analysis_Experiment", required=True)
    artifact_location = text("Where its artifacts are", "/mlflow/artifacts/1", required=True, allow_none=True)
    lifecycle_stage = text("`active` or `deleted`", "active", required=True)
    creation_time = moment("When it was created", "2023-12-01T08:00:00Z", required=True, allow_none=True)
    last_update_time = moment("When it last changed", "2023-12-07T12:00:00Z", required=True, allow_none=True)
    tags = words("Tags", {"team": "genomics"})


class ExperimentQuerySchema(Schema):
    """Filters of the experiments."""

    lifecycle_stage = fields.String(
        load_default=LIFECYCLE_CHOICES[0],
        validate=validate.OneOf(LIFECYCLE_CHOICES),
        metadata=doc("`active`, `deleted` or `all`", "active"),
    )


class RunSchema(Schema):
    """One run."""

    run_id = text("Run", "abc123def456", required=True)
    experiment_id = text("Its experiment", "1", required=True)
    status = text("Status", "FINISHED", required=True)
    start_time = moment("Start", "2023-12-05T10:00:00Z", required=True, allow_none=True)
    end_time = moment("End", "2023-12-05T12:00:00Z", required=True, allow_none=True)
    metrics = metrics()
    params = words("Parameters", {"learning_rate": "0.001"})
    tags = words("Tags", {"mlflow.user": "john_doe"})


class RunQuerySchema(Schema):
    """The page of runs."""

    limit = number(
        f"Maximum number of runs, 1 to {_MOST_RUNS}", 100, load_default=100, validate=validate.Range(1, _MOST_RUNS)
    )
    page_token = text(
        "Token of the next page, from the header `X-Next-Page-Token`",
        "eyJvZmZzZXQiOiAxMDB9",
        load_default=None,
        allow_none=True,
    )
