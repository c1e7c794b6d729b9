"""A change of the registry, as it is recorded, and the key that two hosts give to the same change."""

import hashlib
from dataclasses import dataclass
from typing import Any

import orjson

from app.domain.times import rfc3339
from app.domain.updates import PUSH, SWEEP

STAGE, ALIAS, CREATED, DELETED, RENAMED, RECREATED = "stage", "alias", "created", "deleted", "renamed", "recreated"
KINDS = (STAGE, ALIAS, CREATED, DELETED, RENAMED, RECREATED)

TOWER, POLL = "tower", "poll"
THROUGH = (TOWER, PUSH, POLL, SWEEP)

MODEL = "model"
"""The subject of changes of the registered model itself; others are `version 4` and `alias champion`."""

_VERSION, _ALIAS = "version ", "alias "

Value = Any
"""What a subject is at a time, JSON-shaped; None where it does not exist.

A registered model is [name, creation time], a version [creation time, stage], an alias the number of its version.
"""


def of_version(version: int) -> str:
    """The subject of changes of a version."""
    return f"{_VERSION}{version}"


def of_alias(alias: str) -> str:
    """The subject of changes of an alias."""
    return f"{_ALIAS}{alias}"


def version_of(subject: str) -> int | None:
    """The version that a subject names; None for a model and an alias."""
    return int(subject.removeprefix(_VERSION)) if subject.startswith(_VERSION) else None


def alias_of(subject: str) -> str | None:
    """The alias that a subject names; None for a model and a version."""
    return subject.removeprefix(_ALIAS) if subject.startswith(_ALIAS) else None


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one subject of a registered model.

    `lineage` identifies the model under all its names, and `model` is its name after the change, or at its end.
    `previous` is the key of the change before it of the same subject; for the first it is the lineage. The change
    happened after `not_before` and not after `not_after` (milliseconds). `actor` is None if it is not known. `through`
    is one of `THROUGH`, or None if the process that saw the change ended before it recorded it.
    """

    lineage: str
    previous: str
    model: str
    subject: str
    old: Value
    new: Value
    not_before: int
    not_after: int
    actor: str | None
    through: str | None

    @property
    def key(self) -> str:
        """Identifies the change: made of what changed and of the change before it, not of the times seen."""
        content = orjson.dumps([self.lineage, self.subject, self.previous, self.old, self.new])
        return hashlib.blake2b(content, digest_size=12).hexdigest()

    @property
    def kind(self) -> str:
        if self.subject.startswith(_ALIAS):
            return ALIAS
        if self.old is None:
            return CREATED
        if self.new is None:
            return DELETED
        # A version holds its creation time first, a model its creation time second.
        created = 1 if self.subject == MODEL else 0
        if self.old[created] != self.new[created]:
            return RECREATED
        return RENAMED if self.subject == MODEL else STAGE

    @property
    def versions(self) -> tuple[int, int]:
        """The versions that it is about, 0 for none: the version itself, or the old and the new version of an alias."""
        if self.subject.startswith(_ALIAS):
            return self.old or 0, self.new or 0
        version = version_of(self.subject) or 0
        return version, version


def row_of(change: Change) -> bytes:
    """A change as JSON, for MLflow and the shared cache; `change_from` reads it back."""
    return orjson.dumps(
        [
            change.lineage,
            change.previous,
            change.model,
            change.subject,
            change.old,
            change.new,
            change.not_before,
            change.not_after,
            change.actor,
            change.through,
        ]
    )


def change_from(row: bytes | str) -> Change:
    """A change from its JSON. Raises `ValueError` or `TypeError` if the JSON has another shape."""
    lineage, previous, model, subject, old, new, not_before, not_after, actor, through = orjson.loads(row)
    if not all(isinstance(text, str) for text in (lineage, previous, model, subject)):
        raise TypeError("a change without its subject")
    _check(subject, old)
    _check(subject, new)
    return Change(lineage, previous, model, subject, old, new, int(not_before), int(not_after), actor, through)


def _check(subject: str, value: Value) -> None:
    if value is None:
        return
    if subject.startswith(_ALIAS):
        good = isinstance(value, int)
    elif subject == MODEL:
        good = isinstance(value[0], str) and isinstance(value[1], int)
    else:
        good = version_of(subject) is not None and isinstance(value[0], int) and isinstance(value[1], str)
    if not good:
        raise ValueError(f"not a value of {subject[:80]}")


def change_info(change: Change) -> dict[str, Any]:
    """A change as clients see it."""
    kind, version = change.kind, version_of(change.subject)
    if kind == ALIAS:
        before, after = _text(change.old), _text(change.new)
    elif kind == STAGE:
        before, after = change.old[1], change.new[1]
    elif change.subject == MODEL and kind in (RENAMED, DELETED):
        before, after = change.old[0], change.new and change.new[0]
    else:
        created = 1 if change.subject == MODEL else 0
        before, after = (value and rfc3339(value[created]) for value in (change.old, change.new))
    return {
        "id": change.key,
        "kind": kind,
        "model_name": change.model,
        "version": _text(version if kind != ALIAS else change.new),
        "alias": alias_of(change.subject),
        "from": before,
        "to": after,
        "not_before": rfc3339(change.not_before),
        "not_after": rfc3339(change.not_after),
        "actor": change.actor,
        "through": change.through,
    }


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)
