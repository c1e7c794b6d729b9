"""The application factory."""

from typing import Any

import orjson
from flask import Flask
from flask.json.provider import JSONProvider
from flask_cors import CORS

from app.access import WithoutKeys, everybody, guard, refuse_other_origins
from app.apply import monitor_commands
from app.blueprints import (
    acts,
    cache,
    dashboard,
    data_drift,
    debug,
    experiments,
    fleet,
    history,
    metrics,
    models,
    monitoring,
    promotions,
    rules,
    system,
    ui,
    watches,
    webhooks,
)
from app.cli import register_commands
from app.domain.bodies import MOST_BODY_BYTES
from app.errors import register_errors
from app.flask_app import AnyText, ControlTower
from app.gate import gate_command
from app.hooks import Around, register_hooks
from app.openapi import OPENAPI, DescribedApi
from app.prepared_lists import PreparedLists
from app.promote import promote_command
from app.services.host.marks import shared_marks
from app.services.monitoring.comparison import Comparison
from app.wiring.alerts import receivers
from app.wiring.shared import AgentApi, rules_of
from app.wiring.worker import build_worker
from app.wiring.world import World, real_world
from config import Settings, load_settings


class OrJson(JSONProvider):
    """Flask's JSON, by orjson."""

    def dumps(self, obj: Any, **_: Any) -> str:
        return orjson.dumps(obj).decode()

    def loads(self, s: str | bytes, **_: Any) -> Any:
        return orjson.loads(s)


def create_app(
    settings: Settings | None = None, world: World | None = None, agent: AgentApi | None = None
) -> ControlTower:
    """Build the application. Tests pass a `world` of fakes, and the objects of an `agent` in this process."""
    settings = settings or load_settings()
    world = world or real_world(settings, shared_marks())
    worker = build_worker(settings, world, agent)
    keys = worker.tower.keys
    app = ControlTower(__name__)
    app.json = OrJson(app)
    app.config.update(OPENAPI, MAX_CONTENT_LENGTH=MOST_BODY_BYTES)
    # A model's name may contain what looks like an empty path segment; and `/models/` is `/models`.
    app.url_map.merge_slashes = False
    app.url_map.strict_slashes = False
    app.url_map.converters["text"] = AnyText
    app.extensions["control_tower"] = worker
    app.around = Around(worker)
    register_hooks(app, app.around)
    refuse_other_origins(app, settings.cors_origins)
    admits = guard(app, keys) if keys else everybody
    if settings.cors_origins:
        CORS(app, origins=list(settings.cors_origins), expose_headers="*")
    register_errors(app)
    _register_api(app, settings)
    app.register_blueprint(ui.blp)
    if not settings.cors_origins:
        # With CORS every request goes through Flask, since Flask-CORS adds its headers there.
        app.prepared_lists = PreparedLists(app, admits)
    # Commands run in a process of their own, which asks MLflow directly.
    register_commands(
        app, keys, world.gateway, settings.mlflow_webhook_secret, receivers(settings, world.clock), world.clock
    )
    app.cli.add_command(monitor_commands(settings.api_port, settings.control_tower_key))
    app.cli.add_command(promote_command(settings.api_port, settings.control_tower_key))
    app.cli.add_command(gate_command(Comparison(world.gateway, rules_of(settings), world.clock), world.gateway.warm))
    return app


def _register_api(app: Flask, settings: Settings) -> None:
    plugins = [] if settings.api_tokens_file else [WithoutKeys()]
    api = DescribedApi(app, spec_kwargs={"extra_plugins": plugins})
    api.spec.components.security_scheme(
        "bearer",
        {"type": "http", "scheme": "bearer", "description": "An access key, where the service has keys"},
    )
    areas = [system, models, fleet, history, monitoring, acts, watches, rules, experiments, cache, dashboard, metrics]
    areas += [promotions, data_drift]
    if settings.enable_debug_endpoints:
        areas.append(debug)
    if settings.mlflow_webhook_secret:
        areas.append(webhooks)
    for area in areas:
        api.register_blueprint(area.blp)
