"""An index of the recorded changes, so that a page of them is read without visiting the others."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.domain.event_index import EventIndex
from app.domain.registry_history.change import KINDS, Change, change_from
from app.domain.registry_history.lineage import Lineage
from app.domain.registry_history.record import RegistryRecord


@dataclass(frozen=True, slots=True)
class ChangeQuery:
    """Which changes are wanted: of a registered model, of a kind, of a version, and in a period (milliseconds).

    A change is in the period if it may have happened then.
    """

    name: str | None = None
    kind: str | None = None
    version: int | None = None
    since: int | None = None
    until: int | None = None


class ChangeIndex:
    """Finds changes, newest first. An index never changes; `after` makes the next index."""

    def __init__(self, record: RegistryRecord, events: EventIndex[Lineage] | None = None) -> None:
        self.record = record
        self._events = events or EventIndex(
            record.lineages(), lambda lineage: lineage.id, lambda lineage: len(lineage.rows), _newest_first, _shared
        )
        # The last name that was asked for, since pages of one list follow each other: the lineages that have or had it,
        # and their changes in order.
        self._named: tuple[str, frozenset[str]] | None = None
        self._of_model: tuple[str, Sequence[int]] | None = None

    def after(self, record: RegistryRecord) -> "ChangeIndex":
        """The index of a later record, derived from this index if little changed."""
        changed, gone = _differences(self.record, record)
        made = ChangeIndex(record, self._events.changed_by(changed, gone))
        if self._named is not None:
            name, known = self._named
            made._named = name, (known | {lineage.id for lineage in changed if name in lineage.names}).difference(gone)
        return made

    def find(self, query: ChangeQuery) -> Sequence[int]:
        """The changes that a query matches."""
        events = self._events.order if query.name is None else self._of(query.name)
        if query.until is not None or query.since is not None:
            events = self._in_period(events, query)
        if query.kind is not None:
            kind = KINDS.index(query.kind)
            events = [event for event in events if (at := self._events.find(event))[0].kinds[at[1]] == kind]
        if query.version is not None:
            events = [event for event in events if query.version in self._versions(event)]
        return events

    def changes(self, events: Iterable[int]) -> list[Change]:
        """The changes themselves."""
        places = (self._events.find(event) for event in events)
        return [change_from(lineage.rows[number]) for lineage, number in places]

    def _of(self, name: str) -> Sequence[int]:
        kept = self._of_model
        if kept is None or kept[0] != name:
            kept = self._of_model = name, self._belonging(name)
        return kept[1]

    def _belonging(self, name: str) -> Sequence[int]:
        """The changes of the model that has this name now, and those of others while they had it."""
        kept = self._named
        if kept is None or kept[0] != name:
            ids = frozenset(lineage.id for lineage in self.record.lineages() if name in lineage.names)
            kept = self._named = name, ids
        named = kept[1]
        if len(named) == 1:
            # The changes of a lineage are in order.
            events: Sequence[int] = self._events.of_record(*named)[::-1]
        else:
            events = self._events.of(lambda lineage: lineage.id in named)
        if all(lineage is None or lineage.name == name for lineage in map(self.record.find, named)):
            return events
        places = ((event, *self._events.find(event)) for event in events)
        return [
            event
            for event, lineage, number in places
            if lineage.name == name or _has(change_from(lineage.rows[number]), name)
        ]

    def _in_period(self, events: Sequence[int], query: ChangeQuery) -> Sequence[int]:
        if query.since is not None:
            since = query.since
            events = events[: bisect_left(events, True, key=lambda event: self._times(event)[1] < since)]
        if query.until is not None:
            until = query.until
            events = [event for event in events if self._times(event)[0] <= until]
        return events

    def _times(self, event: int) -> tuple[int, int]:
        lineage, number = self._events.find(event)
        return lineage.not_before[number], lineage.not_after[number]

    def _versions(self, event: int) -> tuple[int, int]:
        lineage, number = self._events.find(event)
        return lineage.old_versions[number], lineage.new_versions[number]


def _has(change: Change, name: str) -> bool:
    return change.model == name or (change.kind == "renamed" and change.old[0] == name)


def _newest_first(lineage: Lineage, number: int) -> tuple[int, str, int]:
    return -lineage.not_after[number], lineage.id, -number


def _shared(old: Lineage, new: Lineage) -> int:
    """How many of its first changes a lineage had before."""
    return len(old.rows) if new.rows[: len(old.rows)] == old.rows else 0


def _differences(before: RegistryRecord, after: RegistryRecord) -> tuple[list[Lineage], list[str]]:
    """The lineages that are new or changed, and the ids of those that are gone."""
    changed, gone = [], []
    for old, new in zip(before.segments, after.segments, strict=True):
        if old is not new:
            changed += [one for key, one in new.lineages.items() if old.lineages.get(key) is not one]
            gone += [key for key in old.lineages if key not in new.lineages]
    return changed, gone
