"""What a monitor run in MLflow holds beside the registration: its verdicts, who was told of them, how it ended."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from app.domain.models import Registration
from app.domain.times import rfc3339
from app.domain.verdicts import DEGRADED, DRIFTING, HEALTHY, INSUFFICIENT

VERDICT_METRIC = "control_tower.verdict"
CODES = {INSUFFICIENT: -1.0, HEALTHY: 0.0, DEGRADED: 1.0, DRIFTING: 2.0}
# MLflow cuts a longer tag of a run without a word.
LONGEST = 8000
_MOST_KEPT = 50
_MOST_REASONS = 5
_REASON = 240


@dataclass(frozen=True, slots=True)
class Verdict:
    """A verdict as it was written when it changed; `at` in milliseconds. Of old ones the reasons are not kept."""

    at: int
    verdict: str
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MonitorState:
    """One monitor run: the last changes of verdict, the newest last, and up to when each receiver was told of them.

    `told` maps a receiver's id to a time in milliseconds; `ended` is when the run ended, by whom and why.
    """

    registration: Registration
    verdicts: tuple[Verdict, ...] = ()
    told: Mapping[str, int] = field(default_factory=dict)
    ended_at: int | None = None
    ended_by: str | None = None
    ended_reason: str | None = None

    @property
    def verdict(self) -> str:
        """The last one written; before the first, nothing was known."""
        return self.verdicts[-1].verdict if self.verdicts else INSUFFICIENT

    @property
    def since(self) -> int:
        return self.verdicts[-1].at if self.verdicts else self.registration.registered_at

    def before(self, place: int) -> str:
        """The verdict before one of `verdicts`."""
        return self.verdicts[place - 1].verdict if place else INSUFFICIENT


def verdicts_text(verdicts: Sequence[Verdict]) -> str:
    """The last changes as the text that MLflow keeps: as many as it holds, the newest at least."""
    for most in range(min(len(verdicts), _MOST_KEPT), 0, -1):
        rows = [[one.at, one.verdict, _cut(one.reasons)] for one in verdicts[-most:]]
        text = orjson.dumps(rows).decode()
        if len(text) <= LONGEST:
            return text
    return "[]"


def verdicts_from(text: str | None) -> tuple[Verdict, ...]:
    """The changes that a tag holds; none where somebody made it unreadable."""
    try:
        rows = orjson.loads(text or "[]")
        return tuple(Verdict(int(at), str(verdict), tuple(map(str, reasons))) for at, verdict, reasons in rows)
    except (ValueError, TypeError):
        return ()


def with_points(kept: Sequence[Verdict], points: Iterable[tuple[int, float | None]]) -> tuple[Verdict, ...]:
    """All changes: those of the metric's history, with the reasons of those that the tag still holds."""
    names = {code: verdict for verdict, code in CODES.items()}
    found = {(at, names[value]): Verdict(at, names[value]) for at, value in points if value in names}
    found.update({(one.at, one.verdict): one for one in kept})
    return tuple(found[key] for key in sorted(found))


def _cut(reasons: Sequence[str]) -> list[str]:
    # A reason may name a metric of 250 characters; six bytes of JSON may stand for each.
    return [reason if len(reason) <= _REASON else reason[:_REASON] + "…" for reason in reasons[:_MOST_REASONS]]


def events(states: Iterable[MonitorState]) -> list[dict[str, object]]:
    """What happened to registrations, the newest first: registered, changes of verdict, removed."""
    found: list[tuple[int, int, dict[str, object]]] = []
    for state in states:
        one = state.registration
        who = {"name": one.name, "version": str(one.version), "monitor_run_id": one.monitor_run_id}
        found.append((one.registered_at, 0, _event(one.registered_at, "registered", one.registered_by, **who)))
        for place, verdict in enumerate(state.verdicts):
            told = _event(verdict.at, "verdict", "control-tower", list(verdict.reasons), **who)
            told |= {"verdict": verdict.verdict, "before": state.before(place)}
            found.append((verdict.at, 1, told))
        if state.ended_at is not None:
            reasons = [state.ended_reason] if state.ended_reason else []
            found.append((state.ended_at, 2, _event(state.ended_at, "removed", state.ended_by, reasons, **who)))
    return [told for _, _, told in sorted(found, key=lambda one: one[:2], reverse=True)]


def _event(at: int, event: str, by: str | None, reasons: Sequence[str] = (), **who: str) -> dict[str, object]:
    return {"at": rfc3339(at), "event": event, **who, "by": by, "verdict": None, "before": None, "reasons": reasons}
