"""The checker: judges the monitored versions, writes what changed into MLflow, and has it announced."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from app.domain.errors import LockTimeout, MlflowMissing, MlflowRefused, MlflowUnavailable, TowerError
from app.domain.monitoring.alerts import VerdictChange
from app.domain.monitoring.checks import Check, Listed, check_of
from app.domain.monitoring.monitor_runs import MonitorState, Verdict
from app.domain.monitoring.verdicts import (
    DEGRADED,
    DRIFTING,
    NO_METRIC,
    RUN_GONE,
    VersionVerdict,
    baseline_key,
    judge_registration,
)
from app.domain.ports import Clock, Journal, Locks, Mirror, OwnGateway, Register
from app.domain.registry.fleet import Fleet
from app.domain.registry.models import ModelVersion
from app.services.host.gatherer import Gatherer

log = logging.getLogger(__name__)

_ROUND = "checks"
# Their points are in memory at once.
_VERSIONS_AT_ONCE = 500
_TRIES_AFTER_SECONDS = (0, 2, 5)

Key = tuple[str, int]


class Store(Protocol):
    """Where the workers see the checks."""

    def put(self, made: Sequence[Check], listed: Listed | None = None) -> None: ...


class Receiver(Protocol):
    """Somebody to tell, known in MLflow by an id."""

    @property
    def id(self) -> str: ...


class Announcer(Protocol):
    """Tells the receivers."""

    @property
    def receivers(self) -> Sequence[Receiver]: ...

    def owe(self, receiver_id: str, changes: Sequence[VerdictChange]) -> None: ...


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdict on one registration, of evidence whose reading took a ticket."""

    state: MonitorState
    found: VersionVerdict
    ticket: int


@dataclass(slots=True)
class Outcome:
    """What came of checks: how many verdicts changed, and which versions could not be judged, with the reason."""

    changed: int = 0
    failed: dict[Key, str] = field(default_factory=dict)

    def add(self, other: "Outcome") -> None:
        self.changed += other.changed
        self.failed |= other.failed

    def raise_failures(self) -> None:
        """Raise `MlflowUnavailable` that tells how many could not be judged, and why the first of them."""
        if not self.failed:
            return
        (name, version), why = next(iter(self.failed.items()))
        count = len(self.failed)
        who = f"{name} v{version}" + (f" and {count - 1} more" if count > 1 else "")
        raise MlflowUnavailable(f"{who} could not be checked: the last verdict stands. {why}")


class Checker:
    """Rounds on the scheduler's ticks, single versions when something was observed of them."""

    def __init__(
        self,
        gateway: OwnGateway,
        mirror: Mirror,
        register: Register,
        store: Store,
        announcer: Announcer,
        locks: Locks,
        journal: Journal,
        clock: Clock,
        timeout: float,
        ticket: Callable[[float], int],
    ) -> None:
        self._gateway = gateway
        self._mirror = mirror
        self._register = register
        self._store = store
        self._announcer = announcer
        self._locks = locks
        self._journal = journal
        self._clock = clock
        self._timeout = timeout
        self._ticket = ticket
        # Of the runs of this process's checks: the newest state, and the ticket of the evidence for it.
        self._newest: dict[str, tuple[MonitorState, int]] = {}
        self._writing = threading.Lock()
        self._observed = Gatherer[Key]("observed", self._check_observed, _TRIES_AFTER_SECONDS)

    def round(self) -> None:
        """The scheduler's tick: check every monitored version, unless another process is at it."""
        try:
            with self._locks.hold(_ROUND, 0), self._journal.entry(_ROUND) as entry:
                with self._gateway.within(self._timeout) as operation:
                    found = self._check_all()
                entry["changed"] = found.changed
                entry["requests"] = operation.requests
                found.raise_failures()
        except LockTimeout:
            log.debug("Another process checks the monitored versions")
        except TowerError as error:
            log.warning("The monitored versions could not be checked: %s", error.detail)
        except Exception:
            log.exception("The monitored versions could not be checked")

    def observed(self, name: str, version: int) -> None:
        """Have one version checked soon."""
        self._observed.add((name, version))

    def told(self, receiver_id: str, changes: Sequence[VerdictChange]) -> None:
        """Note in MLflow that a receiver was told. Raises `MlflowUnavailable`, and is asked again then."""
        newest: dict[str, int] = {}
        for change in changes:
            newest[change.monitor_run_id] = max(change.at, newest.get(change.monitor_run_id, 0))
        failure: TowerError | None = None
        for run_id, at in newest.items():
            try:
                with self._locks.hold("writing", self._gateway.patience):
                    self._gateway.mark_told(run_id, {receiver_id: at})
            except (MlflowRefused, MlflowMissing):
                log.info("A monitor run is deleted: it is not noted there who was told of its verdicts")
            except TowerError as error:
                # The others are noted all the same.
                failure = error
        if failure:
            raise failure

    def start(self) -> None:
        self._observed.start()

    def stop(self) -> None:
        self._observed.stop()

    def _check_all(self) -> Outcome:
        total = Outcome()
        # Both before the list is read: what is registered and checked while it is read, or later, is not in it.
        ticket, written = self._ticket(self._gateway.patience), list(self._newest)
        states = self._gateway.monitor_states()
        if states is None:
            return total
        listed = Listed({state.registration.monitor_run_id for state in states}, ticket)
        for run_id in written:
            if run_id not in listed.run_ids:
                del self._newest[run_id]
        for start in range(0, len(states), _VERSIONS_AT_ONCE):
            some = states[start : start + _VERSIONS_AT_ONCE]
            try:
                total.add(self._check(some, states, listed))
            except TowerError as error:
                total.failed |= {state.registration.key: error.detail for state in some}
        if not states:
            self._store.put([], listed)
        return total

    def _check_observed(self, keys: list[Key]) -> bool:
        try:
            with self._gateway.within(self._timeout):
                states = self._gateway.monitor_states() or ()
                wanted = [state for state in states if state.registration.key in keys]
                self._check(wanted, states, None).raise_failures()
            return True
        except TowerError as error:
            log.warning("A version could not be checked after what was observed of it: %s", error.detail)
        except Exception:
            log.exception("A version could not be checked after what was observed of it")
        return False

    def _check(self, wanted: Sequence[MonitorState], states: Sequence[MonitorState], listed: Listed | None) -> Outcome:
        """Judge some registrations, write and share what comes of it.

        One whose evidence cannot be read, or whose verdict cannot be written, keeps its last verdict.
        """
        ticket = self._ticket(self._gateway.patience)
        fleet = self._mirror.fleet()
        current = [state for state in wanted if _row(fleet, state)]
        rows = _rows(fleet, current)
        monitor_runs = {s.registration.key: s.registration.monitor_run_id for s in states if s.registration.key in rows}
        others = {s.registration.key: s.registration for s in states if s.registration.key in rows and _row(fleet, s)}
        evidence, unread = self._gateway.readable_evidence(list(rows.values()), monitor_runs)
        silent = {row.run_id for key, row in rows.items() if row.run_id and key not in unread and not evidence[key]}
        gone = self._gateway.gone_runs(silent) if silent else frozenset()
        made: list[Check] = []
        outcome = Outcome()
        for state in current:
            now, key = self._clock(), state.registration.key
            if failure := unread.get(key) or unread.get(baseline_key(state.registration) or key):
                outcome.failed[key] = failure.detail
                continue
            no_metric = RUN_GONE if rows[key].run_id in gone else NO_METRIC
            found = judge_registration(state.registration, evidence, now, others, no_metric)[1]
            try:
                kept, is_news = self._written(Judged(state, found, ticket), now)
            except (MlflowRefused, MlflowMissing):
                log.warning("%s v%d: its monitor run is deleted, the verdict is not kept", *key)
                continue
            except TowerError as error:
                outcome.failed[key] = error.detail
                continue
            outcome.changed += is_news
            if kept is not None:
                made.append(check_of(state.registration, found, kept.since, now, ticket))
        self._store.put(made, listed)
        return outcome

    def _written(self, judged: Judged, now: int) -> tuple[MonitorState | None, bool]:
        """Write a verdict that changed. The state now, None where a later reading was judged; whether it is news."""
        run_id = judged.state.registration.monitor_run_id
        with self._writing:
            state, ticket = self._newest.get(run_id, (judged.state, 0))
            if ticket > judged.ticket:
                return None, False
            if judged.state.since >= state.since:
                state = judged.state
            is_news = judged.found.verdict != state.verdict and self._is_open(state)
            if is_news:
                state = self._write(state, judged.found, now)
            self._newest[run_id] = (state, judged.ticket)
        self._announce(state)
        return state, is_news

    def _is_open(self, state: MonitorState) -> bool:
        """Whether it was not removed since the monitor runs were read."""
        known = self._register.peek()
        current = known.by_key.get(state.registration.key)
        return known.stale or (current is not None and current.monitor_run_id == state.registration.monitor_run_id)

    def _write(self, state: MonitorState, found: VersionVerdict, now: int) -> MonitorState:
        # A receiver that was never told of this version is told from this change on.
        told = {one.id: state.since for one in self._announcer.receivers if one.id not in state.told}
        at = max(now, state.since + 1)
        verdicts = (*state.verdicts, Verdict(at, found.verdict, found.reasons))
        with self._locks.hold("writing", self._gateway.patience):
            self._gateway.write_verdict(state.registration.monitor_run_id, verdicts, told)
        one = state.registration
        log.info("%s v%d is %s, was %s", one.name, one.version, found.verdict, state.verdict)
        return replace(state, verdicts=verdicts, told={**state.told, **told})

    def _announce(self, state: MonitorState) -> None:
        for receiver in self._announcer.receivers:
            owed = _owed(state, receiver.id)
            if owed:
                self._announcer.owe(receiver.id, owed)


def _row(fleet: Fleet, state: MonitorState) -> ModelVersion | None:
    """The version that a registration was made for; None where it is gone, or was made anew."""
    model = fleet.find(*state.registration.key)
    return model.row if model and model.row.created == state.registration.version_created else None


def _rows(fleet: Fleet, states: Sequence[MonitorState]) -> Mapping[Key, ModelVersion]:
    """The versions of some registrations, and those that are their baselines."""
    keys = {state.registration.key for state in states}
    keys |= {key for state in states if (key := baseline_key(state.registration))}
    return {key: model.row for key in sorted(keys) if (model := fleet.find(*key))}


def _owed(state: MonitorState, receiver: str) -> list[VerdictChange]:
    """The changes that a receiver was not told of yet; one that is new here is told what is bad now."""
    told = state.told.get(receiver)
    if told is None:
        is_bad = state.verdict in (DEGRADED, DRIFTING)
        first = len(state.verdicts) - 1 if is_bad else len(state.verdicts)
    else:
        first = next((place for place, one in enumerate(state.verdicts) if one.at > told), len(state.verdicts))
    one = state.registration
    return [
        VerdictChange(
            one.name, one.version, one.model_type, one.monitor_run_id, state.before(place), verdict.verdict, verdict.at,
            verdict.reasons,
        )
        for place, verdict in enumerate(state.verdicts)
        if place >= first
    ]  # fmt: skip
