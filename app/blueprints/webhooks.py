"""Deliveries of MLflow's webhooks. Absent without `MLFLOW_WEBHOOK_SECRET`; their signature is the key."""

from flask import Response, request

from app.access import OPEN, requires
from app.parsing import TowerBlueprint
from app.replies import AGE_HEADERS, errors, live
from app.schemas.system import DeliverySchema
from app.wiring.worker import tower

blp = TowerBlueprint("webhooks", __name__, description="Changes that MLflow announces")


@blp.route("/webhooks/mlflow", methods=["POST"])
@requires(OPEN)
@errors(blp, 400)
@blp.response(202, DeliverySchema, headers=AGE_HEADERS)
def mlflow_delivery() -> Response:
    """Accept a delivery of MLflow's registry webhooks, and soon read the registered model that it names.

    The delivery must be signed with `MLFLOW_WEBHOOK_SECRET` and at most 5 minutes old. A repeated delivery is accepted
    and changes nothing.
    """
    name, is_new = tower().deliveries.take(dict(request.headers), request.get_data())
    return live({"message": "Delivery accepted" if is_new else "Delivery accepted before", "model": name}, 202)
