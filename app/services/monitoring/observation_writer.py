"""Writes observations to monitor runs, each once, in their order."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace

from app.domain.errors import (
    Busy,
    Conflict,
    LockTimeout,
    MlflowMissing,
    MlflowOverloaded,
    MlflowRefused,
    MlflowUnavailable,
    NotFound,
    TowerError,
)
from app.domain.messages import NOT_MONITORED, OTHER_CONTENT
from app.domain.monitoring.corrections import Numbering, Withdrawal, numbered
from app.domain.monitoring.observations import MOST_VALUES, Observation
from app.domain.monitoring.sent_once import SentOnce, as_first_sent
from app.domain.ports import Clock, Locks, WritingGateway
from app.domain.registry.models import Registration
from app.domain.times import TOLERANCE_MS
from app.services.host.groups import Groups, Member, Take
from app.services.monitoring.registration_list import RegistrationStore
from app.services.monitoring.writable_runs import WritableRuns

# What a client sends in one request, and what is kept of its id.
Sending = tuple[Sequence[Observation], SentOnce | None]
Sendings = list[Member[Sending, Registration]]


class ObservationWriter(WritableRuns):
    """Writes observations, and withdraws them. Those of a version that wait for a turn are written together."""

    def __init__(
        self,
        gateway: WritingGateway,
        registrations: RegistrationStore,
        locks: Locks,
        clock: Clock,
        note_turns: Callable[[int, int], None] | None = None,
    ) -> None:
        super().__init__(gateway, registrations, locks, clock, note_turns)
        self._groups: Groups[Sending, Registration] = Groups(lambda sending: len(sending[0]), MOST_VALUES)

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


def _left(until: float) -> float:
    return max(0.0, until - time.monotonic())
