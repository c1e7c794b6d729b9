"""Makes observations of the realised figures of windows, and has the version checked when its data was judged."""

import hashlib
import logging
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from app.domain.data_drift.series import Series
from app.domain.errors import TowerError
from app.domain.monitoring.check_settings import settings_or_default
from app.domain.monitoring.observations import Observation
from app.domain.monitoring.sent_once import sent_once
from app.domain.ports import Clock
from app.domain.times import parse_rfc3339
from app.services.monitoring.monitor_run_writer import MonitorRunWriter
from app.services.monitoring.registration_list import RegistrationStore

log = logging.getLogger(__name__)

_METRICS = {
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1": "f1_score",
    "roc_auc": "roc_auc",
    "mae": "mae",
    "rmse": "rmse",
}
# What was written is remembered, so that a report on ninety windows does not write all of them again.
_MOST_REMEMBERED = 20_000


class DataObserver:
    """Called with each new report. `check_soon` has the version checked."""

    def __init__(
        self,
        writer: MonitorRunWriter,
        registrations: RegistrationStore,
        clock: Clock,
        check_soon: Callable[[str, int], None],
    ) -> None:
        self._writer = writer
        self._registrations = registrations
        self._clock = clock
        self._check_soon = check_soon
        self._written: dict[str, None] = {}

    def take(self, series: Series, report: Mapping[str, Any]) -> None:
        """Write the realised figures that are new, and have the version checked."""
        name, version = series.about.name, series.about.version
        registration = self._registrations.listed(name, version)
        if registration is None:
            return
        if settings_or_default(registration.settings).data.observe:
            try:
                for window in report["windows"]:
                    if window["realised"]:
                        self._observe(name, version, series.run_id, window)
            except TowerError as error:
                log.warning("Realised figures are no observations yet: %s", error.detail)
        self._check_soon(name, version)

    def _observe(self, name: str, version: int, run_id: str, window: Mapping[str, Any]) -> None:
        figures = window["realised"]
        known = hashlib.sha256(orjson.dumps([run_id, window["start"], window["end"], figures])).hexdigest()
        if known in self._written:
            return
        now = self._clock()
        time = min(parse_rfc3339(window["end"], "end") - 1, now)
        values = [
            Observation(metric, time, figures[figure], n=figures["rows"])
            for figure, metric in _METRICS.items()
            if figures.get(figure) is not None
        ]
        self._writer.observe(name, str(version), values, sent_once(f"data {known}", values, now))
        if len(self._written) >= _MOST_REMEMBERED:
            self._written.pop(next(iter(self._written)))
        self._written[known] = None
