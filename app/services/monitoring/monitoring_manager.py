"""MonitoringManager: which model versions are monitored. The truth is the open monitor runs in MLflow."""

import hashlib
import logging
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from app.domain.errors import InvalidInput, MlflowMissing, MlflowRefused, NotFound, TowerError
from app.domain.monitoring.check_settings import check_settings, merged
from app.domain.monitoring.monitored import Monitored, Registrations, first_of_each
from app.domain.monitoring.observations import Observation
from app.domain.ports import Clock, Gateway, HeldCache, Locks, Mirror, Monotonic
from app.domain.registry.codec import registrations_from, registrations_value
from app.domain.registry.fleet import Fleet
from app.domain.registry.models import ModelVersion, Registration
from app.domain.registry.names import version_number

log = logging.getLogger(__name__)

_LIST = "monitored"
_SELF = "control-tower"
# Two versions may share a lock, and wait for each other; a lock file for each that ever was would be litter.
_STRIPES = 256
# How many vanished versions, and how many registrations that a list lacks, one reconcile asks MLflow about.
_CHECKED_AT_ONCE = 20
_RETRY_SECONDS = 15.0
NOT_FOUND = "Model not found in MLflow"
NOT_MONITORED = "Model is not being monitored"


class MonitoringManager:
    """Registers and removes, one process at a time for each version, and mirrors the list for reading."""

    def __init__(
        self,
        gateway: Gateway,
        cache: HeldCache,
        locks: Locks,
        clock: Clock,
        monotonic: Monotonic,
        source: str,
        cached: bool,
        mirror: Mirror,
    ) -> None:
        self._gateway = gateway
        self._cache = cache
        self._locks = locks
        self._clock = clock
        self._monotonic = monotonic
        self._source = source
        self._cached = cached
        self._mirror = mirror
        self._known: Monitored | None = None
        self._mark: object | None = None
        self._failed_at: float | None = None
        self._turn = 0
        self._adopting = threading.Lock()

    def peek(self) -> Monitored:
        """What is known; MLflow is asked where that is nothing, and left alone for a while when it fails."""
        known = self._latest()
        if known is None and not self._has_just_failed():
            try:
                return self.monitored()
            except TowerError as error:
                self._failed_at = self._monotonic()
                log.warning("The registrations are not known: %s", error.detail)
        return known or Monitored({}, stale=True)

    def known(self) -> Monitored:
        """What is known, marked stale where nothing is; MLflow is not asked."""
        return self._latest() or Monitored({}, stale=True)

    def monitored(self) -> Monitored:
        """The registrations; MLflow is asked where nothing is known yet, and always without a cache."""
        if not self._cached:
            return self._read()
        known = self._latest()
        if known is not None:
            return known
        with self._listing():
            return self._latest() or self._share(self._read())

    def is_monitored(self, name: str, version: str) -> bool:
        try:
            self.find(name, version)
        except NotFound:
            return False
        return True

    def find(self, name: str, version: str) -> Registration:
        """The registration of a version. Raises `NotFound`."""
        number = version_number(version)
        if number is None:
            raise NotFound(NOT_MONITORED)
        registration = self._listed(name, number)
        if registration is None:
            # Another worker may have made it a moment ago, and have been unable to store it.
            self._cache.catch_up()
            registration = self._listed(name, number)
        if registration is None:
            raise NotFound(NOT_MONITORED)
        return registration

    def register(
        self, name: str, version: str, model_type: str, registered_by: str, settings: Mapping[str, Any] | None = None
    ) -> Registration:
        """Open a monitor run. Raises `NotFound` and, when there is one or the settings are bad, `InvalidInput`."""
        wanted_settings = {} if settings is None else merged({}, settings)
        row = self._existing(name, version)
        self._refuse_unknown_baseline(name, wanted_settings)
        self._mirror.ensure_known(name, row.version, row.created)
        with self._one_at_a_time(name, row.version):
            self._refuse_if_monitored(row)
            wanted = Registration(
                name, row.version, model_type, registered_by, self._clock(), "", row.created, wanted_settings
            )
            with self._writing():
                registration = self._gateway.open_monitor_run(wanted)
            self._enlist(registration)
        return registration

    def change_settings(self, name: str, version: str, patch: Mapping[str, Any] | None) -> Registration:
        """Lay a change over the settings; None restores all defaults. Raises `NotFound` and `InvalidInput`."""
        known = self._find_to_write(name, version)
        with self._one_at_a_time(*known.key):
            # Another host may have changed them: MLflow has the truth.
            registration = self._open_one(known)
            settings = {} if patch is None else merged(registration.settings, patch)
            if patch is not None and "baseline" in patch:
                self._refuse_unknown_baseline(name, settings)
            with self._writing():
                self._gateway.change_settings(registration.monitor_run_id, settings)
            changed = replace(registration, settings=settings)
            self._enlist(changed)
        return changed

    def observe(self, name: str, version: str, found: Sequence[Observation]) -> Registration:
        """Write observations to the monitor run, all or none. Raises `NotFound`."""
        registration = self._find_to_write(name, version)
        with self._gateway.within(self._gateway.patience):
            try:
                with self._writing():
                    self._gateway.log_observations(registration.monitor_run_id, found)
            except (MlflowRefused, MlflowMissing):
                # Of a deleted experiment, which the search restores; or removed by another host a moment ago.
                registration = self._open_one(registration)
                with self._writing():
                    self._gateway.log_observations(registration.monitor_run_id, found)
        return registration

    def remove(self, name: str, version: str, removed_by: str) -> int:
        """End the monitor run; the time of that, in milliseconds. Raises `NotFound` when there is none."""
        number = version_number(version)
        if number is None:
            raise NotFound(NOT_MONITORED)
        with self._one_at_a_time(name, number):
            open_runs = list(self._gateway.find_registrations(name, number))
            latest = self._latest()
            known = latest.by_key.get((name, number)) if latest else None
            for registration in open_runs:
                with self._writing():
                    self._gateway.end_monitor_run(registration.monitor_run_id, removed_by, "removed from monitoring")
            gone = [*open_runs, known] if known else open_runs
            if not gone:
                raise NotFound(NOT_MONITORED)
            self._strike((name, number), {registration.monitor_run_id for registration in gone})
        return self._clock()

    def reconcile(self, fleet: Fleet) -> None:
        """Bring the list in line with MLflow, and end runs that are double or whose version is gone.

        MLflow's list is not taken at its word for that: each is asked for by itself. One that fails holds up no other.
        """
        with self._listing():
            found = self._gateway.open_registrations()
            if found is None:
                known = self._latest()
                self._share(Monitored(known.by_key, stale=True) if known and known.by_key else Monitored({}))
                return
            kept, double = first_of_each(found)
            kept |= self._overlooked(kept)
            self._share(Monitored(kept))
        self._each({one.key: one for one in double}.values(), self._end_doubles)
        current = Monitored(kept).of(fleet)
        self._each(self._in_turn([one for key, one in kept.items() if key not in current]), self._end_if_gone)

    def _listed(self, name: str, version: int) -> Registration | None:
        registration = self.monitored().by_key.get((name, version))
        return registration if registration is not None and self._is_current(registration) else None

    def _find_to_write(self, name: str, version: str) -> Registration:
        """As `find`, and MLflow is asked before it is said that there is none: what was observed would be lost."""
        try:
            return self.find(name, version)
        except NotFound:
            number = version_number(version)
            if number is None:
                raise
        with self._gateway.within(self._gateway.patience):
            found = self._gateway.find_registrations(name, number)
        registration = next(filter(self._is_current, found), None)
        if registration is None:
            raise NotFound(NOT_MONITORED)
        self._enlist(registration)
        return registration

    def _has_just_failed(self) -> bool:
        return self._failed_at is not None and self._monotonic() - self._failed_at < _RETRY_SECONDS

    def _is_current(self, registration: Registration) -> bool:
        """Whether it was made for the version that the mirror has, and not for one deleted and made anew since."""
        fleet = self._mirror.peek()
        model = fleet.find(*registration.key) if fleet else None
        return model is None or model.row.created == registration.version_created

    def _open_one(self, known: Registration) -> Registration:
        """The registration as MLflow has it. Raises `NotFound`."""
        found = self._gateway.find_registrations(*known.key)
        current = next((one for one in found if one.version_created == known.version_created), None)
        if current is None:
            raise NotFound(NOT_MONITORED)
        return current

    def _existing(self, name: str, version: str) -> ModelVersion:
        number = version_number(version)
        with self._gateway.within(self._gateway.patience):
            row = self._gateway.find_version(name, number) if number is not None else None
        if row is None:
            raise NotFound(NOT_FOUND)
        return row

    def _refuse_unknown_baseline(self, name: str, settings: Mapping[str, Any]) -> None:
        number = check_settings(settings).baseline.version
        if number is None:
            return
        with self._gateway.within(self._gateway.patience):
            row = self._gateway.find_version(name, number)
        if row is None:
            raise InvalidInput(f"baseline.version: the registered model has no version {number}.")

    def _refuse_if_monitored(self, row: ModelVersion) -> None:
        self._cache.catch_up()
        latest = self._latest()
        known = latest.by_key.get((row.name, row.version)) if latest else None
        if known and known.version_created == row.created:
            raise InvalidInput("Model is already being monitored")
        for registration in self._gateway.find_registrations(row.name, row.version):
            if registration.version_created == row.created:
                self._enlist(registration)
                raise InvalidInput("Model is already being monitored")
            self._gateway.end_monitor_run(
                registration.monitor_run_id, _SELF, "the model version was deleted and made again"
            )

    def _overlooked(self, listed: Registrations) -> Registrations:
        """Registrations that are known and that MLflow's list lacks, less those that MLflow, asked for, has no more."""
        known = self._latest()
        missing = [one for key, one in known.by_key.items() if key not in listed] if known else []
        kept: Registrations = {}
        for registration in missing[:_CHECKED_AT_ONCE]:
            try:
                open_runs = self._gateway.find_registrations(*registration.key)
            except TowerError as error:
                log.warning("Whether %s v%d is monitored is not known: %s", *registration.key, error.detail)
                open_runs = [registration]
            if open_runs:
                kept[registration.key] = open_runs[0]
        if kept:
            # A list that lacks one may lack others.
            kept |= {one.key: one for one in missing[_CHECKED_AT_ONCE:]}
        return kept

    def _in_turn(self, vanished: Sequence[Registration]) -> Sequence[Registration]:
        """Some of them, others the next time: those whose versions may not be read are vanished for long."""
        start = self._turn % len(vanished) if vanished else 0
        self._turn += _CHECKED_AT_ONCE
        return [*vanished[start:], *vanished[:start]][:_CHECKED_AT_ONCE]

    def _each(self, registrations: Iterable[Registration], work: Callable[[Registration], None]) -> None:
        for registration in registrations:
            try:
                work(registration)
            except TowerError as error:
                log.warning("The registration of %s v%d stays as it is: %s", *registration.key, error.detail)

    def _end_doubles(self, double: Registration) -> None:
        first, *others = self._gateway.find_registrations(*double.key) or [double]
        for registration in others:
            reason = f"registered twice: run {first.monitor_run_id} counts"
            with self._writing():
                self._gateway.end_monitor_run(registration.monitor_run_id, _SELF, reason)

    def _end_if_gone(self, registration: Registration) -> None:
        # The fleet may be older than the registration: MLflow itself is asked.
        row = self._gateway.find_version(registration.name, registration.version)
        if row is None or row.created != registration.version_created:
            reason = "the model version no longer exists in MLflow"
            with self._writing():
                self._gateway.end_monitor_run(registration.monitor_run_id, _SELF, reason)
            self._strike(registration.key, {registration.monitor_run_id})

    @contextmanager
    def _one_at_a_time(self, name: str, version: int) -> Iterator[None]:
        digest = hashlib.sha256(f"{version}\n{name}".encode()).digest()
        with (
            self._locks.hold(f"version-{digest[0] % _STRIPES}", self._gateway.patience),
            self._gateway.within(self._gateway.patience),
        ):
            yield

    @contextmanager
    def _writing(self) -> Iterator[None]:
        # MLflow on SQLite has one writer: of forty at once on a slow disk, half wait out their time.
        with self._locks.hold("writing", self._gateway.patience):
            yield

    @contextmanager
    def _listing(self) -> Iterator[None]:
        with self._locks.hold(_LIST, self._gateway.patience), self._gateway.within(self._gateway.patience):
            yield

    def _enlist(self, registration: Registration) -> None:
        """Add to the list, or replace what it has of the version."""
        self._change(lambda by_key: by_key.update({registration.key: registration}))

    def _strike(self, key: tuple[str, int], ended: Collection[str]) -> None:
        """Take from the list what it has of a version, where that is one of the runs that ended."""

        def strike(by_key: Registrations) -> None:
            if key in by_key and by_key[key].monitor_run_id in ended:
                del by_key[key]

        self._change(strike)

    def _change(self, change: Callable[[Registrations], None]) -> None:
        """Change the list. MLflow has the change already: a failure here is mended by a reconcile."""
        if not self._cached:
            return
        try:
            with self._listing():
                by_key = dict(self._for_change().by_key)
                change(by_key)
                self._share(Monitored(by_key))
        except TowerError as error:
            log.warning("The list of registrations is behind until the next refresh: %s", error.detail)

    def _for_change(self) -> Monitored:
        """The whole list to change: of the shared file, or of MLflow where that is lost."""
        self._cache.catch_up()
        if self._cache.token(_LIST) is None or self._latest() is None:
            return self._read()
        return self._latest() or Monitored({})

    def _read(self) -> Monitored:
        found = self._gateway.open_registrations()
        if found is None:
            return Monitored(self._known.by_key, stale=True) if self._known else Monitored({})
        return Monitored(first_of_each(found)[0])

    def _share(self, monitored: Monitored) -> Monitored:
        value = registrations_value(list(monitored.by_key.values()), monitored.stale, self._source)
        with self._adopting:
            if self._cache.set(_LIST, value):
                self._mark = self._cache.mark(_LIST)
            self._known = monitored
            return monitored

    def _latest(self) -> Monitored | None:
        mark = self._cache.mark(_LIST)
        if mark != self._mark:
            with self._adopting:
                self._adopt(mark)
        return self._known

    def _adopt(self, mark: object) -> None:
        if mark == self._mark:
            return
        stored = registrations_from(self._cache.get(_LIST), self._source)
        if stored is not None:
            listed, stale = stored
            self._known = Monitored({registration.key: registration for registration in listed}, stale)
        self._mark = mark
