"""Deliveries of MLflow's webhooks: their signature, their age, and the model that they are about."""

import base64
import hashlib
import hmac
import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any
from urllib.parse import urlsplit

from app.domain.bodies import MOST_BODY_BYTES
from app.domain.errors import InvalidInput, Unauthorized

# The events of MLflow's registry. Deleting or renaming models and versions has no event.
EVENTS = (
    "registered_model.created",
    "model_version.created",
    "model_version_tag.set",
    "model_version_tag.deleted",
    "model_version_alias.created",
    "model_version_alias.deleted",
)
# The tower recognises its own webhooks by this name.
WEBHOOK_NAME = "control-tower"
RECEIVER_PATH = "/webhooks/mlflow"
# How far the time of a delivery may be from ours, in milliseconds. MLflow's last retry follows within a minute.
MOST_AGE = 300_000
_MOST_NAME = 1000
# The length of MLflow's column for the URL.
_MOST_URL = 500

_ID, _TIME, _SIGNATURE = "x-mlflow-delivery-id", "x-mlflow-timestamp", "x-mlflow-signature"
# Without a dot, so that the signed text `id.time.body` can be split in only one way.
_DELIVERY_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_SECONDS = re.compile(r"[0-9]{1,12}")
_VERSION = "v1,"

_NOT_OURS = (
    "The delivery is not signed with MLFLOW_WEBHOOK_SECRET. `flask webhooks register` tells MLflow the present secret."
)
_TOO_OLD = "The delivery is more than 5 minutes old, or ahead of time. Check the clocks of both hosts."


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery that MLflow signed. `sent_at` in milliseconds; `name` is None if there is nothing to do."""

    delivery_id: str
    sent_at: int
    name: str | None


def delivered(secret: str, headers: Mapping[str, str], body: bytes, now: int) -> Delivery:
    """The delivery, checked to be signed by MLflow and recent; `now` in milliseconds.

    Raises `Unauthorized` if it is not, and `InvalidInput` if a signed delivery cannot be used.
    """
    # A server in between may have changed the case of the names.
    given = {name.lower(): value for name, value in headers.items()}
    delivery_id, seconds = given.get(_ID, ""), given.get(_TIME, "")
    if not _DELIVERY_ID.fullmatch(delivery_id) or not _SECONDS.fullmatch(seconds):
        raise Unauthorized(_NOT_OURS)
    if not _signed(signature(secret, delivery_id, seconds, body), given.get(_SIGNATURE, "")):
        raise Unauthorized(_NOT_OURS)
    sent_at = int(seconds) * 1000
    if abs(now - sent_at) > MOST_AGE:
        raise Unauthorized(_TOO_OLD)
    return Delivery(delivery_id, sent_at, _model_of(body))


def signature(secret: str, delivery_id: str, seconds: str, body: bytes) -> str:
    """The signature as MLflow sends it."""
    content = b".".join((delivery_id.encode(), seconds.encode(), body))
    digest = hmac.new(secret.encode(), content, hashlib.sha256).digest()
    return _VERSION + base64.b64encode(digest).decode()


def receiver_url(text: str) -> str:
    """The address that MLflow shall deliver to. An address without a path gets `RECEIVER_PATH`."""
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and not parts.fragment
    except ValueError:
        good = False
    if not good or not text.isprintable() or " " in text:
        raise InvalidInput("The URL must be an address like https://tower.example.com/webhooks/mlflow.")
    if parts.path in ("", "/"):
        text = parts._replace(path=RECEIVER_PATH).geturl()
    if len(text) > _MOST_URL:
        raise InvalidInput(f"The URL is too long: at most {_MOST_URL} characters.")
    return text


class Deliveries:
    """The deliveries of the last minutes, so that a retry or a replay is recognised.

    A delivery is forgotten once it is too old to be accepted. Beyond `most` deliveries the oldest are forgotten
    earlier: a repeated delivery then costs another reading of its model, no more. Threads may share an instance.
    """

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._known: set[str] = set()
        self._by_age: list[tuple[int, str]] = []

    def is_new(self, delivery_id: str, sent_at: int, now: int) -> bool:
        """Whether the delivery did not come before; remembers it. Times in milliseconds."""
        oldest = now - MOST_AGE
        with self._lock:
            while self._by_age and self._by_age[0][0] < oldest:
                self._forget()
            if delivery_id in self._known or sent_at < oldest:
                return False
            if len(self._known) >= self._most:
                self._forget()
            self._known.add(delivery_id)
            heappush(self._by_age, (sent_at, delivery_id))
            return True

    def _forget(self) -> None:
        self._known.discard(heappop(self._by_age)[1])


def _signed(expected: str, header: str) -> bool:
    """Whether the header holds the expected signature. While a secret is being changed, it may hold several."""
    wanted = expected.encode()
    # Compared as text: invalid base64, or another spelling of the same bytes, does not match.
    matches = [hmac.compare_digest(wanted, given.encode(errors="replace")) for given in header.split()]
    return any(matches)


def _model_of(body: bytes) -> str | None:
    message = _parsed(body)
    entity, action = message.get("entity"), message.get("action")
    if not isinstance(entity, str) or not isinstance(action, str):
        raise InvalidInput("The delivery does not say what happened: entity and action must be text.")
    if f"{entity}.{action}" not in EVENTS:
        return None
    data = message.get("data")
    name = data.get("name") if isinstance(data, dict) else None
    if not isinstance(name, str) or not 0 < len(name) <= _MOST_NAME or not _encodable(name):
        raise InvalidInput(f"The delivery does not say which model: data.name must be 1 to {_MOST_NAME} characters.")
    return name


def _parsed(body: bytes) -> dict[str, Any]:
    if len(body) > MOST_BODY_BYTES:
        raise InvalidInput("The delivery is too large: at most 1 MiB.")
    try:
        message = json.loads(body.decode())
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise InvalidInput("The delivery is not a JSON object.")
    return message


def _encodable(text: str) -> bool:
    """Whether the text can be encoded: JSON may hold half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
