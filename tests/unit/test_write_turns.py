"""Writes to MLflow side by side: how many go at once, who waits, and who is sent away."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from app.domain.errors import Busy, MlflowOverloaded, MlflowRefused, MlflowTooSlow, TowerError
from app.services.monitoring.write_turns import MOST_AT_ONCE, WriteTurns

OVERLOADED = MlflowOverloaded("The database is locked.")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def turns(clock: Clock) -> WriteTurns:
    return WriteTurns(10, clock)


@pytest.fixture
def held() -> Iterator[ExitStack]:
    with ExitStack() as held:
        yield held


def take(turns: WriteTurns, seconds: float = 0.0, clock: Clock | None = None, error: TowerError | None = None) -> None:
    with turns.turn(0):
        if clock:
            clock.now += seconds
        if error:
            raise error


def at_once(turns: WriteTurns) -> int:
    """How many writes may begin before one has to wait."""
    with ExitStack() as held:
        for number in range(100):
            try:
                held.enter_context(turns.turn(0))
            except Busy:
                return number
    return 100


def test_more_go_at_once_while_mlflow_takes_what_is_written_up_to_a_bound(turns: WriteTurns) -> None:
    first = at_once(turns)
    for _ in range(20):
        take(turns)
    assert 1 <= first < at_once(turns) == MOST_AT_ONCE


@pytest.mark.parametrize(("error", "raised"), [(OVERLOADED, Busy), (MlflowTooSlow("Late."), MlflowTooSlow)])
def test_fewer_go_at_once_when_mlflow_has_too_much_to_do_and_one_always_goes(
    turns: WriteTurns, error: TowerError, raised: type[TowerError]
) -> None:
    for _ in range(20):
        take(turns)
    with pytest.raises(raised):
        take(turns, error=error)
    assert at_once(turns) == MOST_AT_ONCE // 2
    for _ in range(5):
        with pytest.raises(raised):
            take(turns, error=error)
    assert at_once(turns) == 1


def test_how_many_wait_and_how_many_may_go_is_noted_for_other_processes(held: ExitStack) -> None:
    noted: list[tuple[int, int]] = []
    turns = WriteTurns(10, note=lambda *figures: noted.append(figures))
    assert noted[-1] == (0, 2)
    for _ in range(2):
        held.enter_context(turns.turn())
    with pytest.raises(Busy):
        held.enter_context(turns.turn(0.01))
    assert max(noted) == (1, 2)
    assert noted[-1] == (0, 2)
    held.close()
    assert noted[-1][1] > 1


def test_writes_that_fail_together_lower_the_bound_once(turns: WriteTurns) -> None:
    for _ in range(20):
        take(turns)
    blocks = [turns.turn(0) for _ in range(MOST_AT_ONCE)]
    for block in blocks:
        block.__enter__()
    for block in blocks:
        with pytest.raises(Busy):
            block.__exit__(MlflowOverloaded, OVERLOADED, None)
    assert at_once(turns) == MOST_AT_ONCE // 2


def test_a_request_that_mlflow_refuses_lowers_nothing(turns: WriteTurns) -> None:
    for _ in range(20):
        take(turns)
    with pytest.raises(MlflowRefused):
        take(turns, error=MlflowRefused("A bad name."))
    assert at_once(turns) == MOST_AT_ONCE


def test_a_write_that_would_wait_too_long_is_sent_away_at_once_with_the_time_that_the_queue_takes(
    turns: WriteTurns, clock: Clock, held: ExitStack
) -> None:
    for _ in range(20):
        take(turns, 8, clock)
    for _ in range(MOST_AT_ONCE):
        held.enter_context(turns.turn())
    waiting = [threading.Thread(target=take_in_time, args=(turns,)) for _ in range(5)]
    for thread in waiting:
        thread.start()
    # Each of them that waits makes the wait of the next two seconds longer.
    while True:
        try:
            with turns.turn(0.01):
                pass
        except Busy as busy:
            if busy.retry_after == 10:
                break
    with pytest.raises(Busy) as sent_away, turns.turn():
        pass
    assert sent_away.value.retry_after == 10
    held.close()
    for thread in waiting:
        thread.join()


def take_in_time(turns: WriteTurns) -> None:
    with turns.turn():
        pass
