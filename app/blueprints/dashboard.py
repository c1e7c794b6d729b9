"""Figures for dashboards."""

from app.parsing import TowerBlueprint
from app.replies import cached
from app.schemas.system import SummarySchema
from app.services.answers.prepared import Answer
from app.wiring.worker import tower

blp = TowerBlueprint("dashboard", __name__, description="Figures for dashboards")


@cached(blp, "/dashboard/summary", SummarySchema)
def summary() -> Answer:
    """How many experiments, model versions, registrations and runs there are."""
    return tower().catalogue.summary()
