"""The registry as it was at a time, and what of that is not known."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from app.domain.registry.fleet import Fleet, digest_of, segment, split
from app.domain.registry.models import Inventory, ModelVersion, RegisteredModel, VersionKey
from app.domain.registry.stages import StageRules, aliases_by_version
from app.domain.registry_history.change import MODEL, RENAMED, Change, change_info
from app.domain.registry_history.lineage import Lineage
from app.domain.registry_history.record import RegistryRecord
from app.domain.registry_history.standing import Standing
from app.domain.times import rfc3339, written

BEFORE_FIRST_LOOK, NOT_LOOKED, AFTER_LAST_LOOK, BETWEEN_LOOKS = (
    "before_first_look", "not_looked", "after_last_look", "between_looks",
)  # fmt: skip
REASONS = (BEFORE_FIRST_LOOK, NOT_LOOKED, AFTER_LAST_LOOK, BETWEEN_LOOKS)


@dataclass(frozen=True, slots=True)
class Unknown:
    """Why the state at a time is not known, and for which time that holds, in milliseconds; None is without an end."""

    why: str
    not_before: int | None
    not_after: int | None


@dataclass(frozen=True, slots=True)
class Past:
    """A registered model as it was at a time, or as it was last seen before, where that is not known.

    `exists` is None if it is not known. `versions` maps a number to creation time and stage. `unsure` are the changes
    that may have happened before the time or after it.
    """

    name: str
    exists: bool | None
    versions: Mapping[int, tuple[int, str]]
    aliases: Mapping[str, int]
    unsure: tuple[Change, ...]


def past_of(lineage: Lineage, at: int) -> Past:
    """A model as it was at a time, in milliseconds."""
    first = lineage.first
    seen = [look for look in first if look.ended <= at]
    if first:
        standing = Standing(lineage.id, first[0].name, first[0].created)
    else:
        standing = Standing(lineage.id, "", 0, exists=False)
    for look in seen:
        standing.add(look)
    unsure: list[Change] = []
    for row_number, not_after in enumerate(lineage.not_after):
        if not_after <= at:
            standing.apply(lineage.change(row_number))
        elif lineage.not_before[row_number] < at:
            unsure.append(lineage.change(row_number))
    exists: bool | None = standing.exists
    if first and not seen:
        exists = True if first[0].created <= at else None
    if any(change.subject == MODEL and change.kind != RENAMED for change in unsure):
        exists = None
    if exists is False:
        return Past(standing.name or lineage.names[-1], False, {}, {}, tuple(unsure))
    return Past(standing.name or lineage.names[-1], exists, standing.versions, standing.aliases, tuple(unsure))


def unknown_at(record: RegistryRecord, at: int, unsure: Iterable[Change]) -> Unknown | None:
    """Why the state at a time is not known; None if it is."""
    if record.begun is None or at < record.begun:
        return Unknown(BEFORE_FIRST_LOOK, None, record.begun)
    for start, end in record.gaps:
        if start < at < end:
            return Unknown(NOT_LOOKED, start, end)
    changes = list(unsure)
    if changes:
        ends = [change.not_after for change in changes]
        return Unknown(BETWEEN_LOOKS, min(change.not_before for change in changes), max(ends))
    last = min(record.looked.aliases, record.looked.stages) if record.looked else record.begun
    return Unknown(AFTER_LAST_LOOK, last, None) if at > last else None


def lineage_at(record: RegistryRecord, name: str, at: int) -> tuple[Lineage, Past] | None:
    """The model that had a name at a time, or else that has it now or had it last; None if no model ever had it."""
    named = [(lineage, past_of(lineage, at)) for lineage in record.lineages() if name in lineage.names]
    return max(named, key=lambda pair: _worth(name, *pair), default=None)


def _worth(name: str, lineage: Lineage, past: Past) -> tuple[bool, bool, bool, bool, int]:
    """Which of several models is meant by a name: one that surely had it then, or may have had it."""
    is_there = past.exists is not False
    may_have_it = is_there and past.name == name
    has_it = may_have_it and past.exists is True and all(change.subject != MODEL for change in past.unsure)
    return has_it, may_have_it, lineage.name == name, is_there, max(lineage.not_after, default=0)


def past_info(
    name: str, at: int, past: Past, unknown: Unknown | None, record: RegistryRecord, rules: StageRules
) -> dict[str, Any]:
    """A model as it was at a time, as clients see it."""
    aliases = aliases_by_version(past.aliases)
    versions = []
    by_stage: dict[str, list[str]] = {}
    for number, (created, own) in sorted(past.versions.items(), reverse=True):
        named = sorted(aliases.get(number, ()))
        stage, source = rules.effective(own, named)
        by_stage.setdefault(stage, []).append(str(number))
        versions.append(
            {
                "version": str(number),
                "stage": stage,
                "stage_source": source,
                "aliases": named,
                "creation_timestamp": rfc3339(created),
            }
        )
    return {
        "model_name": name,
        "name_then": past.name,
        "at": written(at),
        "known": unknown is None,
        "why": unknown.why if unknown else None,
        "not_before": rfc3339(unknown.not_before) if unknown else None,
        "not_after": rfc3339(unknown.not_after) if unknown else None,
        "exists": past.exists,
        "production": by_stage.get("Production", []),
        "staging": by_stage.get("Staging", []),
        "aliases": {alias: str(number) for alias, number in sorted(past.aliases.items())},
        "versions": versions,
        "unsure": [change_info(change) for change in past.unsure],
        "first_look": rfc3339(record.begun),
        "not_looked": [
            {"not_before": rfc3339(start), "not_after": rfc3339(end)} for start, end in record.gaps if start < at
        ],
    }


def past_fleet(
    record: RegistryRecord, at: int, rules: StageRules, present: Fleet
) -> tuple[Fleet, frozenset[VersionKey]]:
    """The fleet as it was at a time, and the versions of which something may have been otherwise.

    Of versions that still exist, the source run is known; descriptions, tags and metrics of the past are not.
    """
    models: list[RegisteredModel] = []
    rows: list[ModelVersion] = []
    unsure: set[VersionKey] = set()
    there: dict[str, tuple[Lineage, Past]] = {}
    for lineage in record.lineages():
        past = past_of(lineage, at)
        other = there.get(past.name)
        if past.exists is not False and (other is None or _worth(past.name, *other) < _worth(past.name, lineage, past)):
            there[past.name] = lineage, past
    for lineage, past in there.values():
        created = lineage.first[0].created if lineage.first else 0
        models.append(RegisteredModel(past.name, created, -1, aliases=past.aliases))
        for number, (made, stage) in past.versions.items():
            known = present.find(lineage.name, number)
            same = known.row if known and known.row.created == made else None
            run_id, source = (same.run_id, same.source) if same else (None, None)
            rows.append(ModelVersion(past.name, number, stage, made, -1, run_id=run_id, source=source))
        whole = any(change.subject == MODEL for change in past.unsure)
        touched = {number for change in past.unsure for number in change.versions}
        unsure |= {(past.name, number) for number in (past.versions if whole else touched)}
    parts = [segment(digest_of(*part), *part, rules) for part in split(Inventory(at, tuple(models), tuple(rows)))]
    return Fleet(at, tuple(parts)), frozenset(unsure)
