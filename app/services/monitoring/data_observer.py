"""What follows a new report on data: figures in MLflow, observations of realised figures, and a check."""

import hashlib
import logging
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from app.domain.data_drift.sentence import columns_of
from app.domain.data_drift.series import PREFIX, Series
from app.domain.errors import TowerError
from app.domain.monitoring.check_settings import settings_or_default
from app.domain.monitoring.observations import Observation
from app.domain.monitoring.sent_once import sent_once
from app.domain.ports import Clock, WritingGateway
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
        gateway: WritingGateway,
        writer: MonitorRunWriter,
        registrations: RegistrationStore,
        clock: Clock,
        check_soon: Callable[[str, int], None],
    ) -> None:
        self._gateway = gateway
        self._writer = writer
        self._registrations = registrations
        self._clock = clock
        self._check_soon = check_soon
        self._written: dict[str, None] = {}

    def take(self, series: Series, report: Mapping[str, Any]) -> None:
        """Write the figures of the newest window, and realised figures that are new; have the version checked."""
        name, version = series.about.name, series.about.version
        registration = self._registrations.listed(name, version)
        if registration is None:
            return
        self._note(series.run_id, report)
        if settings_or_default(registration.settings).data.observe:
            try:
                for window in report["windows"]:
                    if window["realised"]:
                        self._observe(name, version, series.run_id, window)
            except TowerError as error:
                log.warning("Realised figures are no observations yet: %s", error.detail)
        self._check_soon(name, version)

    def _note(self, run_id: str, report: Mapping[str, Any]) -> None:
        """Write what MLflow's own charts show of the newest window. MLflow keeps the same point once."""
        if not report["windows"]:
            return
        window, summary = report["windows"][-1], report["summary"]
        figures = {
            "rows": window["rows"],
            "moved_inputs": columns_of(summary["moved_inputs"]),
            "moved_outputs": columns_of(summary["moved_outputs"]),
            **{f"estimated_{name}": figure for name, figure in (window["estimated"] or {}).items()},
        }
        points = {
            f"{PREFIX}{name}": (float(figure), int(summary["at"]))
            for name, figure in figures.items()
            if figure is not None
        }
        try:
            with self._writer.turn():
                self._gateway.write_data(run_id, {}, points)
        except TowerError as error:
            log.warning("MLflow's charts lack the newest figures of data: %s", error.detail)

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
