"""The recorder compares each snapshot with what is recorded of the registry, and writes what changed into MLflow."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from app.domain.errors import Busy, MlflowDenied, MlflowMissing, MlflowRefused, TowerError
from app.domain.messages import STILL_READING
from app.domain.own_runs import OwnRun
from app.domain.ports import Clock, Locks, WritingGateway
from app.domain.registry_history.change import Value, of_alias, of_version
from app.domain.registry_history.draft import Draft
from app.domain.registry_history.lineage import Lineage
from app.domain.registry_history.looking import Looked
from app.domain.registry_history.moves import Move, is_behind, tower_changes
from app.domain.registry_history.record import Additions, RegistryRecord
from app.domain.registry_history.standing import is_other, standing_of
from app.domain.registry_history.tags import MOST_IN_A_RUN, TagBatch, batches_of, read_tags
from app.services.host.kept_in_parts import PATIENCE_SECONDS
from app.services.host.scheduler import RETRY_SECONDS
from app.services.mirror.looks import Looks
from app.services.mirror.registry_records import RegistryRecordStore
from app.services.mirror.snapshots import SnapshotStore

log = logging.getLogger(__name__)

# Permissions change by hand.
_DENIED_SECONDS = 600.0
# How often it is written to MLflow up to when everything is recorded, where nothing changes.
_SIGN_MS = 300_000
# The newest runs are read so often, and before each write: another tower may have written to them.
_OTHERS_SECONDS = 60.0
_NEWEST_RUNS = 3
# After so long others may have written more than the newest runs hold, so that all of it is read.
_LONGEST_SECONDS = 600.0
# The time between two looks counts as a gap if it is so many times as long as it should be.
_LATE = 3
CLOCKS_APART_MS = 5000
"""How far the clocks of hosts may be apart. What another host saw within that time of a look may be newer."""


class ChangeRecorder:
    """Records what changes in the registry. The agent's scheduler calls `tick`, on one thread at a time.

    `look_ms` is how long the time between two looks at all of the registry should be, and `apart_ms` how far the clocks
    of hosts may be apart, in milliseconds.
    """

    def __init__(
        self,
        gateway: WritingGateway,
        store: RegistryRecordStore,
        snapshots: SnapshotStore,
        looks: Looks,
        locks: Locks,
        clock: Clock,
        timeout: float,
        look_ms: int,
        apart_ms: int = CLOCKS_APART_MS,
    ) -> None:
        self._gateway = gateway
        self._store = store
        self._snapshots = snapshots
        self._looks = looks
        self._locks = locks
        self._clock = clock
        self._timeout = timeout
        self._late_ms = _LATE * look_ms
        self._apart_ms = apart_ms
        # The digests of what was recorded before this process looked.
        self._before = store.stored_digests()
        # Up to when everything was recorded when this process last wrote, or compared its looks.
        self._noted: Looked | None = None
        self._reading = threading.Lock()
        # When all that MLflow has was last known, in seconds; None before it was read.
        self._known_at: float | None = None
        self._again_at = self._others_at = 0.0
        self._draft: Draft | None = None
        # Up to when MLflow says that everything is recorded.
        self._said: Looked | None = None

    def tick(self) -> None:
        """Record what the looks since the last tick found. A failure is logged, and a later tick tries again.

        It begins after the first snapshot, for which the service waits, since both ask MLflow for much.
        """
        now = time.monotonic()
        if now < self._again_at or self._snapshots.newest() is None:
            return
        try:
            if now >= self._others_at:
                self._others_at = now + _OTHERS_SECONDS
                self.read_others()
            self.record()
        except TowerError as error:
            pause = _DENIED_SECONDS if isinstance(error, MlflowDenied) else RETRY_SECONDS
            self._again_at = time.monotonic() + pause
            log.warning("Changes of the registry are not recorded yet: %s", error.detail)

    def record(self) -> None:
        """Record what was found so far. Raises `MlflowUnavailable` and others; what is left is recorded later."""
        self._read(self._gateway.patience)
        self._write(self._catch_up())

    def first(self) -> None:
        """Make sure that there is a record, within the time of one call to MLflow.

        Raises `MlflowUnavailable`, and `Busy` while the record is being read.
        """
        if self._known().looked is None:
            with self._gateway.within(self._gateway.patience):
                self._read(min(PATIENCE_SECONDS, self._gateway.patience))

    def _read(self, patience: float) -> None:
        """Read all of the record from MLflow, at the start. Whoever else reads it is waited for, for some seconds."""
        if self._known_at is not None:
            return
        if not self._reading.acquire(timeout=patience):
            raise Busy(STILL_READING)
        try:
            if self._known_at is None:
                with self._gateway.within(self._timeout):
                    self._read_all()
        finally:
            self._reading.release()

    def _read_all(self) -> None:
        runs = {run.run_id: run for run in self._gateway.registry_runs(None)}
        with self._locks.hold("registry-changes", self._gateway.patience):
            # What this service wrote meanwhile is in the newest runs.
            began = time.monotonic()
            additions = _additions((runs | {run.run_id: run for run in self._newest_runs()}).values())
            self._store.change(lambda known: _replaced(known, additions))
        self._said = additions.looked
        self._known_at = began

    def _newest_runs(self) -> Sequence[OwnRun]:
        return self._gateway.registry_runs(_NEWEST_RUNS)

    def held(self, seal: str) -> dict[str, Any] | None:
        """The record of this process as JSON; None where it has this seal."""
        return None if self._known().seal == seal else self._store.value()

    def read_others(self) -> None:
        """Read what other towers recorded lately, so that the next look is compared with that. As `record`."""
        self._read(self._gateway.patience)
        with self._gateway.within(self._timeout):
            self._merge_newest()
        self._catch_up()

    def read_newest(self) -> None:
        """Make sure that all is known that anybody recorded so far. Any thread may call it. Raises as `first`."""
        with self._gateway.within(self._gateway.patience):
            if self._known_at is not None and time.monotonic() - self._known_at > _LONGEST_SECONDS:
                # This process does not look at the registry by itself.
                self._known_at = None
            if self._known_at is None:
                self._read(min(PATIENCE_SECONDS, self._gateway.patience))
            else:
                self._merge_newest()

    def _merge_newest(self) -> None:
        began = time.monotonic()
        self._merge(_additions(self._newest_runs()))
        self._known_at = began

    def record_moves(
        self,
        name: str,
        created: int,
        moves: Sequence[Move],
        heads: Mapping[str, str],
        actor: str,
        not_before: int,
        not_after: int,
    ) -> bool:
        """Record what this service moved between two times (milliseconds), and who had it done. May be repeated.

        `heads` has the last change before, of each subject. Any thread, of any host, may call it. Returns False if a
        look has still to record what was there before. Raises `MlflowUnavailable` and others.
        """
        self._read(self._gateway.patience)
        with self._locks.hold("registry-changes", self._gateway.patience), self._gateway.within(self._timeout):
            runs = self._newest_runs()
            self._merge(_additions(runs))
            lineage = self.lineage(name, created)
            if lineage is None:
                return False
            draft = self._draft
            if draft is not None and draft.has_pending(lineage.id) and is_behind(lineage, moves):
                # What is missing was seen, and is about to be recorded.
                return False
            key = lineage.id
            changes = tower_changes(
                lineage, moves, heads, actor, not_before, not_after, self._value_of(name),
                lambda subject: draft.confirmed(key, subject) if draft else 0,
            )  # fmt: skip
            room = _Room(self._gateway, runs)
            for batch in batches_of(Additions(changes=tuple(changes))):
                room.put(batch)
                self._note(batch.adds)
        return True

    def lineage(self, name: str, created: int) -> Lineage | None:
        """What is recorded of the model that has a name now, and a creation time; None if nothing is."""
        for lineage in self._known().lineages():
            if lineage.name == name:
                standing = standing_of(lineage)
                if standing.exists and (not standing.created or not is_other(standing.created, created)):
                    return lineage
        return None

    def lineages(self) -> Iterable[Lineage]:
        """What is recorded of every model."""
        return self._known().lineages()

    def _value_of(self, name: str) -> Callable[[str], Value]:
        """What the mirror says that a subject of a model is."""
        fleet = self._snapshots.newest()
        model, tracked = fleet.model(name) if fleet else (None, ())
        values: dict[str, Value] = {of_version(one.row.version): [one.row.created, one.row.stage] for one in tracked}
        values |= {of_alias(alias): version for alias, version in model.aliases.items()} if model else {}
        return values.get

    def _merge(self, read: Additions) -> bool:
        """Put what others recorded into the record; whether there was something."""
        others = self._known().lacks(read)
        if not (others.changes or others.first or others.gaps):
            return False
        # Up to when another tower recorded everything says nothing of what this tower has still to write.
        self._note(replace(others, looked=None))
        return bool(others.changes or others.first)

    def _catch_up(self) -> Draft:
        """Take the looks of this process, and what others published or recorded."""
        known, draft = self._known(), self._draft
        if draft is not None and known.looked != self._noted:
            # Another host has led since, and has recorded what this host had still to write.
            self._before = tuple(segment.digest for segment in draft.record.segments)
            draft = self._draft = None
        self._noted = known.looked
        if draft is None or draft.record.segments != known.segments or draft.record.begun != known.begun:
            if draft is not None:
                # These looks may have begun before others changed the record, so they are compared with what it had.
                self._take(draft)
            draft = self._begin_again(known)
        draft.record = known
        draft.shared(known.looked)
        self._take(draft)
        newest = self._snapshots.newest()
        if newest is not None:
            draft.adopt(newest)
        return draft

    def _take(self, draft: Draft) -> None:
        for look in self._looks.take():
            draft.take(look)

    def _begin_again(self, known: RegistryRecord) -> Draft:
        """Go on from what is recorded by now. What is not recorded yet is found by later looks."""
        # Where nothing is recorded, no look can be older than the record.
        ticket = self._snapshots.ticket(self._gateway.patience) if any(known.lineages()) else 0
        before = self._draft
        unchanged = known.lineages_of(self._before) if before is None else ()
        self._draft = Draft(known, ticket, self._late_ms, self._apart_ms, unchanged)
        if before is not None:
            changed = (one.id for one in known.lineages() if before.record.find(one.id) is not one)
            self._draft.resume(before, set(changed))
        return self._draft

    def _write(self, draft: Draft) -> None:
        more = draft.pending()
        said = self._said.aliases if self._said else 0
        is_sign_due = more.looked is not None and more.looked.aliases - said >= _SIGN_MS
        if not (more.changes or more.first or more.gaps or more.begun is not None or is_sign_due):
            if more.looked is not None and more.looked != self._known().looked:
                # The workers see how fresh the record is, and MLflow is not asked.
                self._note(Additions(looked=more.looked))
            return
        with self._locks.hold("registry-changes", self._gateway.patience), self._gateway.within(self._timeout):
            runs = self._newest_runs()
            read = _additions(runs)
            if self._merge(read):
                # Another tower has recorded the same, or something else.
                draft = self._catch_up()
            draft.not_alone(read.looked)
            more = draft.pending()
            room = _Room(self._gateway, runs)
            for batch in batches_of(more):
                room.put(batch)
                self._note(batch.adds)
                draft.record = self._known()
        draft.written(more)
        self._said = more.looked or self._said
        if more.changes:
            log.info("Changes of the registry recorded: %d", len(more.changes))

    def _note(self, additions: Additions) -> None:
        """Put into the shared record what MLflow has."""
        self._store.change(lambda known: known.with_more(additions))
        if additions.looked is not None:
            self._noted = self._known().looked

    def _known(self) -> RegistryRecord:
        return self._store.newest() or RegistryRecord()


class _Room:
    """Writes tags to the newest run that has room for them, or to a new run."""

    def __init__(self, gateway: WritingGateway, runs: Sequence[OwnRun]) -> None:
        self._gateway = gateway
        newest = next((run for run in runs if not run.is_deleted), None)
        self._run_id = newest.run_id if newest else None
        self._count = len(newest.tags) if newest else 0

    def put(self, batch: TagBatch) -> None:
        if self._run_id is not None and self._count + len(batch.tags) <= MOST_IN_A_RUN:
            try:
                self._gateway.write_registry_tags(self._run_id, batch.tags)
            except (MlflowRefused, MlflowMissing):
                # Somebody has just deleted the run.
                log.debug("A run of the history takes no more changes")
            else:
                self._count += len(batch.tags)
                return
        self._run_id, self._count = self._gateway.open_registry_run(), len(batch.tags)
        self._gateway.write_registry_tags(self._run_id, batch.tags)


def _additions(runs: Iterable[OwnRun]) -> Additions:
    additions, bad = read_tags(runs)
    if bad:
        log.warning("%d tags of the history of the registry cannot be read and are left out", bad)
    return additions


def _replaced(known: RegistryRecord, additions: Additions) -> RegistryRecord:
    """The record as MLflow has it, which is newer than any known one."""
    read = RegistryRecord().with_more(additions)
    looked = known.looked.joined(read.looked) if known.looked and read.begun is not None else read.looked
    return replace(read, revision=known.revision + 1, looked=looked)
