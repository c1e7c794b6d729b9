"""The record as tags of runs in MLflow. A tag's key follows from its content, so that a tag may be written twice."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import orjson

from app.domain.errors import MISFITS
from app.domain.own_runs import LONGEST_TAG, OwnRun
from app.domain.registry_history.change import TOWER, Change, change_from, row_of
from app.domain.registry_history.lineage import FirstLook, first_look_from, first_look_row
from app.domain.registry_history.looking import Gap, Looked
from app.domain.registry_history.record import Additions

PREFIX = "control_tower."
_CHANGE, _FIRST, _GAP = PREFIX + "change.", PREFIX + "first.", PREFIX + "gap."
_LOOKED, _BEGUN = PREFIX + "looked", PREFIX + "begun"

# The most that one request carries, all or none: tags, and characters in them.
MOST_TAGS, _MOST_CHARACTERS = 100, 400_000
MOST_IN_A_RUN = 1000
"""How many tags a run holds; reading a run with many more takes disproportionately long."""


def history_experiment(monitoring_experiment: str) -> str:
    """The name of the experiment that holds the record, beside that of the registrations."""
    return f"{monitoring_experiment}-history"


def read_tags(runs: Iterable[OwnRun]) -> tuple[Additions, int]:
    """What the tags of some runs hold, and the number of tags that cannot be read."""
    first: list[FirstLook] = []
    changes: list[Change] = []
    gaps: list[Gap] = []
    looked: Looked | None = None
    begun: list[int] = []
    bad = 0
    for key, text in (pair for run in runs for pair in run.tags.items()):
        try:
            if key.startswith(_CHANGE):
                changes.append(change_from(text))
            elif key.startswith(_FIRST):
                began, ended, rows = orjson.loads(text)
                first += [first_look_from(row, began, ended) for row in rows]
            elif key.startswith(_GAP):
                start, end = orjson.loads(text)
                gaps.append((int(start), int(end)))
            elif key == _LOOKED:
                aliases, stages = orjson.loads(text)
                looked = Looked(int(aliases), int(stages)).joined(looked)
            elif key == _BEGUN:
                begun.append(int(text))
        except MISFITS:
            bad += 1
    return Additions(tuple(first), tuple(changes), tuple(gaps), looked, max(begun, default=None)), bad


@dataclass(frozen=True, slots=True)
class TagBatch:
    """Tags to write in one request, and what they add to the record."""

    tags: Mapping[str, str]
    adds: Additions


def batches_of(more: Additions) -> list[TagBatch]:
    """The additions as tags, in few requests. What says that the first look is complete comes last."""
    parts: list[tuple[str, str, Additions]] = []
    for text, looks in _packed(more.first):
        parts.append((_FIRST + _digest(text), text, Additions(first=looks)))
    for change in more.changes:
        # What the tower did and what it saw are two tags, so that neither replaces the other.
        key = f"{_CHANGE}{change.key}{'.tower' if change.through == TOWER else ''}"
        parts.append((key, row_of(change).decode(), Additions(changes=(change,))))
    for gap in more.gaps:
        parts.append((f"{_GAP}{gap[0]}", orjson.dumps(gap).decode(), Additions(gaps=(gap,))))
    if more.begun is not None:
        parts.append((_BEGUN, str(more.begun), Additions(begun=more.begun)))
    if more.looked is not None:
        text = orjson.dumps([more.looked.aliases, more.looked.stages]).decode()
        parts.append((_LOOKED, text, Additions(looked=more.looked)))
    return [_batch(part) for part in _by_size(parts)]


def _packed(looks: Sequence[FirstLook]) -> Iterable[tuple[str, tuple[FirstLook, ...]]]:
    """First looks as the texts of tags, with the looks that each holds."""
    held: list[FirstLook] = []
    rows: list[str] = []
    size = 0
    for look in (part for whole in looks for part in _parts(whole)):
        row = orjson.dumps(first_look_row(look)).decode()
        if held and (size + len(row) > LONGEST_TAG or (held[0].began, held[0].ended) != (look.began, look.ended)):
            yield _text(held, rows), tuple(held)
            held, rows, size = [], [], 0
        held.append(look)
        rows.append(row)
        size += len(row) + 1
    if held:
        yield _text(held, rows), tuple(held)


def _text(held: Sequence[FirstLook], rows: Sequence[str]) -> str:
    return f"[{held[0].began},{held[0].ended},[{','.join(rows)}]]"


def _parts(look: FirstLook) -> Iterable[FirstLook]:
    """A first look, or parts of it that fit a tag each."""
    if len(orjson.dumps(first_look_row(look)).decode()) <= LONGEST_TAG:
        yield look
        return
    versions, aliases = len(look.versions), len(look.aliases)
    if versions + aliases <= 1:
        yield look
        return
    half, half_aliases = versions // 2, aliases // 2 if versions <= 1 else 0
    for chosen, named in (
        (look.versions[:half], look.aliases[:half_aliases]),
        (look.versions[half:], look.aliases[half_aliases:]),
    ):
        yield from _parts(FirstLook(look.name, look.created, chosen, named, look.began, look.ended))


def _by_size(parts: Iterable[tuple[str, str, Additions]]) -> Iterable[list[tuple[str, str, Additions]]]:
    batch: list[tuple[str, str, Additions]] = []
    size = 0
    for part in parts:
        if batch and (len(batch) == MOST_TAGS or size + len(part[1]) > _MOST_CHARACTERS):
            yield batch
            batch, size = [], 0
        batch.append(part)
        size += len(part[1])
    if batch:
        yield batch


def _batch(parts: Sequence[tuple[str, str, Additions]]) -> TagBatch:
    adds = [part[2] for part in parts]
    looked = next((one.looked for one in reversed(adds) if one.looked), None)
    begun = next((one.begun for one in reversed(adds) if one.begun is not None), None)
    return TagBatch(
        {key: text for key, text, _ in parts},
        Additions(
            tuple(look for one in adds for look in one.first),
            tuple(change for one in adds for change in one.changes),
            tuple(gap for one in adds for gap in one.gaps),
            looked,
            begun,
        ),
    )


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
