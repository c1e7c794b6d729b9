"""Figures for dashboards."""

from flask import Response

from app.access import requires
from app.parsing import TowerBlueprint
from app.replies import AGE_HEADERS, answered, errors, not_modified
from app.schemas.system import SummarySchema
from app.wiring.worker import tower

blp = TowerBlueprint("dashboard", __name__, description="Figures for dashboards")


@blp.route("/dashboard/summary")
@requires("read")
@errors(blp)
@not_modified(blp)
@blp.response(200, SummarySchema, headers=AGE_HEADERS)
def summary() -> Response:
    """How many experiments, model versions, registrations and runs there are."""
    return answered(tower().catalogue.summary())
