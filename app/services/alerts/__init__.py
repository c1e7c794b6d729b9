"""Alerts: who is told of changes of verdict, how, and that each is told in the end."""

from app.services.alerts.announcer import Announcer
from app.services.alerts.receivers import AppriseReceiver, NotDelivered, Receiver, WebhookReceiver
from app.services.alerts.urls import alert_urls, refuse_bad_urls

__all__ = [
    "Announcer",
    "AppriseReceiver",
    "NotDelivered",
    "Receiver",
    "WebhookReceiver",
    "alert_urls",
    "refuse_bad_urls",
]
