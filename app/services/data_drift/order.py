"""What the process that counts is asked for, and what it answers. Workers import this too, so it needs no numpy."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from app.domain.data_drift.bins import CATEGORICAL, NUMERIC

JSON, NDJSON, CSV, PARQUET = (
    "application/json",
    "application/x-ndjson",
    "text/csv",
    "application/vnd.apache.parquet",
)
MEDIA_TYPES: Mapping[str, str] = {
    **{name: name for name in (JSON, NDJSON, CSV, PARQUET)},
    "application/jsonl": NDJSON,
    "application/jsonlines": NDJSON,
    "application/ndjson": NDJSON,
    "application/csv": CSV,
    "application/x-parquet": PARQUET,
    "application/parquet": PARQUET,
}
"""What each Content-Type that is taken means."""

MOST_SECONDS = 60
"""Of processor time that counting a body may take."""
IGNORE = "ignore"
KINDS = (NUMERIC, CATEGORICAL, IGNORE)
"""What may be said of a column."""


class Order(msgspec.Struct, frozen=True):
    """How a body is to be counted.

    `media_type` is one of those that `MEDIA_TYPES` maps to, `coding` the Content-Encoding. `layout` is the reference's
    in JSON, and `reference` its id; without one, a layout is made of the rows, of which there must be `fewest_rows`.
    `counted_by` is the id of the reference by which the sender counted. It and what is said of columns may be in a JSON
    body too. `labels_only`: the inputs of these rows came before. `most_bytes` holds after inflating.
    """

    media_type: str
    coding: str = ""
    layout: dict[str, Any] | None = None
    reference: str | None = None
    counted_by: str | None = None
    prediction: str | None = None
    score: str | None = None
    label: str | None = None
    segments: Sequence[str] = ()
    kinds: Mapping[str, str] = {}
    fewest_rows: int = 1
    labels_only: bool = False
    most_bytes: int = 512 << 20


class Counted(msgspec.Struct, frozen=True):
    """A body as counts: `batch` and the `layout` by which it was counted, in JSON.

    `fields` are the other members of a JSON body, such as `batch_id`, unchecked.
    """

    batch: dict[str, Any]
    layout: dict[str, Any]
    fields: dict[str, Any] = {}


class Refused(msgspec.Struct, frozen=True):
    """Why a body cannot be counted. `is_too_large` if less of it could be, `is_conflict` if by another reference."""

    detail: str
    is_too_large: bool = False
    is_conflict: bool = False


class CountOutcome(msgspec.Struct, frozen=True):
    """What the process answers: one of both."""

    counted: Counted | None = None
    refused: Refused | None = None
