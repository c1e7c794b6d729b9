"""Monitoring: register a model version, remove it, send observations, ask for verdicts and history."""

from typing import Any

from flask import Response

from app.access import default_registrant, requires
from app.domain.errors import TowerError
from app.domain.messages import NOT_MONITORED, removed
from app.domain.monitoring.corrections import points_to_withdraw
from app.domain.monitoring.sendings import Part, parts_of
from app.domain.monitoring.sent_once import received
from app.domain.registry.query import FleetQuery
from app.domain.times import rfc3339
from app.domain.views import withdrawal_info
from app.errors import status_of
from app.parsing import TowerBlueprint
from app.replies import AGE_HEADERS, cached, errors, live
from app.schemas.events import EventSchema, HistoryQuerySchema
from app.schemas.monitoring import MonitoredVersionSchema, MonitoringQuerySchema
from app.schemas.observations import (
    AcceptedSchema,
    ManyObservationsSchema,
    ObservationsSchema,
    OutcomesSchema,
    WithdrawalQuerySchema,
    WithdrawnSchema,
)
from app.schemas.registrations import RegisteredSchema, RegisterSchema, RemovedSchema, SettingsSchema, StatusSchema
from app.schemas.series import PreviewSchema, SeriesQuerySchema, SeriesSchema
from app.services.answers.prepared import Answer
from app.wiring.worker import tower

blp = TowerBlueprint("monitoring", __name__, description="Which model versions are monitored")

_PATH = "/models/<string:model_name>/<string:model_version>/monitor"


@blp.route(_PATH, methods=["POST"])
@requires("write")
@errors(blp, 400, 404, 503)
@blp.arguments(
    RegisterSchema,
    example={
        "model_type": "classifier",
        "registered_by": "data_scientist_john",
        "settings": {"limits": {"accuracy": {"min": 0.9}}, "silence_hours": 48},
    },
)
@blp.response(201, RegisteredSchema, headers=AGE_HEADERS)
def register(body: dict[str, Any], model_name: str, model_version: str) -> Response:
    """Add a model version to monitoring."""
    by = body.get("registered_by") or default_registrant()
    made = tower().registrations.register(model_name, model_version, body["model_type"], by, body.get("settings"))
    result = {
        "message": f"Model {model_name} v{model_version} added to monitoring as {made.model_type}",
        "model_name": model_name,
        "model_version": model_version,
        "model_type": made.model_type,
        "registered_at": rfc3339(made.registered_at),
    }
    return live(result, 201)


@blp.route(_PATH, methods=["DELETE"])
@requires("write")
@errors(blp, 400, 404, 409, 503, not_found=NOT_MONITORED)
@blp.response(200, RemovedSchema, headers=AGE_HEADERS)
def remove(model_name: str, model_version: str) -> Response:
    """Remove a model version from monitoring. A version that is watched as well keeps its record.

    A version that is monitored only since it is watched is a 409: remove the watch.
    """
    removed_at, is_kept = tower().registrations.remove(model_name, model_version, default_registrant())
    result = {
        "message": removed(model_name, model_version, is_kept),
        "model_name": model_name,
        "model_version": model_version,
        "removed_at": rfc3339(removed_at),
    }
    return live(result)


@blp.route(f"{_PATH}/status")
@requires("read")
@errors(blp, 400)
@blp.response(200, StatusSchema, headers=AGE_HEADERS)
def status(model_name: str, model_version: str) -> Response:
    """Whether a model version is monitored; an unknown version is not."""
    monitored = tower().registrations.is_monitored(model_name, model_version)
    return live({"model_name": model_name, "model_version": model_version, "is_monitored": monitored})


@blp.route(_PATH)
@requires("read")
@errors(blp, 400, 404, not_found=NOT_MONITORED)
@blp.response(200, MonitoredVersionSchema, headers=AGE_HEADERS)
def registration(model_name: str, model_version: str) -> Response:
    """A registration: its settings, and the verdict on its version with the reasons."""
    return live(tower().monitoring.of(model_name, model_version))


@blp.route(_PATH, methods=["PATCH"])
@requires("write")
@errors(blp, 400, 404, 503, not_found=NOT_MONITORED)
@blp.arguments(SettingsSchema, example={"settings": {"silence_hours": None, "alarm": {"m": 2}}})
@blp.response(200, MonitoredVersionSchema, headers=AGE_HEADERS)
def change(body: dict[str, Any], model_name: str, model_version: str) -> Response:
    """Change the settings of a registration. Settings that are not named stay; null restores a default."""
    tower().registrations.change_settings(model_name, model_version, body["settings"])
    return live(tower().monitoring.of(model_name, model_version))


@blp.route(f"{_PATH}/preview", methods=["POST"])
@requires("read")
@errors(blp, 400, 404)
@blp.arguments(SettingsSchema, example={"settings": {"limits": {"accuracy": {"min": 0.9}}}})
@blp.response(200, PreviewSchema, headers=AGE_HEADERS)
def preview(body: dict[str, Any], model_name: str, model_version: str) -> Response:
    """What a change of the settings would have made of the last 30 days. Nothing is written.

    The body is that of the change. A version that is not monitored is judged as if it were.
    """
    return live(tower().drift.preview(model_name, model_version, body["settings"]))


@blp.route("/models/<string:model_name>/<string:model_version>/observations", methods=["POST"])
@requires("write")
@errors(blp, 400, 404, 409, 503, not_found=NOT_MONITORED)
@blp.arguments(
    ObservationsSchema, example={"metrics": {"accuracy": 0.93, "f1_score": 0.91}, "timestamp": "2023-12-07T10:30:00Z"}
)
@blp.response(201, AcceptedSchema, headers=AGE_HEADERS)
def observe(body: dict[str, Any], model_name: str, model_version: str) -> Response:
    """Send metric values of a monitored version. Either all of them are written or none.

    What is sent again with the same `id` counts once.
    """
    observations, sent = received(body, tower().clock())
    tower().registrations.observe(model_name, model_version, observations, sent)
    return live({"accepted": len(observations)}, 201)


@blp.route("/observations", methods=["POST"])
@requires("write")
@errors(blp, 400)
@blp.arguments(
    ManyObservationsSchema,
    example={"versions": [{"model_name": "DNA_Analysis_Model", "model_version": "1", "metrics": {"accuracy": 0.93}}]},
)
@blp.response(200, OutcomesSchema, headers=AGE_HEADERS)
def observe_each(body: dict[str, Any]) -> Response:
    """Send metric values of many versions. Each version is answered by itself: what fails for one stops no other."""
    parts = parts_of(body["versions"], tower().clock())
    outcomes = zip(parts, tower().registrations.observe_each(parts), strict=True)
    return live({"results": [_outcome(part, error) for part, error in outcomes]})


def _outcome(part: Part, error: TowerError | None) -> dict[str, Any]:
    return {
        "model_name": part.name,
        "model_version": part.version,
        "status": 201 if error is None else status_of(error),
        "accepted": len(part.observations) if error is None else 0,
        "detail": error.detail if error else None,
    }


@blp.route("/models/<string:model_name>/<string:model_version>/observations", methods=["DELETE"])
@requires("write")
@errors(blp, 400, 404, 503, not_found=NOT_MONITORED)
@blp.arguments(WithdrawalQuerySchema, location="query")
@blp.response(200, WithdrawnSchema, headers=AGE_HEADERS)
def withdraw(query: dict[str, Any], model_name: str, model_version: str) -> Response:
    """Have observations no longer count: of a metric, of a period, or both. Nothing is deleted in MLflow.

    Observations that are sent later count, also for the same times.
    """
    wanted = points_to_withdraw(query["metric"], query.get("since"), query.get("until"), tower().clock())
    done = tower().registrations.withdraw(model_name, model_version, *wanted, default_registrant())
    return live(withdrawal_info(*done))


@blp.route("/models/<string:model_name>/<string:model_version>/series")
@requires("read")
@errors(blp, 400, 404)
@blp.arguments(SeriesQuerySchema, location="query")
@blp.response(200, SeriesSchema, headers=AGE_HEADERS)
def series(query: dict[str, Any], model_name: str, model_version: str) -> Response:
    """The points of a version's metrics, and the rules that fired at them: the data of a chart."""
    return live(tower().drift.series(model_name, model_version, query["metric"], query["days"]))


@cached(blp, "/monitoring", MonitoredVersionSchema(many=True), MonitoringQuerySchema)
def monitoring(query: FleetQuery) -> Answer:
    """Every registration with its verdict, by name, then by version, highest first, unless `sort` says otherwise."""
    return tower().monitoring.listed(query)


@cached(blp, "/monitoring/history", EventSchema(many=True), HistoryQuerySchema)
def history(query: dict[str, Any]) -> Answer:
    """Registrations, changes of verdict and removals, newest first, also of past registrations."""
    return tower().history.listed(**query)
