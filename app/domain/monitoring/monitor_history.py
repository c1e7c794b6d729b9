"""The history of the registrations, stored compactly in segments, few of which change at once."""

import hashlib
import zlib
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from app.domain.exact import exact
from app.domain.monitoring.acts import Act, act_row
from app.domain.monitoring.corrections import Withdrawal
from app.domain.monitoring.monitor_runs import MonitorState, Pause, Verdict
from app.domain.registry.models import Registration
from app.domain.times import LAST_MS, rfc3339

SEGMENTS = 256
# The last millisecond that RFC 3339 can write: an event always has a time.


@dataclass(frozen=True, slots=True)
class RunHistory:
    """What happened to one registration: `record` is JSON, and the other fields serve to find and order it.

    `times` are the times of the events, in milliseconds, in the order of `event_at`. `revision` is that of the history
    when this run last changed. `whole` is False if changes of verdict may be missing, since the tag of the monitor run
    holds only the last changes.
    """

    run_id: str
    name: str
    version: int
    registered_at: int
    ended: bool
    whole: bool
    revision: int
    times: "array[int]"
    record: bytes


@dataclass(frozen=True, slots=True)
class HistorySegment:
    """The runs whose ids share a hash. `digest` identifies the content and is empty if there is none.

    `whole` is True if every run is whole.
    """

    runs: Mapping[str, RunHistory]
    digest: str
    whole: bool


EMPTY_SEGMENT = HistorySegment({}, "", True)


@dataclass(frozen=True, slots=True)
class MonitorHistory:
    """The history as known at one moment; immutable.

    `read_at` is when all of it was last read from MLflow (milliseconds), None before the first reading. `revision`
    counts the changes, so that no clock decides which history is newer.
    """

    read_at: int | None = None
    revision: int = 0
    segments: tuple[HistorySegment, ...] = (EMPTY_SEGMENT,) * SEGMENTS

    def find(self, run_id: str) -> RunHistory | None:
        return self.segments[segment_of(run_id)].runs.get(run_id)

    def runs(self) -> Iterable[RunHistory]:
        return (run for segment in self.segments for run in segment.runs.values())

    def after(self, changed: Iterable[RunHistory], gone: Iterable[str], read_at: int | None) -> "MonitorHistory":
        """The next history, with `changed` runs put in and `gone` runs removed."""
        touched: dict[int, dict[str, RunHistory]] = {}

        def segment(run_id: str) -> dict[str, RunHistory]:
            number = segment_of(run_id)
            if number not in touched:
                touched[number] = dict(self.segments[number].runs)
            return touched[number]

        for run in changed:
            segment(run.run_id)[run.run_id] = run
        for run_id in gone:
            segment(run_id).pop(run_id, None)
        segments = list(self.segments)
        for number, runs in touched.items():
            segments[number] = segment_with(runs, _digest(runs))
        return MonitorHistory(read_at, self.revision + bool(touched), tuple(segments))

    @property
    def whole(self) -> bool:
        """Whether every change of verdict is known."""
        return all(segment.whole for segment in self.segments)

    @property
    def seal(self) -> str:
        """A digest of the whole content."""
        content = orjson.dumps([self.read_at, self.revision, [segment.digest for segment in self.segments]])
        return hashlib.blake2b(content, digest_size=12).hexdigest()


def segment_of(run_id: str) -> int:
    """The number of the segment that holds a run."""
    return zlib.crc32(run_id.encode()) % SEGMENTS


def segment_with(runs: Mapping[str, RunHistory], digest: str) -> HistorySegment:
    """A segment of some runs; `digest` is that of their content."""
    return HistorySegment(runs, digest, all(run.whole for run in runs.values()))


def run_history(state: MonitorState, *, whole: bool, revision: int) -> RunHistory:
    """The history of a monitor run. It leaves out the registration's settings and who was notified."""
    registration = state.registration
    ended = None if state.ended_at is None else [_time(state.ended_at), state.ended_by, state.ended_reason]
    verdicts = [[_time(change.at), change.verdict, list(change.reasons), change.began] for change in state.verdicts]
    acts = [act_row(replace(act, at=_time(act.at))) for act in state.acts]
    withdrawals = [[one.order, _time(one.at), one.by, one.until, one.metric, one.since] for one in state.withdrawals]
    record = [
        registration.monitor_run_id,
        registration.name,
        registration.version,
        _time(registration.registered_at),
        registration.registered_by,
        ended,
        verdicts,
        whole,
        acts,
        withdrawals,
        [
            [_time(one.ended_at), one.ended_by, one.reason, _time(one.resumed_at), one.resumed_by]
            for one in state.pauses
        ],
    ]
    return from_record(orjson.dumps(record), revision)


def from_record(record: bytes, revision: int) -> RunHistory:
    """The history of a run, from its JSON. Raises ValueError or TypeError if the JSON has another shape."""
    run_id, name, version, registered_at, _, ended, verdicts, whole, acts, withdrawals, pauses = orjson.loads(record)
    done = (*(change[0] for change in verdicts), *(act[1] for act in acts), *(one[1] for one in withdrawals))
    middle = (*done, *(at for one in pauses for at in (one[0], one[3])))
    times = array("q", [registered_at, *middle, *([ended[0]] if ended else [])])
    return RunHistory(
        str(run_id),
        str(name),
        int(version),
        int(registered_at),
        bool(ended),
        bool(whole),
        revision,
        times,
        exact(record),
    )


def state_of(run: RunHistory) -> MonitorState:
    """The state of a monitor run, as far as its history holds it."""
    run_id, name, version, registered_at, by, ended, verdicts, _, acts, withdrawals, pauses = orjson.loads(run.record)
    ended_at, ended_by, reason = ended or (None, None, None)
    changes = tuple(Verdict(at, verdict, tuple(reasons), None, began) for at, verdict, reasons, began in verdicts)
    registration = Registration(name, version, "", by, registered_at, run_id, 0)
    done, withdrawn = tuple(Act(*act) for act in acts), tuple(Withdrawal(*one) for one in withdrawals)
    paused = tuple(Pause(*one) for one in pauses)
    return MonitorState(registration, changes, {}, ended_at, ended_by, reason, done, withdrawn, paused)


def merged(known: RunHistory | None, state: MonitorState, revision: int) -> RunHistory:
    """The known history of a run, joined with its present tags: the changes of both, with the reasons in the tags.

    The tags hold the last acts of people; earlier ones that are known stay.
    """
    earlier = state_of(known) if known else None
    before = earlier.verdicts if earlier else ()
    acts = {act.number: act for act in (*(earlier.acts if earlier else ()), *state.acts)}
    withdrawn = {one.order: one for one in (*(earlier.withdrawals if earlier else ()), *state.withdrawals)}
    pauses = {one.ended_at: one for one in (*(earlier.pauses if earlier else ()), *state.pauses)}
    tagged = {(change.at, change.verdict) for change in state.verdicts}
    # The tag holds only the last changes. No change is missing if the newest known change is still among them.
    follows = not state.verdicts or bool(before and (before[-1].at, before[-1].verdict) in tagged)
    changes = all_changes(state.verdicts, ((change.at, change.verdict) for change in before))
    whole = known is not None and known.whole and follows
    state = replace(
        state,
        verdicts=changes,
        acts=tuple(acts[number] for number in sorted(acts)),
        withdrawals=tuple(withdrawn[order] for order in sorted(withdrawn)),
        pauses=tuple(pauses[at] for at in sorted(pauses)),
    )
    return run_history(state, whole=whole, revision=revision)


def completed(known: RunHistory, points: Iterable[tuple[int, str]], revision: int) -> RunHistory:
    """The history of a run with all changes (time, verdict) that MLflow holds."""
    state = state_of(known)
    state = replace(state, verdicts=all_changes(state.verdicts, points))
    return run_history(state, whole=True, revision=revision)


def all_changes(kept: Iterable[Verdict], others: Iterable[tuple[int, str]]) -> tuple[Verdict, ...]:
    """All changes in order: `kept` with their reasons, and `others` (time, verdict), whose reasons are not kept."""
    changes = {(_time(at), verdict): Verdict(_time(at), verdict) for at, verdict in others}
    for change in kept:
        at = _time(change.at)
        changes[at, change.verdict] = Verdict(at, change.verdict, change.reasons, None, change.began)
    return tuple(changes[key] for key in sorted(changes))


def rank_of(run: RunHistory, number: int) -> int:
    """The order of events at one time: registered (0), change of verdict, act or withdrawal (1), removed (2)."""
    if number == 0:
        return 0
    return 2 if run.ended and number == len(run.times) - 1 else 1


def event_at(state: MonitorState, number: int) -> dict[str, Any]:
    """An event of a registration, as JSON.

    Number 0 is its beginning, then come the changes of verdict, what people did about it, the withdrawals of
    observations, the end and the new beginning of each pause, and its end.
    """
    registration = state.registration
    event: dict[str, Any] = {
        "at": rfc3339(registration.registered_at),
        "event": "registered",
        "by": registration.registered_by,
    }
    verdict = before = None
    reasons: Sequence[str] = ()
    began = None
    withdrawal = number - len(state.verdicts) - len(state.acts) - 1
    pause, is_resumed = divmod(withdrawal - len(state.withdrawals), 2)
    if 0 <= pause < len(state.pauses):
        one = state.pauses[pause]
        if is_resumed:
            event = {"at": rfc3339(one.resumed_at), "event": "registered", "by": one.resumed_by}
        else:
            event = {"at": rfc3339(one.ended_at), "event": "removed", "by": one.ended_by}
            reasons = [one.reason] if one.reason else []
    elif pause >= len(state.pauses):
        event = {"at": rfc3339(state.ended_at), "event": "removed", "by": state.ended_by}
        reasons = [state.ended_reason] if state.ended_reason else []
    elif withdrawal >= 0:
        withdrawn = state.withdrawals[withdrawal]
        event = {"at": rfc3339(withdrawn.at), "event": "withdrawn", "by": withdrawn.by}
        reasons = [_withdrawn_in_words(withdrawn)]
    elif number > len(state.verdicts):
        return act_event(state.acts[number - len(state.verdicts) - 1], registration)
    elif number:
        change = state.verdicts[number - 1]
        event = {"at": rfc3339(change.at), "event": "verdict", "by": "control-tower"}
        verdict, before, reasons = change.verdict, state.before(number - 1), change.reasons
        began = change.began
    return {
        **event,
        "name": registration.name,
        "version": str(registration.version),
        "monitor_run_id": registration.monitor_run_id,
        "verdict": verdict,
        "before": before,
        "began_at": rfc3339(began),
        "reasons": list(reasons),
        "note": None,
        "metric": None,
        "until": None,
    }


def _withdrawn_in_words(withdrawal: Withdrawal) -> str:
    what = "All observations" if withdrawal.metric is None else f"Observations of {withdrawal.metric}"
    since = "" if withdrawal.since is None else f"from {rfc3339(withdrawal.since)} "
    return f"{what} {since}up to {rfc3339(withdrawal.until)} no longer count."


def act_event(act: Act, registration: Registration) -> dict[str, Any]:
    """Something that a person did about a registration, as JSON."""
    return {
        "at": rfc3339(act.at),
        "event": act.kind,
        "by": act.by,
        "name": registration.name,
        "version": str(registration.version),
        "monitor_run_id": registration.monitor_run_id,
        "verdict": act.verdict,
        "before": None,
        "began_at": None,
        "reasons": [],
        "note": act.note,
        "metric": act.metric,
        "until": rfc3339(act.until),
    }


def _digest(runs: Mapping[str, RunHistory]) -> str:
    if not runs:
        return ""
    digest = hashlib.blake2b(digest_size=12)
    for run_id in sorted(runs):
        digest.update(b"%d %b\n" % (runs[run_id].revision, runs[run_id].record))
    return digest.hexdigest()


def _time(ms: int) -> int:
    # Somebody may have written any number into a tag.
    return min(max(ms, 0), LAST_MS)
