"""Observations of many versions in one request: each version's part is taken or refused by itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.domain.errors import InvalidInput
from app.domain.monitoring.observations import Observation, observations_of
from app.domain.monitoring.sent_once import LONGEST_ID, SentOnce, sent_once

MOST_PARTS = 100
_FIELDS = ("model_name", "model_version", "id")


@dataclass(frozen=True, slots=True)
class Part:
    """The observations of one version in a request. `refused` says what is wrong with them; then there are none."""

    name: str
    version: str
    observations: Sequence[Observation] = ()
    sent: SentOnce | None = None
    refused: InvalidInput | None = None


def parts_of(rows: Sequence[Any], now: int) -> list[Part]:
    """The parts of a request. Raises `InvalidInput` if there are none, or too many."""
    if not 0 < len(rows) <= MOST_PARTS:
        raise InvalidInput(f"versions: Needs 1 to {MOST_PARTS} objects.")
    return [_part(row, now) for row in rows]


def _part(row: Any, now: int) -> Part:
    if not isinstance(row, Mapping):
        return Part("", "", refused=InvalidInput("Not an object."))
    name, version = (value if isinstance(value := row.get(key), str) else "" for key in _FIELDS[:2])
    try:
        if not name or not version:
            raise InvalidInput("Needs model_name and model_version, as text.")
        observations = observations_of({key: value for key, value in row.items() if key not in _FIELDS}, now)
        sent_id = row.get("id")
        if sent_id is None:
            return Part(name, version, observations)
        if not isinstance(sent_id, str) or not 0 < len(sent_id) <= LONGEST_ID or not sent_id.isprintable():
            raise InvalidInput(f"id: Not a text of 1 to {LONGEST_ID} characters without control characters.")
        return Part(name, version, observations, sent_once(sent_id, observations, now))
    except InvalidInput as error:
        return Part(name, version, refused=error)
