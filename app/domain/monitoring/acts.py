"""What people do about a monitored version: acknowledge its verdict, mute its alerts, comment on it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from app.domain.errors import Conflict, InvalidInput, NotFound
from app.domain.messages import CHANGED_MEANWHILE, NOT_ACKNOWLEDGED, NOT_MUTED, NOTHING_TO_ACKNOWLEDGE
from app.domain.monitoring.verdicts import HEALTHY
from app.domain.registry.models import Acknowledgement, Mute, Registration
from app.domain.registry.names import LONGEST_TAG, is_metric_name
from app.domain.times import DAY_MS, rfc3339

ACKNOWLEDGED, UNACKNOWLEDGED, MUTED, UNMUTED, COMMENTED = (
    "acknowledged", "unacknowledged", "muted", "unmuted", "commented",
)  # fmt: skip
ACTS = (ACKNOWLEDGED, UNACKNOWLEDGED, MUTED, UNMUTED, COMMENTED)
LONGEST_NOTE = 1000
# How many acts the tags of a monitor run hold: the next one takes the place of the oldest.
PLACES = 100
LONGEST_MUTE_DAYS = 366
# An alert that waits for the end of a mute is sent by the next check. After that an ended mute means nothing.
_KEPT_AFTER_END_MS = 7 * DAY_MS


@dataclass(frozen=True, slots=True)
class Act:
    """Something that a person did about a monitored version. `number` counts the acts of a record, from 1.

    Times in milliseconds. `metric` and `until` are those of a mute; `verdict` is what was acknowledged.
    """

    number: int
    at: int
    kind: str
    by: str
    note: str = ""
    metric: str | None = None
    until: int | None = None
    verdict: str | None = None


@dataclass(frozen=True, slots=True)
class WantedAct:
    """What a client asks for. `since` is when the verdict began that the client has seen; None if it does not say."""

    kind: str
    note: str = ""
    metric: str | None = None
    until: int | None = None
    since: int | None = None


@dataclass(frozen=True, slots=True)
class ActedOn:
    """A registration as its monitor run has it, with its verdict, since when, and the last acts, the newest last."""

    registration: Registration
    verdict: str
    since: int
    acts: Sequence[Act] = ()


def acted(standing: ActedOn, wanted: WantedAct, by: str, now: int) -> tuple[Act, Registration]:
    """The act to write, and what the registration becomes by it.

    Raises `InvalidInput`, `Conflict` where there is nothing to acknowledge, and `NotFound` where there is nothing to
    take back.
    """
    registration, last = standing.registration, standing.acts[-1] if standing.acts else None
    # Acts keep their order, whatever the clock does.
    at = max(now, last.at + 1) if last else now
    act = Act(last.number + 1 if last else 1, at, wanted.kind, by, wanted.note, wanted.metric, wanted.until)
    if wanted.kind == ACKNOWLEDGED:
        if wanted.since not in (None, standing.since):
            raise Conflict(CHANGED_MEANWHILE)
        if standing.verdict == HEALTHY:
            raise Conflict(NOTHING_TO_ACKNOWLEDGE)
        acknowledgement = Acknowledgement(at, by, wanted.note, standing.since)
        return replace(act, verdict=standing.verdict), replace(registration, acknowledgement=acknowledgement)
    if wanted.kind == UNACKNOWLEDGED:
        if acknowledged(registration, standing.since) is None:
            raise NotFound(NOT_ACKNOWLEDGED)
        return act, replace(registration, acknowledgement=None)
    if wanted.kind == MUTED:
        return act, replace(registration, mutes=_muted(registration.mutes, act, now))
    if wanted.kind == UNMUTED:
        return act, replace(registration, mutes=_unmuted(registration.mutes, wanted.metric, now))
    return act, registration


def acknowledged(registration: Registration, since: int) -> Acknowledgement | None:
    """The acknowledgement of the verdict that began at a time in milliseconds; None if another one was acknowledged."""
    known = registration.acknowledgement
    return known if known and known.since == since else None


def is_active(mute: Mute, now: int) -> bool:
    """Whether a mute holds at a time in milliseconds."""
    return not mute.removed and now < mute.until


def acknowledgement_info(registration: Registration, since: int) -> dict[str, Any] | None:
    """The acknowledgement of the verdict that began at a time in milliseconds, as JSON."""
    known = acknowledged(registration, since)
    return {"at": rfc3339(known.at), "by": known.by, "note": known.note} if known else None


def mutes_info(registration: Registration, now: int) -> list[dict[str, Any]]:
    """The mutes that hold at a time in milliseconds, as JSON, that of the whole version first."""
    active = (mute for mute in registration.mutes if is_active(mute, now))
    return [
        {"metric": mute.metric, "until": rfc3339(mute.until), "at": rfc3339(mute.at), "by": mute.by, "note": mute.note}
        for mute in sorted(active, key=lambda mute: mute.metric or "")
    ]


def acknowledgement_text(acknowledgement: Acknowledgement | None) -> str:
    """An acknowledgement as the text of a tag."""
    return orjson.dumps(acknowledgement).decode()


def acknowledgement_from(text: str | None) -> Acknowledgement | None:
    """The acknowledgement that a tag holds; None also where somebody made it unreadable."""
    try:
        row = orjson.loads(text or "null")
        return Acknowledgement(int(row["at"]), str(row["by"]), str(row["note"]), int(row["since"])) if row else None
    except (ValueError, TypeError, KeyError, OverflowError):
        return None


def mutes_text(mutes: Sequence[Mute]) -> str:
    """Mutes as the text of a tag."""
    return orjson.dumps(mutes).decode()


def mutes_from(text: str | None) -> tuple[Mute, ...]:
    """The mutes that a tag holds; none where somebody made it unreadable."""
    try:
        return tuple(
            Mute(
                None if row["metric"] is None else str(row["metric"]), int(row["until"]), int(row["at"]),
                str(row["by"]), str(row["note"]), row["removed"] is True,
            )
            for row in orjson.loads(text or "[]")
        )  # fmt: skip
    except (ValueError, TypeError, KeyError, OverflowError):
        return ()


def act_text(act: Act) -> str:
    """An act as the text of a tag."""
    return orjson.dumps(act).decode()


def acts_from(texts: Iterable[str]) -> tuple[Act, ...]:
    """The acts that some tags hold, the newest last, without those that somebody made unreadable."""
    acts = {act.number: act for act in map(_act_from, texts) if act}
    return tuple(acts[number] for number in sorted(acts))


def act_row(act: Act) -> list[Any]:
    """An act in the form in which the history keeps it."""
    return [act.number, act.at, act.kind, act.by, act.note, act.metric, act.until, act.verdict]


def _act_from(text: str) -> Act | None:
    try:
        row: Mapping[str, Any] = orjson.loads(text)
        until = row["until"]
        metric, verdict = (None if row[name] is None else str(row[name]) for name in ("metric", "verdict"))
        act = Act(
            int(row["number"]), int(row["at"]), str(row["kind"]), str(row["by"]), str(row["note"]), metric,
            None if until is None else int(until), verdict,
        )  # fmt: skip
    except (ValueError, TypeError, KeyError, OverflowError):
        return None
    return act if act.kind in ACTS else None


def _muted(mutes: Sequence[Mute], act: Act, now: int) -> tuple[Mute, ...]:
    until = act.until or 0
    if not now < until <= now + LONGEST_MUTE_DAYS * DAY_MS:
        raise InvalidInput(f"until: must be later than now, and at most {LONGEST_MUTE_DAYS} days from now.")
    if act.metric is not None and not is_metric_name(act.metric):
        raise InvalidInput("metric: This cannot be the name of a metric.")
    others = [m for m in mutes if m.metric != act.metric and m.until > now - _KEPT_AFTER_END_MS]
    muted = (*others, Mute(act.metric, until, act.at, act.by, act.note))
    if len(mutes_text(muted)) > LONGEST_TAG:
        raise InvalidInput("Too many metrics are muted, with too long notes. Mute the whole version, or shorten them.")
    return muted


def _unmuted(mutes: Sequence[Mute], metric: str | None, now: int) -> tuple[Mute, ...]:
    if not any(mute.metric == metric and is_active(mute, now) for mute in mutes):
        raise NotFound(NOT_MUTED)
    return tuple(replace(mute, until=now, removed=True) if mute.metric == metric else mute for mute in mutes)
