"""The history of the registry: what changed when, and who was in which stage and under which alias at a time."""

from typing import Any

from app.domain.registry.query import ListQuery
from app.parsing import TowerBlueprint
from app.replies import cached
from app.schemas.history import (
    ChangeSchema,
    ChangesQuerySchema,
    HolderSchema,
    HoldersQuerySchema,
    ModelChangesQuerySchema,
    StateQuerySchema,
    StateSchema,
)
from app.services.answers.prepared import Answer
from app.wiring.worker import tower

blp = TowerBlueprint("history", __name__, description="What changed in the registry, and what it was at a time")


@cached(blp, "/history", ChangeSchema(many=True), ChangesQuerySchema)
def changes(query: dict[str, Any]) -> Answer:
    """Changes of stages and aliases, and models and versions that were made, renamed or deleted, newest first."""
    return tower().registry_history.listed(**query)


@cached(blp, "/model/<string:model_name>/history", ChangeSchema(many=True), ModelChangesQuerySchema)
def model_changes(query: dict[str, Any], model_name: str) -> Answer:
    """The changes of a registered model, also under earlier names, newest first."""
    return tower().registry_history.of_model(model_name, **query)


@cached(blp, "/model/<string:model_name>/state", StateSchema, StateQuerySchema)
def model_state(at: int, model_name: str) -> Answer:
    """Which versions were in Production and Staging and under each alias at a time, and what of that is not known."""
    return tower().registry_history.state(model_name, at)


@cached(blp, "/model/<string:model_name>/holders", HolderSchema(many=True), HoldersQuerySchema)
def holders(query: ListQuery, model_name: str) -> Answer:
    """Which versions had each stage and alias, from which change until which, the last that came first."""
    return tower().registry_history.holders(model_name, query)
