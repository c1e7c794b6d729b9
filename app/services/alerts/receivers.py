"""Receivers of alerts: a program behind an address, and what Apprise reaches."""

import hashlib
import re
import threading
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

import orjson
import requests

from app.domain.alerts import VerdictChange, delivery_id, message, signature_headers, title_and_text
from app.domain.ports import Clock

T = TypeVar("T")

# For the whole of a delivery, whatever the other side does.
PATIENCE_SECONDS = 10.0
_SOCKET_SECONDS = 5.0


class NotDelivered(Exception):
    """A receiver did not take a message; with what may be said of it, which is never the address."""


class Receiver(Protocol):
    """Somebody to tell. `id` names the receiver in MLflow, `name` in the log; neither holds a secret."""

    id: str
    name: str

    def deliver(self, changes: Sequence[VerdictChange]) -> None:
        """Tell of some changes in one message. Raises `NotDelivered`."""
        ...


class WebhookReceiver:
    """A program that takes JSON, signed where there is a secret."""

    def __init__(self, url: str, secret: str | None, clock: Clock, patience: float = PATIENCE_SECONDS) -> None:
        self.id = receiver_id(url)
        self.name = f"webhook {urlsplit(url).hostname}"
        self._url = url
        self._secret = secret
        self._clock = clock
        self._patience = patience

    def deliver(self, changes: Sequence[VerdictChange]) -> None:
        sent_at = self._clock()
        body = orjson.dumps(message(changes, sent_at))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "control-tower",
            **signature_headers(self._secret, delivery_id(changes), sent_at, body),
        }
        status = within(self._patience, lambda: self._post(body, headers))
        if not requests.codes.ok <= status < requests.codes.multiple_choices:
            raise NotDelivered(f"HTTP {status}")

    def _post(self, body: bytes, headers: dict[str, str]) -> int:
        # Whoever answers elsewhere was not meant to get it; what the answer says is nobody's business.
        with requests.post(
            self._url, body, headers=headers, timeout=_SOCKET_SECONDS, allow_redirects=False, stream=True
        ) as answer:
            return answer.status_code


class AppriseReceiver:
    """Whatever Apprise reaches by this address: Slack, Teams, PagerDuty, mail and others."""

    def __init__(self, url: str, patience: float = PATIENCE_SECONDS) -> None:
        self.id = receiver_id(url)
        scheme = re.match(r"[a-z0-9]{1,20}(?=:)", url.lower())
        self.name = scheme[0] if scheme else "apprise"
        self._url = url
        self._patience = patience

    def deliver(self, changes: Sequence[VerdictChange]) -> None:
        title, text = title_and_text(changes)
        if not within(self._patience, lambda: self._notify(title, text)):
            raise NotDelivered("Apprise says that it was not taken")

    def _notify(self, title: str, text: str) -> bool:
        # Tens of megabytes, for the one process that delivers.
        import apprise  # noqa: PLC0415

        there = apprise.Apprise()
        return bool(there.add(self._url)) and bool(there.notify(body=text or title, title=title, body_format="text"))


def receiver_id(url: str) -> str:
    """A name for a receiver that does not tell its address."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]


def within(seconds: float, work: Callable[[], T]) -> T:
    """What the work gives; `NotDelivered` where it fails or takes longer. Its own time-outs are per socket read."""
    found: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:  # noqa: BLE001 - said below, without its text, which repeats the address
            failed.append(error)

    thread = threading.Thread(target=run, name="delivery", daemon=True)
    thread.start()
    thread.join(seconds)
    if found:
        return found[0]
    raise NotDelivered(type(failed[0]).__name__ if failed else f"no answer within {seconds:g} s")
