"""The receivers of alerts that the settings name."""

from app.domain.monitoring.alert_filters import AlertFilter, alert_filter
from app.domain.monitoring.alerts import receiver_id
from app.domain.ports import Clock
from app.services.alerts import AppriseReceiver, Receiver, WebhookReceiver, kind_of
from config import Settings


def filters(settings: Settings) -> dict[str, AlertFilter]:
    """Which changes the receivers get that do not get all, by their ids."""
    urls = {str(place): url for place, url in enumerate(settings.apprise_urls, 1)}
    if settings.alert_webhook_url:
        urls["webhook"] = settings.alert_webhook_url.get_secret_value()
    return {receiver_id(urls[name]): alert_filter(wanted) for name, wanted in settings.filters.items()}


def receivers(settings: Settings, clock: Clock) -> list[Receiver]:
    """The receivers of alerts that the settings name."""
    made: list[Receiver] = []
    url, secret = settings.alert_webhook_url, settings.alert_webhook_secret
    if url:
        made.append(WebhookReceiver(url.get_secret_value(), secret.get_secret_value() if secret else None, clock))
    kinds = [kind_of(apprise_url) for apprise_url in settings.apprise_urls]
    for place, (kind, apprise_url) in enumerate(zip(kinds, settings.apprise_urls, strict=True), 1):
        # Receivers of the same kind differ by their places in ALERT_URLS.
        made.append(AppriseReceiver(apprise_url, kind if kinds.count(kind) == 1 else f"{kind} (number {place})"))
    return made
