"""System, cache, dashboard and debug."""

from marshmallow import Schema, fields

from app.domain.messages import AFTER_CLEARING, CLEARED, REFRESHED
from app.domain.updates import UPDATES
from app.schemas.base import doc, flag, moment, number, real, text
from app.schemas.models import ModelInfoSchema


class RootSchema(Schema):
    """Basic information."""

    message = text("Name of the service", "LifeDNA MLOps Control Tower API", required=True)
    status = text("`ready`", "ready", required=True)
    version = text("Version of the API", "1.0.0", required=True)
    docs = text("Where its documentation is", "/docs", required=True)


class CacheStatusSchema(Schema):
    """The snapshot, in short."""

    ready = flag("Whether there is a snapshot", True, required=True)
    total_models = number("Model versions in it", 15, required=True)
    is_refreshing = flag("Whether a refresh is under way", False, required=True)
    last_refresh = moment("Time of the snapshot", "2023-12-07T12:30:00Z", required=True, allow_none=True)


class HostsSchema(Schema):
    """The hosts that serve as one, where `REDIS_URL` is set."""

    alive = number("Hosts that are alive", 3, required=True)
    leader = text("The host that reads and checks for all; null where none leads", "tower-0:8000", allow_none=True)
    leads = flag("Whether this host leads", True, required=True)
    redis = text("`connected`, or what is wrong with Redis", "connected", required=True)


class HealthSchema(Schema):
    """Whether the service is healthy and MLflow answers."""

    status = text("`healthy`, or `degraded` while MLflow or Redis cannot be reached", "healthy", required=True)
    mlflow_connection = text("`connected` or `disconnected`", "connected", required=True)
    experiments_count = number("Active experiments", 5, required=True)
    cache_status = fields.Nested(CacheStatusSchema, required=True)
    hosts = fields.Nested(HostsSchema, metadata={"description": "Only where `REDIS_URL` is set."})


class AliveSchema(Schema):
    """The process is up."""

    status = text("`alive`", "alive", required=True)


class ReadySchema(Schema):
    """There is something to serve."""

    status = text("`ready`", "ready", required=True)


class MlflowConfigSchema(Schema):
    """How MLflow is reached."""

    tracking_uri = text("Address, without user name and password", "https://your-mlflow-server.com", required=True)
    authentication = flag("Whether credentials are set", True, required=True)
    workspace = text("`MLFLOW_WORKSPACE`; null for the server's default", "fraud", required=True, allow_none=True)


class ApiConfigSchema(Schema):
    """Where the service listens."""

    host = text("Host", "0.0.0.0", required=True)  # noqa: S104 - an example
    port = number("Port", 8000, required=True)
    version = text("Version of the API", "1.0.0", required=True)


class FeaturesSchema(Schema):
    """What is switched on."""

    mock_data_enabled = flag("`ENABLE_MOCK_DATA`", False, required=True)
    debug_endpoints_enabled = flag("`ENABLE_DEBUG_ENDPOINTS`", True, required=True)
    cache_enabled = flag("`ENABLE_CACHE`", True, required=True)
    access_keys_enabled = flag("Whether `API_TOKENS_FILE` is set", False, required=True)


class ValidationSchema(Schema):
    """What was checked at the start."""

    mlflow_configured = flag("MLflow's address is usable", True, required=True)
    api_port_valid = flag("The port is valid", True, required=True)
    log_level_valid = flag("The log level is valid", True, required=True)


class ConfigSchema(Schema):
    """The configuration in short."""

    mlflow = fields.Nested(MlflowConfigSchema, required=True)
    api = fields.Nested(ApiConfigSchema, required=True)
    release = text("Version of the service, raised with each release", "1.6.1", required=True)
    features = fields.Nested(FeaturesSchema, required=True)
    validation = fields.Nested(ValidationSchema, required=True)


class PersistenceSchema(Schema):
    """The snapshot on disk."""

    enabled = flag("`ENABLE_CACHE_PERSISTENCE`", True, required=True)
    cache_directory = text("`CACHE_DIRECTORY`", "./cache", required=True)
    cache_file_exists = flag("Whether the snapshot is on disk", True, required=True)
    cache_file_age_hours = real("Its age in hours", 0.5, required=True, allow_none=True)
    cache_file_size_bytes = number("Its size in bytes", 1024, required=True, allow_none=True)
    max_age_hours = real("`CACHE_MAX_AGE_HOURS`", 24, required=True)


class CacheStatsSchema(Schema):
    """The snapshot."""

    total_models = number("Model versions", 15, required=True)
    models_by_stage = fields.Dict(
        keys=fields.String(),
        values=fields.Integer(),
        required=True,
        metadata=doc("Model versions by effective stage", {"Production": 3, "Staging": 5, "Archived": 2, "None": 5}),
    )
    last_refresh = moment("Time of the snapshot", "2023-12-07T12:30:00Z", required=True, allow_none=True)
    is_refreshing = flag("Whether a refresh is under way", False, required=True)
    cache_age_minutes = real("Age of the snapshot in minutes", 15.2, required=True, allow_none=True)
    is_stale = flag("Older than `CACHE_MAX_AGE_HOURS`", False, required=True)
    unreadable_rows = number("Rows of MLflow that are left out because they cannot be read", 0, required=True)
    persistence = fields.Nested(PersistenceSchema, required=True)


class TrackingSchema(Schema):
    """Counts of model versions."""

    total_models = number("Model versions", 15, required=True)
    production_models = number("Of them in Production", 3, required=True)
    staging_models = number("Of them in Staging", 5, required=True)
    monitored_models = number("Of them monitored", 2, required=True)


class SystemStatusSchema(Schema):
    """How the service gets its data."""

    mlflow_connected = flag("Whether MLflow answers", True, required=True)
    tracking_method = text("`cached`, `direct` or `mock`", "cached", required=True)
    cache_enabled = flag("`ENABLE_CACHE`", True, required=True)


class MlflowServerSchema(Schema):
    """The MLflow server, which is asked every half hour."""

    version = text("Its version; null where it does not say", "3.17.2", required=True, allow_none=True)
    lacks = fields.List(
        fields.String(),
        required=True,
        metadata=doc("Features that its version does not have, so they are left out here", ["webhooks"]),
    )
    workspace = text("`MLFLOW_WORKSPACE`; null for the server's default", "fraud", required=True, allow_none=True)
    other_workspaces = fields.List(
        fields.String(),
        required=True,
        metadata=doc("Workspaces of the server that are not shown here", ["default"]),
    )


class RefreshStateSchema(Schema):
    """The last refresh, in whichever process."""

    last_attempt = moment("When the last refresh began", required=True, allow_none=True)
    last_success = moment("When the last successful refresh ended", required=True, allow_none=True)
    last_failure = moment("When a refresh last failed", required=True, allow_none=True)
    last_error = text("Why it failed", None, required=True, allow_none=True)
    duration_seconds = real("How long the last successful refresh took", 1.4, required=True, allow_none=True)
    mlflow_requests = number("How many MLflow requests it made", 4, required=True, allow_none=True)
    process = text("The process that did it, as host:pid", "tower-1:4711", required=True, allow_none=True)
    registrations_error = text(
        "Why the registrations could not be read after the last sweep, or may not be read by MLflow's user",
        None,
        required=True,
        allow_none=True,
    )


class UpdateSchema(Schema):
    """The last run of one kind of update, in whichever process."""

    enabled = flag("Whether this kind of update is switched on", True, required=True)
    last_run = moment("When the last update began", required=True, allow_none=True)
    duration_seconds = real("How long the last successful update took", 0.2, required=True, allow_none=True)
    mlflow_requests = number("How many MLflow requests it made", 2, required=True, allow_none=True)
    models_changed = number("How many registered models changed in the mirror", 1, required=True, allow_none=True)
    last_failure = moment("When an update last failed", required=True, allow_none=True)
    last_error = text("Why it failed", None, required=True, allow_none=True)


FreshnessSchema = Schema.from_dict(
    {
        update.shown_as: fields.Nested(UpdateSchema, required=True, metadata={"description": update.description})
        for update in UPDATES
    },
    name="FreshnessSchema",
)
"""How changes in MLflow reach the mirror, by kind of update."""


class DeliverySchema(Schema):
    """A delivery that was accepted."""

    message = text("What was done", "Delivery accepted", required=True)
    model = text("The registered model that the delivery names", "DNA_Analysis_Model", required=True, allow_none=True)


class CacheInfoSchema(Schema):
    """The snapshot, and how it is kept up to date."""

    cache_info = fields.Nested(CacheStatsSchema, required=True)
    tracking_info = fields.Nested(TrackingSchema, required=True)
    system_status = fields.Nested(SystemStatusSchema, required=True)
    mlflow_server = fields.Nested(MlflowServerSchema, required=True)
    refresh = fields.Nested(RefreshStateSchema, required=True)
    freshness = fields.Nested(FreshnessSchema, required=True)


class RefreshedSchema(Schema):
    """A refresh that was done."""

    message = text(
        "What was done. It says so where the registrations could not be read",
        REFRESHED,
        required=True,
    )
    registrations_error = text(
        "Why the registrations could not be read, or may not be read by MLflow's user; null where they were read",
        None,
        required=True,
        allow_none=True,
    )
    models_synced = number("Model versions read", 15, required=True)
    timestamp = moment("When", "2023-12-07T12:30:00Z", required=True)
    cache_stats = fields.Nested(CacheStatsSchema, required=True)


class ClearedSchema(Schema):
    """The persisted snapshot was removed."""

    message = text("What was done", CLEARED, required=True)
    timestamp = moment("When", "2023-12-07T12:35:00Z", required=True)
    note = text("What follows", AFTER_CLEARING, required=True)


class SummarySchema(Schema):
    """Figures for dashboards."""

    total_experiments = number("Experiments, deleted ones too", 5, required=True)
    active_experiments = number("Experiments that are not deleted", 3, required=True)
    total_models = number("Model versions", 15, required=True)
    monitored_models = number("Of them monitored", 2, required=True)
    production_models = number("Of them in Production", 3, required=True)
    staging_models = number("Of them in Staging", 5, required=True)
    total_runs = number("Runs that are not deleted; null before the first count", 75, required=True, allow_none=True)
    runs_counted_at = moment("When they were counted", "2023-12-07T12:30:00Z", required=True, allow_none=True)
    last_updated = moment(
        "Time of the snapshot; null if the clock was wrong", "2023-12-07T12:30:00Z", required=True, allow_none=True
    )


class RegistrationSchema(Schema):
    """One registration."""

    model_name = text("Registered model", "DNA_Analysis_Model", required=True)
    model_version = text("Version", "1", required=True)
    model_type = text("What it is registered as", "classifier", required=True)
    registered_at = moment("When", "2023-12-07T10:30:00Z", required=True)
    registered_by = text("By whom", "john_doe", required=True)
    run_id = text("Source run of the version", "abc123def456", required=True, allow_none=True)
    monitor_run_id = text("The run in MLflow that is the registration", "fed654cba321", required=True)


class DebugSchema(Schema):
    """Everything about the monitored versions."""

    monitored_count = number("How many", 2, required=True)
    monitored_list = fields.List(fields.Nested(RegistrationSchema), required=True)
    mlflow_status = text("`connected` or `disconnected`", "connected", required=True)
    model_details = fields.List(fields.Nested(ModelInfoSchema), required=True)
