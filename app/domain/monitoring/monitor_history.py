"""The history of the registrations: what happened to each, kept small, in segments of which few change at once."""

import hashlib
import zlib
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from app.domain.exact import exact
from app.domain.monitoring.monitor_runs import MonitorState, Verdict
from app.domain.registry.models import Registration
from app.domain.times import rfc3339

SEGMENTS = 256
# The last millisecond that RFC 3339 can write: an event always has a time.
_LAST_MS = 253_402_300_799_999


@dataclass(frozen=True, slots=True)
class RunHistory:
    """What happened to one registration: JSON, of which only what finds and orders it is kept apart.

    `times` are those of its events as `event_at` numbers them. `revision` is that of the history at which it became
    what it is. `whole` is False where changes of verdict may be missing that its monitor run's tag no longer holds.
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
    """The runs whose ids share a hash. `digest` names the content, empty where there is none; `whole` as of a run."""

    runs: Mapping[str, RunHistory]
    digest: str
    whole: bool


EMPTY_SEGMENT = HistorySegment({}, "", True)


@dataclass(frozen=True, slots=True)
class MonitorHistory:
    """All that is known at one moment; a change makes another.

    `read_at` is when MLflow was last asked for all of it (milliseconds), None before the first time. `revision` counts
    the changes, so that no clock decides what is newer.
    """

    read_at: int | None = None
    revision: int = 0
    segments: tuple[HistorySegment, ...] = (EMPTY_SEGMENT,) * SEGMENTS

    def find(self, run_id: str) -> RunHistory | None:
        return self.segments[segment_of(run_id)].runs.get(run_id)

    def runs(self) -> Iterable[RunHistory]:
        return (run for segment in self.segments for run in segment.runs.values())

    def after(self, changed: Iterable[RunHistory], gone: Iterable[str], read_at: int | None) -> "MonitorHistory":
        """The next history: some runs as they are now, some no more."""
        held: dict[int, dict[str, RunHistory]] = {}

        def segment(run_id: str) -> dict[str, RunHistory]:
            number = segment_of(run_id)
            if number not in held:
                held[number] = dict(self.segments[number].runs)
            return held[number]

        for run in changed:
            segment(run.run_id)[run.run_id] = run
        for run_id in gone:
            segment(run_id).pop(run_id, None)
        segments = list(self.segments)
        for number, runs in held.items():
            segments[number] = segment_with(runs, _digest(runs))
        return MonitorHistory(read_at, self.revision + bool(held), tuple(segments))

    @property
    def whole(self) -> bool:
        """Whether every change of verdict is known."""
        return all(segment.whole for segment in self.segments)

    @property
    def seal(self) -> str:
        """Names the content as a whole."""
        told = orjson.dumps([self.read_at, self.revision, [segment.digest for segment in self.segments]])
        return hashlib.blake2b(told, digest_size=12).hexdigest()


def segment_of(run_id: str) -> int:
    """Which segment holds a run."""
    return zlib.crc32(run_id.encode()) % SEGMENTS


def segment_with(runs: Mapping[str, RunHistory], digest: str) -> HistorySegment:
    """A segment of some runs; `digest` is that of their content."""
    return HistorySegment(runs, digest, all(run.whole for run in runs.values()))


def run_history(state: MonitorState, *, whole: bool, revision: int) -> RunHistory:
    """What a monitor run says of its registration, as the history keeps it: without settings, and who was told."""
    one = state.registration
    ended = None if state.ended_at is None else [_time(state.ended_at), state.ended_by, state.ended_reason]
    verdicts = [[_time(change.at), change.verdict, list(change.reasons)] for change in state.verdicts]
    record = [one.monitor_run_id, one.name, one.version, _time(one.registered_at), one.registered_by, ended, verdicts]
    return from_record(orjson.dumps([*record, whole]), revision)


def from_record(record: bytes, revision: int) -> RunHistory:
    """A run of its JSON. Raises ValueError and TypeError where it is not of that shape."""
    run_id, name, version, registered_at, _, ended, verdicts, whole = orjson.loads(record)
    times = array("q", [registered_at, *(change[0] for change in verdicts), *([ended[0]] if ended else [])])
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
    """What is known of a monitor run, taken apart."""
    run_id, name, version, registered_at, by, ended, verdicts, _ = orjson.loads(run.record)
    ended_at, ended_by, reason = ended or (None, None, None)
    changes = tuple(Verdict(at, verdict, tuple(reasons)) for at, verdict, reasons in verdicts)
    registration = Registration(name, version, "", by, registered_at, run_id, 0)
    return MonitorState(registration, changes, {}, ended_at, ended_by, reason)


def merged(known: RunHistory | None, state: MonitorState, revision: int) -> RunHistory:
    """What is known of a run with what its tags say now: all changes of both, the reasons of those the tag has."""
    before = state_of(known).verdicts if known else ()
    tagged = {(one.at, one.verdict) for one in state.verdicts}
    # The tag holds the last changes alone. It follows on what is known where it still has the newest of that.
    follows = not state.verdicts or bool(before and (before[-1].at, before[-1].verdict) in tagged)
    changes = all_changes(state.verdicts, ((one.at, one.verdict) for one in before))
    whole = known is not None and known.whole and follows
    return run_history(_with(state, changes), whole=whole, revision=revision)


def completed(known: RunHistory, points: Iterable[tuple[int, str]], revision: int) -> RunHistory:
    """A run with all the changes (time, verdict) that MLflow has of it."""
    state = state_of(known)
    return run_history(_with(state, all_changes(state.verdicts, points)), whole=True, revision=revision)


def all_changes(kept: Iterable[Verdict], others: Iterable[tuple[int, str]]) -> tuple[Verdict, ...]:
    """Changes with their reasons, and others by time and verdict whose reasons are not kept, in order."""
    found = {(_time(at), verdict): Verdict(_time(at), verdict) for at, verdict in others}
    found.update({(_time(one.at), one.verdict): Verdict(_time(one.at), one.verdict, one.reasons) for one in kept})
    return tuple(found[key] for key in sorted(found))


def rank_of(run: RunHistory, number: int) -> int:
    """Of events at one time the higher comes after the lower: registered, change of verdict, removed."""
    if number == 0:
        return 0
    return 2 if run.ended and number == len(run.times) - 1 else 1


def event_at(state: MonitorState, number: int) -> dict[str, Any]:
    """One event of a registration: 0 is that it was made, then come the changes of verdict, and that it ended."""
    one = state.registration
    told: dict[str, Any] = {"at": rfc3339(one.registered_at), "event": "registered", "by": one.registered_by}
    verdict = before = None
    reasons: Sequence[str] = ()
    if number > len(state.verdicts):
        told = {"at": rfc3339(state.ended_at), "event": "removed", "by": state.ended_by}
        reasons = [state.ended_reason] if state.ended_reason else []
    elif number:
        change = state.verdicts[number - 1]
        told = {"at": rfc3339(change.at), "event": "verdict", "by": "control-tower"}
        verdict, before, reasons = change.verdict, state.before(number - 1), change.reasons
    who = {"name": one.name, "version": str(one.version), "monitor_run_id": one.monitor_run_id}
    return {**told, **who, "verdict": verdict, "before": before, "reasons": list(reasons)}


def _with(state: MonitorState, changes: tuple[Verdict, ...]) -> MonitorState:
    return MonitorState(state.registration, changes, state.notified, state.ended_at, state.ended_by, state.ended_reason)


def _digest(runs: Mapping[str, RunHistory]) -> str:
    if not runs:
        return ""
    told = hashlib.blake2b(digest_size=12)
    for run_id in sorted(runs):
        told.update(b"%d %b\n" % (runs[run_id].revision, runs[run_id].record))
    return told.hexdigest()


def _time(ms: int) -> int:
    # Somebody may have written anything into a tag.
    return min(max(ms, 0), _LAST_MS)
