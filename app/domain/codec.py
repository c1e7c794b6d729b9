"""The fleet as JSON for the shared cache, and back. What does not fit is no fleet."""

from typing import Any

from app.domain.fleet import Fleet, assemble
from app.domain.models import Experiment, Inventory, ModelVersion, RegisteredModel, Registration
from app.domain.stages import StageRules


def fleet_value(fleet: Fleet, source: str) -> dict[str, Any]:
    """What to store. `source` names the MLflow it was read from; dataclasses are left to the serializer."""
    return {"source": source, "inventory": fleet.inventory, "touched": dict(fleet.touched)}


def fleet_from(value: Any, source: str, rules: StageRules) -> Fleet | None:
    """The stored fleet, or None where it is of another MLflow or not understood."""
    try:
        if value["source"] != source:
            return None
        stored = value["inventory"]
        inventory = Inventory(
            int(stored["read_at"]),
            tuple(RegisteredModel(**row) for row in stored["models"]),
            tuple(ModelVersion(**row) for row in stored["versions"]),
            tuple(Experiment(**row) for row in stored["experiments"]),
            int(stored["unreadable"]),
        )
        return assemble(inventory, rules, value["touched"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def registrations_value(registrations: list[Registration], stale: bool, source: str) -> dict[str, Any]:
    """What to store of the list of registrations."""
    return {"source": source, "registrations": registrations, "stale": stale}


def registrations_from(value: Any, source: str) -> tuple[list[Registration], bool] | None:
    """The stored list and whether it is stale, or None where it is of another MLflow or not understood."""
    try:
        if value["source"] != source:
            return None
        return [Registration(**row) for row in value["registrations"]], bool(value["stale"])
    except (KeyError, TypeError, ValueError):
        return None
