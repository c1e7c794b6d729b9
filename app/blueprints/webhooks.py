"""Deliveries of MLflow's webhooks. Absent without `MLFLOW_WEBHOOK_SECRET`; their signature is the key."""

from flask import Response, request

from app.access import OPEN, requires
from app.parsing import TowerBlueprint
from app.replies import AGE_HEADERS, errors, live
from app.schemas.system import DeliverySchema
from app.wiring.worker import tower

blp = TowerBlueprint("webhooks", __name__, description="What MLflow tells of changes")


@blp.route("/webhooks/mlflow", methods=["POST"])
@requires(OPEN)
@errors(blp, 400)
@blp.response(202, DeliverySchema, headers=AGE_HEADERS)
def mlflow_delivery() -> Response:
    """Take a delivery of MLflow's registry webhooks, and read the registered model that it names soon.

    Signed by MLflow with `MLFLOW_WEBHOOK_SECRET`, and at most 5 minutes old. One that came before is
    accepted again, and changes nothing.
    """
    name, is_new = tower().deliveries.take(dict(request.headers), request.get_data())
    return live({"message": "Delivery accepted" if is_new else "Delivery accepted before", "model": name}, 202)
