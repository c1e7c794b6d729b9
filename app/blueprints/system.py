"""System: the root, health, liveness, readiness, configuration."""

from flask import Response, redirect, url_for
from werkzeug.wrappers import Response as AnyResponse

from app.access import OPEN, requires, wants_page
from app.domain.errors import Busy
from app.domain.messages import NOTHING_READ
from app.errors import ErrorSchema
from app.parsing import TowerBlueprint
from app.replies import AGE_HEADERS, RETRY_HEADERS, errors, live
from app.schemas.system import AliveSchema, ConfigSchema, HealthSchema, ReadySchema, RootSchema
from app.wiring.worker import tower
from config import API_VERSION, ROOT

_GATE = ROOT / "app" / "standalone_gate.py"

blp = TowerBlueprint("system", __name__, description="The service itself")


@blp.route("/")
@requires("read")
@errors(blp)
@blp.alt_response(303, description="A browser is sent to the page", success=True)
@blp.response(200, RootSchema, headers=AGE_HEADERS)
def root() -> AnyResponse:
    """Basic information; a browser is sent to the page."""
    info = {"message": "LifeDNA MLOps Control Tower API", "status": "ready", "version": API_VERSION, "docs": "/docs"}
    response = redirect(url_for("ui.fleet"), 303) if wants_page() else live(info)
    response.vary.add("Accept")
    return response


@blp.route("/health")
@requires("read")
@errors(blp)
@blp.response(200, HealthSchema, headers=AGE_HEADERS)
def health() -> Response:
    """Whether MLflow answers. Always within 2 s; MLflow is asked at most once in 5 s."""
    return live(tower().health_report.health())


@blp.route("/livez")
@requires(OPEN)
@blp.response(200, AliveSchema)
def livez() -> Response:
    """The process is up."""
    return live({"status": "alive"})


@blp.route("/readyz")
@requires(OPEN)
@blp.alt_response(
    503,
    schema=ErrorSchema,
    description="Nothing to serve yet",
    example={"detail": NOTHING_READ},
    headers=RETRY_HEADERS,
)
@blp.response(200, ReadySchema)
def readyz() -> Response:
    """There is something to serve."""
    if not tower().health_report.is_ready():
        raise Busy(NOTHING_READ)
    return live({"status": "ready"})


@blp.route("/config")
@requires("admin")
@errors(blp)
@blp.response(200, ConfigSchema, headers=AGE_HEADERS)
def config() -> Response:
    """The configuration in short, without credentials."""
    return live(tower().config)


@blp.route("/gate.py")
@requires(OPEN)
@errors(blp)
@blp.text(
    200,
    "# python3 gate.py --url ADDRESS wine-cultivar --baseline champion --candidate challenger",
    description="A Python program",
)
def gate() -> Response:
    """The gate for CI as one file, which asks this service: see `python3 gate.py --help`."""
    return Response(_GATE.read_bytes(), content_type="text/plain; charset=utf-8")
