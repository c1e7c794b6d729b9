"""What a monitor run in MLflow holds beside the registration: the verdicts, who was notified of them, how it ended."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import orjson

from app.domain.monitoring.acts import Act, ActedOn
from app.domain.monitoring.corrections import Withdrawal
from app.domain.monitoring.verdicts import DEGRADED, DRIFTING, HEALTHY, INSUFFICIENT, VersionVerdict, severity
from app.domain.registry.models import ModelVersion, Registration
from app.domain.registry.names import LONGEST_TAG

VERDICT_METRIC = "control_tower.verdict"
CODES = {INSUFFICIENT: -1.0, HEALTHY: 0.0, DEGRADED: 1.0, DRIFTING: 2.0}
VERDICTS_BY_CODE = {code: verdict for verdict, code in CODES.items()}
_MOST_KEPT = 50
_MOST_REASONS = 5
_REASON = 300
_MOST_CAUSES = 20
_MOST_PAUSES = 50

SELF = "control-tower"
"""Who ends a monitor run, or opens it again, where no person did."""
DUPLICATE = "registered twice"
"""How the reason begins where a run ended since another one counts for its version."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A verdict as it was written when it changed; times in milliseconds. Old verdicts have no reasons any more.

    `evidence` is the time of the metric point that decided, or a little later where an earlier change to the same
    verdict has the same time. So every host that finds the change has the same `evidence`, and no other change to this
    verdict has it. `began` is when the change began. Both are None where an older version of the service wrote the
    verdict, and `began` also where no rule fired. `causes` are the metrics that made the change, empty if that is not
    known, or no metric did.
    """

    at: int
    verdict: str
    reasons: tuple[str, ...] = ()
    evidence: int | None = None
    began: int | None = None
    causes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pause:
    """A time in which a monitor run was ended, until the version was monitored again; times in milliseconds.

    `ended_by` and `reason` are None where they are not known.
    """

    ended_at: int
    ended_by: str | None
    reason: str | None
    resumed_at: int
    resumed_by: str


@dataclass(frozen=True, slots=True)
class MonitorState:
    """One monitor run: the last changes of verdict, the newest last, and up to when each receiver was notified of them.

    `notified` maps a receiver's id to a time in milliseconds. `ended_at`, `ended_by` and `ended_reason` are None while
    the run is open. `acts` are the last things that people did about the version, the newest last; `withdrawals` are
    all withdrawals of observations, and `pauses` the times in which the run was ended before, the newest last too.
    """

    registration: Registration
    verdicts: tuple[Verdict, ...] = ()
    notified: Mapping[str, int] = field(default_factory=dict)
    ended_at: int | None = None
    ended_by: str | None = None
    ended_reason: str | None = None
    acts: tuple[Act, ...] = ()
    withdrawals: tuple[Withdrawal, ...] = ()
    pauses: tuple[Pause, ...] = ()

    @property
    def verdict(self) -> str:
        """The verdict written last; before the first, `insufficient_data`."""
        return self.verdicts[-1].verdict if self.verdicts else INSUFFICIENT

    @property
    def since(self) -> int:
        return self.verdicts[-1].at if self.verdicts else self.registration.registered_at

    @property
    def standing(self) -> ActedOn:
        return ActedOn(self.registration, self.verdict, self.since, self.acts)

    def before(self, place: int) -> str:
        """The verdict before `verdicts[place]`."""
        return self.verdicts[place - 1].verdict if place else INSUFFICIENT

    def changed(self, now: int, new: VersionVerdict, decided_at: int) -> Verdict:
        """The change to a new verdict, with the time of the point that decided; times in milliseconds."""
        used = {earlier.evidence for earlier in self.verdicts if earlier.verdict == new.verdict}
        while decided_at in used:
            decided_at += 1
        if severity(new.verdict) > severity(self.verdict):
            causes = _worse_than(self.verdict, new)
        else:
            # What made the verdict bad has ended.
            causes = self.verdicts[-1].causes if self.verdicts else ()
        return Verdict(max(now, self.since + 1), new.verdict, new.reasons, decided_at, new.began, causes)

    def joined(self, new: VersionVerdict) -> Verdict | None:
        """The last change, where further metrics have joined those that made it; None where none have."""
        last = self.verdicts[-1] if self.verdicts else None
        if last is None or not last.causes or new.verdict != last.verdict:
            return None
        more = set(_worse_than(self.before(len(self.verdicts) - 1), new)) - set(last.causes)
        return replace(last, reasons=new.reasons, causes=tuple(sorted({*last.causes, *more}))) if more else None


def to_resume(states: Iterable[MonitorState], row: ModelVersion) -> MonitorState | None:
    """Of the monitor runs of a version, the ended run that is opened again when the version is monitored again.

    It is the run that ended last, unless a person ended it: then monitoring begins again, without its points.
    """
    ended = [
        state
        for state in states
        if state.ended_at is not None
        and state.registration.is_of(row)
        and not (state.ended_reason or "").startswith(DUPLICATE)
    ]
    last = max(ended, key=lambda state: (state.ended_at or 0, state.registration.monitor_run_id), default=None)
    return last if last is not None and last.ended_by == SELF else None


def resumed(last: MonitorState, wanted: Registration) -> tuple[Registration, tuple[Pause, ...]]:
    """The registration of a run that is opened again for the `wanted` one, and all pauses of the run."""
    known, now = last.registration, wanted.registered_at
    pause = Pause(last.ended_at or now, last.ended_by, last.ended_reason, now, wanted.registered_by)
    # A process may have ended after it wrote the pause, and before it opened the run.
    pauses = [*(earlier for earlier in last.pauses if earlier.ended_at != pause.ended_at), pause]
    registration = replace(
        wanted,
        registered_at=known.registered_at,
        monitor_run_id=known.monitor_run_id,
        predecessors=wanted.predecessors or known.predecessors,
        acknowledgement=known.acknowledgement,
        mutes=known.mutes,
        resumed_at=now,
    )
    return registration, tuple(pauses[-_MOST_PAUSES:])


def _worse_than(before: str, new: VersionVerdict) -> tuple[str, ...]:
    """The metrics whose verdict is worse than the version's verdict before; none if they are too many to be kept."""
    worse = sorted(name for name, metric in new.metrics.items() if severity(metric.verdict) > severity(before))
    return tuple(worse) if len(worse) <= _MOST_CAUSES else ()


def verdicts_text(verdicts: Sequence[Verdict]) -> str:
    """The last changes as the text of a tag: as many as fit."""
    for most in range(min(len(verdicts), _MOST_KEPT), 0, -1):
        rows = [[change.at, change.verdict, _cut(change.reasons)] for change in verdicts[-most:]]
        text = orjson.dumps(rows).decode()
        if len(text) <= LONGEST_TAG:
            return text
    return "[]"


def evidence_text(verdicts: Sequence[Verdict]) -> str:
    """The evidence of the last changes, by the time of the change, as the text of a tag of its own.

    Older versions of the service read the other tag, and ignore all of it where a row has a fourth element.
    """
    rows = [[change.at, change.evidence] for change in verdicts[-_MOST_KEPT:] if change.evidence is not None]
    return orjson.dumps(rows).decode()


def began_text(verdicts: Sequence[Verdict]) -> str:
    """When the change began before the last changes of verdict, as the text of a tag, like the evidence."""
    rows = [[change.at, change.began] for change in verdicts[-_MOST_KEPT:] if change.began is not None]
    return orjson.dumps(rows).decode()


def causes_text(verdicts: Sequence[Verdict]) -> str:
    """The metrics that made the last changes, as the text of a tag of its own: of as many changes as fit."""
    rows = [[change.at, change.causes] for change in verdicts[-_MOST_KEPT:] if change.causes]
    while len(text := orjson.dumps(rows).decode()) > LONGEST_TAG:
        rows.pop(0)
    return text


def verdicts_from(
    text: str | None, evidence: str | None = None, began: str | None = None, causes: str | None = None
) -> tuple[Verdict, ...]:
    """The changes that the texts of the tags hold. A text that somebody made unreadable counts as empty."""
    known, began_at, caused_by = _times_from(evidence), _times_from(began), _causes_from(causes)
    try:
        rows = orjson.loads(text or "[]")
        return tuple(
            Verdict(
                int(at), str(verdict), tuple(map(str, reasons)), known.get(int(at)), began_at.get(int(at)),
                caused_by.get(int(at), ()),
            )
            for at, verdict, reasons in rows
        )  # fmt: skip
    except (ValueError, TypeError, OverflowError):
        return ()


def pauses_text(pauses: Sequence[Pause]) -> str:
    """The last pauses as the text of a tag: as many as fit."""
    rows = [
        [one.ended_at, one.ended_by, _cut([one.reason])[0] if one.reason else None, one.resumed_at, one.resumed_by]
        for one in pauses
    ]
    while len(text := orjson.dumps(rows).decode()) > LONGEST_TAG:
        rows.pop(0)
    return text


def pauses_from(text: str | None) -> tuple[Pause, ...]:
    """The pauses that a tag holds. A text that somebody made unreadable counts as empty."""
    try:
        return tuple(
            Pause(int(ended), None if by is None else str(by), None if why is None else str(why), int(again), str(who))
            for ended, by, why, again, who in orjson.loads(text or "[]")
        )
    except (ValueError, TypeError, OverflowError):
        return ()


def _times_from(text: str | None) -> dict[int, int]:
    try:
        return {int(at): int(time) for at, time in orjson.loads(text or "[]")}
    except (ValueError, TypeError, OverflowError):
        return {}


def _causes_from(text: str | None) -> dict[int, tuple[str, ...]]:
    try:
        return {int(at): tuple(map(str, metrics)) for at, metrics in orjson.loads(text or "[]")}
    except (ValueError, TypeError, OverflowError):
        return {}


def _cut(reasons: Sequence[str]) -> list[str]:
    # A reason may name a metric of `LONGEST_NAME` characters; six bytes of JSON may stand for each.
    return [reason if len(reason) <= _REASON else reason[:_REASON] + "…" for reason in reasons[:_MOST_REASONS]]
