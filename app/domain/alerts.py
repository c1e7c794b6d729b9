"""Alerts: the changes of verdict that receivers are told of, for machines and for people."""

import base64
import binascii
import hashlib
import hmac
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.domain.times import rfc3339
from app.domain.verdicts import DEGRADED, DRIFTING, HEALTHY, INSUFFICIENT

_SHOWN = 20
_STANDARD_SECRET = "whsec_"  # noqa: S105 - the prefix of one
_IN_WORDS = {DRIFTING: "drifting", DEGRADED: "degraded", HEALTHY: "healthy", INSUFFICIENT: "without sufficient data"}


@dataclass(frozen=True, slots=True)
class VerdictChange:
    """One change of verdict of a monitored version; `at` in milliseconds."""

    name: str
    version: int
    model_type: str
    monitor_run_id: str
    before: str
    verdict: str
    at: int
    reasons: tuple[str, ...]

    @property
    def key(self) -> tuple[str, int]:
        """What it is known by: no monitor run changes its verdict twice at once."""
        return self.monitor_run_id, self.at


def message(changes: Sequence[VerdictChange], sent_at: int) -> dict[str, Any]:
    """What is sent to a program: the changes, the oldest first. `sent_at` in milliseconds."""
    return {
        "event": "verdict_changed",
        "sent_at": rfc3339(sent_at),
        "changes": [
            {
                "name": one.name,
                "version": str(one.version),
                "model_type": one.model_type,
                "verdict": one.verdict,
                "before": one.before,
                "since": rfc3339(one.at),
                "reasons": list(one.reasons),
                "monitor_run_id": one.monitor_run_id,
            }
            for one in changes
        ],
    }


def delivery_id(changes: Sequence[VerdictChange]) -> str:
    """A name for a delivery: the same when it is tried again."""
    told = "\n".join(f"{one.monitor_run_id} {one.at}" for one in changes)
    return f"msg_{hashlib.sha256(told.encode()).hexdigest()[:32]}"


def signature_headers(secret: str | None, message_id: str, sent_at: int, body: bytes) -> Mapping[str, str]:
    """The headers of a delivery, signed as Standard Webhooks has it (standardwebhooks.com); `sent_at` in milliseconds.

    The key is the secret's text, or what stands in base64 behind `whsec_`. Without a secret nothing is signed.
    """
    seconds = str(sent_at // 1000)
    headers = {"webhook-id": message_id, "webhook-timestamp": seconds}
    if secret is not None:
        signed = f"{message_id}.{seconds}.".encode() + body
        digest = hmac.new(_key(secret), signed, hashlib.sha256).digest()
        headers["webhook-signature"] = f"v1,{base64.b64encode(digest).decode()}"
    return headers


def title_and_text(changes: Sequence[VerdictChange]) -> tuple[str, str]:
    """What is sent to people: plain text, whatever a model's name holds."""
    lines = [line for one in reversed(changes[-_SHOWN:]) for line in _lines(one)]
    if len(changes) > _SHOWN:
        lines.append(f"and {len(changes) - _SHOWN} changes before these")
    if len(changes) == 1:
        return _headline(changes[0]), "\n".join(lines[1:])
    newest = {one.monitor_run_id: one.verdict for one in changes}
    counts = Counter(newest.values())
    told = ", ".join(f"{counts[verdict]} {words}" for verdict, words in _IN_WORDS.items() if counts[verdict])
    versions = "1 model version" if len(newest) == 1 else f"{len(newest)} model versions"
    return f"{versions} changed: {told}", "\n".join(lines)


def _headline(one: VerdictChange) -> str:
    return f"{_plain(one.name)} v{one.version} is {_IN_WORDS[one.verdict]}, was {_IN_WORDS[one.before]}"


def _lines(one: VerdictChange) -> list[str]:
    return [_headline(one), *(f"  {_plain(reason)}" for reason in one.reasons)]


def _plain(text: str) -> str:
    """Without line breaks and other controls, and without what chat programs take for a mention of everybody."""
    shown = "".join(" " if unicodedata.category(letter).startswith("C") else letter for letter in text[:300])
    return shown.replace("@", "@\u200b").replace("<!", "<\u200b!")


def _key(secret: str) -> bytes:
    if secret.startswith(_STANDARD_SECRET):
        try:
            return base64.b64decode(secret.removeprefix(_STANDARD_SECRET), validate=True)
        except binascii.Error:
            return secret.encode()
    return secret.encode()
