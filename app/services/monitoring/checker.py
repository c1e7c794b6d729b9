"""The checker judges the monitored versions. Verdicts that changed are written to MLflow and announced."""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from app.domain.data_drift.verdict import with_data
from app.domain.errors import LockTimeout, MlflowMissing, MlflowRefused, MlflowUnavailable, TowerError
from app.domain.monitoring.alert_filters import AlertFilter
from app.domain.monitoring.alerts import owed_changes, page_url
from app.domain.monitoring.check_settings import settings_or_default
from app.domain.monitoring.checks import Check, OpenRuns, check_of
from app.domain.monitoring.judging import baseline_keys, decided_at, earlier_runs, judge_registration
from app.domain.monitoring.monitor_runs import MonitorState
from app.domain.monitoring.reasons import NO_METRIC, RUN_GONE
from app.domain.monitoring.verdicts import VersionVerdict
from app.domain.ports import Clock, Locks, OwnGateway
from app.domain.registry.fleet import Fleet
from app.domain.registry.models import MetricPoint, ModelVersion, Registration, VersionKey
from app.domain.updates import CHECKS
from app.services.alerts import Announcer
from app.services.host.gatherer import TRIES_AFTER_SECONDS, Gatherer
from app.services.mirror.journal import JournalWriter
from app.services.mirror.model_tracker import ModelTracker
from app.services.monitoring.checks import CheckStore
from app.services.monitoring.registration_list import RegistrationStore
from app.services.monitoring.verdict_record import Judged, VerdictRecord

log = logging.getLogger(__name__)

_LOCK = "checks"
# The metric points of twice so many versions are in memory at once: some are judged, and the next are read meanwhile.
_VERSIONS_AT_ONCE = 100


@dataclass(slots=True)
class RoundOutcome:
    """The outcome of checks: how many verdicts changed, and which versions could not be judged, with the reason."""

    changed: int = 0
    failed: dict[VersionKey, str] = field(default_factory=dict)

    def add(self, other: "RoundOutcome") -> None:
        self.changed += other.changed
        self.failed |= other.failed

    def raise_failures(self) -> None:
        """Raise `MlflowUnavailable` with the number of versions that could not be judged, and the first reason."""
        if not self.failed:
            return
        (name, version), why = next(iter(self.failed.items()))
        count = len(self.failed)
        who = f"{name} v{version}" + (f" and {count - 1} more" if count > 1 else "")
        raise MlflowUnavailable(f"{who} could not be checked: the last verdict stands. {why}")


@dataclass(frozen=True, slots=True)
class _Read:
    """What some registrations are judged by: `wanted`, without those whose versions are gone, and their evidence.

    `ticket` is the number of the reading. `unread` has the versions whose evidence could not be read; `gone` the source
    runs that are deleted. `others` are all registrations whose settings may count.
    """

    ticket: int
    wanted: Sequence[MonitorState]
    rows: Mapping[VersionKey, ModelVersion]
    others: Mapping[VersionKey, Registration]
    evidence: Mapping[VersionKey, list[MetricPoint]]
    unread: Mapping[VersionKey, TowerError]
    gone: Collection[str]


class Checker:
    """Checks all monitored versions in rounds, and a single version soon after a change to its registration."""

    def __init__(
        self,
        gateway: OwnGateway,
        mirror: ModelTracker,
        checks: CheckStore,
        record: VerdictRecord,
        announcer: Announcer,
        locks: Locks,
        journal: JournalWriter,
        clock: Clock,
        timeout: float,
        ticket: Callable[[float], int],
        registrations: RegistrationStore,
        public_url: str | None = None,
        filters: Mapping[str, AlertFilter] | None = None,
        data: Callable[[Registration], Mapping[str, Any] | None] = lambda _: None,
    ) -> None:
        self._gateway = gateway
        self._mirror = mirror
        self._checks = checks
        self._record = record
        self._announcer = announcer
        self._locks = locks
        self._journal = journal
        self._clock = clock
        self._timeout = timeout
        self._ticket = ticket
        self._registrations = registrations
        self._public_url = public_url
        self._filters = filters or {}
        self._data = data
        self._observed = Gatherer[VersionKey]("observed", self._check_observed, TRIES_AFTER_SECONDS)

    def round(self) -> None:
        """The scheduler's tick: check every monitored version, unless another process is doing so."""
        try:
            with self._locks.hold(_LOCK, 0), self._journal.entry(CHECKS) as entry:
                with self._gateway.within(self._timeout) as operation:
                    outcome = self._check_all()
                entry["changed"] = outcome.changed
                entry["requests"] = operation.requests
                outcome.raise_failures()
        except LockTimeout:
            log.debug("Another process checks the monitored versions")
        except TowerError as error:
            log.warning("The monitored versions could not be checked: %s", error.detail)
        except Exception:
            log.exception("The monitored versions could not be checked")

    def check_soon(self, name: str, version: int) -> None:
        """Have one version checked within seconds."""
        self._observed.add((name, version))

    def start(self) -> None:
        self._observed.start()

    def stop(self) -> None:
        self._observed.stop()

    def _check_all(self) -> RoundOutcome:
        total = RoundOutcome()
        # All are taken before the list is read: it may lack what is registered and checked from now on.
        ticket, written = self._ticket(self._gateway.patience), self._record.run_ids()
        began = self._registrations.revision()
        states = self._gateway.monitor_states()
        if states is None:
            return total
        self._registrations.take([state.registration for state in states], began)
        listed = OpenRuns({state.registration.monitor_run_id for state in states}, ticket)
        for run_id in written:
            if run_id not in listed.run_ids:
                self._record.forget(run_id)
        batches = [states[start : start + _VERSIONS_AT_ONCE] for start in range(0, len(states), _VERSIONS_AT_ONCE)]
        for batch, reading in self._read_ahead(batches, states):
            try:
                total.add(self._judge(reading.result(), listed))
            except TowerError as error:
                total.failed |= {state.registration.key: error.detail for state in batch}
        if not states:
            self._checks.put([], listed)
        return total

    def _check_observed(self, keys: list[VersionKey]) -> bool:
        try:
            with self._gateway.within(self._timeout):
                states = self._gateway.monitor_states() or ()
                wanted = [state for state in states if state.registration.key in keys]
                self._judge(self._read(wanted, states), None).raise_failures()
            return True
        except TowerError as error:
            log.warning("A version could not be checked after a change to its registration: %s", error.detail)
        except Exception:
            log.exception("A version could not be checked after a change to its registration")
        return False

    def _read_ahead(
        self, batches: Sequence[Sequence[MonitorState]], states: Sequence[MonitorState]
    ) -> Iterator[tuple[Sequence[MonitorState], "Future[_Read]"]]:
        """The batches in turn, each with the reading of its evidence. MLflow reads the next while one is judged."""
        with ThreadPoolExecutor(1, "evidence") as reader:

            def begin(batch: Sequence[MonitorState]) -> "Future[_Read]":
                return reader.submit(copy_context().run, self._read, batch, states)

            ahead: Future[_Read] | None = None
            for batch, following in zip(batches, [*batches[1:], ()], strict=False):
                reading = ahead or begin(batch)
                ahead = begin(following) if following else None
                yield batch, reading

    def _read(self, wanted: Sequence[MonitorState], states: Sequence[MonitorState]) -> _Read:
        """Read the evidence of the wanted registrations; `states` are all of them."""
        ticket = self._ticket(self._gateway.patience)
        fleet = self._mirror.fleet()
        current = [state for state in wanted if _row(fleet, state)]
        rows = _rows(fleet, current)
        monitor_runs = earlier_runs([state.registration for state in current])
        monitor_runs |= {
            s.registration.key: s.registration.monitor_run_id for s in states if s.registration.key in rows
        }
        others = {s.registration.key: s.registration for s in states if s.registration.key in rows and _row(fleet, s)}
        evidence, unread = self._gateway.readable_evidence(list(rows.values()), monitor_runs)
        silent = {row.run_id for key, row in rows.items() if row.run_id and key not in unread and not evidence[key]}
        gone = self._gateway.gone_runs(silent) if silent else frozenset()
        return _Read(ticket, current, rows, others, evidence, unread, gone)

    def _judge(self, read: _Read, listed: OpenRuns | None) -> RoundOutcome:
        """Judge registrations, write the verdicts that changed, and share the checks.

        A version whose evidence could not be read, or whose verdict cannot be written, keeps its last verdict.
        """
        checks: list[Check] = []
        outcome = RoundOutcome()
        for state in read.wanted:
            now, key = self._clock(), state.registration.key
            needed = (key, *baseline_keys(state.registration))
            if failure := next((read.unread[version] for version in needed if version in read.unread), None):
                outcome.failed[key] = failure.detail
                continue
            no_metric = RUN_GONE if read.rows[key].run_id in read.gone else NO_METRIC
            judged = judge_registration(state.registration, read.evidence, now, read.others, no_metric)
            verdict = self._with_data(state.registration, judged[1], now)
            decided = (
                partial(decided_at, state.registration, read.evidence, judged, read.others)
                if verdict.verdict == judged[1].verdict
                else partial(_began, verdict, now)
            )
            try:
                kept, is_news = self._record.add(Judged(state, verdict, read.ticket, decided), now)
            except (MlflowRefused, MlflowMissing):
                log.warning("%s v%d: its monitor run is deleted, so the verdict is not kept", *key)
                continue
            except TowerError as error:
                outcome.failed[key] = error.detail
                continue
            outcome.changed += is_news
            if kept is not None:
                self._announce(kept)
                checks.append(check_of(state.registration, verdict, kept.since, now, read.ticket))
        self._checks.put(checks, listed)
        return outcome

    def _with_data(self, registration: Registration, verdict: VersionVerdict, now: int) -> VersionVerdict:
        return with_data(verdict, self._data(registration), settings_or_default(registration.settings).data, now)

    def _announce(self, state: MonitorState) -> None:
        for receiver_id in self._announcer.receiver_ids:
            owed = owed_changes(state, receiver_id, self._clock())
            if owed:
                fleet, name = self._mirror.fleet(), state.registration.name
                model, registered = fleet.find(*state.registration.key), fleet.model(name)[0]
                tags = [*(registered.tags.items() if registered else ()), *(model.row.tags.items() if model else ())]
                owner, url = model.owner if model else None, page_url(self._public_url, name)
                changes = [replace(change, owner=owner, url=url) for change in owed]
                wanted = self._filters.get(receiver_id, AlertFilter())
                self._announcer.owe(receiver_id, [change for change in changes if wanted.lets_pass(change, tags)])


def _began(verdict: VersionVerdict, now: int) -> int:
    """Since when data has made the verdict, which hosts agree on."""
    return verdict.began or now


def _row(fleet: Fleet, state: MonitorState) -> ModelVersion | None:
    """The version that a registration was made for; None where it was deleted, even if it was made again."""
    model = fleet.find(*state.registration.key)
    return model.row if model and state.registration.is_of(model.row) else None


def _rows(fleet: Fleet, states: Sequence[MonitorState]) -> Mapping[VersionKey, ModelVersion]:
    """The versions of some registrations, and those whose baselines may count for them."""
    keys = {state.registration.key for state in states}
    keys |= {key for state in states for key in baseline_keys(state.registration)}
    return {key: model.row for key in sorted(keys) if (model := fleet.find(*key))}
