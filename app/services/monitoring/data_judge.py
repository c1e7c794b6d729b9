"""Judges what was counted of monitored versions, soon after it was counted, and shares the reports."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from app.domain.data_drift.series import About, Series, inflated, series_from, windows_of
from app.domain.errors import LockTimeout, TowerError
from app.domain.monitoring.check_settings import settings_or_default
from app.domain.own_runs import OwnRun
from app.domain.ports import Clock, OwnGateway
from app.domain.registry.models import VersionKey
from app.domain.times import rfc3339
from app.services.data_drift.judge_order import JudgeOrder, JudgeOutcome
from app.services.data_drift.judges import Judge
from app.services.host.gatherer import TRIES_AFTER_SECONDS, Gatherer
from app.services.monitoring.data_reports import DataReportStore
from app.services.monitoring.registration_list import RegistrationStore
from app.services.monitoring.writable_runs import WritableRuns

log = logging.getLogger(__name__)

# Series that one process judges, and processes beside each other: what many versions counted is judged at a start.
_AT_ONCE, _SIDE_BY_SIDE = 10, 2
# While batches of a version arrive one after another, it is judged for a fifth of the time.
_REST = 4.0
# Other towers write to the same MLflow.
_READ_ALL_SECONDS = 900.0


class DataJudge:
    """Has series judged in a process of its own.

    `after` is called with each version whose report is new, and returns whether all that follows from it was done.
    """

    def __init__(
        self,
        gateway: OwnGateway,
        reports: DataReportStore,
        registrations: RegistrationStore,
        writer: WritableRuns,
        judge: Judge,
        clock: Clock,
        after: Callable[[Series, dict[str, Any]], bool],
    ) -> None:
        self._gateway = gateway
        self._reports = reports
        self._registrations = registrations
        self._writer = writer
        self._judge = judge
        self._clock = clock
        self._after = after
        self._due_at = 0.0
        # The runs of series after whose last report something could not be written.
        self._unfinished: set[str] = set()
        self._counted = Gatherer[VersionKey]("counted", self._judge_counted, TRIES_AFTER_SECONDS, _REST)

    def start(self) -> None:
        self._counted.start()

    def stop(self) -> None:
        self._counted.stop()

    def judge_soon(self, name: str, version: int) -> None:
        """Have what was counted of a version judged within seconds."""
        self._counted.add((name, version))

    def tick(self) -> None:
        """The scheduler's tick: judge what other towers counted, or this one before it lost its cache."""
        if time.monotonic() < self._due_at:
            return
        self._due_at = time.monotonic() + _READ_ALL_SECONDS
        try:
            marks = {key: self._reports.mark(*key) for key in self._registrations.peek().by_key}
            runs = self._gateway.open_data_series()
            oldest_first = sorted((series for run in runs if (series := series_from(run))), key=_age)
            # A host that died may have left an earlier series of a version open: the newest counts.
            newest = {(one.about.name, one.about.version, one.about.version_created): one for one in oldest_first}
            for series, outcome in self._judged(list(newest.values())):
                self._take_unless_changed(series, outcome, marks)
        except TowerError as error:
            log.warning("What was counted of data could not be read: %s", error.detail)
        except Exception:
            log.exception("What was counted of data could not be judged")

    def series_of(self, name: str, version: int) -> list[Series]:
        """The series of a version that is monitored, the newest, which counts, first."""
        created = self._created(name, version)
        runs: Sequence[OwnRun] = self._gateway.data_series(name, version)
        all_series = [series for run in runs if (series := series_from(run))]
        own = [
            series
            for series in all_series
            if (series.about.name, series.about.version, series.about.version_created) == (name, version, created)
        ]
        return sorted(own, key=_age, reverse=True)

    def judge_now(self, name: str, version: int, reference: str | None = None) -> dict[str, Any] | None:
        """Judge a version, and return what is shared of it; None if nothing was counted.

        What was counted by an earlier `reference` is judged again and not shared. Of several that ask for what nothing
        is known of, the first has it judged, and the others get what is shared meanwhile.
        """
        is_new = self._reports.of(name, version) is None
        try:
            # Of two hosts that judge a version at once, the one that read earlier could share its report later.
            with self._reports.one_at_a_time(name, version):
                if is_new and (known := self._judged_meanwhile(name, version, reference)):
                    return known
                mark = self._reports.mark(name, version)
                all_series = self.series_of(name, version)
                if all_series and reference in (None, all_series[0].run_id):
                    for series, outcome in self._judged(all_series[:1]):
                        self._take(series, all_series[1:], outcome, mark)
                    known = self._reports.of(name, version)
                    if known is None or reference in (None, known["reference"]["id"]):
                        return known
        except LockTimeout:
            if is_new and (known := self._judged_meanwhile(name, version, reference)):
                return known
            raise
        past = [series for series in all_series if series.run_id == reference]
        return self._value(past[0], [], self._judge([self._order(past[0])])[0], {}) if past else None

    def _judged_meanwhile(self, name: str, version: int, reference: str | None) -> dict[str, Any] | None:
        known = self._reports.of(name, version)
        if known is None or known["report"] is None or reference not in (None, known["reference"]["id"]):
            return None
        return known

    def share(self, series: Series, earlier: Sequence[Series]) -> None:
        """Share a series, so that others count by its layout, with its last report.

        It was read under the lock of the version, which is still held: so nothing older replaces something newer.
        """
        known = self._reports.of(series.about.name, series.about.version) or {}
        same = known if known.get("reference", {}).get("id") == series.run_id else {}
        self._put(series, self._value(series, earlier, None, same))

    def _put(self, series: Series, value: Mapping[str, Any]) -> None:
        about = series.about
        self._reports.put(about.name, about.version, value, _summary(about, value["report"]))

    def _value(
        self, series: Series, earlier: Sequence[Series], outcome: JudgeOutcome | None, same: Mapping[str, Any]
    ) -> dict[str, Any]:
        about, report = series.about, outcome.report if outcome else same.get("report")
        reference_rows = report["reference_rows"] if report else None
        if reference_rows is None and series.reference is not None:
            reference_rows = inflated(series.reference)["rows"]
        return {
            "reference": {
                "id": series.run_id,
                "created_at": rfc3339(about.created_at),
                "created_by": about.created_by,
                "origin": "sent" if about.is_sent else "first_windows",
                "rows": reference_rows,
            },
            "layout": inflated(series.layout),
            "earlier": [
                {"id": one.run_id, "created_at": rfc3339(one.about.created_at), "batches": len(one.counted)}
                for one in earlier
            ]
            or same.get("earlier", []),
            "batches": len(series.counted),
            "seal": self._seal(series) if outcome and outcome.report else same.get("seal"),
            "judged_batches": len(series.counted) if outcome and outcome.report else same.get("judged_batches", 0),
            "report": report,
            "problem": outcome.problem if outcome else same.get("problem"),
            "judged_at": rfc3339(self._clock()) if outcome else same.get("judged_at"),
        }

    def _judge_counted(self, keys: list[VersionKey]) -> bool:
        try:
            for name, version in keys:
                self.judge_now(name, version)
            judged = (self._reports.of(*key) for key in keys)
            return not any(known and known["reference"]["id"] in self._unfinished for known in judged)
        except TowerError as error:
            log.warning("What was counted of data could not be judged: %s", error.detail)
        except Exception:
            log.exception("What was counted of data could not be judged")
        return False

    def _judged(self, all_series: Sequence[Series]) -> Iterator[tuple[Series, JudgeOutcome]]:
        """Those of the series that are due, each with its outcome."""
        due = [series for series in all_series if self._is_due(series)]
        parts = [due[start : start + _AT_ONCE] for start in range(0, len(due), _AT_ONCE)]
        orders = ([self._order(series) for series in some] for some in parts)
        with ThreadPoolExecutor(_SIDE_BY_SIDE, "judging") as pool:
            for some, outcomes in zip(parts, pool.map(self._judge, orders), strict=True):
                yield from zip(some, outcomes, strict=True)

    def _take_unless_changed(self, series: Series, outcome: JudgeOutcome, marks: Mapping[VersionKey, object]) -> None:
        """Take an outcome, unless more was counted since `marks` were noted. What is known then may be newer."""
        key = series.about.name, series.about.version
        try:
            with self._reports.one_at_a_time(*key):
                if key in marks and self._reports.mark(*key) == marks[key]:
                    self._take(series, (), outcome, marks[key])
                    return
        except LockTimeout:
            # Somebody else judges a version of this part of the locks.
            pass
        self.judge_soon(*key)

    def _take(self, series: Series, earlier: Sequence[Series], outcome: JudgeOutcome, mark: object) -> None:
        """Share an outcome, and do what follows from it. `mark` was noted before the series was read."""
        key = series.about.name, series.about.version
        if outcome.problem:
            log.warning("%s v%d: %s", *key, outcome.problem)
        with self._writer.one_at_a_time(*key):
            known = self._reports.of(*key) or {}
            is_same = known.get("reference", {}).get("id") == series.run_id
            is_changed = self._reports.mark(*key) != mark
            if known and is_changed and not is_same:
                # Another reference came while this one was judged.
                self.judge_soon(*key)
                return
            value = self._value(series, earlier, outcome, known if is_same else {})
            if is_same and is_changed:
                # So did batches that are not judged yet.
                value |= {name: known[name] for name in ("batches", "earlier")}
            self._put(series, value)
        if outcome.report and not self._after(series, outcome.report):
            self._unfinished.add(series.run_id)
        else:
            self._unfinished.discard(series.run_id)

    def _is_due(self, series: Series) -> bool:
        about = series.about
        if self._created(about.name, about.version) != about.version_created:
            return False
        known = self._reports.of(about.name, about.version)
        return known is None or known.get("seal") != self._seal(series) or series.run_id in self._unfinished

    def _seal(self, series: Series) -> str:
        return f"{series.seal} {self._floor(series)}"

    def _order(self, series: Series) -> JudgeOrder:
        windows = windows_of(series.counted)
        return JudgeOrder(
            series.layout,
            series.reference,
            [(start, end, [batch.body for batch in batches]) for (start, end), batches in windows.items()],
            self._floor(series),
        )

    def _floor(self, series: Series) -> float:
        registration = self._registrations.listed(series.about.name, series.about.version)
        return settings_or_default(registration.settings if registration else {}).data.floor

    def _created(self, name: str, version: int) -> int | None:
        registration = self._registrations.listed(name, version)
        return registration.version_created if registration else None


def _age(series: Series) -> tuple[int, str]:
    return series.about.created_at, series.run_id


def _summary(about: About, report: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The part of a report that lists, findings and verdicts show."""
    if report is None:
        return None
    return {
        **report["summary"],
        "name": about.name,
        "version": about.version,
        "created": about.version_created,
        "is_sent": about.is_sent,
        "estimated": report["windows"][-1]["estimated"] if report["windows"] else None,
    }
