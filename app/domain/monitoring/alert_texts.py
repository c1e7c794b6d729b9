"""Alerts for people: what a chat, a mail or a pager shows of changes of verdict."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.monitoring.alerts import VerdictChange
from app.domain.monitoring.verdicts import DEGRADED, DRIFTING, HEALTHY, INSUFFICIENT
from app.domain.registry.models import VersionKey
from app.domain.times import rfc3339

# The worst first, since many services cut a text at its end.
_ORDER = (DRIFTING, DEGRADED, INSUFFICIENT, HEALTHY)
_IS = {INSUFFICIENT: "has too little data to be judged"}
_COUNTED = {INSUFFICIENT: "with too little data"}
_MOST_VERSIONS, _MOST_REASONS = 20, 3
_LONGEST_NAME, _LONGEST_REASON = 100, 200
# Where chats begin a mention, a tag, the target of a link, or an address that they make a link of. Apprise escapes
# plain text for some services (Slack, Telegram, Teams), and for others not at all (Mattermost, Discord, PagerDuty).
_MARKUP = re.compile(r"[@<]|\](?=\()|:(?=//)")
# Takes no room, and ends what would have been markup.
_BREAK = "\u200b"


@dataclass(frozen=True, slots=True)
class _State:
    """A version's last change, with the verdict before the first of its changes."""

    change: VerdictChange
    before: str


def title_and_text(changes: Sequence[VerdictChange]) -> tuple[str, str]:
    """A title of one line and a plain text of some lines, the worst first; each version once, as it is now.

    At least one change is needed. Both are bounded, and names in them are shown without effect.
    """
    states = _states(changes)
    lines = [line for state in states[:_MOST_VERSIONS] for line in _lines(state)]
    if len(states) > _MOST_VERSIONS:
        lines.append(f"and {len(states) - _MOST_VERSIONS} more")
    return _title(states), "\n".join(lines)


def worst(changes: Sequence[VerdictChange]) -> str:
    """The worst verdict that any of the versions has now."""
    return _states(changes)[0].change.verdict


def harmless(text: str, most: int) -> str:
    """The text on one line, cut to `most` characters; what is no letter or sign is spelled out, and markup broken."""
    shown = "".join(char if char.isprintable() else _spelled(char) for char in text[: most + 1])
    if len(shown) > most:
        shown = shown[: most - 1] + "…"
    return _MARKUP.sub(rf"\g<0>{_BREAK}", shown)


def _spelled(char: str) -> str:
    return char.encode("unicode_escape").decode()


def _states(changes: Sequence[VerdictChange]) -> list[_State]:
    found: dict[VersionKey, _State] = {}
    for change in sorted(changes, key=lambda one: one.at):
        version = (change.name, change.version)
        before = found[version].before if version in found else change.before
        found[version] = _State(change, before)
    return sorted(found.values(), key=lambda one: (_place(one.change.verdict), *_version(one)))


def _place(verdict: str) -> int:
    return _ORDER.index(verdict) if verdict in _ORDER else len(_ORDER)


def _version(state: _State) -> VersionKey:
    return state.change.name, state.change.version


def _title(states: Sequence[_State]) -> str:
    if len(states) == 1:
        return _sentence(states[0])
    counted = Counter(state.change.verdict for state in states)
    parts = [f"{count} {_COUNTED.get(verdict, verdict)}" for verdict, count in counted.items()]
    return f"{len(states)} model versions changed: {', '.join(parts)}"


def _sentence(state: _State) -> str:
    verdict = state.change.verdict
    is_now = _IS.get(verdict, f"is {verdict}")
    return f"{harmless(state.change.name, _LONGEST_NAME)} v{state.change.version} {is_now}"


def _lines(state: _State) -> list[str]:
    change = state.change
    was = f", was {state.before.replace('_', ' ')}" if state.before not in ("", change.verdict) else ""
    reasons = [f"- {harmless(reason, _LONGEST_REASON)}" for reason in change.reasons[:_MOST_REASONS]]
    if len(change.reasons) > _MOST_REASONS:
        reasons.append(f"- and {len(change.reasons) - _MOST_REASONS} more reasons")
    return [f"{_sentence(state)}{was}, since {rfc3339(change.at)}", *reasons]
