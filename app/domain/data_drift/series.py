"""A series in MLflow: a reference, and the batches that were counted by it, as tags of a run.

A batch is written once and never changed, and a withdrawal is another tag, so that hosts may write side by side. What
a tag holds is zlib-compressed JSON in base64, split where it is longer than a tag may be.
"""

import base64
import hashlib
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from app.domain.data_drift.windows import can_be_shown
from app.domain.errors import MISFITS, TooLarge
from app.domain.own_runs import OwnRun

PREFIX = "control_tower."
KEY = PREFIX + "key"
"""The tag by which the runs of a version are searched."""
_LAYOUT, _REFERENCE, _ABOUT = PREFIX + "layout.", PREFIX + "reference.", PREFIX + "series"
_BATCH, _WITHDRAWN = PREFIX + "batch.", PREFIX + "withdrawn."
_HEAD = "head"
# MLflow silently cuts a longer tag of a run at 8000 characters.
_LONGEST = 7900
_MOST_PARTS = 200
MOST_TAGS = 50
"""How many tags one request carries."""
FIRST_WINDOWS = 10
"""Without a reference, so many windows become the reference."""
MOST_BATCHES = 5000
"""How many batches a series takes."""
_MOST_INFLATED = 64 << 20
_MISFITS = (*MISFITS, zlib.error)


def data_drift_experiment(monitoring_experiment: str) -> str:
    """The name of the experiment that holds the series, beside that of the registrations."""
    return f"{monitoring_experiment}-data-drift"


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """A batch as it is kept. `start` and `end` of its window in milliseconds; `body` is its JSON, compressed.

    `content` tells whether a batch that is sent again under its id is the same.
    """

    batch_id: str
    start: int
    end: int
    rows: int
    received_at: int
    content: str
    body: bytes = b""
    is_withdrawn: bool = False

    @property
    def window(self) -> tuple[int, int]:
        """Start and end of the window: what batches of one window have in common."""
        return self.start, self.end

    @property
    def known_at(self) -> int:
        """Since when its labels are known: the time at which they came, or the end of the window if that was before."""
        return min(self.end - 1, self.received_at)


@dataclass(frozen=True, slots=True)
class About:
    """Who sent a reference, when (milliseconds), for which version, and whether it came as a reference.

    `is_sent`: somebody sent it; else the first batch set the bins, and the first windows are the reference.
    `version_created` tells a version from one that was deleted and made again.
    """

    name: str
    version: int
    version_created: int
    created_at: int
    created_by: str
    is_sent: bool


@dataclass(frozen=True, slots=True)
class Series:
    """What a run holds. `layout` and `reference` are JSON, compressed; `damaged` is how many tags cannot be read."""

    run_id: str
    about: About
    layout: bytes
    reference: bytes | None
    batches: Mapping[str, StoredBatch] = field(default_factory=dict)
    damaged: int = 0
    is_open: bool = True

    @property
    def counted(self) -> list[StoredBatch]:
        """The batches that count, by window."""
        kept = [batch for batch in self.batches.values() if not batch.is_withdrawn]
        return sorted(kept, key=lambda batch: (batch.window, batch.batch_id))

    @property
    def seal(self) -> str:
        """Changes whenever something else counts."""
        kept = [self.run_id, *(f"{batch.batch_id}:{batch.content}" for batch in self.counted)]
        return hashlib.sha256("\n".join(kept).encode()).hexdigest()[:32]


def compressed(value: Any) -> bytes:
    """JSON as it is kept. The same value gives the same bytes."""
    return zlib.compress(orjson.dumps(value, option=orjson.OPT_SORT_KEYS), 6)


def inflated(body: bytes) -> Any:
    """The value of compressed JSON. ValueError for anything else."""
    inflating = zlib.decompressobj()
    try:
        return orjson.loads(inflating.decompress(body, _MOST_INFLATED))
    except zlib.error as error:
        raise ValueError(str(error)) from None


def content_of(body: bytes, start: int, end: int) -> str:
    """A digest of what a batch says."""
    return hashlib.sha256(f"{start} {end}\n".encode() + body).hexdigest()[:32]


def series_tags(about: About, layout: bytes, reference: bytes | None) -> dict[str, str]:
    """The tags of a new series. The last one, which says that it is complete, is the last of the mapping."""
    laid, referred = _parts(_LAYOUT, layout), _parts(_REFERENCE, reference) if reference is not None else {}
    head = {
        "model": about.name,
        "version": about.version,
        "created": about.version_created,
        "at": about.created_at,
        "by": about.created_by,
        "sent": about.is_sent,
        "layout": len(laid),
        "reference": len(referred),
    }
    return laid | referred | {_ABOUT: orjson.dumps(head).decode()}


def batch_tags(batch: StoredBatch) -> dict[str, str]:
    """The tags of a batch. It counts once its last tag is written, the last of the mapping."""
    prefix = f"{_BATCH}{_key(batch.batch_id)}."
    parts = _parts(prefix, batch.body)
    head = {
        "id": batch.batch_id,
        "start": batch.start,
        "end": batch.end,
        "rows": batch.rows,
        "at": batch.received_at,
        "content": batch.content,
        "parts": len(parts),
    }
    return parts | {f"{prefix}{_HEAD}": orjson.dumps(head).decode()}


def withdrawal_tags(batch_id: str, at: int, by: str) -> dict[str, str]:
    """The tag by which a batch no longer counts."""
    return {f"{_WITHDRAWN}{_key(batch_id)}": orjson.dumps({"id": batch_id, "at": at, "by": by}).decode()}


def in_requests(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """The tags in as many requests as it takes, in their order."""
    pairs = list(tags.items())
    return [dict(pairs[start : start + MOST_TAGS]) for start in range(0, len(pairs), MOST_TAGS)]


def series_from(run: OwnRun) -> Series | None:
    """What a run's tags hold; None for a series that is not complete, or cannot be read."""
    tags = run.tags
    try:
        head = orjson.loads(tags[_ABOUT])
        about = About(
            str(head["model"]),
            int(head["version"]),
            int(head["created"]),
            int(head["at"]),
            str(head["by"]),
            bool(head["sent"]),
        )
        layout = _joined(tags, _LAYOUT, int(head["layout"]))
        reference = _joined(tags, _REFERENCE, int(head["reference"])) if head["reference"] else None
    except _MISFITS:
        return None
    batches, damaged = _batches(tags)
    return Series(run.run_id, about, layout, reference, batches, damaged, run.is_open)


def _batches(tags: Mapping[str, str]) -> tuple[dict[str, StoredBatch], int]:
    parts: dict[str, dict[str, str]] = defaultdict(dict)
    for key, text in tags.items():
        if key.startswith(_BATCH):
            name, _, part = key[len(_BATCH) :].partition(".")
            parts[name][part] = text
    batches: dict[str, StoredBatch] = {}
    damaged = 0
    for name, texts in parts.items():
        if _HEAD not in texts:
            # Its last tag was never written.
            continue
        try:
            head = orjson.loads(texts.pop(_HEAD))
            body = _joined(texts, "", int(head["parts"]))
            batch = StoredBatch(
                str(head["id"]),
                int(head["start"]),
                int(head["end"]),
                int(head["rows"]),
                int(head["at"]),
                str(head["content"]),
                body,
                f"{_WITHDRAWN}{name}" in tags,
            )
            if not can_be_shown(*batch.window):
                raise ValueError("the window cannot be shown")
            batches[batch.batch_id] = batch
        except _MISFITS:
            damaged += 1
    return batches, damaged


def _parts(prefix: str, body: bytes) -> dict[str, str]:
    text = base64.b64encode(body).decode()
    pieces = [text[start : start + _LONGEST] for start in range(0, len(text), _LONGEST)]
    if len(pieces) > _MOST_PARTS:
        raise TooLarge("The counts are too many to be kept: leave out columns or segments.")
    return {f"{prefix}{number}": piece for number, piece in enumerate(pieces)}


def _joined(parts: Mapping[str, str], prefix: str, many: int) -> bytes:
    return base64.b64decode("".join(parts[f"{prefix}{number}"] for number in range(many)))


def _key(batch_id: str) -> str:
    return hashlib.sha256(batch_id.encode()).hexdigest()[:24]


def windows_of(batches: Iterable[StoredBatch]) -> dict[tuple[int, int], list[StoredBatch]]:
    """The batches of each window, oldest window first."""
    windows: dict[tuple[int, int], list[StoredBatch]] = defaultdict(list)
    for batch in sorted(batches, key=lambda batch: (batch.window, batch.batch_id)):
        windows[batch.window].append(batch)
    return dict(windows)
