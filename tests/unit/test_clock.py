"""A clock that is wrong, is turned, or is set right: the mirror shows what MLflow says all the same."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.registry.fleet import Fleet, swept
from app.domain.registry.stages import stage_rules
from app.wiring.agent import Agent, build_agent
from tests.api.service import settings_of
from tests.fakes.memory_mlflow import MemoryGateway
from tests.fakes.memory_world import Clock, memory_world

HOUR = 3600.0
RULES = stage_rules([], [])


class Host:
    """A host with a clock: the process that talks to MLflow, and a worker, over one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.gateway = MemoryGateway()
        self.world = self.gateway.world
        self.world.add_version("m")
        self.clock = Clock(self.gateway)
        self.start()

    def start(self) -> None:
        self.agent, self.worker = self._process(), self._process()

    def _process(self) -> Agent:
        world = memory_world(self._directory, self.gateway, self.clock)
        return build_agent(settings_of(cache_directory=self._directory / "cache"), world)

    def shows(self) -> tuple[Any, ...]:
        found = []
        for process in (self.agent, self.worker):
            fleet = process.services.tracker.peek()
            assert fleet is not None
            found.append(shown(fleet))
        return tuple(found)

    def truth(self) -> tuple[Any, ...]:
        inventory = MemoryGateway(self.world).read_inventory()
        return (shown(swept(None, inventory, RULES)),) * 2


def shown(fleet: Fleet) -> dict[str, Any]:
    return {name: fleet.model(name) for name in fleet.registered}


Update = Callable[[Host], object]
UPDATES: dict[str, Update] = {
    "a refresh": lambda host: host.agent.coordinator.refresh(),
    "a push": lambda host: host.agent.publisher.look_up(["m"]),
    "a poll of changes": lambda host: host.agent.detector.poll_changes(),
    "a poll of aliases": lambda host: host.agent.detector.poll_aliases(),
    "the next tick": lambda host: host.agent.coordinator.tick(),
}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.mark.parametrize("update", UPDATES)
def test_after_a_start_with_a_clock_26_hours_ahead_and_one_with_the_right_one_changes_show(
    host: Host, update: str
) -> None:
    host.clock.ahead = 26 * HOUR
    host.start()
    host.agent.coordinator.refresh()
    host.agent.publisher.look_up(["m"])
    host.clock.ahead = 0
    host.start()
    host.world.add_version("m")
    UPDATES[update](host)
    assert host.shows() == host.truth()


@pytest.mark.parametrize("ahead", [HOUR, -HOUR, 0.1, -0.1])
@pytest.mark.parametrize("update", ["a refresh", "a push", "a poll of changes", "a poll of aliases"])
def test_a_clock_that_is_turned_and_set_right_in_a_running_service_hides_no_change(
    host: Host, update: str, ahead: float
) -> None:
    host.agent.coordinator.refresh()
    for turned in (ahead, 0.0, ahead, 0.0):
        host.clock.ahead = turned
        host.world.add_version("m")
        UPDATES[update](host)
        assert host.shows() == host.truth()


def test_everything_is_read_again_after_an_interval_also_where_the_clock_goes_back(host: Host) -> None:
    host.agent.coordinator.tick()
    for _ in range(4):
        host.clock.forward(10 * 60)
        # Four minutes are within what clocks may differ by.
        host.clock.ahead -= 4 * 60
        host.agent.coordinator.tick()
    # 40 minutes have gone by, of which the clock shows 24.
    assert host.gateway.calls.count("read_inventory") == 2


def test_after_a_failure_mlflow_is_left_alone_for_as_long_whatever_the_clock_says(host: Host) -> None:
    host.gateway.read_inventory = host.gateway.stop  # type: ignore[method-assign,assignment]
    with pytest.raises(AttributeError):
        host.agent.publisher.sweep_if_due()
    del host.gateway.read_inventory
    host.clock.ahead = HOUR
    assert host.agent.publisher.sweep_if_due() is None
    host.clock.ahead = -HOUR
    host.clock.forward(15)
    assert host.agent.publisher.sweep_if_due() is not None


def test_a_check_of_a_clock_that_was_ahead_is_replaced_by_the_next_one(host: Host) -> None:
    run = host.world.run_of("m", 1)
    host.world.log_metric(run, "accuracy", 0.5, host.world.tick())
    host.clock.ahead = 26 * HOUR
    host.agent.coordinator.refresh()
    low = {"limits": {"accuracy": {"min": 0.9}}}
    made = host.worker.services.writer.register("m", "1", "classifier", "ada", low)
    host.agent.checker.round()
    assert host.worker.stores.checks.of(made).verdict == "degraded"
    host.clock.ahead = 0
    host.start()
    host.worker.services.writer.change_settings("m", "1", {"limits": {"accuracy": {"min": 0.1}}})
    host.agent.checker.round()
    assert host.worker.stores.checks.of(made).verdict == "healthy"
    assert host.worker.stores.checks.of(made).checked_at <= host.world.now


def test_runs_that_start_after_a_count_by_a_clock_that_was_ahead_are_counted(host: Host) -> None:
    for _ in range(2001):  # more than what is always counted in full
        host.world.add_run()
    host.clock.ahead = 26 * HOUR
    host.agent.coordinator.refresh()
    host.agent.coordinator.count()
    host.clock.ahead = 0
    host.start()
    host.world.add_run()
    host.agent.coordinator.refresh()
    host.agent.coordinator.count()
    counted = host.worker.services.counter.counted()
    assert counted is not None
    assert counted[0] == host.gateway.count_runs()


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("turn"), st.sampled_from([26 * HOUR, HOUR, 60.0, 1.0, 0.0, -1.0, -HOUR, -26 * HOUR])),
        st.tuples(st.just("wait"), st.sampled_from([0.001, 1.0, 60.0, HOUR])),
        st.tuples(st.sampled_from(["change", "restart"]), st.just(0.0)),
        st.tuples(st.sampled_from(sorted(UPDATES)), st.just(0.0)),
    ),
    max_size=14,
)


@settings(max_examples=60)
@given(_STEPS)
def test_whatever_the_clock_does_a_refresh_shows_what_mlflow_says(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, float]]
) -> None:
    host = Host(tmp_path_factory.mktemp("clock"))
    host.agent.coordinator.refresh()
    for what, value in steps:
        if what == "turn":
            host.clock.ahead = value
        elif what == "wait":
            host.clock.forward(value)
        elif what == "change":
            host.world.add_version("m")
        elif what == "restart":
            host.start()
        else:
            UPDATES[what](host)
            if what != "the next tick":
                assert host.shows() == host.truth()
    host.world.add_version("m")
    host.agent.coordinator.refresh()
    assert host.shows() == host.truth()
