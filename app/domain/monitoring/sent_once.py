"""Observations that a client sends with an `id` count once, however often they arrive.

The monitor run keeps the latest ids, each with a digest of the observations and the time of their first arrival.
Observations that arrive again get the times that they had first, so MLflow keeps each point once.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from app.domain.monitoring.observations import Observation, observations_of
from app.domain.registry.names import LONGEST_TAG

# The ids are kept in so many tags, by their hash. A tag holds 8000 characters, and an id takes 40 of them.
PAGES = 8
_KEPT_A_PAGE = 200
LONGEST_ID = 200
_ROW = re.compile(r"([0-9a-f]{16}) ([0-9a-f]{8}) ([0-9]{1,15})(?: ([0-9]{1,9}))?")


@dataclass(frozen=True, slots=True)
class SentOnce:
    """The hash of an id, a digest of the observations sent with it, and when they first arrived, in milliseconds.

    `order` is that of the write, as in `corrections`.
    """

    key: str
    content: str
    received_at: int
    order: int = 0

    @property
    def page(self) -> int:
        return int(self.key[0], 16) % PAGES


def sent_once(sent_id: str, observations: Sequence[Observation], now: int) -> SentOnce:
    """What is kept of a request. Observations without a time of their own have the same digest whenever they arrive."""
    # Without n the digest is the one that older versions of the service made.
    content = sorted(
        [row.metric, row.time if row.is_dated else row.time - now, row.value, *([row.n] if row.n else [])]
        for row in observations
    )
    return SentOnce(_hash(sent_id.encode(), 8), _hash(orjson.dumps(content), 4), now)


def received(body: Mapping[str, Any], now: int) -> tuple[list[Observation], SentOnce | None]:
    """The observations of a request's body, and what is kept of it if it has an `id`. Raises `InvalidInput`."""
    observations = observations_of({name: value for name, value in body.items() if name != "id"}, now)
    sent_id = body.get("id")
    return observations, None if sent_id is None else sent_once(sent_id, observations, now)


def as_first_sent(observations: Iterable[Observation], later: int) -> list[Observation]:
    """The observations as they were when they first arrived, so many milliseconds ago."""
    return [row if row.is_dated else replace(row, time=row.time - later) for row in observations]


def page_text(sent: Sequence[SentOnce]) -> str:
    """A page as the text of a tag: the latest ids that fit, the newest last."""
    return _fitting([_line(row) for row in sent[-_KEPT_A_PAGE:]])


def page_from(text: str) -> list[SentOnce]:
    """The ids that the text of a tag holds; lines that somebody made unreadable are left out."""
    rows = (_ROW.fullmatch(line) for line in text.splitlines())
    return [SentOnce(row[1], row[2], int(row[3]), int(row[4] or 0)) for row in rows if row]


def _line(row: SentOnce) -> str:
    # Older versions of the service read three fields.
    return f"{row.key} {row.content} {row.received_at}" + (f" {row.order}" if row.order else "")


def _fitting(lines: Sequence[str]) -> str:
    """The last lines that fit into a tag."""
    room, first = LONGEST_TAG, len(lines)
    while first and room > len(lines[first - 1]):
        first -= 1
        room -= len(lines[first]) + 1
    return "\n".join(lines[first:])


def _hash(content: bytes, size: int) -> str:
    return hashlib.blake2b(content, digest_size=size).hexdigest()
