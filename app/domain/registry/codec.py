"""The fleet as JSON for the shared cache, and back: an index, and parts that are read only where they changed.

What does not fit is no fleet.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from app.domain.registry.fleet import SEGMENTS, Edition, Fleet, Segment, segment
from app.domain.registry.models import Experiment, ModelVersion, RegisteredModel, Registration
from app.domain.registry.stages import StageRules

Read = Callable[[str], Any]
"""Gives what the shared cache holds under a key."""

INDEX = "fleet"
_EXPERIMENTS = "fleet-experiments"

# Anything that a file which is not ours may do to the reading.
_MISFITS = (KeyError, TypeError, ValueError, AttributeError)


def part_keys() -> list[str]:
    """The keys of all parts of the snapshot, beside its index."""
    return [*(_segment_key(number) for number in range(SEGMENTS)), _EXPERIMENTS]


def index_value(fleet: Fleet, source: str) -> dict[str, Any]:
    """What to store last of all. `source` names the MLflow it was read from."""
    return {
        "source": source,
        "series": fleet.edition.series,
        "number": fleet.edition.number,
        "as_of": fleet.as_of,
        "ticket": fleet.ticket,
        "unreadable": fleet.unreadable,
        "touched": dict(fleet.touched),
        "experiments": _experiments_digest(fleet.experiments),
        "segments": [held.digest for held in fleet.segments],
    }


def parts_value(fleet: Fleet, known: Fleet | None, source: str) -> dict[str, Any]:
    """What to store of the parts, by key: those that differ from a fleet whose parts are stored already."""
    parts: dict[str, Any] = {}
    for number, held in enumerate(fleet.segments):
        if known is None or known.segments[number].digest != held.digest:
            parts[_segment_key(number)] = {
                "source": source,
                "digest": held.digest,
                "models": list(held.registered.values()),
                "versions": held.rows,
            }
    if known is None or known.experiments != fleet.experiments:
        parts[_EXPERIMENTS] = {"source": source, "experiments": fleet.experiments}
    return parts


@dataclass(frozen=True, slots=True)
class Source:
    """Which MLflow a stored fleet must be of, and the rules that make stages of aliases."""

    name: str
    rules: StageRules


def fleet_from(index: Any, read: Read, known: Fleet | None, source: Source) -> Fleet | None:
    """The stored fleet, or None where it is of another MLflow or not understood.

    Parts that a known fleet has already are taken from it. A part that was stored after the index is
    newer than it, which harms nothing: a registered model lies in one part as a whole.
    """
    try:
        if index["source"] != source.name:
            return None
        digests = index["segments"]
        if len(digests) != SEGMENTS:
            return None
        segments = tuple(
            known.segments[number]
            if known is not None and known.segments[number].digest == digest
            else _segment_from(read(_segment_key(number)), source)
            for number, digest in enumerate(digests)
        )
        if known is not None and _experiments_digest(known.experiments) == index["experiments"]:
            experiments = known.experiments
        else:
            experiments = _experiments_from(read(_EXPERIMENTS), source)
        return Fleet(
            int(index["as_of"]),
            segments,
            experiments,
            int(index["unreadable"]),
            {str(name): int(ticket) for name, ticket in index["touched"].items()},
            ticket=int(index["ticket"]),
            edition=Edition(str(index["series"]), int(index["number"])),
        )
    except _MISFITS:
        return None


def edition_from(index: Any) -> Edition | None:
    """Which edition an index is of; None where it is not understood."""
    try:
        return Edition(str(index["series"]), int(index["number"]))
    except _MISFITS:
        return None


def registrations_value(registrations: list[Registration], stale: bool, source: str) -> dict[str, Any]:
    """What to store of the list of registrations."""
    return {"source": source, "registrations": registrations, "stale": stale}


def registrations_from(value: Any, source: str) -> tuple[list[Registration], bool] | None:
    """The stored list and whether it is stale, or None where it is of another MLflow or not understood."""
    try:
        if value["source"] != source:
            return None
        return [Registration(**row) for row in value["registrations"]], bool(value["stale"])
    except (KeyError, TypeError, ValueError):
        return None


def _segment_key(number: int) -> str:
    return f"fleet-{number}"


def _segment_from(value: Any, source: Source) -> Segment:
    if value["source"] != source.name:
        raise ValueError("of another MLflow")
    models = [RegisteredModel(**row) for row in value["models"]]
    versions = [ModelVersion(**row) for row in value["versions"]]
    return segment(str(value["digest"]), models, versions, source.rules)


def _experiments_from(value: Any, source: Source) -> tuple[Experiment, ...]:
    if value["source"] != source.name:
        raise ValueError("of another MLflow")
    return tuple(Experiment(**row) for row in value["experiments"])


def _experiments_digest(experiments: tuple[Experiment, ...]) -> str:
    told = orjson.dumps(experiments, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(told, digest_size=12).hexdigest()
