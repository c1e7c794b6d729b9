"""An order of the events of many records, so that a page of them is read without visiting the others."""

from array import array
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

R = TypeVar("R")

# An event is one number: the place of its record, and in the lowest bits the number of the event within the record.
_BITS = 24
_LOWEST = (1 << _BITS) - 1
# With more changed records, or a larger part of all events than this, the whole order is made anew.
_FEW, _PART = 1000, 8


class EventIndex(Generic[R]):
    """Finds events, newest first. An index never changes; `changed_by` makes the next index.

    `name_of` identifies a record, `count_of` says how many events it has, and `rank_of` gives the order of an event.
    `shared_of` says how many of its first events a record shares with what it was before.
    """

    def __init__(
        self,
        records: Iterable[R],
        name_of: Callable[[R], str],
        count_of: Callable[[R], int],
        rank_of: Callable[[R, int], Any],
        shared_of: Callable[[R, R], int] = lambda _old, _new: 0,
    ) -> None:
        self._records = list(records)
        self._name_of, self._count_of, self._rank_of = name_of, count_of, rank_of
        self._shared_of = shared_of
        self._places = {name_of(record): place for place, record in enumerate(self._records)}
        self.order = array("q", sorted(self._events_at(range(len(self._records))), key=self._key))

    def changed_by(self, changed: Sequence[R], gone: Sequence[str]) -> "EventIndex[R]":
        """The index in which some records are new or changed, and others are gone; derived from this one if it can."""
        shared = [self._shared(record) for record in changed]
        moved = sum(map(self._count_of, changed)) - sum(shared)
        if gone or len(changed) > _FEW or moved * _PART > len(self.order):
            left = set(gone)
            records = {self._name_of(record): record for record in self._records if self._name_of(record) not in left}
            records.update((self._name_of(record), record) for record in changed)
            return EventIndex(records.values(), self._name_of, self._count_of, self._rank_of, self._shared_of)
        index: EventIndex[R] = object.__new__(EventIndex)
        index._name_of, index._count_of, index._rank_of = self._name_of, self._count_of, self._rank_of
        index._shared_of = self._shared_of
        index._records, index._places, index.order = self._records.copy(), self._places.copy(), self.order[:]
        for record, first in zip(changed, shared, strict=True):
            index._put(record, first)
        return index

    def of_record(self, name: str) -> range:
        """The events of one record, in the record's own order."""
        place = self._places[name] << _BITS
        return range(place, place + self._count_of(self._records[place >> _BITS]))

    def of(self, is_wanted: Callable[[R], bool]) -> Sequence[int]:
        """The events of some records."""
        wanted = {place for place, record in enumerate(self._records) if is_wanted(record)}
        count = sum(self._count_of(self._records[place]) for place in wanted)
        if count * 8 < len(self.order):
            return sorted(self._events_at(wanted), key=self._key)
        return [event for event in self.order if event >> _BITS in wanted]

    def find(self, event: int) -> tuple[R, int]:
        """The record of an event, and the number of the event within it."""
        return self._records[event >> _BITS], event & _LOWEST

    def _events_at(self, places: Iterable[int], first: int = 0) -> Iterable[int]:
        return ((place << _BITS) + n for place in places for n in range(first, self._count_of(self._records[place])))

    def _shared(self, record: R) -> int:
        place = self._places.get(self._name_of(record))
        return 0 if place is None else self._shared_of(self._records[place], record)

    def _put(self, record: R, first: int) -> None:
        """Replace a record, from its event number `first` on."""
        place = self._places.get(self._name_of(record))
        if place is None:
            place = self._places[self._name_of(record)] = len(self._records)
            self._records.append(record)
        else:
            for event in self._events_at([place], first):
                del self.order[bisect_left(self.order, self._key(event), key=self._key)]
            self._records[place] = record
        for event in self._events_at([place], first):
            insort(self.order, event, key=self._key)

    def _key(self, event: int) -> Any:
        return self._rank_of(*self.find(event))
