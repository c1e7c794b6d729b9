"""Alerts for people: the text that a chat, a mail or a pager shows for changes of verdict."""

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
_LONGEST_NAME, _LONGEST_REASON = 100, 260
# The beginnings of a mention, a tag, the target of a link, and an address that a chat turns into a link. Apprise
# escapes plain text for some services (Slack, Telegram, Teams), but not for others (Mattermost, Discord, PagerDuty).
_MARKUP = re.compile(r"[@<]|\](?=\()|:(?=//)")
# A zero-width space, which breaks markup without being seen.
_BREAK = "\u200b"


@dataclass(frozen=True, slots=True)
class _State:
    """A version's last change, with the verdict before the first of its changes."""

    change: VerdictChange
    before: str


def title_and_text(changes: Sequence[VerdictChange]) -> tuple[str, str]:
    """A title of one line and a plain text of several, the worst verdict first.

    Each version appears once, with its newest verdict. `changes` must not be empty. Both texts are of bounded length,
    and markup in names has no effect.
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
    """The text on one line of at most `most` characters, with control characters escaped and markup broken."""
    shown = "".join(char if char.isprintable() else _escaped(char) for char in text[: most + 1])
    if len(shown) > most:
        shown = shown[: most - 1] + "…"
    return _MARKUP.sub(rf"\g<0>{_BREAK}", shown)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode()


def _states(changes: Sequence[VerdictChange]) -> list[_State]:
    states: dict[VersionKey, _State] = {}
    for change in sorted(changes, key=lambda change: change.at):
        version = (change.name, change.version)
        before = states[version].before if version in states else change.before
        states[version] = _State(change, before)
    return sorted(states.values(), key=lambda state: (_rank(state.change.verdict), *_version(state)))


def _rank(verdict: str) -> int:
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
    began = f"; the change began at {rfc3339(change.began)}" if change.began is not None else ""
    owner = f"; owner: {harmless(change.owner, _LONGEST_NAME)}" if change.owner else ""
    page = [change.url] if change.url else []
    return [f"{_sentence(state)}{was}, since {rfc3339(change.at)}{began}{owner}", *reasons, *page]
