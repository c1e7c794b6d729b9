"""What is checked once before any worker is forked: the settings that name things of this host."""

import subprocess

from app.services.alerts import not_understood
from app.services.host.cache_holders import CacheHeldElsewhere, hold_cache_directory
from app.services.mlflow_gateway.store import missing_driver
from app.wiring.world import Host
from config import BadSetting, Settings


def check_driver(uri: str) -> None:
    """See to it that the database of `MLFLOW_TRACKING_URI` can be opened. Raises `BadSetting`, without the address."""
    try:
        package = missing_driver(uri)
    except ValueError as error:
        raise BadSetting(f"MLFLOW_TRACKING_URI=(hidden): {error}") from None
    if package is not None:
        raise BadSetting(
            f"MLFLOW_TRACKING_URI=(hidden): the database's driver is not installed. Install the package {package} "
            "beside the service, or name the address of an MLflow server."
        )


def check_hosts(settings: Settings, host: Host | None) -> None:
    """Check that this host can be one of several, where `REDIS_URL` says so. Raises `BadSetting`."""
    if settings.redis_url is not None and (host is None or host.marks is None):
        raise BadSetting("REDIS_URL: this system has no memory that processes can share. Use Linux for several hosts.")


def check_cache_directory(host: Host | None) -> None:
    """Check that no instance uses this cache directory with locks elsewhere. Raises `BadSetting`."""
    if host is None:
        return
    try:
        hold_cache_directory(host.cache)
    except CacheHeldElsewhere:
        raise BadSetting(
            f"CACHE_DIRECTORY: an instance with another temporary directory, or of another user, uses {host.cache}. "
            "Both would lose registrations. Give each a CACHE_DIRECTORY of its own, or both the same TMPDIR"
        ) from None


def check_alert_urls(settings: Settings) -> None:
    """Check that Apprise can use each of `ALERT_URLS`. Raises `BadSetting`, whose text does not repeat them."""
    if not settings.apprise_urls:
        return
    try:
        bad = not_understood(settings.apprise_urls)
    except (OSError, subprocess.SubprocessError):
        raise BadSetting("ALERT_URLS=(hidden): Apprise, which is to use them, cannot be loaded") from None
    if bad:
        raise BadSetting(f"ALERT_URLS=(hidden): Apprise does not understand number {bad[0]} of them")
