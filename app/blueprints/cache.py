"""The mirror: report on it, refresh it, clear the persisted snapshot."""

from flask import Response

from app.access import requires
from app.domain.errors import InvalidInput, TowerError
from app.domain.messages import AFTER_CLEARING, CLEARED, REFRESHED
from app.domain.times import rfc3339
from app.parsing import TowerBlueprint
from app.replies import AGE_HEADERS, errors, live
from app.schemas.system import CacheInfoSchema, ClearedSchema, RefreshedSchema
from app.wiring.worker import tower

_WITHOUT_REGISTRATIONS = "Model versions refreshed, but the registrations could not be read: see registrations_error"

blp = TowerBlueprint("cache", __name__, description="The mirror of MLflow's registry")


@blp.route("/cache/info")
@requires("admin")
@errors(blp)
@blp.response(200, CacheInfoSchema, headers=AGE_HEADERS)
def cache_info() -> Response:
    """The snapshot, its persistence and the last refresh."""
    return live(tower().cache_report.info())


@blp.route("/cache/refresh", methods=["POST"])
@requires("admin")
@errors(blp, 400)
@blp.response(200, RefreshedSchema, headers=AGE_HEADERS)
def refresh_cache() -> Response:
    """Read everything from MLflow now. A refresh that fails changes nothing.

    If only the registrations cannot be read, the model versions are new, and `registrations_error` says why.

    Requests that come while a refresh runs share the next refresh, which begins after they came.
    """
    if not tower().mirror.cached:
        raise InvalidInput("The cache is off. Set ENABLE_CACHE=true to have one to refresh.")
    refreshed = tower().refresh_trigger.refresh()
    fleet = tower().mirror.refreshed(refreshed.edition)
    is_complete = refreshed.registrations_error is None or refreshed.denied
    result = {
        "message": REFRESHED if is_complete else _WITHOUT_REGISTRATIONS,
        "registrations_error": refreshed.registrations_error,
        "models_synced": len(fleet.models),
        "timestamp": rfc3339(tower().clock()),
        "cache_stats": tower().cache_report.stats(),
    }
    return live(result)


@blp.route("/cache/clear", methods=["DELETE"])
@requires("admin")
@errors(blp)
@blp.response(200, ClearedSchema, headers=AGE_HEADERS)
def clear_cache() -> Response:
    """Remove the persisted snapshot. Every worker goes on serving the snapshot that it has in memory."""
    if not tower().mirror.clear():
        raise TowerError("The persisted snapshot could not be removed. Check the rights on CACHE_DIRECTORY.")
    result = {
        "message": CLEARED,
        "timestamp": rfc3339(tower().clock()),
        "note": AFTER_CLEARING,
    }
    return live(result)
