"""The fleet: every version with its verdict, every model with its key version, and the figures of all."""

from app.domain.registry.query import FleetQuery
from app.parsing import TowerBlueprint
from app.replies import cached
from app.schemas.fleet import (
    FleetModelSchema,
    FleetModelsQuerySchema,
    FleetQuerySchema,
    FleetRowSchema,
    FleetSummarySchema,
)
from app.services.answers.prepared import Answer
from app.wiring.worker import tower

blp = TowerBlueprint("fleet", __name__, description="Every model version with its verdict")


@cached(blp, "/fleet", FleetRowSchema(many=True), FleetQuerySchema)
def fleet(query: FleetQuery) -> Answer:
    """Every model version with its verdict, the metric to look at first, and its findings.

    With `at`: the fleet as it was at that time. Metrics, tags, descriptions and findings of the past are not known.
    """
    return tower().catalogue.fleet(query) if query.at is None else tower().registry_history.fleet(query)


@cached(blp, "/fleet/models", FleetModelSchema(many=True), FleetModelsQuerySchema)
def fleet_models(query: FleetQuery) -> Answer:
    """Every registered model with the version to look at first, and how many of its versions match.

    With `at`: the registered models as they were at that time, as in `/fleet`.
    """
    return tower().catalogue.fleet_models(query) if query.at is None else tower().registry_history.fleet_models(query)


@cached(blp, "/fleet/summary", FleetSummarySchema)
def summary() -> Answer:
    """The number of versions by verdict, finding and stage."""
    return tower().catalogue.fleet_summary()
