"""The fleet: every version with its verdict, and the figures of all."""

from flask import Response

from app.access import requires
from app.domain.registry.query import FleetQuery
from app.parsing import TowerBlueprint
from app.replies import AGE_HEADERS, PAGE_HEADERS, answered, errors, not_modified
from app.schemas.fleet import FleetQuerySchema, FleetRowSchema, FleetSummarySchema
from app.wiring.worker import tower

blp = TowerBlueprint("fleet", __name__, description="Every model version with its verdict")


@blp.route("/fleet")
@requires("read")
@errors(blp, 400)
@not_modified(blp)
@blp.arguments(FleetQuerySchema, location="query")
@blp.response(200, FleetRowSchema(many=True), headers=PAGE_HEADERS)
def fleet(query: FleetQuery) -> Response:
    """Every model version with its verdict, the metric to look at first, and what was found of it."""
    return answered(tower().catalogue.fleet(query))


@blp.route("/fleet/summary")
@requires("read")
@errors(blp)
@not_modified(blp)
@blp.response(200, FleetSummarySchema, headers=AGE_HEADERS)
def summary() -> Response:
    """How many versions there are: of each verdict, finding and stage."""
    return answered(tower().catalogue.fleet_summary())
