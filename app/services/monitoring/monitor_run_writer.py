"""The writer of monitor runs: every write of this service to them, and the locks that order the writes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from app.domain.errors import Conflict, InvalidInput, MlflowMissing, MlflowRefused, NotFound
from app.domain.messages import ALREADY_MONITORED, MODEL_NOT_FOUND, NOT_MONITORED, still_watched, unknown_baseline
from app.domain.monitoring.acts import Act, WantedAct, acted
from app.domain.monitoring.check_settings import check_settings, merged
from app.domain.monitoring.monitor_runs import SELF, MonitorState, resumed, to_resume
from app.domain.monitoring.monitored import precedence
from app.domain.monitoring.watches import (
    Coverage,
    covered,
    is_settled,
    predecessors,
    uncovered,
    watched,
    with_own,
)
from app.domain.ports import Clock, Locks, WritingGateway
from app.domain.registry.models import ModelVersion, Predecessor, Registration, VersionKey
from app.domain.registry.names import version_number
from app.services.mirror.model_tracker import ModelTracker
from app.services.monitoring.observation_writer import ObservationWriter
from app.services.monitoring.registration_list import RegistrationStore
from app.services.monitoring.verdict_writer import VerdictWriter
from app.services.monitoring.watch_writer import WatchWriter

_MADE_AGAIN = "the model version was deleted and made again"


class MonitorRunWriter(ObservationWriter, VerdictWriter, WatchWriter):
    """Opens, changes and ends the monitor runs of versions; its base classes write the rest.

    A process has one, so that all of its writes wait for the same turns.
    """

    def __init__(
        self,
        gateway: WritingGateway,
        registrations: RegistrationStore,
        mirror: ModelTracker,
        locks: Locks,
        clock: Clock,
        note_turns: Callable[[int, int], None] | None = None,
    ) -> None:
        super().__init__(gateway, registrations, locks, clock, note_turns)
        self._mirror = mirror

    def register(
        self,
        name: str,
        version: str,
        model_type: str,
        registered_by: str,
        settings: Mapping[str, Any] | None = None,
        take_back: Callable[[ModelVersion], None] | None = None,
    ) -> Registration:
        """Open a monitor run. Raises `NotFound`, and `InvalidInput` where one is open or the settings are bad.

        `take_back` has rules cover the version again that it was excluded from. It is called before anything is
        written, so that a version that is registered is not excluded, wherever this process ends.
        """
        wanted_settings = {} if settings is None else merged({}, settings)
        row = self._existing(name, version)
        self._refuse_unknown_baseline(name, wanted_settings)
        if take_back is not None:
            take_back(row)
        self._refuse_if_listed(row)
        self._mirror.ensure_known(name, row.version, row.created)
        with self.one_at_a_time(name, row.version):
            states = self._gateway.look_up_monitor_runs(name, row.version)
            watched = self._refuse_if_monitored(row, states)
            if watched is not None:
                # The watch and the registration share the record.
                return self._with_own(replace(watched, model_type=model_type), wanted_settings)
            wanted = Registration(
                name, row.version, model_type, registered_by, self._begins_at(states), "", row.created, wanted_settings
            )
            return self._begun(wanted, row, states)

    def change_settings(self, name: str, version: str, patch: Mapping[str, Any] | None) -> Registration:
        """Apply a change to the settings; None restores all defaults. Raises `NotFound` and `InvalidInput`."""
        known = self.find(name, version)
        with self.one_at_a_time(*known.key):
            # Another host may have changed the settings, so they are read from MLflow.
            registration = self._open_run_of(known)
            settings = {} if patch is None else merged(registration.own or {}, patch)
            if patch is not None and "baseline" in patch:
                self._refuse_unknown_baseline(name, settings)
            if registration.watched_by:
                return self._with_own(registration, settings)
            with self._turns.turn():
                self._gateway.change_settings(registration.monitor_run_id, settings)
            changed = replace(registration, settings=settings)
            self._registrations.add(changed)
        return changed

    def act(self, name: str, version: str, wanted: WantedAct, by: str) -> tuple[Registration, Act]:
        """Note what a person does about a monitored version. Raises `NotFound`, `InvalidInput` and `Conflict`."""
        known = self.find(name, version)
        with self.one_at_a_time(*known.key):
            run_id = self._open_run_of(known).monitor_run_id
            states = self._gateway.monitor_runs([run_id])
            if not states:
                raise NotFound(NOT_MONITORED)
            act, registration = acted(states[0].standing, wanted, by, self._clock())
            with self._turns.turn():
                self._gateway.note_act(act, registration)
            self._registrations.add(registration)
        return registration, act

    def remove(
        self,
        name: str,
        version: str,
        removed_by: str,
        exclude: Callable[[VersionKey, Registration | None], bool] | None = None,
    ) -> int:
        """End the monitor run and return the time of that, in milliseconds. Raises `NotFound` where none is open.

        `exclude` has rules no longer cover the version, and returns whether some did. It is called with the record of
        the version before that ends, so that no rule has it monitored again, wherever this process ends.
        """
        number = version_number(version)
        if number is None:
            raise NotFound(NOT_MONITORED)
        with self.one_at_a_time(name, number):
            open_runs = list(self._gateway.find_registrations(name, number))
            known = self._registrations.known().by_key.get((name, number))
            listed = {registration.monitor_run_id for registration in open_runs}
            if known and known.monitor_run_id not in listed and self._is_still_open(known):
                open_runs.append(known)
            current = open_runs[0] if open_runs else None
            if current is not None and current.own is None and watched(current):
                raise Conflict(still_watched(watched(current)))
            if current is not None and watched(current):
                # The watches keep it monitored, so it is not excluded from any rule either.
                self._with_own(current, None)
                return self._clock()
            is_excluded = exclude is not None and exclude((name, number), current)
            for registration in open_runs:
                self._end(registration, removed_by, "removed from monitoring")
            gone = [*open_runs, known] if known else open_runs
            if not gone and not is_excluded:
                raise NotFound(NOT_MONITORED)
            self._registrations.remove((name, number), {registration.monitor_run_id for registration in gone})
        return self._clock()

    def cover(self, row: ModelVersion, coverage: Coverage | None, reason: str, before: str) -> Registration | None:
        """Bring the record of a version in line with what covers it: open, change or end it, or leave it as it is.

        `reason` is why it ends where nothing covers it any more. `before` is the record of the version that the watch
        covered before, or empty. Returns the record; None where there is none. Doing it again changes nothing.
        """
        key = row.name, row.version
        with self.one_at_a_time(*key):
            # One request, since hundreds of versions may be covered at once.
            states = self._gateway.look_up_monitor_runs(*key)
            open_runs = _open_runs(states)
            current = next((run for run in open_runs if run.is_of(row)), None)
            if coverage is None:
                return self._uncovered(current, reason) if current else None
            if current is not None and is_settled(current, coverage):
                self._registrations.keep(current)
                return current
            if current is None:
                for outdated in open_runs:
                    self.end(outdated, _MADE_AGAIN)
                now = self._begins_at(states)
                blank = Registration(*key, coverage.model_type, coverage.registered_by, now, "", row.created)
                wanted = covered(blank, coverage, None, self._predecessors(key, before))
                return self._begun(wanted, row, states)
            # The record of a version that was registered by itself before keeps its settings as its own.
            earlier = current.predecessors or self._predecessors(key, before)
            return self._changed(covered(current, coverage, current.own, earlier))

    def rename(self, registration: Registration, name: str) -> Registration:
        """Have the record of a version go on under the new name of its registered model."""
        renamed = replace(registration, name=name)
        with self.one_at_a_time(*registration.key), self._turns.turn():
            self._gateway.rename_monitor_run(renamed)
        self._registrations.add(renamed)
        self._registrations.remove(registration.key, {registration.monitor_run_id})
        return renamed

    def adopt_own(self, registration: Registration, own: Mapping[str, Any]) -> Registration:
        """Give the record of a watched version the settings of a duplicate, which was registered by itself."""
        return self._with_own(registration, own)

    def _uncovered(self, current: Registration, reason: str) -> Registration | None:
        if not current.watched_by:
            return current
        if current.own is not None:
            return self._changed(uncovered(current))
        self.end(current, reason)
        self._registrations.remove(current.key, {current.monitor_run_id})
        return None

    def _with_own(self, registration: Registration, own: Mapping[str, Any] | None) -> Registration:
        """Change the own settings of a version that is watched as well; None: it is not registered by itself."""
        return self._changed(with_own(registration, own))

    def _begins_at(self, states: Iterable[MonitorState]) -> int:
        """When a record of a version begins: after the end of all before it, whose hosts may have had other clocks."""
        return max(self._clock(), *(state.ended_at + 1 for state in states if state.ended_at is not None), 0)

    def _begun(self, wanted: Registration, row: ModelVersion, states: Sequence[MonitorState]) -> Registration:
        """Open a monitor run, or open the version's last one again, so that its points and its verdicts count."""
        last = to_resume(states, row)
        with self._turns.turn():
            if last is None:
                registration = self._gateway.open_monitor_run(wanted)
            else:
                registration, pauses = resumed(last, wanted)
                self._gateway.reopen_monitor_run(registration, pauses)
        self._registrations.add(registration)
        return registration

    def _changed(self, registration: Registration) -> Registration:
        with self._turns.turn():
            self._gateway.change_coverage(registration)
        self._registrations.add(registration)
        return registration

    def _predecessors(self, key: VersionKey, before: str) -> tuple[Predecessor, ...]:
        """The versions whose baselines may stand in for that of a version, from the record before."""
        states = self._gateway.monitor_runs([before]) if before else None
        return predecessors(key, states[0].registration) if states else ()

    def end(self, registration: Registration, reason: str) -> None:
        """End a monitor run in the name of this service. The list of registrations stays as it is."""
        self._end(registration, SELF, reason)

    def _existing(self, name: str, version: str) -> ModelVersion:
        number = version_number(version)
        with self._gateway.within(self._gateway.patience):
            row = self._gateway.find_version(name, number) if number is not None else None
        if row is None:
            raise NotFound(MODEL_NOT_FOUND)
        return row

    def _refuse_unknown_baseline(self, name: str, settings: Mapping[str, Any]) -> None:
        number = check_settings(settings).baseline.version
        if number is None:
            return
        with self._gateway.within(self._gateway.patience):
            row = self._gateway.find_version(name, number)
        if row is None:
            raise InvalidInput(unknown_baseline(number))

    def _refuse_if_listed(self, row: ModelVersion) -> None:
        """Raise `InvalidInput` where the listed registration is open, without waiting for those who register others."""
        known = self._registrations.known().by_key.get((row.name, row.version))
        if known is not None and known.is_of(row) and known.own is not None:
            with suppress(MlflowMissing, MlflowRefused):
                if self._gateway.is_open(known.monitor_run_id):
                    raise InvalidInput(ALREADY_MONITORED)

    def _refuse_if_monitored(self, row: ModelVersion, states: Sequence[MonitorState]) -> Registration | None:
        """Raise `InvalidInput` where the version is registered by itself. Returns its record if it is only watched."""
        # The list may have a registration that another host has ended, and lack one that another host has made. The
        # look-up is one request; it does not restore a deleted experiment, which opening the run does.
        for registration in _open_runs(states):
            if registration.is_of(row):
                self._registrations.add(registration)
                if registration.own is None:
                    return registration
                raise InvalidInput(ALREADY_MONITORED)
            self.end(registration, _MADE_AGAIN)
        return None

    def _end(self, registration: Registration, by: str, reason: str) -> None:
        with self._turns.turn():
            self._gateway.end_monitor_run(registration.monitor_run_id, by, reason, registration.since)


def _open_runs(states: Iterable[MonitorState]) -> list[Registration]:
    """The open runs of a version, of which the first counts."""
    return sorted((state.registration for state in states if state.ended_at is None), key=precedence)
