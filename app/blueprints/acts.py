"""What people do about a monitored version: acknowledge its verdict, mute its alerts, comment on it."""

from typing import Any

from flask import Response

from app.access import default_registrant, requires
from app.domain.messages import NOT_MONITORED
from app.domain.monitoring.acts import ACKNOWLEDGED, COMMENTED, MUTED, UNACKNOWLEDGED, UNMUTED, WantedAct
from app.domain.monitoring.monitor_history import act_event
from app.domain.times import parse_rfc3339
from app.parsing import TowerBlueprint
from app.replies import AGE_HEADERS, errors, live
from app.schemas.acts import AcknowledgementSchema, CommentSchema, MuteSchema, UnmuteQuerySchema
from app.schemas.events import EventSchema
from app.wiring.worker import tower

blp = TowerBlueprint("acts", __name__, description="Acknowledge verdicts, mute alerts, comment")

_VERSION = "/models/<string:model_name>/<string:model_version>"


@blp.route(f"{_VERSION}/acknowledgement", methods=["POST"])
@requires("write")
@errors(blp, 400, 404, 409, 503, not_found=NOT_MONITORED)
@blp.arguments(AcknowledgementSchema, example={"note": "The new scanner. Being retrained."})
@blp.response(201, EventSchema, headers=AGE_HEADERS)
def acknowledge(body: dict[str, Any], model_name: str, model_version: str) -> Response:
    """Acknowledge the present verdict. The acknowledgement ends when the verdict changes.

    A verdict that is healthy, or that did not begin at `since`, is a 409.
    """
    since = parse_rfc3339(body["since"], "since") if "since" in body else None
    return _done(model_name, model_version, WantedAct(ACKNOWLEDGED, body["note"], since=since), 201)


@blp.route(f"{_VERSION}/acknowledgement", methods=["DELETE"])
@requires("write")
@errors(blp, 400, 404, 503, not_found=NOT_MONITORED)
@blp.response(200, EventSchema, headers=AGE_HEADERS)
def take_back_acknowledgement(model_name: str, model_version: str) -> Response:
    """Take back the acknowledgement of the present verdict. A verdict that is not acknowledged is a 404."""
    return _done(model_name, model_version, WantedAct(UNACKNOWLEDGED))


@blp.route(f"{_VERSION}/mutes", methods=["POST"])
@requires("write")
@errors(blp, 400, 404, 503, not_found=NOT_MONITORED)
@blp.arguments(MuteSchema, example={"until": "2023-12-08T08:00:00Z", "metric": "recall", "note": "Labels arrive late"})
@blp.response(201, EventSchema, headers=AGE_HEADERS)
def mute(body: dict[str, Any], model_name: str, model_version: str) -> Response:
    """Mute the alerts of a version, or of one of its metrics, until a time. Muting again replaces the earlier mute.

    Verdicts and lists stay as they are. After the mute one alert follows if the verdict is not what receivers know.
    """
    wanted = WantedAct(MUTED, body["note"], body.get("metric"), parse_rfc3339(body["until"], "until"))
    return _done(model_name, model_version, wanted, 201)


@blp.route(f"{_VERSION}/mutes", methods=["DELETE"])
@requires("write")
@errors(blp, 400, 404, 503, not_found=NOT_MONITORED)
@blp.arguments(UnmuteQuerySchema, location="query")
@blp.response(200, EventSchema, headers=AGE_HEADERS)
def unmute(query: dict[str, Any], model_name: str, model_version: str) -> Response:
    """End the mute of a version, or that of one of its metrics, now. What is not muted is a 404."""
    return _done(model_name, model_version, WantedAct(UNMUTED, metric=query.get("metric")))


@blp.route(f"{_VERSION}/comments", methods=["POST"])
@requires("write")
@errors(blp, 400, 404, 503, not_found=NOT_MONITORED)
@blp.arguments(CommentSchema, example={"text": "Seen in all regions."})
@blp.response(201, EventSchema, headers=AGE_HEADERS)
def comment(body: dict[str, Any], model_name: str, model_version: str) -> Response:
    """Comment on a monitored version. Comments are in the history of its registration."""
    return _done(model_name, model_version, WantedAct(COMMENTED, body["text"]), 201)


def _done(name: str, version: str, wanted: WantedAct, status: int = 200) -> Response:
    registration, act = tower().registrations.act(name, version, wanted, default_registrant())
    return live(act_event(act, registration), status)
