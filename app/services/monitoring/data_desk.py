"""The data desk takes what clients counted: references, batches, labels, withdrawals. It writes them to MLflow."""

import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from app.domain.data_drift.batch import whole
from app.domain.data_drift.batch_json import batch_from
from app.domain.data_drift.bounds import FEWEST_FIRST_ROWS
from app.domain.data_drift.histograms import histograms
from app.domain.data_drift.layout_json import layout_from
from app.domain.data_drift.series import (
    FIRST_WINDOWS,
    MOST_BATCHES,
    About,
    Series,
    StoredBatch,
    batch_tags,
    compressed,
    content_of,
    in_requests,
    inflated,
    series_tags,
    windows_of,
    withdrawal_tags,
)
from app.domain.data_drift.windows import today
from app.domain.errors import Conflict, InvalidInput, NotFound, TooLarge
from app.domain.messages import NO_REFERENCE, NOTHING_COUNTED, REPLACED
from app.domain.ports import Clock, WritingGateway
from app.domain.registry.models import Registration
from app.domain.times import rfc3339
from app.services.monitoring.data_judge import DataJudge
from app.services.monitoring.writable_runs import WritableRuns

OTHER_BATCH = "This batch_id was sent before with other rows. Send these with a batch_id of their own."
OTHER_WINDOW = "This batch_id was sent before with another window"
WITHDRAWN = "This batch_id was withdrawn. Send the rows with another batch_id."
NO_BATCH = (
    "There is no batch with this batch_id. One that an earlier reference counted is withdrawn with the id of that "
    "(?reference=…)."
)
NO_BINS = (
    "There are no bins to count by yet. Send a reference first (PUT …/reference), or a first batch of at least "
    f"{FEWEST_FIRST_ROWS} rows, which sets the bins."
)


class DataDesk:
    """The agent's `DataWrites`. `settle` waits until the other hosts have what was changed."""

    def __init__(
        self,
        gateway: WritingGateway,
        writer: WritableRuns,
        judge: DataJudge,
        clock: Clock,
        settle: Callable[[], None],
    ) -> None:
        self._gateway = gateway
        self._writer = writer
        self._judge = judge
        self._clock = clock
        self._settle = settle

    def put_reference(self, name: str, version: str, layout: Any, counts: Any, by: str) -> dict[str, Any]:
        known, (packed, reference) = self._writer.find(name, version), (compressed(layout), compressed(counts))
        with self._writer.one_at_a_time(*known.key):
            all_series = self._judge.series_of(*known.key)
            current = all_series[0] if all_series else None
            if current is None or (current.layout, current.reference) != (packed, reference):
                current = self._made(known, packed, reference, by, all_series)
            self._judge.share(current, [series for series in all_series if series.run_id != current.run_id])
        self._settled(current)
        return {"id": current.run_id, "rows": counts["rows"]}

    def add_batch(
        self,
        name: str,
        version: str,
        series: str | None,
        layout: Any,
        counts: Any,
        window: tuple[int, int] | None,
        batch_id: str | None,
        by: str,
    ) -> dict[str, Any]:
        known, body = self._writer.find(name, version), compressed(counts)
        batch_id = batch_id or uuid.uuid4().hex
        with self._writer.one_at_a_time(*known.key):
            all_series = self._judge.series_of(*known.key)
            current = all_series[0] if all_series else None
            if current is None:
                if series is not None or layout is None or counts["rows"] < FEWEST_FIRST_ROWS:
                    raise InvalidInput(NO_BINS)
                current = self._made(known, compressed(layout), None, by, all_series)
            elif (layout is not None and current.layout != compressed(layout)) or series not in (None, current.run_id):
                # Another tower's reference: whoever asks for the bins again shall get these.
                self._judge.share(current, all_series[1:])
                raise Conflict(REPLACED)
            now, before = self._clock(), current.batches.get(batch_id)
            start, end = window or (before.window if before else today(now))
            content = content_of(body, start, end)
            current = self._with(current, StoredBatch(batch_id, start, end, counts["rows"], now, content, body))
            self._judge.share(current, all_series[1:])
        self._settled(current)
        return {
            "batch_id": batch_id,
            "series": current.run_id,
            "is_learnt": current.reference is None,
            "start": start,
            "end": end,
        }

    def withdraw_batch(self, name: str, version: str, batch_id: str, reference: str | None, by: str) -> int:
        known = self._writer.find(name, version)
        with self._writer.one_at_a_time(*known.key):
            all_series = self._judge.series_of(*known.key)
            chosen = all_series[:1]
            if reference is not None:
                chosen = [series for series in all_series if series.run_id == reference]
                if not chosen:
                    raise NotFound(NO_REFERENCE)
            batch = chosen[0].batches.get(batch_id) if chosen else None
            if batch is None:
                raise NotFound(NO_BATCH)
            if not batch.is_withdrawn:
                with self._writer.turn():
                    self._gateway.write_data(chosen[0].run_id, withdrawal_tags(batch_id, self._clock(), by), {})
        self._judge.judge_soon(*known.key)
        self._settle()
        return batch.rows

    def report(self, name: str, version: str, reference: str | None) -> dict[str, Any] | None:
        known = self._writer.find(name, version)
        return self._judge.judge_now(*known.key, reference)

    def histogram(
        self, name: str, version: str, column: str, segment: tuple[str, str] | None, start: int | None
    ) -> dict[str, Any]:
        known = self._writer.find(name, version)
        all_series = self._judge.series_of(*known.key)
        if not all_series:
            raise NotFound(NOTHING_COUNTED)
        layout = layout_from(inflated(all_series[0].layout))
        if column not in layout.columns:
            raise NotFound(f"The reference has no column '{column[:200]}'.")
        if segment and segment[1] not in layout.segments.get(segment[0], ()):
            raise NotFound(f"The reference has no segment of the rows whose '{segment[0][:200]}' is that value.")
        windows = windows_of(all_series[0].counted)
        with_rows = {window: batches for window, batches in windows.items() if any(batch.rows for batch in batches)}
        chosen = [window for window in with_rows if start in (None, window[0])]
        if not chosen:
            raise NotFound("There is no such window with rows.")

        def counts_in(window: tuple[int, int]) -> Any:
            return whole(batch_from(inflated(batch.body), layout) for batch in with_rows[window])

        if all_series[0].reference is not None:
            base = batch_from(inflated(all_series[0].reference), layout)
        else:
            base = whole(map(counts_in, list(with_rows)[:FIRST_WINDOWS]))
        is_learnt = all_series[0].reference is None
        return {
            "window": chosen[-1],
            "is_learnt": is_learnt,
            **histograms(layout, base, counts_in(chosen[-1]), column, segment),
        }

    def _made(
        self, known: Registration, layout: bytes, reference: bytes | None, by: str, earlier: list[Series]
    ) -> Series:
        """Begin a series; those before it end."""
        # The newest counts, also where the clock of the host that took an earlier one was ahead.
        made_at = max([self._clock(), *(series.about.created_at + 1 for series in earlier)])
        about = About(*known.key, known.version_created, made_at, by, reference is not None)
        requests = in_requests(series_tags(about, layout, reference))
        with self._writer.turn():
            run_id = self._gateway.make_data_series(*known.key, {})
            for tags in requests:
                self._gateway.write_data(run_id, tags, {})
        for series in earlier:
            if series.is_open:
                with self._writer.turn():
                    self._gateway.end_data_series(series.run_id)
        return Series(run_id, about, layout, reference)

    def _with(self, series: Series, batch: StoredBatch) -> Series:
        """The series with a batch, which is written; one that was written before must be the same."""
        before = series.batches.get(batch.batch_id)
        if before is not None:
            if before.is_withdrawn:
                raise Conflict(WITHDRAWN)
            if before.window != batch.window:
                raise Conflict(f"{OTHER_WINDOW}: {rfc3339(before.start)} to {rfc3339(before.end)}.")
            if before.content != batch.content:
                raise Conflict(OTHER_BATCH)
            return series
        if len(series.batches) >= MOST_BATCHES:
            raise TooLarge(f"A reference takes {MOST_BATCHES} batches. Send larger ones, or another reference.")
        for tags in in_requests(batch_tags(batch)):
            with self._writer.turn():
                self._gateway.write_data(series.run_id, tags, {})
        return replace(series, batches={**series.batches, batch.batch_id: batch})

    def _settled(self, series: Series) -> None:
        self._judge.judge_soon(series.about.name, series.about.version)
        self._settle()
