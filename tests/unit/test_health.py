"""The sign of life: asked at most once in five seconds, by everybody together, and never waited for long."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import MlflowUnavailable
from app.domain.ports import WritableCache
from app.services.host.file_cache import FileCache
from app.services.host.file_locks import FileLocks
from app.services.host.holding_cache import HoldingCache
from app.services.mirror import health
from app.services.mirror.facts import SharedFacts
from app.services.mirror.health import Health, Probe
from app.services.mirror.run_counter import RunCounter
from tests.fakes.memory_mlflow import MemoryGateway, Spent
from tests.servers import HANGS_AFTER_SECONDS

DOWN = MlflowUnavailable("MLflow is down.")


class Now:
    """A clock that stands still until it is set."""

    ms = 1_700_000_000_000

    def __call__(self) -> int:
        return self.ms

    def seconds(self) -> float:
        return self.ms / 1000


def health_of(
    gateway: MemoryGateway,
    cache: WritableCache,
    locks: FileLocks,
    now: Now,
    gives_sign: Callable[[float], bool] | None = None,
) -> Health:
    """A worker's health, with an agent of its own over the same cache."""
    counter = RunCounter(gateway, cache, now, now.seconds, "here", True)
    facts = SharedFacts(gateway, Probe(gateway, cache, locks, now, now.seconds), counter)
    return Health(cache, facts, now, now.seconds, gives_sign or gateway.gives_sign)


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def worker(tmp_path: Path, now: Now) -> Callable[[MemoryGateway], Health]:
    """Makes workers over one directory."""

    def made(gateway: MemoryGateway) -> Health:
        return health_of(gateway, FileCache(tmp_path / "cache"), FileLocks(tmp_path / "locks", ""), now)

    return made


@given(steps=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 7_000), st.booleans()), max_size=12))
def test_what_was_asked_in_the_last_five_seconds_is_told_to_everybody(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int, bool]]
) -> None:
    folder, now, gateway = tmp_path_factory.mktemp("health"), Now(), MemoryGateway()
    workers = [health_of(gateway, FileCache(folder / "c"), FileLocks(folder / "l", ""), now) for _ in range(2)]
    asked: list[tuple[int, bool]] = []
    for who, later, up in steps:
        now.ms += later
        gateway.failure = None if up else DOWN
        if not asked or now.ms - asked[-1][0] >= 5_000:
            asked.append((now.ms, up))
        assert workers[who].mlflow()[0] is asked[-1][1]
        assert len(gateway.calls) == len(asked)


def test_the_last_known_number_of_experiments_is_told_while_mlflow_is_down(
    worker: Callable[[MemoryGateway], Health], now: Now
) -> None:
    gateway = MemoryGateway()
    gateway.world.add_experiment("second")
    asked = worker(gateway)
    assert asked.mlflow() == (True, 2)
    gateway.failure = DOWN
    now.ms += 5_000
    assert asked.mlflow() == (False, 2)


def test_many_at_once_ask_mlflow_once(
    worker: Callable[[MemoryGateway], Health], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Who waits longer than this is told what was known before: here nobody does, however busy the machine is.
    monkeypatch.setattr(health, "_WAIT_SECONDS", HANGS_AFTER_SECONDS)
    gateway = MemoryGateway()
    workers = [worker(gateway) for _ in range(2)]
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda n: workers[n % 2].mlflow(), range(16)))
    assert found == {(True, 1)}
    assert gateway.calls == ["ping"]


class Waits(FileLocks):
    """Locks that note how long they are waited for."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, "")
        self.bounds: list[float] = []

    @contextmanager
    def hold(self, name: str, timeout: float) -> Iterator[None]:
        self.bounds.append(timeout)
        with super().hold(name, timeout):
            yield


def test_while_somebody_else_is_asking_the_last_answer_is_told_within_two_seconds(tmp_path: Path, now: Now) -> None:
    gateway, locks = MemoryGateway(), Waits(tmp_path / "locks")
    asked = health_of(gateway, FileCache(tmp_path / "cache"), locks, now)
    assert asked.mlflow() == (True, 1)
    now.ms += 60_000
    with FileLocks(tmp_path / "locks", "").hold("probe", 0):
        assert asked.mlflow() == (True, 1)
    assert gateway.calls == ["ping"]
    assert max(locks.bounds) < 2


def test_mlflow_is_given_less_than_two_seconds_for_a_sign_of_life(tmp_path: Path, now: Now) -> None:
    bounds: list[float] = []

    class Bounded(MemoryGateway):
        @contextmanager
        def within(self, seconds: float) -> Iterator[Spent]:
            bounds.append(seconds)
            with super().within(seconds) as spent:
                yield spent

    gateway = Bounded()
    health_of(gateway, FileCache(tmp_path / "cache"), FileLocks(tmp_path / "locks", ""), now).mlflow()
    assert gateway.calls == ["ping"]
    assert max(bounds) < 2


def test_where_nothing_can_be_shared_each_worker_asks_for_itself_as_rarely(tmp_path: Path, now: Now) -> None:
    (tmp_path / "cache").write_text("in the way")
    gateway = MemoryGateway()
    cache = HoldingCache(FileCache(tmp_path / "cache"))
    asked = health_of(gateway, cache, FileLocks(tmp_path / "locks", ""), now)
    for _ in range(5):
        assert asked.mlflow() == (True, 1)
    assert gateway.calls == ["ping"]


def test_where_no_lock_can_be_had_nothing_is_known_and_nothing_breaks(tmp_path: Path, now: Now) -> None:
    (tmp_path / "locks").write_text("in the way")
    asked = health_of(MemoryGateway(), FileCache(tmp_path / "cache"), FileLocks(tmp_path / "locks", ""), now)
    assert asked.mlflow() == (False, None)


def test_a_clock_that_was_set_back_does_not_keep_an_old_answer(
    worker: Callable[[MemoryGateway], Health], now: Now
) -> None:
    gateway = MemoryGateway()
    asked = worker(gateway)
    asked.mlflow()
    now.ms -= 3_600_000
    gateway.failure = DOWN
    assert asked.mlflow()[0] is False


def test_while_the_agent_is_not_there_yet_mlflow_is_asked_without_it_and_neither_answer_is_false(
    worker: Callable[[MemoryGateway], Health], now: Now
) -> None:
    class NoAgentYet(MemoryGateway):
        def ping(self) -> int:
            raise MlflowUnavailable("The process that talks to MLflow is not there yet.")

    gateway = NoAgentYet()
    gateway.signs = True
    asked = worker(gateway)
    assert asked.mlflow() == (True, None)
    now.ms += 5_000
    gateway.failure = DOWN
    assert asked.mlflow() == (False, None)


def test_later_the_agent_is_asked(
    worker: Callable[[MemoryGateway], Health], now: Now, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = MemoryGateway()
    gateway.signs = True
    asked = worker(gateway)
    asked.mlflow()
    assert gateway.calls == []
    monkeypatch.setattr(health, "_STARTING_SECONDS", 0.0)
    now.ms += 5_000
    assert asked.mlflow() == (True, 1)
