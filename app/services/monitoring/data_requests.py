"""What a worker's views ask of data: bodies are counted in a process of their own, and the agent writes the counts."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, BinaryIO

import msgspec

from app.domain.data_drift.bounds import FEWEST_FIRST_ROWS, FEWEST_OF_A_CATEGORY, FEWEST_REFERENCE_ROWS, FEWEST_ROWS
from app.domain.data_drift.layout import NO_ADDRESS
from app.domain.data_drift.plural import many
from app.domain.data_drift.sentence import ASSUMPTION, few_rows, sentence
from app.domain.data_drift.windows import window_of
from app.domain.errors import Conflict, InvalidInput, NotFound
from app.domain.messages import NO_REFERENCE, NOT_MONITORED, NOTHING_COUNTED, REPLACED
from app.domain.monitoring.sent_once import LONGEST_ID
from app.domain.ports import Clock, DataWrites
from app.domain.registry.names import version_number
from app.domain.times import DAY_MS, parse_rfc3339, rfc3339
from app.services.data_drift.counting import Count
from app.services.data_drift.order import KINDS, Order
from app.services.monitoring.data_reports import DataReports
from app.services.monitoring.registration_list import RegistrationList

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_FIELDS = ("window_start", "window_end", "batch_id", "reference")
_FEW_OF_A_REFERENCE = (
    f"A reference has at least {FEWEST_REFERENCE_ROWS} rows, since the bins of fewer would tell of single rows."
)
LEARNT = (
    "There is no reference: the first batch set the bins, and the first ten windows are the reference. "
    "PUT …/reference sends one."
)


class DataRequests:
    """A worker's references, batches, labels and answers about data."""

    def __init__(
        self,
        writes: DataWrites,
        reports: DataReports,
        registrations: RegistrationList,
        count: Count,
        clock: Clock,
    ) -> None:
        self._writes = writes
        self._reports = reports
        self._registrations = registrations
        self._count = count
        self._clock = clock

    def put_reference(self, name: str, version: str, order: Order, body: BinaryIO, by: str) -> dict[str, Any]:
        """Have batches counted by a reference from now on. Raises what counting raises, and `NotFound`."""
        self.check(name, version)
        counted = self._count(order, body)
        _refuse_others(counted.fields)
        if (rows := counted.batch["rows"]) < FEWEST_REFERENCE_ROWS:
            raise InvalidInput(f"{_FEW_OF_A_REFERENCE} This one has {rows}.")
        made = self._writes.put_reference(name, version, counted.layout, counted.batch, by)
        self._reports.catch_up()
        return {
            **made,
            "layout": counted.layout,
            "unknown_columns": counted.batch.get("unknown_columns", []),
            "note": _note({"origin": "sent", "rows": rows}, counted.layout),
        }

    def add(
        self, name: str, version: str, order: Order, query: Mapping[str, Any], body: BinaryIO, by: str
    ) -> dict[str, Any]:
        """Count a batch, or labels that came later, in a window. Raises what counting raises, `NotFound`, `Conflict`.

        `query` may have `window_start`, `window_end`, `batch_id` and `reference`; so may a JSON body. Counts take the
        `reference` by which they were made, unless there is none.
        """
        number = self.check(name, version)
        known = self._reports.of(name, number) or self._writes.report(name, version, None)
        if order.labels_only and known is None:
            raise NotFound(NOTHING_COUNTED)
        layout, series = (known["layout"], known["reference"]["id"]) if known else (None, None)
        order = msgspec.structs.replace(order, layout=layout, reference=series, fewest_rows=FEWEST_FIRST_ROWS)
        try:
            _check_reference(query, series)
            counted = self._count(order, body)
        except Conflict:
            # Another tower may have taken a reference that this one has not read yet.
            self._writes.report(name, version, None)
            raise
        _refuse_others(counted.fields)
        said = {**counted.fields, **query}
        window = window_of(said.get("window_start"), said.get("window_end"), self._clock())
        _check_reference(said, series)
        layout = None if known else counted.layout
        batch_id = _batch_id(said.get("batch_id"))
        made = self._writes.add_batch(name, version, series, layout, counted.batch, window, batch_id, by)
        self._reports.catch_up()
        roles = [column.get("role") for column in counted.layout["columns"].values()]
        rows = counted.batch["rows"]
        return {
            "batch_id": made["batch_id"],
            "rows": rows,
            "labelled_rows": _labelled(counted.batch),
            "window": {"start": rfc3339(made["start"]), "end": rfc3339(made["end"])},
            "features": roles.count("input"),
            "unknown_columns": counted.batch.get("unknown_columns", []),
            "reference": made["series"],
            "note": LEARNT if made["is_learnt"] else few_rows(known["reference"]["rows"] if known else None),
        }

    def withdraw(self, name: str, version: str, batch_id: str, reference: str | None, by: str) -> int:
        """Have a batch of a reference, by default the present one, no longer count; returns how many rows it has.

        Raises `NotFound`.
        """
        return self._writes.withdraw_batch(name, version, batch_id, reference, by)

    def reference(self, name: str, version: str) -> dict[str, Any]:
        """The reference that counts, with its layout, and those before it. Raises `NotFound`."""
        known = self._known(name, version, None)
        return {
            **known["reference"],
            "batches": known["batches"],
            "layout": known["layout"],
            "earlier": known["earlier"],
            "note": _note(known["reference"], known["layout"]),
        }

    def summaries(self, name: str) -> list[dict[str, Any]]:
        """The state of each version of a model whose data is counted, in a sentence; the newest version first."""
        now = self._clock()
        known = {
            key[1]: summary
            for key, registration in self._registrations.peek().by_key.items()
            if key[0] == name and (summary := self._reports.summary(registration))
        }
        return [
            {
                "model_version": str(version),
                "sentence": sentence(known[version], now),
                "is_learning": known[version]["is_learning"],
                "moved": bool(known[version]["moved_inputs"] or known[version]["moved_outputs"]),
                "estimate_fell": known[version]["estimated_fall"] is not None,
                "note": few_rows(known[version]["reference_rows"]) if known[version]["is_sent"] else LEARNT,
            }
            for version in sorted(known, reverse=True)
        ]

    def report(self, name: str, version: str, days: int, reference: str | None) -> dict[str, Any]:
        """The windows of the last days, judged, by the present reference or an earlier one. Raises `NotFound`."""
        known = self._known(name, version, reference)
        report = known["report"] or {"windows": [], "summary": None}
        since = self._clock() - days * DAY_MS
        windows = [window for window in report["windows"] if parse_rfc3339(window["end"], "end") > since]
        return {
            "model_name": name,
            "model_version": version,
            "sentence": sentence(report["summary"], self._clock()),
            "reference": known["reference"],
            "note": _note(known["reference"], known["layout"]),
            "batches": known["batches"],
            "judged_batches": known["judged_batches"],
            "judged_at": known["judged_at"],
            "problem": known["problem"],
            "limits": report.get("limits"),
            "assumption": ASSUMPTION if any(window["estimated"] for window in windows) else None,
            "summary": report["summary"],
            "windows": windows,
        }

    def histogram(self, name: str, version: str, column: str, query: Mapping[str, Any]) -> dict[str, Any]:
        """Both histograms of a column in a window. Raises `NotFound`."""
        self.check(name, version)
        segment = query.get("segment")
        if (segment is None) != (query.get("value") is None):
            raise InvalidInput("segment: Give both, the column and its value.")
        since = query.get("window_start")
        histogram = self._writes.histogram(
            name,
            version,
            column,
            (segment, query["value"]) if segment is not None else None,
            None if since is None else parse_rfc3339(since, "window_start"),
        )
        is_enough = min(histogram["reference"]["rows"], histogram["counts"]["rows"]) >= FEWEST_ROWS
        start, end = map(rfc3339, histogram.pop("window"))
        rows = histogram["reference"]["rows"] if segment is None else None
        note = LEARNT if histogram.pop("is_learnt") else few_rows(rows)
        return {**histogram, "is_enough": is_enough, "window": {"start": start, "end": end}, "note": note}

    def _known(self, name: str, version: str, reference: str | None) -> dict[str, Any]:
        number = self.check(name, version)
        current = self._reports.of(name, number)
        known = current
        if known is None or reference not in (None, known["reference"]["id"]):
            known = self._writes.report(name, version, reference)
        if known is None:
            raise NotFound(NOTHING_COUNTED if current is None else NO_REFERENCE)
        return known

    def check(self, name: str, version: str) -> int:
        """The number of a version that is monitored. Raises `NotFound`."""
        number = version_number(version)
        if number is None or not self._registrations.is_monitored(name, version):
            raise NotFound(NOT_MONITORED)
        return number


def _note(reference: Mapping[str, Any], layout: Mapping[str, Any]) -> str | None:
    """What to know about a reference; None if nothing."""
    notes = [few_rows(reference["rows"]) if reference["origin"] == "sent" else LEARNT]
    for column, others in layout.get("other_values", {}).items():
        judged = len(layout["segments"].get(column, ()))
        notes.append(
            f"Column '{column}' has {many(judged + others, 'value')}: {judged} of them are judged apart, the most "
            f"frequent that are there {FEWEST_OF_A_CATEGORY} times or more, and {others} are not."
        )
    return " ".join(note for note in notes if note) or None


def order_of(media_type: str, coding: str, query: Mapping[str, Any], *, labels_only: bool = False) -> Order:
    """How a body is to be counted, by its format and what the query says of columns. Raises `InvalidInput`."""
    of_kinds = Counter(name for kind in KINDS for name in query.get(kind, ()))
    if twice := [name for name, many in of_kinds.items() if many > 1]:
        raise InvalidInput(f"Column '{twice[0]}' has a kind twice.")
    return Order(
        media_type,
        coding,
        prediction=query.get("prediction"),
        score=query.get("score"),
        label=query.get("label"),
        segments=tuple(query.get("segment", ())),
        kinds={name: kind for kind in KINDS for name in query.get(kind, ())},
        labels_only=labels_only,
        counted_by=query.get("reference"),
    )


def _refuse_others(fields: Mapping[str, Any]) -> None:
    if others := [name for name in fields if name not in _FIELDS]:
        raise InvalidInput(f"{others[0][:60]}: Unknown field.")


def _check_reference(said: Mapping[str, Any], series: str | None) -> None:
    if said.get("reference") not in (None, series):
        raise Conflict(REPLACED)


def _batch_id(value: Any) -> str | None:
    if value is not None and (
        not isinstance(value, str) or not 1 <= len(value) <= LONGEST_ID or _CONTROL.search(value)
    ):
        raise InvalidInput(f"batch_id: must be a text of 1 to {LONGEST_ID} characters, none of which is a control.")
    if value in NO_ADDRESS:
        raise InvalidInput(f"batch_id: '{value}' can be no part of an address, by which a batch is withdrawn.")
    return value


def _labelled(batch: Mapping[str, Any]) -> int:
    labelled, errors = batch.get("labelled"), batch.get("errors")
    of_classes = sum(sum(cell) for of_class in labelled["counts"] for cell in of_class) if labelled else 0
    return of_classes + (errors["rows"] if errors else 0)
