"""Items that wait for the same thing are handled together."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from app.domain.errors import Busy, NotFound, TowerError
from app.services.host.groups import Groups, Take
from tests.servers import HANGS_AFTER_SECONDS

LARGEST = 10


class Desk:
    """Handles numbers, of which each is its own size, when the test lets it."""

    def __init__(self, failure: TowerError | None = None) -> None:
        self.handled: list[list[int]] = []
        self.failure = failure
        self.entered = threading.Semaphore(0)
        self.open = threading.Semaphore(0)
        self.groups: Groups[int, str] = Groups(lambda item: item, LARGEST)

    def lead(self, take: Take[int, str]) -> None:
        self.entered.release()
        assert self.open.acquire(timeout=HANGS_AFTER_SECONDS)
        group = take()
        self.handled.append([member.item for member in group])
        if self.failure:
            raise self.failure
        for member in group:
            member.outcome = str(member.item)

    def handle(self, item: int, seconds: float = HANGS_AFTER_SECONDS, key: str = "k") -> str:
        return self.groups.handle(key, item, seconds, self.lead)

    def entered_once(self) -> None:
        assert self.entered.acquire(timeout=HANGS_AFTER_SECONDS)


def sent(desk: Desk, pool: ThreadPoolExecutor, items: list[int]) -> list[Future[str]]:
    """The items, handed over one after the other, while the first of them waits."""
    begun = [threading.Event() for _ in items]

    def handle(place: int) -> str:
        begun[place].set()
        return desk.handle(items[place])

    futures = []
    for place in range(len(items)):
        futures.append(pool.submit(handle, place))
        assert begun[place].wait(HANGS_AFTER_SECONDS)
    desk.entered_once()
    return futures


def test_those_that_come_while_one_waits_are_handled_with_it_and_each_gets_its_own_outcome() -> None:
    desk = Desk()
    with ThreadPoolExecutor(8) as pool:
        futures = sent(desk, pool, [1, 2, 3, 4])
        desk.open.release(4)
        assert [future.result() for future in futures] == ["1", "2", "3", "4"]
    assert sorted(item for group in desk.handled for item in group) == [1, 2, 3, 4]
    assert all(sum(group) <= LARGEST for group in desk.handled)


def test_what_is_too_large_for_a_group_follows_in_the_next() -> None:
    desk = Desk()
    with ThreadPoolExecutor(8) as pool:
        futures = sent(desk, pool, [6, 6, 20])
        desk.open.release(3)
        assert [future.result() for future in futures] == ["6", "6", "20"]
    assert sorted(desk.handled) == [[6], [6], [20]]


def test_another_key_waits_for_nobody() -> None:
    desk = Desk()
    with ThreadPoolExecutor(8) as pool:
        slow = sent(desk, pool, [1])
        other = pool.submit(desk.handle, 2, HANGS_AFTER_SECONDS, "other")
        desk.entered_once()
        desk.open.release(2)
        assert (slow[0].result(), other.result()) == ("1", "2")


@pytest.mark.parametrize("failure", [NotFound("There is none."), Busy("Too many.", 7)])
def test_a_failure_is_that_of_everybody_in_the_group_and_the_next_group_is_led_again(failure: TowerError) -> None:
    desk = Desk(failure)
    with ThreadPoolExecutor(8) as pool:
        futures = sent(desk, pool, [1, 2])
        desk.open.release(2)
        for future in futures:
            with pytest.raises(type(failure)):
                future.result()
        desk.failure = None
        desk.open.release()
        assert desk.handle(3) == "3"


def test_who_waits_too_long_for_a_group_is_sent_away_and_not_handled() -> None:
    desk = Desk()
    with ThreadPoolExecutor(8) as pool:
        futures = sent(desk, pool, [1])
        with pytest.raises(Busy):
            desk.handle(2, 0.01)
        desk.open.release()
        assert futures[0].result() == "1"
    assert desk.handled == [[1]]
