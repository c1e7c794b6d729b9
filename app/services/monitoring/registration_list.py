"""The list of the monitored model versions, mirrored for reading. The truth is the open monitor runs in MLflow."""

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager

from app.domain.errors import Busy, LockTimeout, MlflowDenied, NotFound, TowerError
from app.domain.messages import NOT_MONITORED, REGISTRATIONS_DENIED
from app.domain.monitoring.monitored import Monitored, Registrations, first_of_each
from app.domain.ports import Locks, Monotonic, OwnGateway, RegistrationSource, SharedCache, WritableCache
from app.domain.registry.codec import registrations_from, registrations_value
from app.domain.registry.models import Registration, VersionKey
from app.domain.registry.names import version_number
from app.services.host.scheduler import RETRY_SECONDS
from app.services.mirror.model_tracker import ModelTracker

log = logging.getLogger(__name__)

LIST = "monitored"
# So many of what is missing from MLflow's lists is looked up one by one: registrations (the others by the ids of
# their runs), and versions after a sweep.
CHECKED_AT_ONCE = 20
# How long a read waits for MLflow to say whether there is a registration that the list lacks.
LOOK_UP_SECONDS = 2.0
# MLflow is not asked again so soon for what it did not have.
ASKED_AGAIN_SECONDS = 2.0
_MOST_LOOK_UPS = 10_000


class RegistrationList:
    """This process's view of the list that all processes share. `source` provides what is not known here."""

    def __init__(
        self,
        cache: SharedCache,
        source: RegistrationSource,
        monotonic: Monotonic,
        mlflow: str,
        cached: bool,
        mirror: ModelTracker,
    ) -> None:
        self._cache = cache
        self._source = source
        self._monotonic = monotonic
        self._mlflow = mlflow
        self._cached = cached
        self._mirror = mirror
        self._known: Monitored | None = None
        self._mark: object | None = None
        self._failed_at: float | None = None
        self._adopting = threading.Lock()

    def peek(self) -> Monitored:
        """The known registrations. MLflow is asked where none are known, but not soon after a failure."""
        known = self._latest()
        if known is None and not self._has_just_failed():
            try:
                return self.monitored()
            except TowerError as error:
                self._failed_at = self._monotonic()
                log.warning("The registrations are not known: %s", error.detail)
        return known or Monitored({}, stale=True)

    def known(self) -> Monitored:
        """The known registrations, marked stale where none are known. MLflow is not asked."""
        return self._latest() or Monitored({}, stale=True)

    def monitored(self) -> Monitored:
        """The registrations. MLflow is asked where none are known yet, and always where the cache is disabled."""
        known = self._latest() if self._cached else None
        if known is not None:
            return known
        read = self._source.read()
        if not self._cached:
            return read
        with self._adopting:
            self._known = self._known or read
        return self._latest() or read

    def is_monitored(self, name: str, version: str) -> bool:
        try:
            self.find(name, version)
        except NotFound:
            return False
        return True

    def find(self, name: str, version: str) -> Registration:
        """The registration of a version. MLflow is asked for one that is not listed. Raises `NotFound`."""
        number = version_number(version)
        if number is None:
            raise NotFound(NOT_MONITORED)
        registration = self.listed(name, number)
        if registration is None:
            # Another worker may just have had the registration made, and it could not be stored.
            self.catch_up()
            registration = self.listed(name, number)
        if registration is None and self._looked_up(name, number):
            registration = self.listed(name, number)
        if registration is None:
            raise NotFound(NOT_MONITORED)
        return registration

    def look_up_unlisted(self, name: str, versions: Iterable[int]) -> None:
        """Have MLflow asked for the registrations of a model where the list lacks any of these versions."""
        known = self.peek().by_key
        if any((name, version) not in known for version in versions):
            self._looked_up(name, None)

    def listed(self, name: str, version: int) -> Registration | None:
        """The registration of a version as the list has it."""
        registration = self.monitored().by_key.get((name, version))
        return registration if registration is not None and self.is_current(registration) else None

    def is_current(self, registration: Registration) -> bool:
        """Whether it was made for the version in the mirror, and not for a deleted version of the same number."""
        fleet = self._mirror.peek()
        model = fleet.find(*registration.key) if fleet else None
        return model is None or registration.is_of(model.row)

    def catch_up(self) -> None:
        """Get the list from the agent where it could not be stored."""
        self._cache.catch_up()

    def _looked_up(self, name: str, version: int | None) -> bool:
        """Have MLflow asked; a failure leaves the list as it is, and MLflow alone for a while."""
        if not self._cached or self._has_just_failed():
            return False
        try:
            with self._source.within(LOOK_UP_SECONDS):
                is_there = self._source.look_up(name, version)
        except TowerError as error:
            self._failed_at = self._monotonic()
            log.warning("Whether %s is monitored elsewhere is not known: %s", name, error.detail)
            return False
        if is_there:
            self.catch_up()
        return is_there

    def _has_just_failed(self) -> bool:
        return self._failed_at is not None and self._monotonic() - self._failed_at < RETRY_SECONDS

    def _latest(self) -> Monitored | None:
        mark = self._cache.mark(LIST)
        if mark != self._mark:
            with self._adopting:
                self._adopt(mark)
        return self._known

    def _adopt(self, mark: object) -> None:
        if mark == self._mark:
            return
        stored = registrations_from(self._cache.get(LIST), self._mlflow)
        if stored is not None:
            listed, stale = stored
            self._known = Monitored({registration.key: registration for registration in listed}, stale)
        self._mark = mark


class RegistrationStore(RegistrationList):
    """The agent's list: it reads it from MLflow and writes it. It owns the lock `monitored`, and writes to no run."""

    def __init__(
        self,
        gateway: OwnGateway,
        cache: WritableCache,
        locks: Locks,
        monotonic: Monotonic,
        mlflow: str,
        cached: bool,
        mirror: ModelTracker,
    ) -> None:
        super().__init__(cache, self, monotonic, mlflow, cached, mirror)
        self._gateway = gateway
        self._writable = cache
        self._locks = locks
        self.within = gateway.within
        # The number of changes so far, and for each version changed since the last reading the number of its change.
        self._revision = 0
        self._changed: dict[VersionKey, int] = {}
        # When MLflow was last asked in vain for a version or a model, in seconds; the oldest first.
        self._asked_in_vain: dict[tuple[str, int | None], float] = {}

    def read(self) -> Monitored:
        """All registrations. MLflow is asked where no list is shared, and always where the cache is disabled."""
        if not self._cached:
            return self._read()
        with self._changing():
            return self._latest() or self._share(self._read())

    def look_up(self, name: str, version: int | None) -> bool:
        """Ask MLflow for registrations that the list lacks, unless it was asked a moment ago; whether some were added.

        Raises `MlflowUnavailable`.
        """
        now, key = self._monotonic(), (name, version)
        if now - self._asked_in_vain.get(key, -ASKED_AGAIN_SECONDS) < ASKED_AGAIN_SECONDS:
            return False
        added = self.find_in_mlflow(name, version)
        self._asked_in_vain.pop(key, None)
        if not added:
            self._asked_in_vain[key] = now
            for oldest in list(self._asked_in_vain)[:-_MOST_LOOK_UPS]:
                self._asked_in_vain.pop(oldest, None)
        return bool(added)

    def find_in_mlflow(self, name: str, version: int | None) -> list[Registration]:
        """Ask MLflow for the registrations of a version or of a model, and add them. Raises `MlflowUnavailable`."""
        with self._gateway.within(self._gateway.patience):
            open_runs = self._gateway.look_up_registrations(name, version)
        current = first_of_each([run for run in open_runs if self.is_current(run)])[0]
        known = self.known().by_key
        for key, registration in current.items():
            if key not in known or known[key] != registration:
                self.add(registration)
        return list(current.values())

    def add(self, registration: Registration) -> None:
        """Add a registration that was written to MLflow. It replaces an older one of the same version."""
        self._change(registration.key, lambda by_key: by_key.update({registration.key: registration}))

    def keep(self, registration: Registration) -> None:
        """Add a registration as MLflow has it, where the list lacks it or has another."""
        if self.known().by_key.get(registration.key) != registration:
            self.add(registration)

    def remove(self, key: VersionKey, ended: Collection[str]) -> None:
        """Remove the registration of a version if its monitor run is among those that ended."""

        def change(by_key: Registrations) -> None:
            if key in by_key and by_key[key].monitor_run_id in ended:
                del by_key[key]

        self._change(key, change)

    def revision(self) -> int:
        """The number of changes to the list so far. A reading of MLflow that begins now has all of them."""
        return self._revision

    def take(self, listed: Sequence[Registration], began: int) -> None:
        """Bring the list in line with the open monitor runs, as they were read since the revision `began`.

        What was changed here meanwhile stays. A registration that the reading lacks is looked up before it goes. A
        failure is logged: the next reading follows.
        """
        if not self._cached:
            return
        try:
            with self._changing():
                known = (self._latest() or Monitored({})).by_key
                self._changed = {key: revision for key, revision in self._changed.items() if revision > began}
                kept = {key: run for key, run in first_of_each(listed)[0].items() if key not in self._changed}
                kept |= {key: known[key] for key in self._changed if key in known}
                kept |= self._overlooked(kept)
                if kept != known or self.known().stale:
                    self._share(Monitored(kept))
        except TowerError as error:
            log.warning("The list of registrations is behind until the next refresh: %s", error.detail)

    def read_again(self) -> tuple[Registrations, list[Registration]]:
        """Bring the list in line with MLflow. Returns the registrations, and the duplicate runs for a version.

        Both are empty where the experiment is gone; the list then stays, marked stale. It stays as well where MLflow
        denies this user the experiment, and `MlflowDenied` is raised.
        """
        with self._changing():
            listed = self._gateway.open_registrations()
            if listed is None:
                known = self._latest()
                self._share(Monitored(known.by_key, stale=True) if known and known.by_key else Monitored({}))
                if not self._gateway.may_read_registrations():
                    raise MlflowDenied(REGISTRATIONS_DENIED)
                return {}, []
            kept, duplicates = first_of_each(listed)
            kept |= self._overlooked(kept)
            self._share(Monitored(kept))
        return kept, duplicates

    def _overlooked(self, listed: Registrations) -> Registrations:
        """The known registrations that MLflow's list lacks, unless MLflow no longer has them when each is looked up."""
        known = self._latest()
        missing = [registration for key, registration in known.by_key.items() if key not in listed] if known else []
        kept: Registrations = {}
        for registration in missing[:CHECKED_AT_ONCE]:
            try:
                open_runs = self._gateway.find_registrations(*registration.key)
            except TowerError as error:
                log.warning("Whether %s v%d is monitored is not known: %s", *registration.key, error.detail)
                open_runs = [registration]
            if open_runs:
                kept[registration.key] = open_runs[0]
        return kept | self._open_among(missing[CHECKED_AT_ONCE:])

    def _open_among(self, registrations: Sequence[Registration]) -> Registrations:
        """Those whose monitor runs are still open, read by their ids; all if they cannot be read."""
        if not registrations:
            return {}
        try:
            states = self._gateway.monitor_runs([registration.monitor_run_id for registration in registrations])
        except TowerError as error:
            log.warning("Whether %d versions are still monitored is not known: %s", len(registrations), error.detail)
            states = None
        if states is None:
            return {registration.key: registration for registration in registrations}
        open_runs = {state.registration.monitor_run_id for state in states if state.ended_at is None}
        return {run.key: run for run in registrations if run.monitor_run_id in open_runs}

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._locks.hold(LIST, self._gateway.patience), self._gateway.within(self._gateway.patience):
            yield

    def _change(self, key: VersionKey, change: Callable[[Registrations], None]) -> None:
        """Change the list. MLflow has the change already, so the next reconcile mends a failure here."""
        if not self._cached:
            return
        try:
            try:
                with self._changing():
                    self._change_here(key, change)
            except LockTimeout:
                raise
            except Busy:
                # The other hosts cannot be reached. At least this host has what MLflow has taken.
                self._change_here(key, change)
        except TowerError as error:
            log.warning("The list of registrations is behind until the next refresh: %s", error.detail)

    def _change_here(self, key: VersionKey, change: Callable[[Registrations], None]) -> None:
        self._revision += 1
        self._changed[key] = self._revision
        by_key = dict(self._for_change().by_key)
        change(by_key)
        self._share(Monitored(by_key))

    def _for_change(self) -> Monitored:
        """The whole list to change: from the shared file, or from MLflow where that file is lost."""
        self.catch_up()
        if self._cache.token(LIST) is None or self._latest() is None:
            return self._read()
        return self._latest() or Monitored({})

    def _read(self) -> Monitored:
        listed = self._gateway.open_registrations()
        if listed is None:
            return Monitored(self._known.by_key, stale=True) if self._known else Monitored({})
        return Monitored(first_of_each(listed)[0])

    def _share(self, monitored: Monitored) -> Monitored:
        value = registrations_value(list(monitored.by_key.values()), monitored.stale, self._mlflow)
        with self._adopting:
            if self._writable.set(LIST, value):
                self._mark = self._cache.mark(LIST)
            self._known = monitored
            return monitored
