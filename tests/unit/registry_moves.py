"""Random moves in the registry, which two hosts record."""

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from app.domain.errors import MlflowUnavailable
from app.domain.registry_history.past import lineage_at, past_of, unknown_at
from app.domain.registry_history.record import RegistryRecord
from tests.fakes.memory_mlflow import MemoryGateway
from tests.unit.recording_host import Host


class Killed(BaseException):
    """The process ends, as after `kill -9`."""


class DyingGateway(MemoryGateway):
    """An MLflow whose client may be killed after its next writes of the history."""

    lives = -1

    def write_registry_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        super().write_registry_tags(run_id, tags)
        self._live()

    def open_registry_run(self) -> str:
        made = super().open_registry_run()
        self._live()
        return made

    def _live(self) -> None:
        self.lives -= 1
        if self.lives == 0:
            raise Killed


Shape = tuple[dict[int, str], dict[str, int]]
"""The stages of the versions of a model, and its aliases."""


class Moves(RuleBasedStateMachine):
    """Random moves in MLflow, which two hosts look at, each in its own way; hosts fail, restart and lose their caches.

    No value is set again before somebody has looked at all: a change and its reversal between two looks is not seen.
    """

    directory: Path
    # Over all examples, so that no host finds what another example left.
    places = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.gateway = DyingGateway()
        self.world = self.gateway.world
        self.hosts = [self.new_host(), self.new_host()]
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
        self.world.tick()
        began = self.world.now
        yield
        self.world.tick()
        shapes: dict[str, Shape] = {
            name: ({n: row.stage for (of, n), row in self.world.versions.items() if of == name}, dict(model.aliases))
            for name, model in self.world.models.items()
        }
        self.truth.append((began, self.world.now, shapes))

    def may(self, name: str, subject: str, before: object, value: object) -> bool:
        """Whether a value can be told from those that were there since somebody looked."""
        used = self.used.setdefault((name, subject), {before})
        if value in used:
            return False
        used.add(value)
        return True

    @rule()
    def add_model(self) -> None:
        with self.moving():
            self.world.add_version(f"n{next(self.names)}")

    @rule(data=st.data())
    def add_version(self, data: st.DataObject) -> None:
        name = self.some_model(data)
        if name:
            with self.moving():
                self.world.add_version(name)

    @rule(data=st.data(), alias=st.sampled_from(["a", "b"]), removes=st.booleans())
    def move_alias(self, data: st.DataObject, alias: str, removes: bool) -> None:
        name = self.some_model(data)
        versions = sorted(n for of, n in self.world.versions if of == name)
        if name is None or not versions:
            return
        before = self.world.models[name].aliases.get(alias)
        value = None if removes else data.draw(st.sampled_from(versions))
        if value == before or not self.may(name, alias, before, value):
            return
        with self.moving():
            if value is None:
                self.world.delete_alias(name, alias)
            else:
                self.world.set_alias(name, alias, value)

    @rule(data=st.data(), stage=st.sampled_from(["None", "Staging", "Production"]))
    def move_stage(self, data: st.DataObject, stage: str) -> None:
        keys = sorted(self.world.versions)
        if not keys:
            return
        name, version = data.draw(st.sampled_from(keys))
        before = self.world.versions[name, version].stage
        if stage != before and self.may(name, str(version), before, stage):
            with self.moving():
                self.world.set_stage(name, version, stage)

    @rule(data=st.data())
    def delete_version(self, data: st.DataObject) -> None:
        keys = [
            key for key in sorted(self.world.versions) if not self.world.models[key[0]].aliases and key in self.seen
        ]
        if keys:
            with self.moving():
                self.world.delete_version(*data.draw(st.sampled_from(keys)))

    @rule(data=st.data())
    def rename(self, data: st.DataObject) -> None:
        name = self.some_model(data, seen=True)
        if name:
            new = f"n{next(self.names)}"
            with self.moving():
                self.world.rename(name, new)
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
            self.seen = {key for key in self.seen if key[0] != name}
            if comes_back:
                with self.moving():
                    self.world.add_version(name)

    @rule(which=st.integers(0, 1))
    def look_at_all(self, which: int) -> None:
        self.hosts[which].look()
        self.used, self.seen = {}, {*self.world.versions}

    @rule(which=st.integers(0, 1), how=st.sampled_from(["changes", "aliases"]))
    def poll(self, which: int, how: str) -> None:
        detector = self.hosts[which].mirror.detector
        (detector.look_for_changes if how == "changes" else detector.look_at_aliases)()

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
        names = sorted(self.world.models.keys() & {name for name, _ in self.seen} if seen else self.world.models)
        return data.draw(st.sampled_from(names)) if names else None

    def teardown(self) -> None:
        for host in self.hosts:
            host.look()
        fresh = self.new_host()
        fresh.recorder.first()
        record = fresh.record
        for at in range(record.begun or 0, self.truth[-1][1] + 2):
            if not any(began <= at < ended for began, ended, _ in self.truth):
                self.check(record, at)

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


def try_moves(directory: Path, examples: int) -> None:
    """Try many random sequences of moves, looks and failures."""
    Moves.directory = directory
    run_state_machine_as_test(
        Moves,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
            report_multiple_bugs=False,
        ),
    )
