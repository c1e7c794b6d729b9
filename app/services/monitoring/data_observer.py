"""What follows a new report on data: figures in MLflow, observations of realised figures, and a check."""

import hashlib
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

import orjson

from app.domain.data_drift.sentence import columns_of
from app.domain.data_drift.series import PREFIX, Series, StoredBatch
from app.domain.errors import Conflict, TowerError
from app.domain.monitoring.check_settings import settings_or_default
from app.domain.monitoring.monitor_runs import SELF
from app.domain.monitoring.observations import Observation
from app.domain.monitoring.sent_once import sent_once
from app.domain.ports import Clock, WritingGateway
from app.domain.registry.models import Registration
from app.domain.times import parse_rfc3339, rfc3339
from app.services.monitoring.observation_writer import ObservationWriter
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
        writer: ObservationWriter,
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

    def take(self, series: Series, report: Mapping[str, Any]) -> bool:
        """Write the figures of the newest window, and make the observations those of the labels that count.

        Has the version checked. Returns whether all could be written.
        """
        name, version = series.about.name, series.about.version
        registration = self._registrations.listed(name, version)
        if registration is None:
            return True
        self._note(series.run_id, report)
        is_whole = True
        if settings_or_default(registration.settings).data.observe:
            try:
                self._follow(registration, series, report)
            except TowerError as error:
                is_whole = False
                log.warning("%s v%d: Realised figures are no observations yet: %s", name, version, error.detail)
        self._check_soon(name, version)
        return is_whole

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

    def _follow(self, registration: Registration, series: Series, report: Mapping[str, Any]) -> None:
        """Withdraw the observations whose labels were withdrawn, and write the realised figures that are new."""
        batches: dict[tuple[str | None, str | None], list[StoredBatch]] = defaultdict(list)
        for batch in series.batches.values():
            batches[rfc3339(batch.start), rfc3339(batch.end)].append(batch)
        kept: set[int] = set()
        realised = []
        for window in report["windows"]:
            of_window = batches[window["start"], window["end"]]
            if window["label_problem"]:
                # Its observations stay as they are until that is mended.
                kept |= {batch.known_at for batch in of_window}
            elif window["realised"]:
                time = max(batch.known_at for batch in of_window if not batch.is_withdrawn)
                kept.add(time)
                realised.append((window, time, sorted(batch.batch_id for batch in of_window if batch.is_withdrawn)))
        changed = [of_window for of_window in batches.values() if any(batch.is_withdrawn for batch in of_window)]
        times = {batch.known_at for of_window in changed for batch in of_window} - kept
        self._withdraw(registration, times, [batch for of_window in changed for batch in of_window])
        for window, time, withdrawn in realised:
            self._observe(registration, series.run_id, window, time, withdrawn)

    def _withdraw(self, registration: Registration, times: Collection[int], batches: Sequence[StoredBatch]) -> None:
        """Withdraw what realised figures of these times became, and nothing that others observed.

        `batches` are those of the windows of which some were withdrawn.
        """
        run_id, name = registration.monitor_run_id, registration.name
        withdrawn = sorted(batch.batch_id for batch in batches if batch.is_withdrawn)
        state = hashlib.sha256(orjson.dumps([run_id, sorted(times), withdrawn])).hexdigest()
        row = None if not times or state in self._written else self._gateway.find_version(name, registration.version)
        if row is None:
            return
        points = self._gateway.evidence([row], {registration.key: run_id})[registration.key]
        observed: dict[int, set[str]] = defaultdict(set)
        for point in points:
            if point.run_id == run_id and point.time in times:
                observed[point.time].add(point.metric)
        ours = set(_METRICS.values())
        for time, metrics in sorted(observed.items()):
            # One withdrawal of all metrics where nobody else observed any at that millisecond.
            for metric in [None] if metrics <= ours else sorted(metrics & ours):
                self._writer.withdraw(name, str(registration.version), metric, time, time, SELF)
        self._remember(state)

    def _observe(
        self, registration: Registration, run_id: str, window: Mapping[str, Any], time: int, withdrawn: Sequence[str]
    ) -> None:
        figures = window["realised"]
        # Labels add up, so figures come back only where some were withdrawn. Then they are written once more.
        state = [run_id, window["start"], window["end"], figures, *([withdrawn] if withdrawn else [])]
        known = hashlib.sha256(orjson.dumps(state)).hexdigest()
        if known in self._written:
            return
        values = [
            Observation(metric, time, figures[figure], n=figures["rows"])
            for figure, metric in _METRICS.items()
            if figures.get(figure) is not None
        ]
        # Rows without labels that came later change no figure, and what was written is not written again.
        with suppress(Conflict):
            sent = sent_once(f"data {known}", values, self._clock())
            self._writer.observe(registration.name, str(registration.version), values, sent)
        self._remember(known)

    def _remember(self, state: str) -> None:
        if len(self._written) >= _MOST_REMEMBERED:
            self._written.pop(next(iter(self._written)))
        self._written[state] = None
