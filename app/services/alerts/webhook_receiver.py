"""The webhook receiver: JSON, signed as Standard Webhooks specifies."""

import hashlib
import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from app.domain.errors import DeliveryFailed
from app.domain.monitoring.alerts import MOST_CHANGES, VerdictChange, delivery_id, message, receiver_id, signed
from app.domain.ports import Clock
from app.domain.promotion.notices import Notice
from app.domain.times import rfc3339
from app.services.alerts.attempts import Attempts

_SECONDS = 10.0
_REDIRECTS = range(HTTPStatus.MULTIPLE_CHOICES, HTTPStatus.BAD_REQUEST)


class WebhookReceiver:
    """Posts to an address. Any 2xx counts as arrival. A message may take `seconds`, whatever the server does."""

    def __init__(self, url: str, secret: str | None, clock: Clock, seconds: float = _SECONDS) -> None:
        self.id = receiver_id(url)
        self.name = f"webhook {urlsplit(url).hostname}"
        self._url = url
        self._secret = secret
        self._clock = clock
        self._seconds = seconds
        self._attempts = Attempts(f"alert-{self.id}")

    def deliver(self, changes: Sequence[VerdictChange]) -> None:
        """Post the changes, at most `MOST_CHANGES` in a message. Raises `DeliveryFailed`."""
        for start in range(0, len(changes), MOST_CHANGES):
            self._send(changes[start:])

    def tell(self, notice: Notice) -> None:
        """Post a notice about a promotion. Raises `DeliveryFailed`."""
        now = self._clock()
        content = {"event": notice.event, "sent_at": rfc3339(now), **notice.body}
        digest = hashlib.sha256(f"{notice.run_id} {notice.key}".encode()).hexdigest()[:32]
        self._deliver(content, f"msg_{digest}", now)

    def _send(self, changes: Sequence[VerdictChange]) -> None:
        now = self._clock()
        self._deliver(message(changes, now), delivery_id(changes[:MOST_CHANGES]), now)

    def _deliver(self, content: dict[str, Any], message_id: str, now: int) -> None:
        body = json.dumps(content, separators=(",", ":")).encode()
        headers = signed(self._secret, message_id, now // 1000, body)
        status = self._attempts.run(lambda: self._post(body, headers), self._seconds)
        if status in _REDIRECTS:
            raise DeliveryFailed(f"HTTP {status}, and redirects are not followed")
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            raise DeliveryFailed(f"HTTP {status}")

    def _post(self, body: bytes, headers: dict[str, str]) -> int:
        import requests  # noqa: PLC0415 - 7 MB that no worker needs

        try:
            with requests.post(
                self._url,
                data=body,
                headers={"Content-Type": "application/json", "User-Agent": "control-tower", **headers},
                timeout=self._seconds,
                allow_redirects=False,
                # Only the status matters, so the body is not read.
                stream=True,
            ) as answer:
                return answer.status_code
        except requests.Timeout:
            raise DeliveryFailed(f"no answer within {self._seconds:.3g} s") from None
        except requests.exceptions.SSLError:
            raise DeliveryFailed("its certificate is not trusted, or TLS failed") from None
        except requests.exceptions.ProxyError:
            raise DeliveryFailed("the proxy on the way fails") from None
        except requests.RequestException:
            raise DeliveryFailed("it cannot be reached") from None
