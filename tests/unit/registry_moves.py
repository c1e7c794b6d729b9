"""Random moves in the registry, which two hosts record."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from app.domain.errors import MlflowUnavailable
from app.domain.registry.stages import STAGES_IN_USE, stage_rules
from app.domain.registry_history.change import RENAMED, of_alias
from app.domain.registry_history.holders import holders
from app.domain.registry_history.index import ChangeIndex, ChangeQuery
from app.domain.registry_history.past import lineage_at, past_of, unknown_at
from app.domain.registry_history.record import RegistryRecord
from tests.fakes.memory_mlflow import MemoryGateway
from tests.unit.machines import try_machine
from tests.unit.recording_host import Host

RULES = stage_rules(["a"], ["b"])


class Killed(BaseException):
    """The process ends, as after `kill -9`."""


class Dying:
    """For a gateway: its client may be killed after its next writes of the history."""

    lives = -1

    def write_registry_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        super().write_registry_tags(run_id, tags)  # type: ignore[misc]
        self._live()

    def open_registry_run(self) -> str:
        made: str = super().open_registry_run()  # type: ignore[misc]
        self._live()
        return made

    def _live(self) -> None:
        self.lives -= 1
        if self.lives == 0:
            raise Killed


class DyingGateway(Dying, MemoryGateway):
    """An MLflow in memory."""


Shape = tuple[dict[int, str], dict[str, int]]
"""The stages of the versions of a model, and its aliases."""


class Moves(RuleBasedStateMachine):
    """Random moves in MLflow, which two hosts look at, each in its own way; hosts fail, restart and lose their caches.

    No value is set again before somebody has looked at all: a change and its reversal between two looks is not seen.
    """

    directory: Path
    gateway_of: Callable[[], Any]
    # Over all examples, so that no host finds what another example left.
    places = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.gateway = type(self).gateway_of()
        self.world = self.gateway.world
        # What MLflow has.
        self.shapes: dict[str, Shape] = {}
        self.hosts = [self.new_host(), self.new_host()]
        self.index = ChangeIndex(RegistryRecord())
        self.truth: list[tuple[int, int, dict[str, Shape]]] = []
        self.used: dict[tuple[str, str], set[object]] = {}
        # What somebody has seen: what is made and gone between two looks is not seen either.
        self.seen: set[tuple[str, int]] = set()
        self.names = itertools.count()
        self.add_model()
        self.look_at_all(0)

    def new_host(self) -> Host:
        return Host(self.directory / str(next(self.places)), self.gateway)

    @contextmanager
    def moving(self) -> Iterator[None]:
        """A move in MLflow, which takes some of the world's moments."""
        began = self.world.tick()
        yield
        shapes = {name: (dict(stages), dict(aliases)) for name, (stages, aliases) in self.shapes.items()}
        self.truth.append((began, self.world.tick(), shapes))

    def may(self, name: str, subject: str, before: object, value: object) -> bool:
        """Whether a value can be told from those that were there since somebody looked."""
        used = self.used.setdefault((name, subject), {before})
        if value in used:
            return False
        used.add(value)
        return True

    @rule()
    def add_model(self) -> None:
        self.make(f"n{next(self.names)}")

    def make(self, name: str) -> None:
        """Add a version, and the model if there is none."""
        with self.moving():
            number = self.world.add_version(name, with_run=False)
            self.shapes.setdefault(name, ({}, {}))[0][number] = "None"

    @rule(data=st.data())
    def add_version(self, data: st.DataObject) -> None:
        name = self.some_model(data)
        if name:
            self.make(name)

    @rule(data=st.data(), alias=st.sampled_from(["a", "b"]), removes=st.booleans())
    def move_alias(self, data: st.DataObject, alias: str, removes: bool) -> None:
        name = self.some_model(data)
        if name is None or not self.shapes[name][0]:
            return
        versions, aliases = self.shapes[name]
        before = aliases.get(alias)
        value = None if removes else data.draw(st.sampled_from(sorted(versions)))
        if value == before or not self.may(name, alias, before, value):
            return
        with self.moving():
            if value is None:
                self.world.delete_alias(name, alias)
                del aliases[alias]
            else:
                self.world.set_alias(name, alias, value)
                aliases[alias] = value

    @rule(which=st.integers(0, 1), data=st.data(), alias=st.sampled_from(["a", "b"]))
    def move_alias_through_tower(self, which: int, data: st.DataObject, alias: str) -> None:
        """What a host moves itself, it records at once, unless a look has still to record what was there before."""
        name = self.some_model(data)
        if name is None or not self.shapes[name][0]:
            return
        versions, aliases = self.shapes[name]
        before, value = aliases.get(alias), data.draw(st.sampled_from(sorted(versions)))
        if value == before or not self.may(name, alias, before, value):
            return
        with self.moving():
            self.world.set_alias(name, alias, value)
            aliases[alias] = value
        began, ended, _ = self.truth[-1]
        created, move = self.world.created_at(name), (of_alias(alias), before, value)
        self.hosts[which].recorder.record_moves(name, created, [move], {}, "ann", began, ended)

    @rule(data=st.data(), stage=st.sampled_from(["None", "Staging", "Production"]))
    def move_stage(self, data: st.DataObject, stage: str) -> None:
        keys = self.versions()
        if not keys:
            return
        name, version = data.draw(st.sampled_from(keys))
        stages = self.shapes[name][0]
        if stage != stages[version] and self.may(name, str(version), stages[version], stage):
            with self.moving():
                self.world.set_stage(name, version, stage)
                stages[version] = stage

    @rule(data=st.data())
    def delete_version(self, data: st.DataObject) -> None:
        keys = [key for key in self.versions() if not self.shapes[key[0]][1] and key in self.seen]
        if keys:
            name, version = data.draw(st.sampled_from(keys))
            with self.moving():
                self.world.delete_version(name, version)
                del self.shapes[name][0][version]

    @rule(data=st.data())
    def rename(self, data: st.DataObject) -> None:
        name = self.some_model(data, seen=True)
        if name:
            new = f"n{next(self.names)}"
            with self.moving():
                self.world.rename(name, new)
                self.shapes[new] = self.shapes.pop(name)
            self.seen = {key for key in self.seen if key[0] != name}
            for (of, subject), used in list(self.used.items()):
                if of == name:
                    self.used[new, subject] = used

    @rule(data=st.data(), comes_back=st.booleans())
    def delete_model(self, data: st.DataObject, comes_back: bool) -> None:
        name = self.some_model(data, seen=True)
        if name:
            with self.moving():
                self.world.delete_model(name)
                del self.shapes[name]
            self.seen = {key for key in self.seen if key[0] != name}
            if comes_back:
                self.make(name)

    @rule(which=st.integers(0, 1))
    def look_at_all(self, which: int) -> None:
        self.hosts[which].look()
        self.index.find(ChangeQuery("n0"))
        self.index = self.index.after(self.hosts[which].record)
        self.used, self.seen = {}, {*self.versions()}

    @rule(which=st.integers(0, 1), how=st.sampled_from(["changes", "aliases", "all"]))
    def look_without_recording(self, which: int, how: str) -> None:
        mirror = self.hosts[which].mirror
        looks = {"changes": mirror.detector.look_for_changes, "aliases": mirror.detector.look_at_aliases}
        looks.get(how, mirror.publisher.sweep)()

    @rule(which=st.integers(0, 1), data=st.data())
    def push(self, which: int, data: st.DataObject) -> None:
        name = self.some_model(data)
        if name and self.hosts[which].mirror.snapshots.newest():
            self.hosts[which].mirror.publisher.look_up_each([name], "push")

    @rule(which=st.integers(0, 1))
    def record(self, which: int) -> None:
        self.hosts[which].recorder.record()

    @rule(which=st.integers(0, 1), lives=st.integers(1, 3))
    def die_while_recording(self, which: int, lives: int) -> None:
        self.gateway.lives = lives
        try:
            self.hosts[which].recorder.record()
        except Killed:
            self.hosts[which].start()
        self.gateway.lives = -1

    @rule(which=st.integers(0, 1), loses_cache=st.booleans())
    def restart(self, which: int, loses_cache: bool) -> None:
        if loses_cache:
            self.hosts[which] = self.new_host()
        else:
            self.hosts[which].start()

    @rule(which=st.integers(0, 1))
    def record_while_mlflow_is_down(self, which: int) -> None:
        self.gateway.failure = MlflowUnavailable("MLflow is down.")
        with suppress(MlflowUnavailable):
            self.hosts[which].recorder.record()
        self.gateway.failure = None

    def some_model(self, data: st.DataObject, *, seen: bool = False) -> str | None:
        names = sorted(self.shapes.keys() & {name for name, _ in self.seen} if seen else self.shapes)
        return data.draw(st.sampled_from(names)) if names else None

    def versions(self) -> list[tuple[str, int]]:
        return sorted((name, number) for name, (stages, _) in self.shapes.items() for number in stages)

    def teardown(self) -> None:
        for host in self.hosts:
            host.look()
            # Nothing is left that a further look at everything does not settle.
            since = self.world.tick()
            host.look()
            looked = host.record.looked
            assert looked is not None
            assert min(looked.aliases, looked.stages) > since
        fresh = self.new_host()
        fresh.recorder.first()
        record = fresh.record
        self.check_index(record)
        for at in self.moments(record):
            if not any(began <= at < ended for began, ended, _ in self.truth):
                self.check(record, at)

    def check_index(self, record: RegistryRecord) -> None:
        """An index that came from earlier ones finds what one that is new finds, of each name and of all."""
        derived, new = self.index.after(record), ChangeIndex(record)
        every = new.changes(new.find(ChangeQuery()))
        assert [change.not_after for change in every] == sorted((one.not_after for one in every), reverse=True)
        assert len(every) == sum(len(lineage.rows) for lineage in record.lineages())
        names = {lineage.id: lineage.name for lineage in record.lineages()}
        for name in (None, *{name for lineage in record.lineages() for name in lineage.names}):
            listed = new.changes(new.find(ChangeQuery(name)))
            assert derived.changes(derived.find(ChangeQuery(name))) == listed
            assert listed == [
                change
                for change in every
                if name in (None, names[change.lineage], change.model)
                or (change.kind == RENAMED and change.old[0] == name)
            ]

    def moments(self, record: RegistryRecord) -> list[int]:
        """Moments beside and between all at which anything begins or ends: nothing differs at the others."""
        times = {record.begun or 0, self.truth[-1][1], *(at for began, ended, _ in self.truth for at in (began, ended))}
        times |= {at for gap in record.gaps for at in gap}
        for lineage in record.lineages():
            times |= {*lineage.not_before, *lineage.not_after}
        between = {(one + other) // 2 for one, other in pairwise(sorted(times))}
        beside = {at + distance for at in times for distance in (-1, 0, 1)}
        return sorted(at for at in between | beside if (record.begun or 0) <= at <= self.truth[-1][1] + 1)

    def check(self, record: RegistryRecord, at: int) -> None:
        shapes = next((shapes for _, ended, shapes in reversed(self.truth) if ended <= at), {})
        for name in {name for *_, known in self.truth for name in known}:
            found = lineage_at(record, name, at)
            past = found[1] if found else None
            if past is None or past.exists is False or (past.exists and past.name != name):
                named = [past_of(one, at) for one in record.lineages() if name in one.names]
                if any(one.unsure for one in named) or unknown_at(record, at, ()):
                    continue
                assert name not in shapes, (at, name)
            elif unknown_at(record, at, past.unsure) is None:
                assert name in shapes, (at, name)
                stages = {number: stage for number, (_, stage) in past.versions.items()}
                assert (stages, dict(past.aliases)) == shapes[name], (at, name, found[0].rows, self.truth)
                assert held_at(record, name, at) == places_of(*shapes[name]), (at, name, found[0].rows)


def places_of(stages: dict[int, str], aliases: dict[str, int]) -> set[tuple[str, int]]:
    """The versions in each stage and under each alias."""
    effective = {
        (RULES.effective(stage, [alias for alias, version in aliases.items() if version == number])[0], number)
        for number, stage in stages.items()
    }
    return {(stage, number) for stage, number in effective if stage in STAGES_IN_USE} | set(aliases.items())


def held_at(record: RegistryRecord, name: str, at: int) -> set[tuple[str, int]]:
    """What the holders of a name say of a time that is in the interval of no change."""
    return {
        (str(holder.stage or holder.alias), holder.version)
        for holder in holders(record.lineages(), name, RULES)
        if (holder.since is None or holder.since.not_after <= at)
        and (holder.until is None or holder.until.not_after > at)
    }


def try_moves(directory: Path, examples: int, gateway_of: Callable[[], Any] = DyingGateway, steps: int = 30) -> None:
    """Try many random sequences of moves, looks and failures."""
    Moves.directory = directory
    Moves.gateway_of = staticmethod(gateway_of)
    try_machine(Moves, examples, steps)
