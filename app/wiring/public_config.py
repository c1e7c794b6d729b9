"""The configuration as anybody may see it."""

from typing import Any

from app.domain.redact import without_userinfo
from config import API_VERSION, RELEASE, Settings


def public_config(settings: Settings) -> dict[str, Any]:
    """The body of `GET /config`: the configuration without credentials, as anybody may see it."""
    uri = settings.tracking_uri
    shown = without_userinfo(uri)
    secrets = (settings.mlflow_tracking_password, settings.mlflow_tracking_token)
    return {
        "mlflow": {
            "tracking_uri": shown,
            "authentication": shown != uri or any(secrets),
            "workspace": settings.mlflow_workspace,
        },
        "api": {"host": settings.api_host, "port": settings.api_port, "version": API_VERSION},
        "release": RELEASE,
        "features": {
            "mock_data_enabled": settings.enable_mock_data,
            "debug_endpoints_enabled": settings.enable_debug_endpoints,
            "cache_enabled": settings.enable_cache,
            "access_keys_enabled": settings.api_tokens_file is not None,
        },
        # The service does not start with an invalid value, so all are valid.
        "validation": {"mlflow_configured": True, "api_port_valid": True, "log_level_valid": True},
    }
