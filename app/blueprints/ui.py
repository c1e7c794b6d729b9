"""The pages: empty shells that the browser fills from the service's own JSON API."""

from collections.abc import Iterable

from flask import Blueprint, Response, g, jsonify, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from app.access import KEY_COOKIE, OPEN, requires, who
from app.domain.errors import InvalidInput, NotFound, Unauthorized
from app.domain.findings import FINDINGS, OF_VERSIONS
from app.domain.monitoring.directions import DIRECTIONS
from app.domain.monitoring.verdicts import INSUFFICIENT, VERDICTS, severity
from app.domain.registry.stages import MODEL_TYPES, STAGES, STAGES_IN_USE
from app.replies import asset
from app.schemas.experiments import LIFECYCLE_CHOICES
from app.services.host.keys import with_weaker
from app.wiring.worker import tower

blp = Blueprint("ui", __name__)

# Nothing inline and nothing from elsewhere; what MLflow holds is never markup.
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_LONGEST_KEY = 200
_SHARED = ("ui/js/shell.js", "ui/js/api.js", "ui/js/dom.js", "vendor/morphdom/morphdom-esm.js")
_LISTS = ("list", "verdict", "monitor", "dialog", "preview")
_PROMOTIONS = ("promotion", "promote", "comparison_result")
_MODULES = {
    "fleet": (*_LISTS, "fleet_past"),
    "model": (
        *_LISTS,
        "history",
        "chart",
        "fired",
        "model/versions",
        "model/charts",
        "model/comparison",
        "model/csv",
        "model/data",
        "model/strip",
        "model/column",
        "model/estimates",
        "model/standing",
        "model/timeline",
        "model/promotions",
        "acts",
        *_PROMOTIONS,
    ),
    "monitored": (*_LISTS, "history"),
    "promotions": ("list", "verdict", "dialog", *_PROMOTIONS),
    "experiments": ("list",),
    "findings": _LISTS,
}

# The words of other values are the values themselves.
_WORDS = {
    INSUFFICIENT: "no data",
    "production_without_monitor": "in Production, not monitored",
    "production_without_run": "in Production without a run",
    "production_stale": "stale in Production",
    "several_in_production": "several versions in Production",
    "stage_alias_conflict": "stage and alias disagree",
    "retired_with_monitor": "retired, still monitored",
}


def _labelled(values: Iterable[str]) -> list[tuple[str, str]]:
    """Values of the API, each with the words that a person reads."""
    return [(value, _WORDS.get(value, value.replace("_", " "))) for value in values]


# What the fields of the pages offer, by the name of the field.
_CHOICES = {
    "verdict": _labelled(sorted(VERDICTS, key=severity, reverse=True)),
    "stage": _labelled(STAGES),
    "finding": _labelled(OF_VERSIONS),
    "finding_of_any": _labelled(FINDINGS),
    "model_type": _labelled(MODEL_TYPES),
    "promotion_stage": [(stage, f"the stage {stage}") for stage in STAGES_IN_USE],
    "direction": _labelled(DIRECTIONS),
    "lifecycle_stage": _labelled(LIFECYCLE_CHOICES),
}


def _page(name: str, title: str, status: int = 200, similar: Iterable[str] = (), **data: str) -> Response:
    keys = tower().keys
    key = g.get("key")
    role = key.role if key else "" if keys else "admin"
    shown = render_template(
        f"ui/{name}.html",
        title=title,
        page=name,
        role=role,
        roles=" ".join(with_weaker(role)) if role else "",
        signed_in=keys is not None,
        who=who() or "",
        asset=_address,
        # Not shown before sign-in.
        mlflow_ui=(tower().mlflow_ui_url) if role else "",
        cached=tower().mirror.cached,
        promotion_refusal=tower().promotions.refusal,
        data=data,
        similar=similar,
        modules=(*_SHARED, *(f"ui/js/{module}.js" for module in _MODULES.get(name, ()))),
        choices=_CHOICES,
    )
    response = make_response(shown, status)
    response.headers["Content-Security-Policy"] = CSP
    response.headers["Cache-Control"] = "no-store"
    return response


def _address(name: str) -> str:
    return url_for("ui.file", digest=tower().assets.digest, name=name)


@blp.route("/ui/assets/<string:digest>/<path:name>")
@requires(OPEN)
def file(digest: str, name: str) -> Response:
    """A file of the pages. During an upgrade a page of the previous version gets the new file, but may not cache it."""
    file = tower().assets.find(name)
    if file is None:
        raise NotFound("There is no such file.")
    return asset(file.prepared, file.kind, lasts=digest == tower().assets.digest)


@blp.route("/ui/")
@requires("read")
def fleet() -> Response:
    """The model versions, and what needs attention."""
    return _page("fleet", "Fleet")


@blp.route("/ui/model/<string:name>")
@requires("read")
def model(name: str) -> Response:
    """One registered model: versions, charts, comparison, history. A 404 with similar names where there is none."""
    similar = tower().catalogue.similar_if_unknown(name)
    return _page("model", name) if similar is None else _page("unknown_model", name, 404, similar)


@blp.route("/ui/monitored")
@requires("read")
def monitored() -> Response:
    """Every registration with its verdict."""
    return _page("monitored", "Monitored")


@blp.route("/ui/promotions")
@requires("read")
def promotions() -> Response:
    """What waits for an approval, with its evidence, and what was decided."""
    return _page("promotions", "Promotions")


@blp.route("/ui/experiments")
@requires("read")
def experiments() -> Response:
    """Experiments, and the runs of an experiment."""
    return _page("experiments", "Experiments")


@blp.route("/ui/findings")
@requires("read")
def findings() -> Response:
    """What is out of order in the registry."""
    return _page("findings", "Findings")


@blp.route("/ui/system")
@requires("read")
def system() -> Response:
    """Freshness, cache and configuration."""
    return _page("system", "System")


@blp.route("/ui/sign-in")
@requires(OPEN)
def sign_in() -> AnyResponse:
    """Asks for an access key, where the service has keys."""
    if tower().keys is None:
        return redirect(url_for("ui.fleet"), 303)
    return _page("sign_in", "Sign in", next=_inside(request.args.get("next", "")))


@blp.route("/ui/session", methods=["POST"])
@requires(OPEN)
def begin_session() -> Response:
    """Keep an access key in a cookie that no script can read: body `{"key": "ct_…"}`."""
    body = request.get_json(silent=True)
    token = body["key"] if isinstance(body, dict) and body.keys() == {"key"} else None
    if not isinstance(token, str) or not 0 < len(token) <= _LONGEST_KEY:
        raise InvalidInput('Send the access key as text: {"key": "ct_..."}.')
    keys = tower().keys
    key = keys.find(token.strip()) if keys and token.isascii() else None
    if key is None:
        raise Unauthorized("There is no such key. `flask tokens new NAME` makes one.")
    response = jsonify(name=key.name, role=key.role)
    response.set_cookie(KEY_COOKIE, token.strip(), httponly=True, samesite="Strict", secure=request.is_secure, path="/")
    return response


@blp.route("/ui/session", methods=["DELETE"])
@requires(OPEN)
def end_session() -> Response:
    """Forget the key."""
    response = jsonify(message="Signed out")
    response.delete_cookie(KEY_COOKIE, httponly=True, samesite="Strict", path="/")
    return response


def _inside(address: str) -> str:
    """The address if it is one of this service, else that of the fleet's page."""
    # `//host` leads to another host, also with a backslash, or with a tab between, which browsers drop.
    is_ours = address.startswith("/") and address[1:2] not in ("/", "\\") and address.isprintable()
    return address if is_ours else url_for("ui.fleet")
