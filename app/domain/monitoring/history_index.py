"""An index of the events of all registrations, so that a page of them is read without visiting the others."""

from array import array
from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from typing import Any

from app.domain.monitoring.monitor_history import MonitorHistory, RunHistory, event_at, rank_of, state_of

# An event is one number: the place of its run, and in the lowest bits the number of the event within the run.
_BITS = 24
_LOWEST = (1 << _BITS) - 1
# With more changed runs than this, the whole order is rebuilt.
_FEW = 1000


class HistoryIndex:
    """Finds events, newest first. An index never changes; `after` makes the next index."""

    def __init__(self, history: MonitorHistory) -> None:
        self.history = history
        self._runs = list(history.runs())
        self._places = {run.run_id: place for place, run in enumerate(self._runs)}
        events = ((place << _BITS) + number for place, run in enumerate(self._runs) for number in range(len(run.times)))
        self._order = array("q", sorted(events, key=self._key))

    def after(self, history: MonitorHistory) -> "HistoryIndex":
        """The index of a later history, derived from this index if little changed."""
        changed, gone = _differences(self.history, history)
        if gone or len(changed) > _FEW:
            return HistoryIndex(history)
        index = object.__new__(HistoryIndex)
        index.history = history
        index._runs, index._places, index._order = self._runs.copy(), self._places.copy(), self._order[:]
        for run in changed:
            index._put(run)
        return index

    def find(self, name: str | None, version: int | None) -> Sequence[int]:
        """The events of all registrations, or of those of one registered model or model version."""
        if name is None and version is None:
            return self._order
        wanted = {
            place for place, run in enumerate(self._runs) if name in (None, run.name) and version in (None, run.version)
        }
        count = sum(len(self._runs[place].times) for place in wanted)
        if count * 8 < len(self._order):
            return sorted(((p << _BITS) + n for p in wanted for n in range(len(self._runs[p].times))), key=self._key)
        return [event for event in self._order if event >> _BITS in wanted]

    def rows(self, events: Iterable[int]) -> list[dict[str, Any]]:
        """The events as JSON."""
        states: dict[int, Any] = {}
        rows = []
        for event in events:
            place = event >> _BITS
            if place not in states:
                states[place] = state_of(self._runs[place])
            rows.append(event_at(states[place], event & _LOWEST))
        return rows

    def _put(self, run: RunHistory) -> None:
        place = self._places.get(run.run_id)
        if place is None:
            place = self._places[run.run_id] = len(self._runs)
            self._runs.append(run)
        else:
            for number in range(len(self._runs[place].times)):
                event = (place << _BITS) + number
                del self._order[bisect_left(self._order, self._key(event), key=self._key)]
            self._runs[place] = run
        for number in range(len(run.times)):
            insort(self._order, (place << _BITS) + number, key=self._key)

    def _key(self, event: int) -> tuple[int, int, int, str, int]:
        # Newest first. Of equal time and kind, the event of the earlier registration comes first, as in MLflow's list.
        run, number = self._runs[event >> _BITS], event & _LOWEST
        return -run.times[number], -rank_of(run, number), run.registered_at, run.run_id, number


def _differences(before: MonitorHistory, after: MonitorHistory) -> tuple[list[RunHistory], list[str]]:
    """The runs that are new or changed, and the ids of those that are gone."""
    changed, gone = [], []
    for old, new in zip(before.segments, after.segments, strict=True):
        if old is not new:
            changed += [run for run_id, run in new.runs.items() if old.runs.get(run_id) is not run]
            gone += [run_id for run_id in old.runs if run_id not in new.runs]
    return changed, gone
