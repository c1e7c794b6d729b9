"""The writer of monitor runs: every write of this service to them, and the locks that order the writes."""

import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import replace
from typing import Any

from app.domain.errors import (
    NOTHING_AT_ALL,
    Busy,
    Conflict,
    InvalidInput,
    LockTimeout,
    MlflowMissing,
    MlflowOverloaded,
    MlflowRefused,
    MlflowUnavailable,
    NotFound,
    TowerError,
)
from app.domain.messages import (
    ALREADY_MONITORED,
    MODEL_NOT_FOUND,
    NOT_MONITORED,
    OTHER_CONTENT,
    still_watched,
    unknown_baseline,
)
from app.domain.monitoring.acts import Act, WantedAct, acted
from app.domain.monitoring.alerts import VerdictChange, owed_changes
from app.domain.monitoring.check_settings import check_settings, merged
from app.domain.monitoring.corrections import Numbering, Withdrawal, numbered
from app.domain.monitoring.monitor_runs import SELF, MonitorState, Verdict, resumed, to_resume
from app.domain.monitoring.monitored import precedence
from app.domain.monitoring.monitoring_rules import Exclusion, MonitoringRule
from app.domain.monitoring.observations import MOST_VALUES, Observation
from app.domain.monitoring.sent_once import SentOnce, as_first_sent
from app.domain.monitoring.watches import (
    Coverage,
    Watch,
    covered,
    is_settled,
    predecessors,
    uncovered,
    watched,
    with_own,
)
from app.domain.ports import Clock, HeldLock, Locks, WritingGateway
from app.domain.registry.models import ModelVersion, Predecessor, Registration, VersionKey
from app.domain.registry.names import version_number
from app.domain.times import TOLERANCE_MS
from app.services.host.groups import Groups, Member, Take
from app.services.mirror.model_tracker import ModelTracker
from app.services.monitoring.registration_list import RegistrationStore
from app.services.monitoring.write_turns import WriteTurns

log = logging.getLogger(__name__)

_MADE_AGAIN = "the model version was deleted and made again"
# Versions that share a lock wait for each other. A lock file for each version ever registered would be litter.
_STRIPES = 256

# What a client sends in one request, and what is kept of its id.
Sending = tuple[Sequence[Observation], SentOnce | None]
Sendings = list[Member[Sending, Registration]]


class MonitorRunWriter:
    """Writes registrations, settings, observations, verdicts, notification times and acts; ends monitor runs.

    Only one process at a time changes the registrations of a version, under one of the locks `version-0` and so on.
    Each write to MLflow waits for a turn, and observations of a version that wait for one are written together. Every
    method may raise `MlflowUnavailable`, or `Busy`. `note_turns` is the `note` of the turns.
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
        self._gateway = gateway
        self._registrations = registrations
        self._mirror = mirror
        self._locks = locks
        self._clock = clock
        # What is left of the time is for MLflow.
        self._longest_wait = gateway.patience / 2
        self._turns = WriteTurns(self._longest_wait, note=note_turns)
        self._groups: Groups[Sending, Registration] = Groups(lambda sending: len(sending[0]), MOST_VALUES)

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
                name, row.version, model_type, registered_by, self._clock(), "", row.created, wanted_settings
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

    def observe(
        self, name: str, version: str, observations: Sequence[Observation], sent: SentOnce | None = None
    ) -> Registration:
        """Write all observations to the open monitor run, or none. Raises `NotFound`.

        What was `sent` before is not written again; with other observations that raises `Conflict`.
        """
        registration = self.find(name, version)
        until = time.monotonic() + self._longest_wait
        # What has no id and the present time concerns no earlier write.
        is_ordered = sent is not None or any(row.is_dated for row in observations)
        key = (registration.monitor_run_id, is_ordered, sent is not None)

        def write(take: Take[Sending, Registration]) -> None:
            lock = self._in_order(*registration.key, _left(until), bool(sent)) if is_ordered else nullcontext()
            with lock, self._turns.turn(_left(until)):
                self._write_together(registration, take())

        with self._gateway.within(self._gateway.patience):
            return self._groups.handle(key, (observations, sent), self._longest_wait, write)

    def withdraw(
        self, name: str, version: str, metric: str | None, since: int | None, until: int | None, by: str
    ) -> tuple[Registration, Withdrawal]:
        """Note that points no longer count, those that are written later do. Raises `NotFound`."""
        known = self.find(name, version)
        with self.one_at_a_time(*known.key):
            registration = self._open_run_of(known)
            ledger, now = self._gateway.ledger(registration.monitor_run_id), self._clock()
            times = (last.time for key, last in ledger.last.items() if metric in (None, key))
            # A later point must count although nobody looks whether its time is in the period.
            newest = min(max([now, *times]), now + TOLERANCE_MS)
            until = newest if until is None else min(until, newest)
            withdrawal = Withdrawal(ledger.highest + 1, now, by, until, metric, since)
            with self._turns.turn():
                self._gateway.withdraw(registration.monitor_run_id, withdrawal)
        return registration, withdrawal

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
                now = self._clock()
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

    def open_watch(self, wanted: Watch) -> Watch:
        """Make a watch; the watch that is returned has the id of its run."""
        with self._turns.turn():
            return self._gateway.open_watch(wanted)

    def change_watch(self, watch: Watch) -> None:
        """Replace the settings of a watch, and the record of the version that it covered last."""
        with self._turns.turn():
            self._gateway.change_watch(watch)

    def end_watch(self, run_id: str, by: str, reason: str) -> int:
        """End a watch or a rule; returns the time of its end, in milliseconds."""
        with self._turns.turn():
            return self._gateway.end_watch(run_id, by, reason)

    def open_rule(self, wanted: MonitoringRule) -> MonitoringRule:
        """Make a monitoring rule; the rule that is returned has the id of its run."""
        with self._turns.turn():
            return self._gateway.open_rule(wanted)

    def change_rule(self, rule: MonitoringRule) -> None:
        """Replace what a rule matches, its settings and its type. Its exclusions stay."""
        with self._turns.turn():
            self._gateway.change_rule(rule)

    def exclude(self, rule: MonitoringRule, exclusion: Exclusion) -> MonitoringRule:
        """Exclude a version from a rule; returns the rule as it is then."""
        with self._turns.turn():
            self._gateway.exclude(rule.run_id, exclusion)
        others = [other for other in rule.excluded if other.key != exclusion.key]
        return replace(rule, excluded=tuple(sorted([*others, exclusion], key=lambda each: each.key)))

    def include(self, rule: MonitoringRule, key: VersionKey) -> MonitoringRule:
        """Take back the exclusion of a version from a rule; returns the rule as it is then."""
        with self._turns.turn():
            self._gateway.include(rule.run_id, key)
        return replace(rule, excluded=tuple(other for other in rule.excluded if other.key != key))

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

    def write_verdict(self, run_id: str, verdicts: Sequence[Verdict], notified: Mapping[str, int]) -> None:
        """Write these verdicts, of which the last is new, and up to when receivers were notified, in milliseconds."""
        with self._turns.turn():
            self._gateway.write_verdict(run_id, verdicts, notified)

    def still_owed(self, receiver_id: str, changes: Sequence[VerdictChange]) -> Sequence[VerdictChange]:
        """Those of the changes that the receiver was not notified of, and that are not muted, as MLflow has it now."""
        read = self._gateway.monitor_runs(sorted({change.monitor_run_id for change in changes})) or ()
        states = {state.registration.monitor_run_id: state for state in read}
        now = self._clock()

        def is_owed(change: VerdictChange) -> bool:
            state = states.get(change.monitor_run_id)
            if state is None:
                return True
            if state.registration.mutes and change.key not in {c.key for c in owed_changes(state, receiver_id, now)}:
                return False
            return change.at > state.notified.get(receiver_id, 0)

        return [change for change in changes if is_owed(change)]

    def mark_notified(self, receiver_id: str, changes: Sequence[VerdictChange]) -> None:
        """Note on the monitor runs that a receiver was notified of these changes.

        A deleted run is skipped. All other runs are tried before the last failure is raised.
        """
        newest: dict[str, int] = {}
        for change in changes:
            newest[change.monitor_run_id] = max(change.at, newest.get(change.monitor_run_id, 0))
        failure: TowerError | None = None
        for run_id, at in newest.items():
            try:
                with self._turns.turn():
                    self._gateway.mark_notified(run_id, {receiver_id: at})
            except (MlflowRefused, MlflowMissing):
                log.info("A monitor run is deleted, so it is not noted who was notified of its verdicts")
            except TowerError as error:
                failure = error
        if failure:
            raise failure

    def turn(self) -> AbstractContextManager[None]:
        """A turn for another write to MLflow than those of this class."""
        return self._turns.turn()

    def find(self, name: str, version: str) -> Registration:
        """The registration. MLflow is asked before `NotFound` is raised, since the observations would be lost."""
        number = version_number(version)
        if number is None:
            raise NotFound(NOT_MONITORED)
        listed = self._registrations.listed(name, number)
        registration = listed or next(iter(self._registrations.find_in_mlflow(name, number)), None)
        if registration is None:
            raise NotFound(NOT_MONITORED)
        return registration

    def _write_together(self, registration: Registration, group: Sendings) -> None:
        """Write the observations of several requests to the open monitor run, and give each request its outcome."""
        outcome: Registration | TowerError = registration
        try:
            if not self._is_logged(registration, group):
                # Another host has ended the run, and may have opened another one. Or the experiment is deleted, and
                # the search restores it.
                outcome = current = self._replacement_of(registration)
                if len(group) > 1 and current.monitor_run_id == registration.monitor_run_id:
                    # The run is open, so MLflow may have refused what one of the requests has.
                    for sending in group:
                        try:
                            self._write_together(current, [sending])
                        except MlflowUnavailable as error:
                            sending.outcome = error
                elif not self._is_logged(current, group):
                    self._drop(current)
                    outcome = NotFound(NOT_MONITORED)
        except NotFound as error:
            outcome = error
        for sending in group:
            sending.outcome = sending.outcome or outcome

    def _is_logged(self, registration: Registration, group: Sendings) -> bool:
        """Write observations; whether the monitor run was still open afterwards.

        MLflow writes to an ended run as to an open one, and nobody reads it there. A look before the write would miss
        a run that is ended in between.
        """
        run_id = registration.monitor_run_id
        try:
            self._gateway.log_observations(run_id, self._observations_of(run_id, group))
        except (MlflowRefused, MlflowMissing):
            return False
        try:
            return self._gateway.is_open(run_id)
        except MlflowMissing:
            return False
        except MlflowOverloaded as error:
            # The observations are written, so that it is no `Busy`, after which nothing was done.
            raise MlflowUnavailable(error.detail) from None

    def _observations_of(self, run_id: str, group: Sendings) -> list[Observation]:
        """The observations to write, with the order of the writes; ids that the run does not keep yet are written.

        MLflow keeps the same point once. So what was sent before is written again with the times and the order of its
        first arrival, since nobody knows whether MLflow took it then.
        """
        if not any(sent or any(row.is_dated for row in values) for values, sent in (row.item for row in group)):
            return numbered([observation for sending in group for observation in sending.item[0]], 0)
        ledger = self._gateway.ledger(run_id)
        numbering = Numbering(ledger)
        pages = {page: {sent.key: sent for sent in kept} for page, kept in ledger.sent.items()}
        observations: list[Observation] = []
        changed = set()
        for sending in group:
            values, sent = sending.item
            if sent is None:
                observations += numbering.numbered(values, numbering.next_order(values))
                continue
            if sent.key not in pages[sent.page]:
                sent = replace(sent, order=numbering.next_order(values))
            first = pages[sent.page].setdefault(sent.key, sent)
            if first.content != sent.content:
                sending.outcome = Conflict(OTHER_CONTENT)
                continue
            if first is sent:
                changed.add(sent.page)
            values = as_first_sent(values, sent.received_at - first.received_at)
            observations += numbering.numbered(values, first.order)
        if changed or numbering.highest > ledger.order:
            kept_pages = {page: list(pages[page].values()) for page in sorted(changed)}
            self._gateway.keep_sent_ids(run_id, kept_pages, numbering.highest)
        return observations

    def _replacement_of(self, ended: Registration) -> Registration:
        """The open monitor run of the same version. Raises `NotFound`, and takes the ended one from the list."""
        try:
            registration = self._open_run_of(ended)
        except NotFound:
            self._drop(ended)
            raise
        self._registrations.add(registration)
        return registration

    def _drop(self, ended: Registration) -> None:
        """Take a registration from the list. Raises `MlflowUnavailable` if its run is open after all."""
        if self._is_still_open(ended):
            raise MlflowUnavailable("MLflow's answers contradict each other. Try again later.")
        self._registrations.remove(ended.key, {ended.monitor_run_id})

    def _is_still_open(self, registration: Registration) -> bool:
        """Whether a monitor run is open that MLflow's searches lack.

        Raises `MlflowUnavailable` where something answers that nothing exists at all.
        """
        try:
            return self._gateway.is_open(registration.monitor_run_id)
        except MlflowMissing:
            with suppress(MlflowMissing, MlflowRefused):
                if self._gateway.ping():
                    return False
            raise MlflowUnavailable(NOTHING_AT_ALL) from None

    def _open_run_of(self, known: Registration) -> Registration:
        """The registration as MLflow has it. Raises `NotFound`."""
        open_runs = self._gateway.find_registrations(*known.key)
        current = next((run for run in open_runs if run.version_created == known.version_created), None)
        if current is None:
            raise NotFound(NOT_MONITORED)
        return current

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
            self._gateway.end_monitor_run(registration.monitor_run_id, by, reason)

    @contextmanager
    def one_at_a_time(self, name: str, version: int) -> Iterator[None]:
        """Hold the lock of a version, and bound the time of all calls to MLflow in the block together."""
        with (
            self._version_lock(name, version, self._gateway.patience),
            self._gateway.within(self._gateway.patience),
        ):
            yield

    @contextmanager
    def _in_order(self, name: str, version: int, timeout: float, has_id: bool) -> Iterator[None]:
        """Let nobody else change the ids and the order that the monitor run of a version keeps.

        If nobody can say who holds the lock, observations without an id are written all the same: refusing them would
        lose them. At worst two hosts correct the same point at once, and either value counts.
        """
        with ExitStack() as stack:
            try:
                stack.enter_context(self._version_lock(name, version, timeout))
            except LockTimeout:
                raise
            except Busy:
                if has_id:
                    raise
            yield

    def _version_lock(self, name: str, version: int, timeout: float) -> AbstractContextManager[HeldLock]:
        digest = hashlib.sha256(f"{version}\n{name}".encode()).digest()
        return self._locks.hold(f"version-{digest[0] % _STRIPES}", timeout)


def _open_runs(states: Iterable[MonitorState]) -> list[Registration]:
    """The open runs of a version, of which the first counts."""
    return sorted((state.registration for state in states if state.ended_at is None), key=precedence)


def _left(until: float) -> float:
    return max(0.0, until - time.monotonic())
