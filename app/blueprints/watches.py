"""Watches: monitor whatever version has an alias, or is in a stage."""

from collections.abc import Callable
from typing import Any

from flask import Response

from app.access import default_registrant, requires
from app.domain.messages import NOT_WATCHED
from app.domain.monitoring.corrections import points_to_withdraw
from app.domain.monitoring.sent_once import received
from app.domain.monitoring.watches import ALIAS, STAGE
from app.domain.registry.stages import stage_named
from app.domain.times import rfc3339
from app.domain.views import withdrawal_info
from app.parsing import TowerBlueprint
from app.replies import AGE_HEADERS, cached, errors, live
from app.schemas.observations import ObservationsSchema, WithdrawalQuerySchema, WithdrawnSchema
from app.schemas.registrations import RegisterSchema, SettingsSchema
from app.schemas.watches import WatchAcceptedSchema, WatchesQuerySchema, WatchRemovedSchema, WatchSchema
from app.services.answers.prepared import Answer
from app.wiring.worker import tower

blp = TowerBlueprint("watches", __name__, description="Aliases and stages whose version is monitored")

_EXAMPLE = {"model_type": "classifier", "settings": {"silence_hours": 48}}


@cached(blp, "/monitoring/watches", WatchSchema(many=True), WatchesQuerySchema)
def watches(query: dict[str, Any]) -> Answer:
    """Every watch with the version that it covers, also those that cover none, by registered model."""
    return tower().coverage.watches(**query)


def _declare(kind: str, segment: str, named: str, place_of: Callable[[str], str]) -> None:
    """Declare the routes of one kind of watch. `place_of` checks the name of the alias or stage in the path."""
    path = f"/models/<string:model_name>/{segment}/<string:{kind}>"

    @blp.route(f"{path}/monitor", methods=["POST"], endpoint=f"watch_{kind}")
    @requires("write")
    @errors(blp, 400, 404, 503)
    @blp.arguments(RegisterSchema, example=_EXAMPLE)
    @blp.response(201, WatchSchema, headers=AGE_HEADERS)
    @blp.doc(summary=f"Monitor whatever version {named}, also when that changes.")
    def watch(body: dict[str, Any], model_name: str, **place: str) -> Response:
        by = body.get("registered_by") or default_registrant()
        where, settings = place_of(place[kind]), body.get("settings")
        made = tower().watches.make(kind, model_name, where, body["model_type"], by, settings)
        return live(made, 201)

    @blp.route(f"{path}/monitor", methods=["GET"], endpoint=f"{kind}_watch")
    @requires("read")
    @errors(blp, 400, 404, not_found=NOT_WATCHED)
    @blp.response(200, WatchSchema, headers=AGE_HEADERS)
    @blp.doc(summary=f"The watch, and the verdict on the version that {named}.")
    def watched(model_name: str, **place: str) -> Response:
        return live(tower().watches.of(kind, model_name, place_of(place[kind])))

    @blp.route(f"{path}/monitor", methods=["PATCH"], endpoint=f"change_{kind}_watch")
    @requires("write")
    @errors(blp, 400, 404, 503, not_found=NOT_WATCHED)
    @blp.arguments(SettingsSchema, example={"settings": {"silence_hours": None, "alarm": {"m": 2}}})
    @blp.response(200, WatchSchema, headers=AGE_HEADERS)
    @blp.doc(summary="Change the settings of the watch. Settings that are not named stay; null restores a default.")
    def change(body: dict[str, Any], model_name: str, **place: str) -> Response:
        return live(tower().watches.change(kind, model_name, place_of(place[kind]), body["settings"]))

    @blp.route(f"{path}/monitor", methods=["DELETE"], endpoint=f"remove_{kind}_watch")
    @requires("write")
    @errors(blp, 400, 404, 503, not_found=NOT_WATCHED)
    @blp.response(200, WatchRemovedSchema, headers=AGE_HEADERS)
    @blp.doc(summary="Remove the watch. A version that was registered by itself stays monitored.")
    def remove(model_name: str, **place: str) -> Response:
        where = place_of(place[kind])
        removed_at = tower().watches.remove(kind, model_name, where, default_registrant())
        message = f"Watching the {kind} {where} of {model_name} ended"
        return live({"message": message, "model_name": model_name, "removed_at": rfc3339(removed_at)})

    @blp.route(f"{path}/observations", methods=["POST"], endpoint=f"observe_{kind}")
    @requires("write")
    @errors(blp, 400, 404, 409, 503, not_found=NOT_WATCHED)
    @blp.arguments(ObservationsSchema, example={"metrics": {"accuracy": 0.93}, "timestamp": "2023-12-07T10:30:00Z"})
    @blp.response(201, WatchAcceptedSchema, headers=AGE_HEADERS)
    @blp.doc(summary=f"Send metric values of the version that {named} now. A 409 if there is none.")
    def observe(body: dict[str, Any], model_name: str, **place: str) -> Response:
        observations, sent = received(body, tower().clock())
        made = tower().watches.observe(kind, model_name, place_of(place[kind]), observations, sent)
        return live({"accepted": len(observations), "model_version": str(made.version)}, 201)

    @blp.route(f"{path}/observations", methods=["DELETE"], endpoint=f"withdraw_{kind}")
    @requires("write")
    @errors(blp, 400, 404, 409, 503, not_found=NOT_WATCHED)
    @blp.arguments(WithdrawalQuerySchema, location="query")
    @blp.response(200, WithdrawnSchema, headers=AGE_HEADERS)
    @blp.doc(summary=f"Have observations no longer count, of the version that {named} now. A 409 if there is none.")
    def withdraw(query: dict[str, Any], model_name: str, **place: str) -> Response:
        wanted = points_to_withdraw(query["metric"], query.get("since"), query.get("until"), tower().clock())
        where = place_of(place[kind])
        return live(withdrawal_info(*tower().watches.withdraw(kind, model_name, where, *wanted, default_registrant())))


_declare(ALIAS, "aliases", "has the alias", str)
_declare(STAGE, "stages", "is in the stage", stage_named)
