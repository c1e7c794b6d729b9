"""What follows a new report on data: figures in MLflow, observations of realised figures, and a check."""

import hashlib
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import orjson

from app.domain.data_drift.sentence import columns_of
from app.domain.data_drift.series import PREFIX, Series
from app.domain.errors import Conflict, TowerError
from app.domain.monitoring.check_settings import settings_or_default
from app.domain.monitoring.observations import Observation
from app.domain.monitoring.sent_once import sent_once
from app.domain.ports import Clock, WritingGateway
from app.domain.times import parse_rfc3339, rfc3339
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
            withdrawn = _withdrawn_of(series)
            try:
                for window in report["windows"]:
                    if window["realised"] and not window["label_problem"]:
                        of_window = withdrawn[window["start"], window["end"]]
                        self._observe(name, version, series.run_id, window, of_window)
            except TowerError as error:
                log.warning("%s v%d: Realised figures are no observations yet: %s", name, version, error.detail)
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
        time = parse_rfc3339(summary["at"], "at")
        points = {f"{PREFIX}{name}": (float(figure), time) for name, figure in figures.items() if figure is not None}
        try:
            with self._writer.turn():
                self._gateway.write_data(run_id, {}, points)
        except TowerError as error:
            log.warning("MLflow's charts lack the newest figures of data: %s", error.detail)

    def _observe(
        self, name: str, version: int, run_id: str, window: Mapping[str, Any], withdrawn: Sequence[str]
    ) -> None:
        figures = window["realised"]
        # Labels add up, so figures come back only where some were withdrawn. Then they are written once more.
        state = [run_id, window["start"], window["end"], figures, *([withdrawn] if withdrawn else [])]
        known = hashlib.sha256(orjson.dumps(state)).hexdigest()
        if known in self._written:
            return
        now, end = self._clock(), parse_rfc3339(window["end"], "end")
        values = [
            Observation(metric, min(end - 1, now), figures[figure], is_dated=end <= now, n=figures["rows"])
            for figure, metric in _METRICS.items()
            if figures.get(figure) is not None
        ]
        # While the window is open its values have the present time. What was written then is not written again.
        with suppress(Conflict):
            self._writer.observe(name, str(version), values, sent_once(f"data {known}", values, now))
        if len(self._written) >= _MOST_REMEMBERED:
            self._written.pop(next(iter(self._written)))
        self._written[known] = None


def _withdrawn_of(series: Series) -> Mapping[tuple[str | None, str | None], list[str]]:
    """The ids of the withdrawn batches of each window, by its start and end as reports have them."""
    withdrawn: dict[tuple[str | None, str | None], list[str]] = defaultdict(list)
    for batch_id in sorted(series.batches):
        batch = series.batches[batch_id]
        if batch.is_withdrawn:
            withdrawn[rfc3339(batch.start), rfc3339(batch.end)].append(batch_id)
    return withdrawn
