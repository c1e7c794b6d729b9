"""Encodes the record of the registry as JSON for the shared cache, and decodes it."""

from collections.abc import Callable, Mapping
from typing import Any

from app.domain.errors import MISFITS
from app.domain.registry_history.lineage import Lineage, lineage_from, lineage_value
from app.domain.registry_history.looking import Looked
from app.domain.registry_history.record import EMPTY_SEGMENT, SEGMENTS, RecordSegment, RegistryRecord
from app.domain.segments import segments_from

INDEX = "registry-history"


def part_keys() -> list[str]:
    """The keys of all segments of the record, beside its index."""
    return [_key(number) for number in range(SEGMENTS)]


def index_value(record: RegistryRecord, source: str) -> dict[str, Any]:
    """The index, which must be stored last. `source` names the MLflow that the record was read from."""
    looked = record.looked
    return {
        "source": source,
        "revision": record.revision,
        "begun": record.begun,
        "looked": [looked.aliases, looked.stages] if looked else None,
        "gaps": [list(gap) for gap in record.gaps],
        "segments": [segment.digest for segment in record.segments],
    }


def parts_value(record: RegistryRecord, known: RegistryRecord | None, source: str) -> dict[str, Any]:
    """The segments to store, by cache key: those that differ from a record whose segments are stored already."""
    return {
        _key(number): {
            "source": source,
            "digest": segment.digest,
            "lineages": [lineage_value(lineage) for lineage in segment.lineages.values()],
        }
        for number, segment in enumerate(record.segments)
        if segment.lineages and (known is None or known.segments[number].digest != segment.digest)
    }


def record_from(
    index: Any, read: Callable[[str], Any], known: RegistryRecord | None, source: str
) -> RegistryRecord | None:
    """The stored record, or None if it is from another MLflow or unreadable.

    Segments that a known record already has are taken from it.
    """
    try:
        if index["source"] != source:
            return None
        segments = segments_from(
            index["segments"],
            known.segments if known else (EMPTY_SEGMENT,) * SEGMENTS,
            lambda number, held: _segment(read(_key(number)), held.lineages, source),
            EMPTY_SEGMENT,
        )
        begun, looked = index["begun"], index["looked"]
        return RegistryRecord(
            int(index["revision"]),
            None if begun is None else int(begun),
            None if looked is None else Looked(int(looked[0]), int(looked[1])),
            tuple((int(start), int(end)) for start, end in index["gaps"]),
            segments,
        )
    except MISFITS:
        return None


def digests_in(index: Any, source: str) -> tuple[str, ...]:
    """The digests of the segments of the stored record; none if it is from another MLflow or unreadable."""
    try:
        return tuple(map(str, index["segments"])) if index["source"] == source else ()
    except MISFITS:
        return ()


def _segment(value: Any, known: Mapping[str, Lineage], source: str) -> RecordSegment:
    if value["source"] != source:
        raise ValueError("stored for another MLflow")
    lineages = {str(stored[0]): lineage_from(stored, known.get(stored[0])) for stored in value["lineages"]}
    return RecordSegment(lineages, str(value["digest"]))


def _key(number: int) -> str:
    return f"registry-history-{number}"
