"""Messages whose wording is fixed: programs match them, or several places share them."""

from collections.abc import Sequence

MODEL_NOT_FOUND = "Model not found in MLflow"
EXPERIMENT_NOT_FOUND = "Experiment not found in MLflow"
NOT_MONITORED = "Model is not being monitored"
ALREADY_MONITORED = "Model is already being monitored"
INVALID_MODEL_TYPE = "Invalid model type. Must be classifier or regressor"
NEEDS_ACCESS_KEY = "This needs an access key: send it as Authorization: Bearer KEY."
BEING_CHANGED = "Another request is changing the same thing. Try again."
REGISTRATIONS_DENIED = (
    "MLflow's user may not read the experiment of the registrations (MONITORING_EXPERIMENT), so none is shown. "
    "Give it the right to read it."
)
TOO_MANY_WRITES = "MLflow has more to write than it can at present. Try again later."
OTHER_CONTENT = "This id was sent before with other observations. Send these with an id of their own."
CHANGED_MEANWHILE = "The verdict has changed meanwhile. Look at it again."
NOTHING_TO_ACKNOWLEDGE = "The verdict is healthy: there is nothing to acknowledge."
NOT_ACKNOWLEDGED = "The verdict is not acknowledged"
NOT_MUTED = "Nothing of this is muted"
NOT_WATCHED = "This alias or stage is not being watched"
ALREADY_WATCHED = "This alias or stage is already being watched"
NO_RULE = "There is no monitoring rule of this name"
ALREADY_A_RULE = "There is a monitoring rule of this name already"
NO_PROMOTION = "There is no promotion with this id"
PROMOTION_OFF = "Promotion is off, since it writes to MLflow's registry. Set ENABLE_PROMOTION=true."
PROMOTION_NEEDS_KEYS = "Without access keys nobody can be told apart, so nobody can approve. Set API_TOKENS_FILE."
NOTHING_COUNTED = (
    "Nothing was counted of this version's data yet. Send a reference (PUT …/reference), or batches (POST …/batches)."
)
REPLACED = (
    "Another reference counts by now. Send rows once more. What you count yourself, count again by the bins that "
    "GET …/reference answers."
)
NO_REFERENCE = "There is no reference with this id. GET …/reference lists those of this version."
NO_ROWS = "There are no rows."
OTHERS_ARE_COUNTED = "Other batches are being counted. Send this one again in some seconds."
BODY_TOO_LARGE = "The request body is too large: at most 1 MiB."
BODY_CUT_SHORT = "The body did not arrive as a whole: the connection broke or took too long, or a chunk is malformed."
BODY_DAMAGED = "The body is not what its Content-Encoding says: it is no gzip, is damaged, or is cut short."
OTHER_CODING = "The body's Content-Encoding is not taken: send it in gzip, or plain without that header."
STILL_READING = "The history is still being read from MLflow. Try again in some seconds."
READING_LOST = "What was read from MLflow was lost. Try again."
STOPPING = "The service is stopping."
REFRESHED = "Cache refreshed successfully"
CLEARED = "Persistent cache cleared successfully"
AFTER_CLEARING = "Next startup will fetch fresh data from MLflow"
NOTHING_READ = "Nothing has been read from MLflow yet. Try again shortly."
NOTHING_RECORDED = "The history of the registry has not been recorded yet. Try again shortly."

# These are an error's whole text: no name of a field is put before them.
WHOLE = frozenset({INVALID_MODEL_TYPE})


def still_watched(watched_by: Sequence[str]) -> str:
    return f"The version is monitored since it is watched ({', '.join(watched_by)}). Remove the watch instead."


def removed(name: str, version: str, is_kept: bool) -> str:
    """The answer to a removal; `is_kept`: a watch or a rule covers the version as well, so that it stays monitored."""
    if is_kept:
        return f"Model {name} v{version} is no longer registered by itself. It stays monitored since it is watched"
    return f"Model {name} v{version} removed from monitoring"


def about_to_be_monitored(version: int) -> str:
    return f"Version {version} is about to be monitored."


def unknown_baseline(version: int) -> str:
    return f"baseline.version: the registered model has no version {version}."


def not_monitored(excluded_from: Sequence[str]) -> str:
    """Why a version is not monitored; `excluded_from` are the names of the rules that somebody excluded it from."""
    if not excluded_from:
        return NOT_MONITORED
    which = f"the rule {excluded_from[0]}" if len(excluded_from) == 1 else f"the rules {', '.join(excluded_from)}"
    return f"{NOT_MONITORED}: it is excluded from {which}. POST to the same path takes it back in."


def no_registered_model(name: str) -> str:
    return f"There is no registered model {name!r} in MLflow."


def renamed(name: str) -> str:
    return f"The registered model was renamed to {name!r}. Ask under that name."


def other_role_needed(needed: str | None, role: str) -> str:
    return f"This needs a key with the role {needed}; yours has {role}."


def too_slow(seconds: float) -> str:
    return f"MLflow did not answer within {seconds:.3g} s. Try again later."
