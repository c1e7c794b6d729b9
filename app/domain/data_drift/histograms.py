"""The histogram of a column in a window, beside that of the reference."""

from typing import Any

from app.domain.data_drift.batch import Batch, Segment
from app.domain.data_drift.bins import NumericBins
from app.domain.data_drift.counts import ColumnCounts
from app.domain.data_drift.layout import Layout


def counts_of(batch: Batch, segment: Segment | None, name: str, layout: Layout) -> ColumnCounts:
    """The counts of a column, over all rows or over those of a segment; none where it was not counted."""
    rows = batch.counts if segment is None else batch.segments.get(segment)
    counts = rows.columns.get(name) if rows else None
    return counts if counts else ColumnCounts((0,) * layout.columns[name].cells, missing=rows.rows if rows else 0)


def histograms(layout: Layout, base: Batch, window: Batch, name: str, segment: Segment | None) -> dict[str, Any]:
    """Both histograms of a column: of the reference and of a window, over all rows or those of a segment."""
    bins = layout.columns[name]
    cells = range(bins.cells)
    labels = [bins.label(cell, cell) if isinstance(bins, NumericBins) else bins.label(cell) for cell in cells]
    return {
        "labels": labels,
        "edges": list(bins.edges) if isinstance(bins, NumericBins) else None,
        "reference": _value(counts_of(base, segment, name, layout)),
        "counts": _value(counts_of(window, segment, name, layout)),
    }


def _value(counts: ColumnCounts) -> dict[str, Any]:
    return {"rows": counts.rows, "cells": list(counts.cells), "missing": counts.missing, "unknown": counts.unknown}
