"""The tick, the request to refresh, the count of runs that follows, and the scheduler."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import pytest
from apscheduler.schedulers.background import BackgroundScheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.errors import MlflowRefused, MlflowUnavailable
from app.domain.registry.models import Inventory
from app.domain.times import DAY_MS
from app.services.host.file_cache import FileCache
from app.services.host.scheduler import Scheduler, together
from app.services.mirror.run_counter import RunCounter
from app.wiring.agent import Agent, build_agent
from tests.api.service import settings_of
from tests.fakes.memory_mlflow import MemoryGateway
from tests.fakes.memory_world import memory_world
from tests.servers import HANGS_AFTER_SECONDS, until

DOWN = MlflowUnavailable("MLflow is down.")


@pytest.fixture
def gateway() -> MemoryGateway:
    return MemoryGateway()


@pytest.fixture
def agent(tmp_path: Path, gateway: MemoryGateway) -> Agent:
    return build_agent(settings_of(), memory_world(tmp_path, gateway))


def counter_of(directory: Path, gateway: MemoryGateway, source: str = "here") -> RunCounter:
    return RunCounter(gateway, FileCache(directory), gateway.world.tick, gateway.world.seconds, source, True)


def test_the_ticks_read_the_mirror_the_registrations_and_the_count_once_and_then_nothing(
    agent: Agent, gateway: MemoryGateway
) -> None:
    for _ in range(2):
        agent.coordinator.tick()
        agent.coordinator.count()
        assert gateway.calls == ["read_inventory", "open_registrations", "watches_and_rules", "count_runs"]


def test_ten_requests_to_refresh_at_once_cost_mlflow_at_most_two_and_wait_for_no_count(
    agent: Agent, gateway: MemoryGateway
) -> None:
    read = gateway.read_inventory

    def all_have_asked() -> bool:
        # Each takes a number when it asks, and each reading takes one.
        return bool(agent.stores.cache.get("tickets") > 10)

    def slow() -> Inventory:
        until(all_have_asked)
        return read()

    gateway.read_inventory = slow  # type: ignore[method-assign]
    with ThreadPoolExecutor(10) as pool:
        done = list(pool.map(lambda _: agent.coordinator.refresh(), range(10)))
    editions = [refreshed.edition for refreshed in done]
    assert {refreshed.registrations_error for refreshed in done} == {None}
    calls = Counter(gateway.calls)
    assert 1 <= calls["read_inventory"] == calls["open_registrations"] == len(set(editions)) <= 2
    assert calls["count_runs"] == 0
    for _ in range(3):
        agent.coordinator.count()
    assert gateway.calls.count("count_runs") == 1


def test_a_tick_that_fails_is_tried_again_by_a_later_one(agent: Agent, gateway: MemoryGateway) -> None:
    gateway.failure = DOWN
    agent.coordinator.tick()
    assert gateway.calls == ["read_inventory"]
    gateway.failure = None
    gateway.world.now += 15_000
    agent.coordinator.tick()
    assert agent.services.tracker.peek() is not None


@pytest.mark.parametrize("failing", ["open_registrations", "count_runs"])
@pytest.mark.parametrize("failure", [DOWN, MlflowRefused("MLflow refused the request.")])
def test_a_refresh_stands_also_when_what_follows_it_fails(
    agent: Agent, gateway: MemoryGateway, monkeypatch: pytest.MonkeyPatch, failing: str, failure: Exception
) -> None:
    def fail(*_: object) -> None:
        raise failure

    gateway.world.add_version("m")
    monkeypatch.setattr(gateway, failing, fail)
    assert len(agent.services.tracker.refreshed(agent.coordinator.refresh().edition).models) == 1
    agent.coordinator.count()
    gateway.world.now += 3_600_000
    agent.coordinator.tick()
    assert gateway.calls.count("read_inventory") == 2


@settings(max_examples=25)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["add", "delete", "fail"]), st.integers(1, 30), st.integers(0, 20)), max_size=10
    )
)
def test_counting_what_is_new_comes_to_the_same_as_counting_all_as_long_as_nothing_is_deleted(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]]
) -> None:
    gateway = MemoryGateway()
    for _ in range(2001):  # more than what is always counted in full
        gateway.world.add_run()
    counter = counter_of(tmp_path_factory.mktemp("count"), gateway)
    counter.update(5)
    deleted_since = False
    for what, how_many, hours in steps:
        gateway.world.now += hours * 3_600_000
        if what == "add":
            for _ in range(how_many):
                gateway.world.add_run()
        elif what == "delete":
            gateway.world.delete_run(next(r for r, stored in gateway.world.runs.items() if not stored.deleted))
            deleted_since = True
        before = counter.counted()
        gateway.failure = DOWN if what == "fail" else None
        counter.update(5)
        gateway.failure = None
        if what == "fail":
            assert counter.counted() == before
        elif not deleted_since:
            assert counter.counted() is not None
            assert (counter.counted() or (0, 0))[0] == gateway.count_runs()
    gateway.world.now += DAY_MS
    counter.update(5)
    assert (counter.counted() or (0, 0))[0] == gateway.count_runs()


def test_a_count_of_another_mlflow_is_none_of_ours(tmp_path: Path, gateway: MemoryGateway) -> None:
    gateway.world.add_run()
    counter_of(tmp_path, gateway, "there").update(5)
    gateway.failure = DOWN
    assert counter_of(tmp_path, gateway).counted() is None


def test_a_count_that_fails_is_not_asked_for_by_every_request(tmp_path: Path, gateway: MemoryGateway) -> None:
    gateway.failure = DOWN
    counter = counter_of(tmp_path, gateway)
    assert [counter.counted() for _ in range(5)] == [None] * 5
    assert gateway.calls == ["count_runs"]


class Planned(BackgroundScheduler):  # type: ignore[misc]  # APScheduler has no types
    """Plans its jobs, and runs none by itself."""

    made: ClassVar[list["Planned"]] = []

    def start(self) -> None:
        super().start(paused=True)
        self.made.append(self)

    def first_times(self, job: Any, count: int) -> list[datetime]:
        found = [job.next_run_time]
        while len(found) < count:
            found.append(job.trigger.get_next_fire_time(found[-1], found[-1]))
        return found


def test_rounds_of_checks_of_hosts_that_start_together_are_spread_and_then_keep_their_interval(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("app.services.host.scheduler.BackgroundScheduler", Planned)
    monkeypatch.setattr(Planned, "made", [])
    minute, first_gaps = timedelta(minutes=1), set()
    for number in range(5):
        gateway, asked = MemoryGateway(), list[None]()
        gateway.monitor_states = lambda asked=asked: asked.append(None)  # type: ignore[method-assign,misc]
        host = build_agent(settings_of(check_interval_minutes=1), memory_world(tmp_path / str(number), gateway))
        host.start()
        planned = Planned.made[-1]
        checking = []
        for job in planned.get_jobs():
            asked.clear()
            job.func()
            checking += [job] if asked else []
        host.stop()
        (rounds,) = checking
        first, *later = [b - a for a, b in pairwise(planned.first_times(rounds, 4))]
        assert minute / 2 <= first <= minute
        assert later == [minute] * 2
        first_gaps.add(first)
    assert len(first_gaps) == 5


def test_of_jobs_that_are_done_together_one_that_fails_keeps_no_other_from_its_turn() -> None:
    done = list[str]()

    def fails() -> None:
        done.append("failed")
        raise ValueError

    together(fails, lambda: done.append("done"))()
    assert done == ["failed", "done"]


def test_the_scheduler_ticks_as_soon_as_it_is_started_and_ends_when_it_is_stopped() -> None:
    ticked = threading.Event()
    scheduler = Scheduler()
    scheduler.stop()
    never = threading.Event()
    scheduler.start({ticked.set: 5, never.set: 0})
    try:
        assert ticked.wait(HANGS_AFTER_SECONDS)
        assert not never.is_set()
    finally:
        scheduler.stop()
    until(lambda: not [thread for thread in threading.enumerate() if "APScheduler" in thread.name])


@pytest.mark.parametrize("hours", [-1, 26, 24 * 365 * 30])
def test_jobs_go_on_whatever_is_done_to_the_time_of_day(monkeypatch: pytest.MonkeyPatch, hours: int) -> None:
    class Turned(datetime):
        """The time of day of a host whose clock may be turned."""

        ahead = timedelta()

        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return tz.fromutc(datetime.now(UTC).replace(tzinfo=tz) + cls.ahead)

    monkeypatch.setattr("apscheduler.schedulers.base.datetime", Turned)
    ticks: list[None] = []
    scheduler = Scheduler()
    scheduler.start({lambda: ticks.append(None): 0.02})
    try:
        until(lambda: len(ticks) > 1)
        Turned.ahead = timedelta(hours=hours)
        seen = len(ticks)
        until(lambda: len(ticks) > seen + 2)
    finally:
        scheduler.stop()


def test_the_agent_starts_ticking_and_lets_go_of_mlflow_when_it_ends(agent: Agent, gateway: MemoryGateway) -> None:
    seen = threading.Event()
    count = gateway.count_runs

    def counted(started_after: int | None = None) -> int:
        seen.set()
        return count(started_after)

    gateway.count_runs = counted  # type: ignore[method-assign]
    agent.start()
    try:
        assert seen.wait(HANGS_AFTER_SECONDS)
    finally:
        agent.stop()
    assert gateway.stopped
