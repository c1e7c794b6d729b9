"""Receivers by way of Apprise: Slack, Teams, Mattermost, PagerDuty, mail and a hundred others."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from app.domain.errors import DeliveryFailed
from app.domain.monitoring.alert_texts import harmless, title_and_text, worst
from app.domain.monitoring.alerts import VerdictChange, receiver_id
from app.domain.monitoring.verdicts import DEGRADED, DRIFTING, HEALTHY
from app.domain.promotion.notices import Notice
from app.services.alerts.attempts import Attempts

if TYPE_CHECKING:
    from apprise import NotifyBase

_PROGRAM = Path(__file__).with_name("understood.py")
_PROGRAM_SECONDS = 60
_LONGEST_LINE = 500
# A URL may have many targets, which Apprise serves in turn, with pauses. In seconds: base, per target, the most.
_SECONDS, _SECONDS_EACH, _MOST_SECONDS = 20.0, 8.0, 600.0
_KINDS = {DRIFTING: "failure", DEGRADED: "warning", HEALTHY: "success"}
_STATUS = re.compile(r"\berror=(\d{3})\b")


class AppriseReceiver:
    """The receiver behind an Apprise URL. Apprise takes 26 MB, so it is only imported to deliver."""

    def __init__(self, url: str, name: str | None = None, seconds: float = _SECONDS) -> None:
        self.id = receiver_id(url)
        self.name = name or kind_of(url)
        self._url = url
        self._seconds = seconds
        self._attempts = Attempts(f"alert-{self.id}")
        self._service: NotifyBase | None = None

    def deliver(self, changes: Sequence[VerdictChange]) -> None:
        """Send a single text about all changes. Raises `DeliveryFailed`."""
        self._attempt(*title_and_text(changes), _KINDS.get(worst(changes), "info"))

    def tell(self, notice: Notice) -> None:
        """Send a notice about a promotion. Raises `DeliveryFailed`."""
        lines = [harmless(line, _LONGEST_LINE) for line in notice.text.splitlines()]
        url = notice.body.get("url")
        self._attempt(harmless(notice.title, _LONGEST_LINE), "\n".join([*lines, *([url] if url else [])]), "info")

    def _attempt(self, title: str, text: str, kind: str) -> None:
        service = self._service or self._made()
        each = service.request_rate_per_sec + _SECONDS_EACH
        # An attempt that hangs goes on using its service, so the next attempt makes a new one.
        self._service = None
        self._attempts.run(
            lambda: _notify(service, title, text, kind), min(self._seconds + len(service) * each, _MOST_SECONDS)
        )
        self._service = service

    def _made(self) -> "NotifyBase":
        from apprise import Apprise, AppriseAsset, OverflowMode  # noqa: PLC0415 - see above

        asset = AppriseAsset(
            app_id="Control Tower",
            app_desc="MLOps Control Tower",
            # Apprise's logo is on GitHub, and readers of the message would fetch it from there.
            image_url_mask="",
            image_url_logo="",
            http_redirects=False,
            storage_mode="memory",
            pgp_autogen=False,
            pem_autogen=False,
            # Apprise's own thread pool would delay the end of the process.
            async_mode=False,
            service_timeout=0,
        )
        service = Apprise.instantiate(self._url, asset=asset)
        if service is None:
            raise DeliveryFailed("Apprise does not understand the URL")
        # A service that refuses a long text would refuse it at every retry.
        service.overflow_mode = OverflowMode.TRUNCATE
        # Apprise reports success for an optional service even if it failed.
        service.optional = False
        return service


def kind_of(url: str) -> str:
    """The public part of an Apprise URL: its scheme, or the host of an http or https address."""
    scheme = url.partition("://")[0].lower()
    try:
        host = urlsplit(url).hostname
    except ValueError:
        host = None
    return host if host and scheme in ("http", "https") else scheme


def not_understood(urls: Sequence[str]) -> list[int]:
    """The places, from 1, of the URLs that Apprise cannot use. Another process checks them, which saves memory here.

    Raises `OSError` where the process fails.
    """
    done = subprocess.run(
        # The URLs go to the process's input, since other users may read arguments.
        [sys.executable, "-P", str(_PROGRAM)],
        input=json.dumps(list(urls)).encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=_PROGRAM_SECONDS,
        check=False,
    )
    if done.returncode:
        raise OSError("Apprise cannot be loaded")
    return [int(place) for place in json.loads(done.stdout)]


def _notify(service: "NotifyBase", title: str, text: str, kind: str) -> None:
    from apprise import Apprise, NotifyFormat  # noqa: PLC0415 - see above

    result = Apprise(service, asset=service.asset).notify(
        text, title=title, notify_type=kind, body_format=NotifyFormat.TEXT
    )
    if not result:
        # Only the status is taken from Apprise's log, whose text may repeat the URL.
        status = _STATUS.search(" ".join(entry.message for entry in result.logs()))
        raise DeliveryFailed(f"HTTP {status[1]}" if status else "Apprise could not deliver it")
