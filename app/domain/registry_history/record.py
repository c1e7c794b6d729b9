"""The record of the registry: all that is known of its changes, in segments, few of which change at once."""

import hashlib
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import orjson

from app.domain.registry_history.change import Change
from app.domain.registry_history.lineage import FirstLook, Lineage, continued, lineage_of, lineage_value, worth
from app.domain.registry_history.looking import Gap, Looked

T = TypeVar("T")

SEGMENTS = 256


@dataclass(frozen=True, slots=True)
class RecordSegment:
    """The lineages whose ids share a hash. `digest` identifies the content and is empty if there is none."""

    lineages: Mapping[str, Lineage]
    digest: str


EMPTY_SEGMENT = RecordSegment({}, "")


@dataclass(frozen=True, slots=True)
class Additions:
    """What was read from MLflow, or is added to the record. `begun` says that the first look is recorded in full."""

    first: tuple[FirstLook, ...] = ()
    changes: tuple[Change, ...] = ()
    gaps: tuple[Gap, ...] = ()
    looked: Looked | None = None
    begun: int | None = None


@dataclass(frozen=True, slots=True)
class RegistryRecord:
    """The record as known at one moment; immutable.

    `revision` counts the changes, so that no clock decides which record is newer. `begun` is when the first look
    ended, in milliseconds; None while it is not recorded in full. `gaps` are the times in which nobody looked.
    """

    revision: int = 0
    begun: int | None = None
    looked: Looked | None = None
    gaps: tuple[Gap, ...] = ()
    segments: tuple[RecordSegment, ...] = (EMPTY_SEGMENT,) * SEGMENTS

    def find(self, lineage: str) -> Lineage | None:
        return self.segments[segment_of(lineage)].lineages.get(lineage)

    def lineages(self) -> Iterable[Lineage]:
        return (lineage for segment in self.segments for lineage in segment.lineages.values())

    def lineages_of(self, digests: Sequence[str]) -> Iterable[str]:
        """The ids of the lineages in the segments that have these digests, in the order of the segments."""
        for segment, digest in zip(self.segments, digests, strict=False):
            if segment.digest == digest:
                yield from segment.lineages

    def lacks(self, additions: Additions) -> Additions:
        """Those of the additions that are not in the record."""
        changes = []
        for lineage, listed in grouped(additions.changes, lambda change: change.lineage).items():
            known = self.find(lineage)
            kept = {change.key: change for change in known.all_changes} if known else {}
            changes += [one for one in listed if one.key not in kept or worth(one) > worth(kept[one.key])]
        first = [look for look in additions.first if look not in getattr(self.find(look.lineage), "first", ())]
        gaps = tuple(gap for gap in additions.gaps if gap not in self.gaps)
        return Additions(tuple(first), tuple(changes), gaps, additions.looked, additions.begun)

    def with_more(self, more: Additions) -> "RegistryRecord":
        """The next record, which has these as well."""
        first = grouped(more.first, lambda look: look.lineage)
        changes = grouped(more.changes, lambda change: change.lineage)
        touched: dict[int, dict[str, Lineage]] = {}
        for lineage in {*first, *changes}:
            number = segment_of(lineage)
            lineages = touched.setdefault(number, dict(self.segments[number].lineages))
            known = lineages.get(lineage)
            later = continued(known, changes[lineage]) if known and lineage not in first else None
            lineages[lineage] = later or lineage_of(
                lineage,
                [*(known.first if known else ()), *first.get(lineage, ())],
                [*(known.all_changes if known else ()), *changes.get(lineage, ())],
            )
        segments = list(self.segments)
        for number, lineages in touched.items():
            segments[number] = RecordSegment(lineages, _digest(lineages))
        begun = max((at for at in (self.begun, more.begun) if at is not None), default=None)
        looked = more.looked.joined(self.looked) if more.looked else self.looked
        made = RegistryRecord(self.revision, begun, looked, _merged((*self.gaps, *more.gaps)), tuple(segments))
        return self if made == self else replace(made, revision=self.revision + 1)

    @property
    def seal(self) -> str:
        """A digest of the whole content."""
        content = orjson.dumps(
            [self.revision, self.begun, self.looked, self.gaps, [segment.digest for segment in self.segments]]
        )
        return hashlib.blake2b(content, digest_size=12).hexdigest()


def segment_of(lineage: str) -> int:
    """The number of the segment that holds a lineage."""
    return zlib.crc32(lineage.encode()) % SEGMENTS


def _digest(lineages: Mapping[str, Lineage]) -> str:
    if not lineages:
        return ""
    digest = hashlib.blake2b(digest_size=12)
    for lineage in sorted(lineages):
        digest.update(orjson.dumps(lineage_value(lineages[lineage])))
    return digest.hexdigest()


def grouped(rows: Iterable[T], key: Callable[[T], str]) -> dict[str, list[T]]:
    """The rows by a key, in their order."""
    groups: dict[str, list[T]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def _merged(gaps: Iterable[Gap]) -> tuple[Gap, ...]:
    return tuple(sorted(set(gaps)))
