"""An index of the events of all registrations, so that a page of them is read without visiting the others."""

from collections.abc import Iterable, Sequence
from typing import Any

from app.domain.event_index import EventIndex
from app.domain.monitoring.monitor_history import MonitorHistory, RunHistory, event_at, rank_of, state_of


class HistoryIndex:
    """Finds events, newest first. An index never changes; `after` makes the next index."""

    def __init__(self, history: MonitorHistory, events: EventIndex[RunHistory] | None = None) -> None:
        self.history = history
        self._events = events or EventIndex(
            history.runs(), lambda run: run.run_id, lambda run: len(run.times), _newest_first
        )

    def after(self, history: MonitorHistory) -> "HistoryIndex":
        """The index of a later history, derived from this index if little changed."""
        return HistoryIndex(history, self._events.changed_by(*_differences(self.history, history)))

    def find(self, name: str | None, version: int | None) -> Sequence[int]:
        """The events of all registrations, or of those of one registered model or model version."""
        if name is None and version is None:
            return self._events.order
        return self._events.of(lambda run: name in (None, run.name) and version in (None, run.version))

    def rows(self, events: Iterable[int]) -> list[dict[str, Any]]:
        """The events as JSON."""
        states: dict[str, Any] = {}
        rows = []
        for event in events:
            run, number = self._events.find(event)
            if run.run_id not in states:
                states[run.run_id] = state_of(run)
            rows.append(event_at(states[run.run_id], number))
        return rows


def _newest_first(run: RunHistory, number: int) -> tuple[int, int, int, str, int]:
    # Of equal time and kind, the event of the earlier registration comes first, as in MLflow's list.
    return -run.times[number], -rank_of(run, number), run.registered_at, run.run_id, number


def _differences(before: MonitorHistory, after: MonitorHistory) -> tuple[list[RunHistory], list[str]]:
    """The runs that are new or changed, and the ids of those that are gone."""
    changed, gone = [], []
    for old, new in zip(before.segments, after.segments, strict=True):
        if old is not new:
            changed += [run for run_id, run in new.runs.items() if old.runs.get(run_id) is not run]
            gone += [run_id for run_id in old.runs if run_id not in new.runs]
    return changed, gone
