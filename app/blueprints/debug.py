"""Debug: everything about the monitored versions. Absent with `ENABLE_DEBUG_ENDPOINTS=false`."""

from flask import Response

from app.access import requires
from app.parsing import TowerBlueprint
from app.replies import AGE_HEADERS, errors, live
from app.schemas.system import DebugSchema
from app.wiring.worker import tower

blp = TowerBlueprint("debug", __name__, description="For troubleshooting")


@blp.route("/debug/monitored")
@requires("admin")
@errors(blp)
@blp.response(200, DebugSchema, headers=AGE_HEADERS)
def monitored() -> Response:
    """Registrations as MLflow holds them, with their models."""
    return live(tower().health_report.debug())
