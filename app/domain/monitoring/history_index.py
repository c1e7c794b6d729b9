"""The events of all registrations in order: a page of them without looking at the others."""

from array import array
from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from typing import Any

from app.domain.monitoring.monitor_history import MonitorHistory, RunHistory, event_at, rank_of, state_of

# An event is one number: which run, and in its lowest bits which of the run's events.
_BITS = 24
_LOWEST = (1 << _BITS) - 1
# Of so many changes at once the order is made anew.
_FEW = 1000


class HistoryIndex:
    """Finds events, the newest first. Nothing is changed in place; `after` gives the next one."""

    def __init__(self, history: MonitorHistory) -> None:
        self.history = history
        self._runs = list(history.runs())
        self._places = {run.run_id: place for place, run in enumerate(self._runs)}
        events = ((place << _BITS) + number for place, run in enumerate(self._runs) for number in range(len(run.times)))
        self._order = array("q", sorted(events, key=self._key))

    def after(self, history: MonitorHistory) -> "HistoryIndex":
        """The index of a later history, made of this one where little changed."""
        changed, gone = _differences(self.history, history)
        if gone or len(changed) > _FEW:
            return HistoryIndex(history)
        next_one = object.__new__(HistoryIndex)
        next_one.history = history
        next_one._runs, next_one._places, next_one._order = self._runs.copy(), self._places.copy(), self._order[:]
        for run in changed:
            next_one._put(run)
        return next_one

    def find(self, name: str | None, version: int | None) -> Sequence[int]:
        """The events of all registrations, or of those of a registered model or of one of its versions."""
        if name is None and version is None:
            return self._order
        wanted = {
            place for place, run in enumerate(self._runs) if name in (None, run.name) and version in (None, run.version)
        }
        few = sum(len(self._runs[place].times) for place in wanted)
        if few * 8 < len(self._order):
            return sorted(((p << _BITS) + n for p in wanted for n in range(len(self._runs[p].times))), key=self._key)
        return [event for event in self._order if event >> _BITS in wanted]

    def told(self, events: Iterable[int]) -> list[dict[str, Any]]:
        """Events in words."""
        states: dict[int, Any] = {}
        found = []
        for event in events:
            place = event >> _BITS
            if place not in states:
                states[place] = state_of(self._runs[place])
            found.append(event_at(states[place], event & _LOWEST))
        return found

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
        # The newest first; of one time and kind the registration that was made earlier, as MLflow's list has them.
        run, number = self._runs[event >> _BITS], event & _LOWEST
        return -run.times[number], -rank_of(run, number), run.registered_at, run.run_id, number


def _differences(before: MonitorHistory, after: MonitorHistory) -> tuple[list[RunHistory], list[str]]:
    """The runs that are new or others, and the ids of those that are gone."""
    changed, gone = [], []
    for old, new in zip(before.segments, after.segments, strict=True):
        if old is not new:
            changed += [run for run_id, run in new.runs.items() if old.runs.get(run_id) is not run]
            gone += [run_id for run_id in old.runs if run_id not in new.runs]
    return changed, gone
