"""Groups: items that wait for the same thing are handled together, by the thread of the item that waits longest."""

import threading
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from app.domain.errors import Busy
from app.domain.messages import TOO_MANY_WRITES

T = TypeVar("T")
R = TypeVar("R")


@dataclass(eq=False)
class Member(Generic[T, R]):
    """An item with its outcome: a result or an error, None while there is none."""

    item: T
    outcome: R | BaseException | None = None
    leads: bool = False
    noticed: threading.Event = field(default_factory=threading.Event, repr=False)


Take = Callable[[], list[Member[T, R]]]


class Groups(Generic[T, R]):
    """Items with the same key form groups; one group of a key is handled at a time.

    A group has at least one item, and more while their sizes together are at most `largest`.
    """

    def __init__(self, size_of: Callable[[T], int], largest: int) -> None:
        self._size_of = size_of
        self._largest = largest
        self._changing = threading.Lock()
        # Those that wait, by key. A key without an entry has nobody who leads.
        self._waiting: dict[Hashable, deque[Member[T, R]]] = {}

    def handle(self, key: Hashable, item: T, seconds: float, lead: Callable[[Take[T, R]], None]) -> R:
        """Have the item handled with others, and return or raise its outcome.

        `lead` waits for what the group needs, takes the group, and gives each member its outcome; what it raises is the
        outcome of all others. Raises `Busy` where an item was in no group after so many seconds.
        """
        mine: Member[T, R] = Member(item)
        with self._changing:
            mine.leads = key not in self._waiting
            self._waiting.setdefault(key, deque()).append(mine)
        if not mine.leads and not mine.noticed.wait(seconds):
            with self._changing:
                if mine in self._waiting.get(key, ()) and not mine.leads:
                    self._waiting[key].remove(mine)
                    raise Busy(TOO_MANY_WRITES)
            # It is in a group by now, or leads one.
            mine.noticed.wait()
        if mine.leads:
            self._lead(key, mine, lead)
        if isinstance(mine.outcome, BaseException):
            raise mine.outcome
        assert mine.outcome is not None, "the group's leader gave no outcome"  # noqa: S101 - for mypy
        return mine.outcome

    def _lead(self, key: Hashable, mine: Member[T, R], lead: Callable[[Take[T, R]], None]) -> None:
        group: list[Member[T, R]] = []

        def take() -> list[Member[T, R]]:
            with self._changing:
                group.extend(self._taken(self._waiting[key]))
            return group

        failure: BaseException | None = None
        try:
            lead(take)
        except BaseException as error:  # noqa: BLE001 - raised in the thread of each member
            failure = error
        with self._changing:
            queue = self._waiting[key]
            if mine not in group:
                queue.remove(mine)
                group.append(mine)
            for member in group:
                member.outcome = failure if member.outcome is None else member.outcome
                member.leads = False
                member.noticed.set()
            if queue:
                queue[0].leads = True
                queue[0].noticed.set()
            else:
                del self._waiting[key]

    def _taken(self, queue: deque[Member[T, R]]) -> list[Member[T, R]]:
        taken = [queue.popleft()]
        room = self._largest - self._size_of(taken[0].item)
        while queue and (room := room - self._size_of(queue[0].item)) >= 0:
            taken.append(queue.popleft())
        return taken
