"""Watches and rules: whatever happens in whatever order, each version has one record, and each watch its version's."""

import itertools
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from app.domain.errors import TowerError
from app.domain.monitoring.observations import Observation
from app.domain.monitoring.watches import ALIAS, STAGE, layered
from app.domain.registry.models import Registration
from app.domain.registry.names import LONGEST_TAG
from app.services.host.file_cache import FileCache
from app.services.host.file_locks import FileLocks
from app.services.host.holding_cache import HoldingCache
from app.services.monitoring.monitor_run_writer import MonitorRunWriter
from app.services.monitoring.reconciler import Reconciler
from app.services.monitoring.registration_list import RegistrationStore
from app.services.monitoring.rule_desk import RuleDesk
from app.services.monitoring.watch_list import WatchStore
from app.services.monitoring.watcher import Watcher
from tests.fakes.memory_mlflow import MemoryGateway
from tests.unit.mirrors import MirrorProcess

VERSIONS = (1, 2, 3)
TAGGED = 4
ALL_VERSIONS = (*VERSIONS, TAGGED)
RULES = {"tagged": {"tags": {"team": None}}, "live": {"stages": ["Production"], "name": "m*"}}
WATCHES = ((ALIAS, "blue"), (ALIAS, "green"), (STAGE, "Production"))


class Killed(BaseException):
    """The process ends, as after `kill -9`."""


class Mortal(MemoryGateway):
    """An MLflow whose caller is killed at one of the next calls, before MLflow has it or after that."""

    calls_left = -1

    def _called(self, what: str, about: object = None) -> None:
        if self.calls_left == 0:
            self.calls_left = -1
            raise Killed
        self.calls_left -= self.calls_left > 0
        super()._called(what, about)


class Host:
    """What the agent of one host has: a mirror and lists of its own. Only MLflow is shared."""

    def __init__(self, directory: Path, gateway: MemoryGateway) -> None:
        cache, locks = HoldingCache(FileCache(directory / "cache")), FileLocks(directory / "locks", "")
        world = gateway.world
        self.mirror = MirrorProcess(gateway, cache, locks)
        tracker = self.mirror.tracker
        self.registrations = RegistrationStore(gateway, cache, locks, world.seconds, "here", True, tracker)
        self.writer = MonitorRunWriter(gateway, self.registrations, tracker, locks, world.tick)
        self.reconciler = Reconciler(gateway, self.registrations, self.writer)
        self.watches = WatchStore(gateway, cache, "here", cached=True)
        self.watcher = Watcher(
            gateway, self.watches, self.registrations, self.writer, tracker, self.mirror.publisher, locks,
            world.tick, lambda _name, _version: None, lambda: None, self.reconciler,
        )  # fmt: skip
        self.rules = RuleDesk(self.watcher, self.watches, self.writer, tracker, world.tick, lambda: None)

    def sweep(self) -> None:
        fleet = self.mirror.publisher.sweep()
        self.reconciler.reconcile(fleet)
        self.watcher.read_again()
        self.watcher.follow()


class AnyOrder(RuleBasedStateMachine):
    """Two hosts without Redis, their clients, and people who move aliases and stages."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.gateway = Mortal()
        self.world = self.gateway.world
        for _ in VERSIONS:
            self.world.add_version("m", with_run=False)
        self.world.add_version("m", with_run=False, tags={"team": "a"})
        self.hosts = [self.started(0), self.started(1)]
        self.own: dict[int, dict[str, Any]] = {}
        self.acknowledged: dict[int, set[float]] = {}
        self.values = itertools.count(1)

    def started(self, number: int) -> Host:
        return Host(self.directory / str(number), self.gateway)

    def teardown(self) -> None:
        shutil.rmtree(self.directory)

    @initialize()
    def begin(self) -> None:
        for host in self.hosts:
            host.sweep()

    def until_killed(self, number: int, calls: int, work: Callable[[Host], object], is_clients: bool) -> None:
        """Do the work of a host, which dies at one of its calls and starts again, or not (-1)."""
        self.gateway.calls_left = calls
        try:
            with suppress(TowerError):
                work(self.hosts[number])
        except Killed:
            self.hosts[number] = self.started(number)
        self.gateway.calls_left = -1
        if is_clients:
            # What a client asked for was done or not; what others asked for stands.
            self.own = {record.version: dict(record.own) for record in self.records() if record.own is not None}

    def records(self) -> list[Any]:
        return list(self.world.registrations.values())

    hosts_ = st.integers(0, 1)
    calls_ = st.one_of(st.just(-1), st.integers(0, 14))

    @rule(alias=st.sampled_from(["blue", "green"]), version=st.sampled_from(VERSIONS))
    def set_alias(self, alias: str, version: int) -> None:
        self.world.set_alias("m", alias, version)

    @rule(alias=st.sampled_from(["blue", "green"]))
    def delete_alias(self, alias: str) -> None:
        self.world.delete_alias("m", alias)

    @rule(version=st.sampled_from(VERSIONS), stage=st.sampled_from(["Production", "Archived"]))
    def set_stage(self, version: int, stage: str) -> None:
        self.world.set_stage("m", version, stage)

    @rule(host=hosts_, calls=calls_, version=st.sampled_from(ALL_VERSIONS), hours=st.integers(1, 3))
    def register(self, host: int, calls: int, version: int, hours: int) -> None:
        def work(at: Host) -> None:
            settings = {"silence_hours": hours}
            at.writer.register("m", str(version), "classifier", "ada", settings, at.rules.take_back)

        self.until_killed(host, calls, work, is_clients=True)

    @rule(host=hosts_, calls=calls_, version=st.sampled_from(ALL_VERSIONS))
    def remove(self, host: int, calls: int, version: int) -> None:
        self.until_killed(host, calls, lambda at: at.rules.remove_version("m", str(version), "ada"), is_clients=True)
        if version not in {record.version for record in self.records()}:
            # Somebody ended it, so monitoring begins anew.
            self.acknowledged.pop(version, None)

    @rule(host=hosts_, calls=calls_, version=st.sampled_from(ALL_VERSIONS))
    def observe(self, host: int, calls: int, version: int) -> None:
        self.until_killed(
            host, calls, lambda at: self.acknowledge(partial(at.writer.observe, "m", str(version))), is_clients=False
        )

    @rule(host=hosts_, calls=calls_, what=st.sampled_from(WATCHES))
    def observe_watched(self, host: int, calls: int, what: tuple[str, str]) -> None:
        def work(at: Host) -> None:
            self.acknowledge(partial(at.watcher.observe_watched, what[0], "m", what[1]))

        self.until_killed(host, calls, work, is_clients=False)

    @rule(host=hosts_, calls=calls_, what=st.sampled_from(WATCHES[:2]), away=st.sampled_from(VERSIONS), back=hosts_)
    def move_away_and_back(self, host: int, calls: int, what: tuple[str, str], away: int, back: int) -> None:
        """A watched alias leaves a version that has points, and comes back to it."""
        self.set_alias(what[1], VERSIONS[back])
        self.watch(host, -1, what, 4)
        self.observe_watched(host, -1, what)
        for version in (away, VERSIONS[back]):
            self.set_alias(what[1], version)
            self.look(host, calls)

    def acknowledge(self, send: Callable[[list[Observation]], Registration]) -> None:
        value = float(next(self.values))
        taken = send([Observation("loss", self.world.now, value)])
        self.acknowledged.setdefault(taken.version, set()).add(value)

    @rule(host=hosts_, calls=calls_, what=st.sampled_from(WATCHES), hours=st.integers(4, 6))
    def watch(self, host: int, calls: int, what: tuple[str, str], hours: int) -> None:
        def work(at: Host) -> None:
            at.watcher.watch(what[0], "m", what[1], "classifier", "bob", {"silence_hours": hours})

        self.until_killed(host, calls, work, is_clients=False)

    @rule(host=hosts_, calls=calls_, what=st.sampled_from(WATCHES), hours=st.integers(7, 9))
    def change_watch(self, host: int, calls: int, what: tuple[str, str], hours: int) -> None:
        def work(at: Host) -> None:
            at.watcher.change_watch(what[0], "m", what[1], {"silence_hours": hours})

        self.until_killed(host, calls, work, is_clients=False)

    @rule(host=hosts_, calls=calls_, what=st.sampled_from(WATCHES))
    def remove_watch(self, host: int, calls: int, what: tuple[str, str]) -> None:
        def work(at: Host) -> None:
            at.watcher.remove_watch(what[0], "m", what[1], "bob")

        self.until_killed(host, calls, work, is_clients=False)

    @rule(host=hosts_, calls=calls_, name=st.sampled_from(sorted(RULES)), hours=st.integers(10, 12))
    def put_rule(self, host: int, calls: int, name: str, hours: int) -> None:
        def work(at: Host) -> None:
            at.rules.put_rule(name, RULES[name], None, {"silence_hours": hours}, "eve")

        self.until_killed(host, calls, work, is_clients=False)

    @rule(host=hosts_, calls=calls_, name=st.sampled_from(sorted(RULES)))
    def remove_rule(self, host: int, calls: int, name: str) -> None:
        self.until_killed(host, calls, lambda at: at.rules.remove_rule(name, "eve"), is_clients=False)

    @rule(host=hosts_, calls=calls_)
    def look(self, host: int, calls: int) -> None:
        self.until_killed(host, calls, lambda at: at.sweep(), is_clients=False)

    @rule(host=hosts_, calls=calls_)
    def follow(self, host: int, calls: int) -> None:
        """A host follows what it knows, which may be old."""
        self.until_killed(host, calls, lambda at: at.watcher.follow(), is_clients=False)

    @invariant()
    def each_version_has_one_record(self) -> None:
        versions = [record.version for record in self.records()]
        assert len(versions) == len(set(versions))

    @precondition(lambda self: self.gateway.calls_left < 0)
    @rule(first=hosts_)
    def after_a_look_the_records_are_those_of_the_watches_and_registrations(self, first: int) -> None:
        for host in (self.hosts[first], self.hosts[1 - first]):
            host.sweep()
        aliases = self.world.models["m"].aliases
        productive = [row.version for row in self.world.versions.values() if row.stage == "Production"]
        covering: dict[int, list[Any]] = {}
        for watch in sorted(self.world.watches.values(), key=lambda watch: (watch.kind, watch.registered_at)):
            version = aliases.get(watch.place) if watch.kind == ALIAS else max(productive, default=None)
            if version is not None:
                covering.setdefault(version, []).append(watch)
                assert watch.record == next(r.monitor_run_id for r in self.records() if r.version == version)
        made = sorted(self.world.rules.values(), key=lambda each: each.registered_at)
        assert len({each.name for each in made}) == len(made)
        for each in made:
            excluded = {exclusion.version for exclusion in each.excluded}
            for version in ({TAGGED} if each.name == "tagged" else set(productive)) - excluded:
                covering.setdefault(version, []).append(each)
        assert {record.version for record in self.records()} == {*covering, *self.own}
        for record in self.records():
            watches = covering.get(record.version, [])
            own = self.own.get(record.version)
            assert record.watched_by == tuple(watch.label for watch in watches)
            assert (None if record.own is None else dict(record.own)) == own
            assert dict(record.settings) == layered([own or {}, *(watch.settings for watch in watches)])
            points = self.world.monitor_points.get(record.monitor_run_id, ())
            assert {point.value for point in points} >= self.acknowledged.get(record.version, set())
        for host in self.hosts:
            assert {key[1] for key in host.registrations.known().by_key} == {r.version for r in self.records()}


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(
    max_examples=10, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)


def test_settings_that_do_not_fit_together_are_those_of_the_first_layer() -> None:
    first, second = {"limits": {"a": {"max": 1}}, "alarm": {"m": 4, "n": 4}}, {"limits": {"b": {"min": 0}}}
    assert layered([first, second]) == {"limits": {"a": {"max": 1}, "b": {"min": 0}}, "alarm": {"m": 4, "n": 4}}
    assert layered([{"silence_hours": 1}, {"silence_hours": 2}]) == {"silence_hours": 1}
    assert layered([{"alarm": {"m": 2}}, {"alarm": {"n": 9}}]) == {"alarm": {"m": 2}}
    many = {"direction": {f"metric {number} {'x' * 200}": "higher" for number in range(30)}}
    more = {"direction": {f"other {number} {'x' * 200}": "higher" for number in range(30)}, "silence_hours": 3}
    assert layered([many, more]) == {**many, "silence_hours": 3}
    assert LONGEST_TAG == 8000
