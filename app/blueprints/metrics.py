"""Metrics: what Prometheus reads."""

from flask import Response

from app.access import requires
from app.parsing import TowerBlueprint
from app.replies import errors
from app.services.telemetry import CONTENT_TYPE
from app.wiring.worker import tower

blp = TowerBlueprint("metrics", __name__, description="Figures for Prometheus")

_EXAMPLE = """\
# HELP control_tower_model_verdict 1 for the verdict on a monitored version, 0 for the others
# TYPE control_tower_model_verdict gauge
control_tower_model_verdict{model_type="classifier",name="DNA_Analysis_Model",verdict="drifting",version="1"} 1.0
# HELP control_tower_snapshot_age_seconds Time since everything was last read from MLflow
# TYPE control_tower_snapshot_age_seconds gauge
control_tower_snapshot_age_seconds 42.1
"""


@blp.route("/metrics")
@requires("read")
@errors(blp, 503)
@blp.text(200, _EXAMPLE, description="Prometheus' text format, version 0.0.4")
def metrics() -> Response:
    """Verdicts, last values, counts and durations, of all workers together, for Prometheus. MLflow is not asked."""
    return Response(tower().exposition.text(), content_type=CONTENT_TYPE)
