"""Experiments and runs."""

from typing import Any

from flask import Response

from app.access import requires
from app.domain.messages import EXPERIMENT_NOT_FOUND
from app.parsing import TowerBlueprint
from app.replies import AGE_HEADERS, cached, errors, live
from app.schemas.experiments import ExperimentQuerySchema, ExperimentSchema, RunQuerySchema, RunSchema
from app.services.answers.prepared import Answer
from app.wiring.worker import tower

blp = TowerBlueprint("experiments", __name__, description="Experiments and their runs")

_NEXT = {"X-Next-Page-Token": {"description": "Absent on the last page", "schema": {"type": "string"}}}


@cached(blp, "/experiments", ExperimentSchema(many=True), ExperimentQuerySchema)
def experiments(query: dict[str, Any]) -> Answer:
    """Experiments, as of the last refresh."""
    return tower().catalogue.experiments(query["lifecycle_stage"])


@blp.route("/runs/<string:experiment_id>")
@requires("read")
@errors(blp, 400, 404, not_found=EXPERIMENT_NOT_FOUND)
@blp.arguments(RunQuerySchema, location="query")
@blp.response(200, RunSchema(many=True), headers={**AGE_HEADERS, **_NEXT})
def runs(query: dict[str, Any], experiment_id: str) -> Response:
    """Runs of an experiment, newest first, read from MLflow now."""
    rows, token = tower().runs.of(experiment_id, query["limit"], query["page_token"])
    response = live(rows)
    if token:
        response.headers["X-Next-Page-Token"] = token
    return response
