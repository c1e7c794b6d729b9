"""Alerts: notifies receivers of changes of verdict, each on a thread of its own."""

from app.services.alerts.announcer import Announcer
from app.services.alerts.apprise_receiver import AppriseReceiver, kind_of, not_understood
from app.services.alerts.outbox import Pace, Receiver
from app.services.alerts.webhook_receiver import WebhookReceiver

__all__ = ["Announcer", "AppriseReceiver", "Pace", "Receiver", "WebhookReceiver", "kind_of", "not_understood"]
