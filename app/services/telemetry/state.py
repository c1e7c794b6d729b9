"""The state of the registry and of MLflow as workers know it, reported at the scrape without asking MLflow."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from math import isnan
from typing import Any, Protocol

from prometheus_client.core import GaugeMetricFamily

from app.domain.data_drift.sentence import Summary, columns_of
from app.domain.errors import InvalidInput
from app.domain.monitoring.checks import Check, last_check
from app.domain.monitoring.monitored import Monitored
from app.domain.monitoring.verdicts import VERDICTS
from app.domain.ports import Clock
from app.domain.registry.fleet import Fleet
from app.domain.registry.models import Registration
from app.domain.registry.stages import STAGES
from app.domain.times import age_ms, parse_rfc3339
from app.domain.updates import KINDS
from app.services.host.other_hosts import HostsRecord
from app.services.mirror.journal import Journal
from app.services.telemetry import PREFIX

_VERSION = ("name", "version")


class Mirror(Protocol):
    """The newest snapshot."""

    @property
    def cached(self) -> bool: ...

    def peek(self) -> Fleet | None: ...


class Register(Protocol):
    """The known registrations."""

    def known(self) -> Monitored: ...


class Checked(Protocol):
    """The last check of each registration, by monitor run."""

    def all(self) -> Mapping[str, Check]: ...


class Sign(Protocol):
    """MLflow's last sign of life."""

    def seen(self) -> tuple[int, bool] | None: ...


class State:
    """The gauges. `interval` is the time between sweeps, in seconds.

    `writes` returns how many writes to MLflow wait for their turn, and how many may go at once. `data` returns what
    moved in the data of a version.
    """

    def __init__(
        self,
        mirror: Mirror,
        register: Register,
        checks: Checked,
        journal: Journal,
        sign: Sign,
        clock: Clock,
        interval: float,
        hosts: HostsRecord | None = None,
        writes: Callable[[], tuple[int, int]] | None = None,
        data: Callable[[Registration], Summary | None] = lambda _: None,
    ) -> None:
        self._mirror = mirror
        self._register = register
        self._checks = checks
        self._journal = journal
        self._sign = sign
        self._clock = clock
        self._interval = interval
        self._hosts = hosts
        self._writes = writes
        self._data = data

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Every gauge. A gauge without a known value has none."""
        fleet, known, now = self._mirror.peek(), self._register.known(), self._clock()
        registrations = (known.of(fleet) if fleet else known.by_key).values()
        yield from self._of_the_snapshot(fleet, now)
        yield _gauge("monitored_versions", "Model versions registered for monitoring", value=len(registrations))
        yield _gauge("mlflow_up", "Whether MLflow answered when it was asked last", value=self._reachable())
        if self._writes is not None:
            waiting, at_once = self._writes()
            yield _gauge("writes_waiting", "Writes to MLflow that wait for their turn", value=waiting)
            yield _gauge("writes_limit", "How many writes to MLflow may go at once", value=at_once)
        if self._hosts is not None:
            yield from gauges_of_hosts(self._hosts)
        yield from self._of_versions(registrations, now)
        yield from self._of_data(registrations)

    def _of_the_snapshot(self, fleet: Fleet | None, now: int) -> Iterator[GaugeMetricFamily]:
        interval = self._interval if self._mirror.cached else None
        yield _gauge("snapshot_interval_seconds", "How often everything is to be read from MLflow", value=interval)
        age = age_ms(fleet.as_of, now) if fleet else None
        seconds = None if age is None else age / 1000
        yield _gauge("snapshot_age_seconds", "Time since everything was last read from MLflow", value=seconds)
        unreadable = fleet.unreadable if fleet else None
        yield _gauge("unreadable_rows", "Rows of MLflow's left out because they cannot be read", value=unreadable)
        stages = _gauge("model_versions", "Model versions by effective stage", ("stage",))
        for stage in STAGES if fleet else ():
            stages.add_metric((stage,), fleet.count(stage) if fleet else 0)
        yield stages

    def _of_versions(self, registrations: Iterable[Registration], now: int) -> Iterator[GaugeMetricFamily]:
        checks = self._checks.all()
        verdicts = _gauge(
            "model_verdict",
            "1 for the verdict on a monitored version, 0 for the others",
            (*_VERSION, "model_type", "verdict"),
        )
        values = _gauge("model_metric", "Last value of a metric of a monitored version", (*_VERSION, "metric"))
        ages = _gauge("model_last_point_age_seconds", "Time since that value was logged", (*_VERSION, "metric"))
        for registration in registrations:
            check = last_check(checks, registration)
            version = _label(registration.name), str(registration.version)
            _add_verdict(verdicts, (*version, _label(registration.model_type)), check)
            for metric, figures in check.metrics.items():
                _add_point(values, ages, (*version, _label(metric)), figures, now)
        yield from (verdicts, values, ages)

    def _of_data(self, registrations: Iterable[Registration]) -> Iterator[GaugeMetricFamily]:
        inputs = _gauge("model_moved_inputs", "How many inputs of a monitored version moved", _VERSION)
        outputs = _gauge("model_moved_outputs", "How many of its prediction and score moved", _VERSION)
        estimates = _gauge(
            "model_estimated_metric", "Performance as estimated before labels come", (*_VERSION, "metric")
        )
        for registration in registrations:
            summary = self._data(registration)
            if summary is None:
                continue
            version = _label(registration.name), str(registration.version)
            inputs.add_metric(version, columns_of(summary["moved_inputs"]))
            outputs.add_metric(version, columns_of(summary["moved_outputs"]))
            for metric, value in (summary["estimated"] or {}).items():
                if value is not None:
                    estimates.add_metric((*version, metric), value)
        yield from (inputs, outputs, estimates)

    def _reachable(self) -> int | None:
        """1 or 0 by the newest sign of life or failure of MLflow; None before the first."""
        last = [(kind, self._journal.last(kind)) for kind in KINDS]
        signs = [(entry.get("succeeded_at") or 0, True) for _, entry in last]
        signs += [(entry.get("failed_at") or 0, False) for _, entry in last]
        at, answered = max([*signs, self._sign.seen() or (0, False)])
        return int(answered) if at else None


def gauges_of_hosts(hosts: HostsRecord) -> Iterator[GaugeMetricFamily]:
    """The gauges of a host among several."""
    report = hosts.report()
    yield _gauge("leader", "Whether this host leads", value=int(report["leads"]))
    lease = hosts.lease_seconds()
    yield _gauge("lease_seconds", "How long this host's lease lasts if nobody renews it", value=lease)
    yield _gauge("hosts_alive", "Hosts that are alive, as this host sees it", value=report["alive"])
    up = int(report["redis"] == "connected")
    yield _gauge("redis_up", "Whether Redis answers this host in time", value=up)


def _gauge(name: str, text: str, labels: tuple[str, ...] = (), value: float | None = None) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(PREFIX + name, text, labels=labels)
    if value is not None:
        gauge.add_metric((), value)
    return gauge


def _add_verdict(verdicts: GaugeMetricFamily, labels: tuple[str, ...], check: Check) -> None:
    for verdict in VERDICTS:
        verdicts.add_metric((*labels, verdict), int(verdict == check.verdict))


def _add_point(
    values: GaugeMetricFamily, ages: GaugeMetricFamily, labels: tuple[str, ...], figures: Mapping[str, Any], now: int
) -> None:
    value = figures.get("last")
    if value is not None and not isnan(value):
        values.add_metric(labels, value)
    try:
        age = age_ms(parse_rfc3339(figures.get("last_at"), "last_at"), now)
    except InvalidInput:
        # The metric has no point yet.
        return
    if age is not None:
        ages.add_metric(labels, age / 1000)


def _label(text: str) -> str:
    """A name as text that can be encoded: half a surrogate pair becomes `\\ud800`."""
    return text.encode("utf-8", "backslashreplace").decode()
