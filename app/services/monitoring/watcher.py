"""The watcher keeps the records of the monitored versions in line with watches and rules, and takes changes to watches.

The records follow from the watches, the monitoring rules and the registry, so the work can end anywhere and begin
again. A move opens the record of the new version, then ends the old one, and then notes on the watch which record it
has. Before anything is written, the watches, the rules, the records and the models in question are read from MLflow
again: what this host knows may be older than what another host did.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from app.domain.errors import Busy, Conflict, InvalidInput, MlflowUnavailable, NotFound, TowerError
from app.domain.messages import ALREADY_WATCHED, MODEL_NOT_FOUND, NOT_WATCHED, unknown_baseline
from app.domain.monitoring.check_settings import check_settings, merged
from app.domain.monitoring.corrections import Withdrawal
from app.domain.monitoring.monitor_runs import SELF
from app.domain.monitoring.monitored import Registrations, first_of_each
from app.domain.monitoring.monitoring_rules import Exclusion
from app.domain.monitoring.observations import Observation
from app.domain.monitoring.renames import model_renamed, version_renamed
from app.domain.monitoring.sent_once import SentOnce
from app.domain.monitoring.watches import (
    ALIAS,
    Watch,
    coverages,
    end_reason,
    gone_watches,
    is_settled,
    nothing_there,
    target,
    unsettled,
)
from app.domain.ports import Clock, Locks, OwnGateway
from app.domain.registry.fleet import Fleet
from app.domain.registry.models import ModelVersion, Registration, VersionKey
from app.services.host.scheduler import RETRY_SECONDS
from app.services.mirror.model_tracker import ModelTracker
from app.services.mirror.snapshot_publisher import SnapshotPublisher
from app.services.monitoring.monitor_run_writer import MonitorRunWriter
from app.services.monitoring.reconciler import Reconciler
from app.services.monitoring.registration_list import ASKED_AGAIN_SECONDS, RegistrationStore
from app.services.monitoring.watch_list import Covering, WatchStore
from app.services.monitoring.write_turns import MOST_AT_ONCE

log = logging.getLogger(__name__)
T = TypeVar("T")

_LOCK = "watches"
# An observation follows an alias that moves so often.
_TRIES = 5
# How many models and steps are settled under the lock, so that clients who change a watch do not wait for long.
_MODELS_AT_ONCE = 50
_MOST_STEPS = 50

# What a step is about, a version or a watch, and the step.
Step = tuple[object, Callable[[], object]]


class Watcher:
    """The agent's `WatchWrites`. `check_soon` has a version judged; `settle` waits until other hosts have a change."""

    def __init__(
        self,
        gateway: OwnGateway,
        watches: WatchStore,
        registrations: RegistrationStore,
        writer: MonitorRunWriter,
        mirror: ModelTracker,
        publisher: SnapshotPublisher,
        locks: Locks,
        clock: Clock,
        check_soon: Callable[[str, int], None],
        settle: Callable[[], None],
        reconciler: Reconciler,
    ) -> None:
        self._gateway = gateway
        self._watches = watches
        self._registrations = registrations
        self._writer = writer
        self._mirror = mirror
        self._publisher = publisher
        self._locks = locks
        self._clock = clock
        self._check_soon = check_soon
        self._settle = settle
        self._reconciler = reconciler
        self.within = gateway.within
        # What was in line when the watches were settled last.
        self._settled: tuple[object, object, object] = (None, None, None)
        # The exclusions of versions whose registered models the mirror lacks, since the last reading.
        self._looked_up: set[tuple[str, Exclusion]] = set()
        self._has_read = False
        self._again_at = 0.0
        self._read_at: float | None = None

    def tick(self) -> None:
        """The scheduler's tick: follow the aliases and stages that moved since the last tick."""
        # Before the first sweep there is nothing to follow.
        if time.monotonic() >= self._again_at and (self._mirror.peek() or not self._mirror.cached):
            self._look(self._has_read)

    def after_sweep(self) -> None:
        """Read the watches from MLflow again, and follow them. A failure is logged, and a later tick tries again."""
        self._look(has_read=False)

    def _look(self, has_read: bool) -> None:
        try:
            if not has_read:
                # Others may have written, and a process may have ended between its writes to MLflow and to the list.
                self.read_again()
            self.follow()
        except TowerError as error:
            self._again_at = time.monotonic() + RETRY_SECONDS
            log.warning("The watches could not be followed: %s", error.detail)
        except Exception:
            self._again_at = time.monotonic() + RETRY_SECONDS
            log.exception("The watches could not be followed")

    def read_again(self) -> None:
        """Bring the list of watches and rules in line with MLflow, and end duplicates that hosts made at once."""
        with self.changing():
            _, duplicates = self._watches.read()
            self._has_read = True
            self._looked_up.clear()
            self._end_duplicates(duplicates)

    def follow(self) -> None:
        """Bring the records in line with watches and rules. Raises the last failure, after all models were tried."""
        seen = self._state()
        if all(now is before for now, before in zip(seen, self._settled, strict=True)):
            return
        self._follow_lost()
        seen = self._state()
        names = _unsettled(*seen)
        failure: TowerError | None = None
        for start in range(0, len(names), _MODELS_AT_ONCE):
            try:
                self._bring_all_in_line(names[start : start + _MODELS_AT_ONCE])
            except TowerError as error:
                failure = error
        if failure is not None:
            raise failure
        if not names:
            self._settled = seen
        elif _unsettled(*self._state()) == names:
            raise MlflowUnavailable(f"{len(names)} registered models cannot be read.")

    def _follow_lost(self) -> None:
        """End the records of versions that are gone since the last look. Renamed models keep records and exclusions."""
        fleet, listed, _ = self._state()
        if fleet.mock:
            return
        lost = self._reconciler.lost(fleet)
        excluded = [
            (rule, exclusion)
            for rule in listed.rules
            for exclusion in rule.excluded
            if fleet.model(exclusion.model)[0] is None and (rule.run_id, exclusion) not in self._looked_up
        ]
        if not lost and not excluded:
            return
        fleet = self._with_new_names(fleet)
        for key in self._reconciler.settle(lost, fleet):
            self._check_soon(*key)
        with self.changing():
            for rule, exclusion in excluded:
                self._looked_up.add((rule.run_id, exclusion))
                present = version_renamed(fleet, exclusion.key, exclusion.version_created)
                if present is not None:
                    # First it is excluded by its new name, so that it is never covered in between.
                    self._writer.exclude(rule, replace(exclusion, model=present[0]))
                    self._writer.include(rule, exclusion.key)
            if excluded:
                self._watches.read()

    def _with_new_names(self, fleet: Fleet) -> Fleet:
        """A fleet that also has the registered models that it lacked, one of which may be another's new name."""
        if not self._mirror.cached:
            return fleet
        unknown = [model.name for model in self._gateway.registered_models() if fleet.model(model.name)[0] is None]
        if unknown:
            self._read_live(unknown[:_MODELS_AT_ONCE])
        return self._mirror.fleet()

    def _state(self) -> tuple[Fleet, Covering, Registrations]:
        return self._mirror.fleet(), self._watches.known(), self._registrations.known().by_key

    def watch(self, kind: str, model: str, place: str, model_type: str, registered_by: str, settings: Any) -> Watch:
        wanted_settings = {} if settings is None else merged({}, settings)
        with self.changing():
            fleet, _ = self._read_live([model])
            registered = fleet.model(model)[0]
            if registered is None:
                raise NotFound(MODEL_NOT_FOUND)
            if kind == ALIAS and place not in registered.aliases:
                raise NotFound(f"The registered model {model!r} has no alias {place!r}.")
            _refuse_unknown_baseline(fleet, model, wanted_settings)
            listed, _ = self._watches.read()
            wanted = Watch(
                kind, model, place, model_type, registered_by, self._clock(), "", registered.created, wanted_settings
            )
            if any(watch.key == wanted.key and watch.model_created == wanted.model_created for watch in listed.watches):
                raise InvalidInput(ALREADY_WATCHED)
            made = self._writer.open_watch(wanted)
            self._watches.put(made)
            self._follow_one(model)
        self._settle()
        return self._watches.find(made.key) or made

    def change_watch(self, kind: str, model: str, place: str, patch: Any) -> Watch:
        with self.changing():
            watch = self._current(kind, model, place)
            settings = {} if patch is None else merged(watch.settings, patch)
            if patch is not None and "baseline" in patch:
                _refuse_unknown_baseline(self._read_live([model])[0], model, settings)
            changed = replace(watch, settings=settings)
            self._writer.change_watch(changed)
            self._watches.put(changed)
            self._follow_one(model)
        self._settle()
        return self._watches.find(changed.key) or changed

    def observe_watched(
        self, kind: str, model: str, place: str, observations: Sequence[Observation], sent: SentOnce | None = None
    ) -> Registration:
        registration = self._with_version_there(
            kind, model, place, lambda version: self._writer.observe(model, version, observations, sent)
        )
        self._check_soon(*registration.key)
        self._settle()
        return registration

    def withdraw_watched(
        self, kind: str, model: str, place: str, metric: str | None, since: int | None, until: int | None, by: str
    ) -> tuple[Registration, Withdrawal]:
        registration, withdrawal = self._with_version_there(
            kind, model, place, lambda version: self._writer.withdraw(model, version, metric, since, until, by)
        )
        self._check_soon(*registration.key)
        self._settle()
        return registration, withdrawal

    def _with_version_there(self, kind: str, model: str, place: str, write: Callable[[str], T]) -> T:
        """Write something of the version that a watch covers now, whose record is opened where it has none yet."""
        watch = self._watches.find((kind, model, place)) or self._find_in_mlflow(kind, model, place)
        for _ in range(_TRIES):
            # The alias may have moved since the last look.
            fleet = self._read_live([model])[0]
            version = target(watch, fleet)
            if version is None:
                raise Conflict(nothing_there(watch, fleet))
            listed = self._watches.known()
            watches = [*(other for other in listed.watches if other.key != watch.key), watch]
            if unsettled(fleet, watches, listed.rules, self._registrations.known().by_key, [model]):
                self._bring_all_in_line([model])
            # It may also move between the look and the write.
            with suppress(NotFound):
                return write(str(version.row.version))
        raise Busy(f"The {watch.label} of {model!r} moves between versions. Try again.")

    def remove_watch(self, kind: str, model: str, place: str, removed_by: str) -> int:
        with self.changing():
            watch = self._current(kind, model, place)
            removed_at = self._writer.end_watch(watch.run_id, removed_by, "the watch was removed")
            self._watches.remove(watch)
            self._follow_one(model)
        self._settle()
        return removed_at

    def look_up_watches(self) -> bool:
        now = time.monotonic()
        if self._read_at is not None and now - self._read_at < ASKED_AGAIN_SECONDS:
            return False
        with self.changing():
            self._watches.read()
        self._read_at = now
        return True

    def _current(self, kind: str, model: str, place: str) -> Watch:
        """A watch as MLflow has it now. Raises `NotFound`."""
        listed, _ = self._watches.read()
        current = next((watch for watch in listed.watches if watch.key == (kind, model, place)), None)
        if current is None:
            raise NotFound(NOT_WATCHED)
        return current

    def _find_in_mlflow(self, kind: str, model: str, place: str) -> Watch:
        with self.changing():
            return self._current(kind, model, place)

    def _follow_one(self, model: str) -> None:
        """Bring the records of one model in line. The watch has been written, so a failure is left to the next tick."""
        failed: dict[object, TowerError] = {}
        try:
            self._bring_in_line([model], failed)
        except TowerError as error:
            failed[model] = error
        for failure in failed.values():
            log.warning("The watches on %s are followed later: %s", model, failure.detail)

    def _read_live(self, names: Sequence[str]) -> tuple[Fleet, Collection[str]]:
        """The fleet in which these registered models are as MLflow has them now, and which of them could be read.

        Raises `MlflowUnavailable` where none could be read.
        """
        read = self._publisher.look_up_each(names)[0] if self._mirror.cached else names
        return self._mirror.fleet(), read

    def _bring_all_in_line(self, names: Sequence[str]) -> None:
        """Settle all versions of some registered models. A version that fails stops no other.

        Raises the last failure, after all versions were tried.
        """
        failed: dict[object, TowerError] = {}
        more = True
        while more:
            with self.changing():
                more = self._bring_in_line(names, failed)
        if failed:
            raise list(failed.values())[-1]

    def _bring_in_line(self, names: Sequence[str], failed: dict[object, TowerError]) -> bool:
        """Settle some versions of registered models, except those that `failed`; whether there is more to do."""
        fleet, read = self._read_live(names)
        records = self._open_records()
        listed, duplicates = self._watches.read()
        self._end_duplicates(duplicates)
        gone = gone_watches(listed.watches, fleet, read)
        fleet = self._with_new_names(fleet) if gone else fleet
        for watch in gone:
            self._watches.remove(watch)
            name = model_renamed(fleet, watch.model, watch.model_created)
            if name is None:
                self._writer.end_watch(watch.run_id, SELF, "the registered model no longer exists in MLflow")
            else:
                # Whoever settles the model by its new name finds the watch there.
                self._writer.change_watch(replace(watch, model=name))
                self._watches.put(replace(watch, model=name))
        listed = self._watches.known()
        watches = [watch for watch in listed.watches if watch.model in read]
        room = _MOST_STEPS
        changed: list[VersionKey] = []
        for phase in self._phases(fleet, Covering(watches, listed.rules), records, read, changed):
            steps = [(about, step) for about, step in phase if about not in failed]
            _do(steps[:room], failed)
            # They are checked together, which asks less of MLflow while it is written to.
            while changed:
                self._check_soon(*changed.pop())
            if len(steps) > room:
                return True
            room -= len(steps)
        return False

    def _end_duplicates(self, duplicates: Covering) -> None:
        for watch in duplicates.watches:
            self._writer.end_watch(watch.run_id, SELF, "watched twice: the earlier watch counts")
        for rule in duplicates.rules:
            self._writer.end_watch(rule.run_id, SELF, "two rules of this name: the earlier rule counts")

    def _phases(
        self,
        fleet: Fleet,
        listed: Covering,
        records: Registrations,
        names: Collection[str],
        changed: list[VersionKey],
    ) -> Iterator[list[Step]]:
        """What is to be done about which version or watch: records begin, then others end, then watches note them.

        The steps of a phase have to be done before the next phase is asked for. They add to `changed` the versions that
        are to be judged again.
        """
        watches = listed.watches
        wanted = coverages(fleet, watches, listed.rules, names)
        before = {version.key: watch.record for watch in watches if (version := target(watch, fleet)) and watch.record}
        covered: Registrations = {}

        def cover(row: ModelVersion) -> None:
            key = row.name, row.version
            record = self._writer.cover(row, wanted[key], "", before.get(key, ""))
            if record is not None:
                covered[key] = record
                if records.get(key) != record:
                    changed.append(key)

        def end(registration: Registration, row: ModelVersion) -> None:
            left = self._writer.cover(row, None, end_reason(registration, watches, listed.rules, fleet), "")
            if left is not None and left != registration:
                # It goes on by its own settings.
                changed.append(left.key)

        def note(watch: Watch, record: str) -> None:
            changed = replace(watch, record=record)
            self._writer.change_watch(changed)
            self._watches.put(changed)

        begins: list[Step] = []
        for key in wanted:
            model = fleet.find(*key)
            record = records.get(key)
            if model is None:
                continue
            if record is not None and is_settled(record, wanted[key]) and record.is_of(model.row):
                self._registrations.keep(record)
                covered[key] = record
            else:
                begins.append((key, partial(cover, model.row)))
        yield begins
        ends: list[Step] = []
        for key, registration in records.items():
            model = fleet.find(*key)
            if (
                key[0] in names
                and key not in wanted
                and registration.watched_by
                and model
                and registration.is_of(model.row)
            ):
                ends.append((key, partial(end, registration, model.row)))
        yield ends
        for watch in watches:
            version = target(watch, fleet)
            now = covered.get(version.key) if version else None
            if now is not None and now.monitor_run_id != watch.record:
                # One after the other, since each changes the list of watches.
                yield [(watch.key, partial(note, watch, now.monitor_run_id))]

    def _open_records(self) -> Registrations:
        listed = self._gateway.open_registrations()
        if listed is None:
            if not self._gateway.may_read_registrations():
                raise MlflowUnavailable("MLflow's user may not read the experiment of the watches.")
            return {}
        return first_of_each(listed)[0]

    @contextmanager
    def changing(self) -> Iterator[None]:
        with self._locks.hold(_LOCK, self._gateway.patience), self._gateway.within(self._gateway.patience):
            yield


def _do(steps: Sequence[Step], failed: dict[object, TowerError]) -> None:
    """Do the steps of a phase, as many at once as MLflow is written to. One that fails stops no other."""

    def do(about: object, step: Callable[[], object]) -> None:
        try:
            step()
        except TowerError as error:
            failed[about] = error

    if not steps:
        return
    with ThreadPoolExecutor(MOST_AT_ONCE, "watches") as pool:
        # The threads share the time that the calls may take, and the term of the leader.
        for job in [pool.submit(copy_context().run, do, about, step) for about, step in steps]:
            job.result()


def _unsettled(fleet: Fleet, listed: Covering, records: Registrations) -> list[str]:
    return [] if fleet.mock else sorted(unsettled(fleet, listed.watches, listed.rules, records))


def _refuse_unknown_baseline(fleet: Fleet, model: str, settings: Any) -> None:
    number = check_settings(settings).baseline.version
    if number is not None and fleet.find(model, number) is None:
        raise InvalidInput(unknown_baseline(number))
