"""The report on a version's data, as bytes that are kept until it is judged again: it may have a megabyte."""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from app.domain.ports import Clock
from app.domain.times import DAY_MS, day_start, parse_rfc3339
from app.services.answers.prepared import Answer, Prepared
from app.services.monitoring.data_reports import DataReports
from app.services.monitoring.data_requests import DataRequests

_MOST_KEPT = 8


@dataclass(frozen=True, slots=True)
class _Kept:
    """A report. It holds while the mark of the version's data is the same, up to the time `until` (milliseconds)."""

    mark: object
    until: int
    prepared: Prepared


class DataReport:
    """A worker's reports on data. Only those that were asked for last are kept."""

    def __init__(self, requests: DataRequests, reports: DataReports, clock: Clock) -> None:
        self._requests = requests
        self._reports = reports
        self._clock = clock
        self._kept: OrderedDict[tuple[str, str, int], _Kept] = OrderedDict()
        self._keeping = threading.Lock()

    def of(self, name: str, version: str, days: int, reference: str | None) -> Answer:
        """The windows of the last days, judged, by the present reference or an earlier one. Raises `NotFound`."""
        if reference is not None:
            return Answer(Prepared(orjson.dumps(self._requests.report(name, version, days, reference)), self._clock()))
        # The mark is looked at before the report is read, so that a newer report is noticed the next time.
        mark, now = self._reports.mark(name, self._requests.check(name, version)), self._clock()
        kept = self._kept.get((name, version, days))
        if kept is None or kept.mark != mark or now >= kept.until:
            report = self._requests.report(name, version, days, None)
            kept = _Kept(mark, _holds_until(report, days, now), Prepared(orjson.dumps(report), now))
            with self._keeping:
                self._kept[name, version, days] = kept
                self._kept.move_to_end((name, version, days))
                if len(self._kept) > _MOST_KEPT:
                    self._kept.popitem(last=False)
        return Answer(kept.prepared)


def _holds_until(report: Mapping[str, Any], days: int, now: int) -> int:
    """When the report says something else without new data: a window is too old, or days have other names."""
    ends = [parse_rfc3339(window["end"], "end") + days * DAY_MS for window in report["windows"]]
    return min([day_start(now) + DAY_MS, *ends])
