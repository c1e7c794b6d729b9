"""Encodes the fleet as JSON for the shared cache, and decodes it: an index, and parts that are read if they changed."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from app.domain.errors import MISFITS
from app.domain.registry.fleet import SEGMENTS, Edition, Fleet, FleetSegment, segment
from app.domain.registry.models import (
    Acknowledgement,
    Experiment,
    ModelVersion,
    Mute,
    Predecessor,
    RegisteredModel,
    Registration,
)
from app.domain.registry.stages import StageRules
from app.domain.shapes import check_shape

Read = Callable[[str], Any]
"""Returns what the shared cache holds under a key."""

INDEX = "fleet"
_EXPERIMENTS = "fleet-experiments"


def part_keys() -> list[str]:
    """The keys of all parts of the snapshot, beside its index."""
    return [*(_segment_key(number) for number in range(SEGMENTS)), _EXPERIMENTS]


def index_value(fleet: Fleet, source: str) -> dict[str, Any]:
    """The index, which must be stored last. `source` names the MLflow that the fleet was read from."""
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
    """The parts to store, by cache key: those that differ from a fleet whose parts are stored already."""
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
    """The MLflow that a stored fleet must be from, and the rules that turn aliases into stages."""

    name: str
    rules: StageRules


def fleet_from(index: Any, read: Read, known: Fleet | None, source: Source) -> Fleet | None:
    """The stored fleet, or None if it is from another MLflow or unreadable.

    Parts that a known fleet already has are taken from it. A part may have been stored after the index and be newer,
    which does no harm: each registered model is in one part as a whole.
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
    except MISFITS:
        return None


def edition_from(index: Any, source: str | None = None) -> Edition | None:
    """The edition that an index belongs to; None if the index is unreadable, or from another MLflow than `source`."""
    try:
        if source is not None and index["source"] != source:
            return None
        return Edition(str(index["series"]), int(index["number"]))
    except MISFITS:
        return None


def registrations_value(registrations: list[Registration], stale: bool, source: str) -> dict[str, Any]:
    """The list of registrations in the form it is stored in."""
    return {"source": source, "registrations": registrations, "stale": stale}


def registrations_from(value: Any, source: str) -> tuple[list[Registration], bool] | None:
    """The stored list and whether it is stale, or None if it is from another MLflow or unreadable."""
    try:
        if value["source"] != source:
            return None
        check_shape(value["registrations"], list[Registration])
        return [_registration_from(row) for row in value["registrations"]], bool(value["stale"])
    except MISFITS:
        return None


def _registration_from(row: dict[str, Any]) -> Registration:
    known = row["acknowledgement"]
    more = {
        "watched_by": tuple(row["watched_by"]),
        "predecessors": tuple(Predecessor(**earlier) for earlier in row["predecessors"]),
        "acknowledgement": Acknowledgement(**known) if known else None,
        "mutes": tuple(Mute(**mute) for mute in row["mutes"]),
    }
    return Registration(**{**row, **more})


def _segment_key(number: int) -> str:
    return f"fleet-{number}"


def _segment_from(value: Any, source: Source) -> FleetSegment:
    if value["source"] != source.name:
        raise ValueError("stored for another MLflow")
    models = [RegisteredModel(**row) for row in value["models"]]
    versions = [ModelVersion(**row) for row in value["versions"]]
    return segment(str(value["digest"]), models, versions, source.rules)


def _experiments_from(value: Any, source: Source) -> tuple[Experiment, ...]:
    if value["source"] != source.name:
        raise ValueError("stored for another MLflow")
    return tuple(Experiment(**row) for row in value["experiments"])


def _experiments_digest(experiments: tuple[Experiment, ...]) -> str:
    content = orjson.dumps(experiments, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(content, digest_size=12).hexdigest()
