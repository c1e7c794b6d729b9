"""The application factory."""

from typing import Any

import orjson
from flask import Flask
from flask.json.provider import JSONProvider
from flask_cors import CORS

from app.access import guard, refuse_other_origins
from app.blueprints import (
    cache,
    dashboard,
    debug,
    experiments,
    fleet,
    metrics,
    models,
    monitoring,
    system,
    ui,
    webhooks,
)
from app.cli import register_commands
from app.errors import TowerApi, register_errors
from app.flask_app import ControlTower
from app.gate import gate_command
from app.hooks import register_hooks
from app.parsing import MOST_BODY_BYTES
from app.wiring import Parts, real_parts, wire
from config import VERSION, Settings, load_settings

_OPENAPI = {
    "API_TITLE": "MLOps Control Tower",
    "API_VERSION": VERSION,
    "OPENAPI_VERSION": "3.0.3",
    "API_SPEC_OPTIONS": {
        "info": {
            "description": "The mirror of an MLflow registry, and the monitoring of its model versions.\n\n"
            "A request body is JSON of at most 1 MiB, plain or in gzip (`Content-Encoding: gzip`); "
            "the limit holds after inflating as well."
        }
    },
    "OPENAPI_URL_PREFIX": "/",
    "OPENAPI_JSON_PATH": "openapi.json",
    "OPENAPI_SWAGGER_UI_PATH": "/docs",
    "OPENAPI_SWAGGER_UI_URL": "/static/vendor/swagger-ui/",
    "OPENAPI_REDOC_PATH": "/redoc",
    "OPENAPI_REDOC_URL": "/static/vendor/redoc/redoc.standalone.js",
}


class OrJson(JSONProvider):
    """Flask's JSON, by orjson."""

    def dumps(self, obj: Any, **_: Any) -> str:
        return orjson.dumps(obj).decode()

    def loads(self, s: str | bytes, **_: Any) -> Any:
        return orjson.loads(s)


def create_app(settings: Settings | None = None, parts: Parts | None = None) -> Flask:
    """The application. `parts` replace what the world provides; tests hand in fakes."""
    settings = settings or load_settings()
    built = wire(settings, parts or real_parts(settings))
    app = ControlTower(__name__)
    app.json = OrJson(app)
    app.config.update(_OPENAPI, MAX_CONTENT_LENGTH=MOST_BODY_BYTES)
    # A name may hold what looks like an empty part; and `/models/` is `/models`.
    app.url_map.merge_slashes = False
    app.url_map.strict_slashes = False
    app.extensions["control_tower"] = built
    register_hooks(app)
    refuse_other_origins(app, settings.cors_origins)
    if built.keys:
        guard(app, built.keys)
    if settings.cors_origins:
        CORS(app, origins=list(settings.cors_origins), expose_headers="*")
    register_errors(app)
    _register_api(app, settings)
    app.register_blueprint(ui.blp)
    register_commands(
        app, built.keys, built.gateway, settings.mlflow_webhook_secret, built.announcer.receivers, built.clock
    )
    app.cli.add_command(gate_command(built.comparison))
    return app


def _register_api(app: Flask, settings: Settings) -> None:
    api = TowerApi(app)
    api.spec.components.security_scheme(
        "bearer",
        {"type": "http", "scheme": "bearer", "description": "An access key, where the service has keys"},
    )
    areas = [system, models, fleet, monitoring, experiments, cache, dashboard, metrics]
    if settings.enable_debug_endpoints:
        areas.append(debug)
    if settings.mlflow_webhook_secret:
        areas.append(webhooks)
    for area in areas:
        api.register_blueprint(area.blp)
