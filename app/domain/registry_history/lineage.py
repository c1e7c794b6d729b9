"""A registered model under all its names, with all its changes in order."""

import hashlib
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from app.domain.registry.models import ModelVersion, RegisteredModel
from app.domain.registry_history.change import CREATED, KINDS, MODEL, RECREATED, Change, change_from, row_of

# The order of changes that were seen by the same look: what begins comes first, what ends last.
_RANKS = {"created": 1, "recreated": 2, "renamed": 3, "stage": 4, "alias": 5, "deleted": 6}


def lineage_id(name: str, created: int) -> str:
    """Identifies a registered model: by the name under which it was first seen, and its creation time."""
    return hashlib.blake2b(f"{created}\n{name}".encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class FirstLook:
    """A registered model, or a part of its versions and aliases, as the first look at the registry saw it.

    The look lasted from `began` to `ended`, in milliseconds. `versions` are (number, creation time, stage).
    """

    name: str
    created: int
    versions: tuple[tuple[int, int, str], ...]
    aliases: tuple[tuple[str, int], ...]
    began: int
    ended: int

    @property
    def lineage(self) -> str:
        return lineage_id(self.name, self.created)


def first_look(model: RegisteredModel, versions: Iterable[ModelVersion], began: int, ended: int) -> FirstLook:
    """A registered model with all its versions, as it was first seen."""
    rows = tuple(sorted((row.version, row.created, row.stage) for row in versions))
    return FirstLook(model.name, model.created, rows, tuple(sorted(model.aliases.items())), began, ended)


@dataclass(frozen=True, slots=True)
class Lineage:
    """What is recorded of one registered model.

    `rows` are its changes as JSON in the order of the list, oldest first; `hidden` are those that another host recorded
    beside them, of the same time. The arrays hold what serves to find a change: its times (milliseconds), the number of
    its kind in `KINDS`, and the versions that it is about. `names` are all names that it ever had, the last first.
    """

    id: str
    first: tuple[FirstLook, ...]
    rows: tuple[bytes, ...] = ()
    hidden: tuple[bytes, ...] = ()
    names: tuple[str, ...] = ()
    not_before: "array[int]" = field(default_factory=lambda: array("q"))
    not_after: "array[int]" = field(default_factory=lambda: array("q"))
    kinds: bytes = b""
    old_versions: "array[int]" = field(default_factory=lambda: array("q"))
    new_versions: "array[int]" = field(default_factory=lambda: array("q"))

    @property
    def name(self) -> str:
        """The name that the model has, or had last."""
        return self.names[0]

    @property
    def seen_until(self) -> int:
        """When the last look ended that saw something of what is recorded, in milliseconds."""
        hidden = (change_from(row).not_after for row in self.hidden)
        return max([*self.not_after[-1:], *hidden, *(look.ended for look in self.first)], default=0)

    def change(self, number: int) -> Change:
        """One of the changes, by its place in the list."""
        return change_from(self.rows[number])

    @property
    def changes(self) -> list[Change]:
        return [change_from(row) for row in self.rows]

    @property
    def all_changes(self) -> list[Change]:
        """The changes, and those that are hidden."""
        return [*self.changes, *map(change_from, self.hidden)]


def _rank(change: Change) -> int:
    """The place among the changes that one look saw: a model is there before its versions."""
    return 0 if change.subject == MODEL and change.kind in (CREATED, RECREATED) else _RANKS[change.kind]


def lineage_of(lineage: str, first: Iterable[FirstLook], changes: Iterable[Change]) -> Lineage:
    """What is recorded of a model, from all that was read of it, in any order."""
    known = {change.key: change for change in sorted(changes, key=worth)}
    chosen, hidden = _chosen(known)
    looks = sorted(set(first), key=lambda look: (look.began, look.ended, look.versions, look.aliases))
    return in_order(lineage, looks, chosen, hidden)


def continued(known: Lineage, changes: Sequence[Change]) -> Lineage | None:
    """The lineage with changes that were seen later than all of it; None where it has to be put in order anew.

    As `lineage_of`, without visiting the known changes.
    """
    if known.hidden or not known.rows:
        return None
    heads: dict[str, str] = {}
    for change in changes:
        head = heads.get(change.subject) or _head(known, change.subject)
        if change.previous != head or change.not_after <= known.not_after[-1]:
            return None
        heads[change.subject] = change.key
    return _extended(known, sorted(changes, key=lambda change: (change.not_after, _rank(change))))


def _head(known: Lineage, subject: str) -> str:
    """The key of the last change of a subject."""
    changes = (change_from(row) for row in reversed(known.rows))
    return next((change.key for change in changes if change.subject == subject), known.id)


def _extended(known: Lineage, changes: Sequence[Change]) -> Lineage:
    more = in_order(known.id, (), changes, ())
    return Lineage(
        known.id,
        known.first,
        known.rows + more.rows,
        known.hidden,
        tuple(dict.fromkeys([*more.names, *known.names])),
        known.not_before + more.not_before,
        known.not_after + more.not_after,
        known.kinds + more.kinds,
        known.old_versions + more.old_versions,
        known.new_versions + more.new_versions,
    )


def in_order(lineage: str, first: Sequence[FirstLook], changes: Sequence[Change], hidden: Iterable[Change]) -> Lineage:
    """A lineage of changes that are in the order of the list."""
    names = [change.model for change in reversed(changes)]
    names += [change.old[0] for change in reversed(changes) if change.subject == MODEL and change.old]
    names += [look.name for look in first]
    versions = [change.versions for change in changes]
    return Lineage(
        lineage,
        tuple(first),
        tuple(row_of(change) for change in changes),
        tuple(row_of(change) for change in hidden),
        tuple(dict.fromkeys(names)),
        array("q", [change.not_before for change in changes]),
        array("q", [change.not_after for change in changes]),
        bytes(KINDS.index(change.kind) for change in changes),
        array("q", [old for old, _ in versions]),
        array("q", [new for _, new in versions]),
    )


def first_look_row(look: FirstLook) -> list[Any]:
    """A first look as JSON; most versions are in no stage, which is left out."""
    versions = [[n, created] if stage == "None" else [n, created, stage] for n, created, stage in look.versions]
    return [look.name, look.created, versions, dict(look.aliases)]


def first_look_from(row: Any, began: int, ended: int) -> FirstLook:
    """A first look from its JSON. Raises `ValueError`, `TypeError` or others if the JSON has another shape."""
    name, created, versions, aliases = row
    if not isinstance(name, str):
        raise TypeError("a model without a name")
    rows = tuple((int(n), int(made), str(*stage) or "None") for n, made, *stage in versions)
    return FirstLook(
        name, int(created), rows, tuple((str(a), int(v)) for a, v in aliases.items()), int(began), int(ended)
    )


def worth(change: Change) -> tuple[bool, int, bytes]:
    """Of two records of the same change the one that knows its actor counts, then the narrower."""
    return change.actor is not None, change.not_before - change.not_after, row_of(change)


def _chosen(known: dict[str, Change]) -> tuple[list[Change], list[Change]]:
    """The changes in order, and those that two hosts recorded at once and that are not taken.

    Where two changes follow the same change, the one that more changes follow is taken: every host comes to the same
    result, and goes on from there.
    """
    following: dict[str, list[str]] = {}
    for key, change in known.items():
        # What followed a change that is lost is taken as if it were the first.
        before = change.previous if change.previous in known else f"{change.subject} {change.previous}"
        following.setdefault(before, []).append(key)
    depths = _depths(known, following) if any(len(keys) > 1 for keys in following.values()) else {}
    order: list[tuple[int, int, int, str]] = []
    for before, keys in following.items():
        if before in known:
            continue
        after: Sequence[str] = keys
        number = 0
        while after:
            key = _first(after, known, depths)
            order.append((known[key].not_after, _rank(known[key]), number, key))
            number += 1
            after = following.get(key, ())
    order.sort()
    taken = {key for *_, key in order}
    return [known[key] for *_, key in order], [known[key] for key in sorted(known.keys() - taken)]


def _first(keys: Sequence[str], known: dict[str, Change], depths: dict[str, int]) -> str:
    if len(keys) == 1:
        return keys[0]
    return min(keys, key=lambda key: (-depths[key], known[key].not_after, key))


def _depths(known: dict[str, Change], following: dict[str, list[str]]) -> dict[str, int]:
    """How many changes follow each, along the longest way."""
    depths: dict[str, int] = {}
    waiting = list(known)
    while waiting:
        key = waiting[-1]
        after = following.get(key, ())
        missing = [other for other in after if other not in depths]
        if missing:
            waiting += missing
            continue
        waiting.pop()
        depths[key] = 1 + max((depths[other] for other in after), default=0)
    return depths


def lineage_value(lineage: Lineage) -> list[Any]:
    """A lineage for the shared cache."""
    return [
        lineage.id,
        _first_value(lineage),
        [orjson.loads(row) for row in lineage.rows],
        [orjson.loads(row) for row in lineage.hidden],
    ]


def _first_value(lineage: Lineage) -> list[Any]:
    return [[look.began, look.ended, first_look_row(look)] for look in lineage.first]


def lineage_from(value: Any, known: Lineage | None = None) -> Lineage:
    """A lineage from the shared cache, which takes over what is known. Raises various errors for another shape."""
    lineage, first, rows, hidden = value
    texts, aside = (tuple(map(orjson.dumps, listed)) for listed in (rows, hidden))
    if known is not None and [lineage, first, aside] == [known.id, _first_value(known), known.hidden]:
        if texts == known.rows:
            return known
        if not aside and texts[: len(known.rows)] == known.rows:
            return _extended(known, [change_from(text) for text in texts[len(known.rows) :]])
    looks = [first_look_from(row, began, ended) for began, ended, row in first]
    return in_order(str(lineage), looks, [change_from(text) for text in texts], [change_from(text) for text in aside])
