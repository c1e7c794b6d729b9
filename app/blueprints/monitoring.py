"""Monitoring: register a model version, remove it, ask for its status."""

from typing import Any

from flask import Response

from app.access import default_registrant, requires
from app.domain.times import rfc3339
from app.parsing import TowerBlueprint
from app.replies import AGE_HEADERS, errors, live
from app.schemas.monitoring import RegisteredSchema, RegisterSchema, RemovedSchema, StatusSchema
from app.wiring import tower

blp = TowerBlueprint("monitoring", __name__, description="Which model versions are monitored")

_PATH = "/models/<string:model_name>/<string:model_version>/monitor"


@blp.route(_PATH, methods=["POST"])
@requires("write")
@errors(blp, 400, 404)
@blp.arguments(RegisterSchema, example={"model_type": "classifier", "registered_by": "data_scientist_john"})
@blp.response(201, RegisteredSchema, headers=AGE_HEADERS)
def register(body: dict[str, Any], model_name: str, model_version: str) -> Response:
    """Add a model version to monitoring."""
    by = body.get("registered_by") or default_registrant()
    made = tower().manager.register(model_name, model_version, body["model_type"], by)
    told = {
        "message": f"Model {model_name} v{model_version} added to monitoring as {made.model_type}",
        "model_name": model_name,
        "model_version": model_version,
        "model_type": made.model_type,
        "registered_at": rfc3339(made.registered_at),
    }
    return live(told, 201)


@blp.route(_PATH, methods=["DELETE"])
@requires("write")
@errors(blp, 400, 404, not_found="Model is not being monitored")
@blp.response(200, RemovedSchema, headers=AGE_HEADERS)
def remove(model_name: str, model_version: str) -> Response:
    """Remove a model version from monitoring."""
    removed_at = tower().manager.remove(model_name, model_version, default_registrant())
    told = {
        "message": f"Model {model_name} v{model_version} removed from monitoring",
        "model_name": model_name,
        "model_version": model_version,
        "removed_at": rfc3339(removed_at),
    }
    return live(told)


@blp.route(f"{_PATH}/status")
@requires("read")
@errors(blp, 400)
@blp.response(200, StatusSchema, headers=AGE_HEADERS)
def status(model_name: str, model_version: str) -> Response:
    """Whether a model version is monitored; an unknown one is not."""
    monitored = tower().manager.is_monitored(model_name, model_version)
    return live({"model_name": model_name, "model_version": model_version, "is_monitored": monitored})
