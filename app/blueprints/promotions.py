"""Promotions: propose, approve, refuse, roll back."""

from typing import Any

from flask import Response

from app.access import default_registrant, may, requires
from app.domain.messages import NO_PROMOTION
from app.domain.promotion.promotions import Wanted
from app.domain.registry.query import ListQuery
from app.parsing import TowerBlueprint
from app.replies import AGE_HEADERS, cached, errors, live
from app.schemas.promotions import (
    ApprovalSchema,
    EndPromotionQuerySchema,
    ModelPromotionsQuerySchema,
    PromotionSchema,
    PromotionsQuerySchema,
    ProposalSchema,
    RollbackSchema,
    WayBackQuerySchema,
    WayBackSchema,
)
from app.services.answers.prepared import Answer
from app.wiring.worker import tower

blp = TowerBlueprint("promotions", __name__, description="Promote versions with a second pair of eyes, and roll back")

_MODEL = "/model/<string:model_name>"
_PROMOTION = f"{_MODEL}/promotions/<string:promotion_id>"
_EXAMPLE = {"version": "4", "alias": "champion", "reason": "Better on all regions", "margin": 0.01}


@cached(blp, "/promotions", PromotionSchema(many=True), PromotionsQuerySchema)
def promotions(query: dict[str, Any]) -> Answer:
    """What waits for an approval, of all models, newest first; with `since` all that was asked for since then."""
    return tower().promotions_report.of_all(**query)


@cached(blp, f"{_MODEL}/promotions", PromotionSchema(many=True), ModelPromotionsQuerySchema)
def of_model(query: dict[str, Any], model_name: str) -> Answer:
    """All promotions and rollbacks of a model, newest first."""
    state = query.pop("state", None)
    return tower().promotions_report.of_model(model_name, ListQuery(**query), state)


@blp.route(f"{_MODEL}/promotions", methods=["POST"])
@requires("write")
@errors(blp, 400, 404, 409, 503)
@blp.arguments(ProposalSchema, example=_EXAMPLE)
@blp.response(201, PromotionSchema, headers=AGE_HEADERS)
def propose(body: tuple[str, Wanted], model_name: str) -> Response:
    """Propose to move an alias or a stage to a version. What the gate does not let pass is a 409.

    With `PROMOTION_APPROVALS=0` it is carried out at once, which needs the role approve.
    """
    made = tower().promotions.propose(model_name, *body, default_registrant(), may("approve"))
    return live(tower().promotions_report.info(made), 201)


@blp.route(_PROMOTION)
@requires("read")
@errors(blp, 400, 404, not_found=NO_PROMOTION)
@blp.response(200, PromotionSchema, headers=AGE_HEADERS)
def promotion(model_name: str, promotion_id: str) -> Response:
    """A promotion, with its evidence and its steps."""
    return live(tower().promotions_report.of(model_name, promotion_id))


@blp.route(f"{_PROMOTION}/approvals", methods=["POST"])
@requires("approve")
@errors(blp, 400, 404, 409, 503, not_found=NO_PROMOTION)
@blp.arguments(ApprovalSchema, example={"note": "Seen on the dashboard"})
@blp.response(201, PromotionSchema, headers=AGE_HEADERS)
def approve(body: dict[str, Any], model_name: str, promotion_id: str) -> Response:
    """Approve a proposal of somebody else. With the last approval that is needed it is carried out.

    A 409 says why nothing was moved: the version, what it replaces or the evidence is not what it was.
    """
    approved = tower().promotions.approve(model_name, promotion_id, default_registrant(), body["note"])
    return live(tower().promotions_report.info(approved), 201)


@blp.route(_PROMOTION, methods=["DELETE"])
@requires("write")
@errors(blp, 400, 404, 409, 503, not_found=NO_PROMOTION)
@blp.arguments(EndPromotionQuerySchema, location="query")
@blp.response(200, PromotionSchema, headers=AGE_HEADERS)
def end(query: dict[str, Any], model_name: str, promotion_id: str) -> Response:
    """Withdraw one's own proposal; with the role approve, refuse that of somebody else."""
    ended = tower().promotions.end(model_name, promotion_id, default_registrant(), may("approve"), query["reason"])
    return live(tower().promotions_report.info(ended))


@blp.route(f"{_MODEL}/rollback")
@requires("read")
@errors(blp, 400, 404)
@blp.arguments(WayBackQuerySchema, location="query")
@blp.response(200, WayBackSchema, headers=AGE_HEADERS)
def way_back(query: dict[str, str | None], model_name: str) -> Response:
    """Which version a rollback of an alias or a stage would go back to, as the history of the registry has it."""
    return live(tower().registry_history.way_back(model_name, **query))


@blp.route(f"{_MODEL}/rollback", methods=["POST"])
@requires("approve")
@errors(blp, 400, 404, 409, 503)
@blp.arguments(RollbackSchema, example={"alias": "champion", "from": "4", "reason": "Latency doubled"})
@blp.response(201, PromotionSchema, headers=AGE_HEADERS)
def roll_back(body: tuple[Wanted, str, str | None], model_name: str) -> Response:
    """Move an alias or a stage back to the version before, which the answer names.

    If it is no longer on `from`, that is a 409 and nothing moves, so that asking twice goes back once.
    """
    done = tower().promotions.roll_back(model_name, *body, default_registrant())
    return live(tower().promotions_report.info(done), 201)
