"""Alerts: the changes of verdict that receivers are notified of, and the message that webhooks carry."""

import base64
import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from app.domain.monitoring.acts import is_active
from app.domain.monitoring.monitor_runs import MonitorState, Verdict
from app.domain.monitoring.verdicts import DEGRADED, DRIFTING
from app.domain.registry.models import Mute
from app.domain.times import rfc3339

EVENT = "verdict_changed"
# The most changes in one message of a webhook; further changes follow in messages of their own.
MOST_CHANGES = 100
# The prefix of a secret that is in base64, as the Standard Webhooks specify.
_ENCODED = "whsec_"


ChangeKey = str
"""Identifies a change of verdict, on every host that finds it: the monitor run, the verdict and its evidence."""


@dataclass(frozen=True, slots=True)
class VerdictChange:
    """One change of verdict of a monitored version; times in milliseconds, `evidence` and `began` as in `Verdict`.

    `owner` is the person or team that is responsible, and `url` the model's page; None if they are not known.
    """

    name: str
    version: int
    model_type: str
    monitor_run_id: str
    before: str
    verdict: str
    at: int
    reasons: tuple[str, ...]
    evidence: int | None = None
    began: int | None = None
    owner: str | None = None
    url: str | None = None

    @property
    def key(self) -> ChangeKey:
        if self.evidence is None:
            return f"{self.monitor_run_id} {self.at}"
        return f"{self.monitor_run_id} {self.verdict} {self.evidence}"


def owed_changes(state: MonitorState, receiver_id: str, now: int) -> list[VerdictChange]:
    """The changes that a receiver was not notified of yet, without those that are muted at `now`, in milliseconds.

    A receiver that is new to the monitor run is notified of the present verdict if that is bad, and of nothing older.
    After a mute it is notified of the present verdict alone, once, unless that is what it knows.
    """
    notified = state.notified.get(receiver_id)
    if notified is None:
        is_bad = state.verdict in (DEGRADED, DRIFTING)
        first = len(state.verdicts) - 1 if is_bad else len(state.verdicts)
    else:
        newer = (place for place, verdict in enumerate(state.verdicts) if verdict.at > notified)
        first = next(newer, len(state.verdicts))
    mutes, known = state.registration.mutes, state.before(first)
    active = [mute for mute in mutes if is_active(mute, now)]
    owed: list[VerdictChange] = []
    left_out = False
    for place, change in enumerate(state.verdicts[first:], first):
        is_last = place == len(state.verdicts) - 1
        # Whatever became of earlier changes while a mute held, only the present verdict matters after it.
        if _is_muted(change, active) or (not is_last and _is_muted(change, [m for m in mutes if change.at < m.until])):
            left_out = True
        elif not left_out:
            owed.append(_change(state, place, state.before(place)))
            known = change.verdict
        elif change.verdict != known:
            owed.append(_change(state, place, known))
            known = change.verdict
        elif change.verdict in (DEGRADED, DRIFTING) and not _is_muted(change, _in_force(mutes, change.at)):
            # The receiver knows this verdict of what was muted since. Now something else is as bad.
            owed.append(_change(state, place, state.before(place)))
    return owed


def is_held_back(state: MonitorState, now: int) -> bool:
    """Whether those metrics are muted at `now`, in milliseconds, that made the last change of verdict."""
    active = [mute for mute in state.registration.mutes if mute.metric is not None and is_active(mute, now)]
    return bool(state.verdicts) and _is_muted(state.verdicts[-1], active)


def _in_force(mutes: Iterable[Mute], at: int) -> list[Mute]:
    """The mutes that were made before a time, and ended later."""
    return [mute for mute in mutes if mute.at <= at < mute.until]


def _is_muted(change: Verdict, mutes: Sequence[Mute]) -> bool:
    """Whether these mutes are of the version, or of all metrics that made a change."""
    metrics = {mute.metric for mute in mutes}
    return None in metrics or (bool(change.causes) and metrics.issuperset(change.causes))


def _change(state: MonitorState, place: int, before: str) -> VerdictChange:
    registration, change = state.registration, state.verdicts[place]
    return VerdictChange(
        registration.name, registration.version, registration.model_type, registration.monitor_run_id,
        before, change.verdict, change.at, change.reasons, change.evidence, change.began,
    )  # fmt: skip


def page_url(public_url: str | None, name: str) -> str | None:
    """The address of a registered model's page; None if the service's own address is not known."""
    return f"{public_url}/ui/model/{quote(name, safe='', errors='replace')}" if public_url else None


def message(changes: Sequence[VerdictChange], sent_at: int) -> dict[str, Any]:
    """The JSON of a webhook's message: the first `MOST_CHANGES` changes in order. `more` counts those left out.

    `sent_at` in milliseconds.
    """
    included = changes[:MOST_CHANGES]
    return {
        "event": EVENT,
        "sent_at": rfc3339(sent_at),
        "changes": [_row(change) for change in included],
        "more": len(changes) - len(included),
    }


def delivery_id(changes: Sequence[VerdictChange]) -> str:
    """The id of the message about these changes. A retry has the same id, also after a restart or from another host."""
    # Two hosts may have found the changes in another order.
    keys = "\n".join(sorted(change.key for change in changes))
    return "msg_" + hashlib.sha256(keys.encode(errors="replace")).hexdigest()[:32]


def signed(secret: str | None, delivery_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of the Standard Webhooks; `timestamp` in seconds. Without a secret there is no signature.

    The key is the secret in UTF-8. A secret that begins with `whsec_` is decoded from the base64 after that prefix;
    raises `ValueError` if it is not base64.
    """
    headers = {"webhook-id": delivery_id, "webhook-timestamp": str(timestamp)}
    if secret is not None:
        content = f"{delivery_id}.{timestamp}.".encode() + body
        digest = hmac.new(_key(secret), content, hashlib.sha256).digest()
        headers["webhook-signature"] = "v1," + base64.b64encode(digest).decode()
    return headers


def receiver_id(url: str) -> str:
    """The id of a receiver, as stored in MLflow: 16 hexadecimal digits that do not reveal its URL."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]


def _key(secret: str) -> bytes:
    if secret.startswith(_ENCODED):
        return base64.b64decode(secret.removeprefix(_ENCODED), validate=True)
    return secret.encode()


def _row(change: VerdictChange) -> dict[str, Any]:
    return {
        "name": change.name,
        "version": str(change.version),
        "model_type": change.model_type,
        "verdict": change.verdict,
        "before": change.before,
        "since": rfc3339(change.at),
        "began_at": rfc3339(change.began),
        "reasons": list(change.reasons),
        "monitor_run_id": change.monitor_run_id,
        "owner": change.owner,
        "url": change.url,
    }
