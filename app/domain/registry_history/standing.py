"""What a registered model is according to the record, and how a newer reading of it differs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from app.domain.registry.models import ModelVersion, RegisteredModel
from app.domain.registry_history.change import MODEL, Change, Value, alias_of, of_alias, of_version, version_of
from app.domain.registry_history.lineage import FirstLook, Lineage

Difference = tuple[str, Value, Value]
"""The subject that differs, what it was, and what it is."""


@dataclass(frozen=True, slots=True)
class Head:
    """The last recorded change of a subject: its key, and the interval in which it happened, in milliseconds."""

    key: str
    not_before: int
    not_after: int


@dataclass(slots=True)
class Standing:
    """The last recorded state of a registered model. Changes are applied in place.

    `known_since` is when the first look at it began, in milliseconds; for models that came later, the beginning of the
    interval in which they came, and `born_by` is the end of that interval.
    `versions` maps a number to creation time and stage. `heads` has the last change of each subject that changed.
    """

    lineage: str
    name: str
    created: int
    known_since: int = 0
    born_by: int = 0
    exists: bool = True
    versions: dict[int, tuple[int, str]] = field(default_factory=dict)
    aliases: dict[str, int] = field(default_factory=dict)
    heads: dict[str, Head] = field(default_factory=dict)

    def previous(self, subject: str) -> str:
        """The key of the last change of a subject, or the lineage if it never changed."""
        head = self.heads.get(subject)
        return head.key if head else self.lineage

    def apply(self, change: Change) -> None:
        """Take over a change."""
        self.heads[change.subject] = Head(change.key, change.not_before, change.not_after)
        if change.subject == MODEL:
            if not self.exists and change.new is not None:
                self.known_since, self.born_by = change.not_before, change.not_after
            self.exists = change.new is not None
            if change.new is not None:
                self.name, self.created = change.new
            return
        version, alias = version_of(change.subject), alias_of(change.subject)
        if version is not None:
            if change.new is None:
                self.versions.pop(version, None)
            else:
                self.versions[version] = (change.new[0], change.new[1])
        elif alias is not None:
            if change.new is None:
                self.aliases.pop(alias, None)
            else:
                self.aliases[alias] = change.new

    def add(self, look: FirstLook) -> None:
        """Take over what a first look found, except what is known already."""
        for number, created, stage in look.versions:
            self.versions.setdefault(number, (created, stage))
        for alias, number in look.aliases:
            self.aliases.setdefault(alias, number)


def standing_of(lineage: Lineage) -> Standing:
    """The last recorded state of a model."""
    changes = lineage.changes
    if lineage.first:
        standing = Standing(lineage.id, lineage.first[0].name, lineage.first[0].created, lineage.first[0].began)
    else:
        standing = Standing(lineage.id, lineage.names[0], 0, exists=False)
    for look in lineage.first:
        standing.add(look)
    for change in changes:
        standing.apply(change)
    return standing


def differences(standing: Standing, model: RegisteredModel, rows: Iterable[ModelVersion]) -> Sequence[Difference]:
    """How a reading of the same registered model differs from the record, in the order of the list."""
    begun: list[Difference] = []
    moved: list[Difference] = []
    ended: list[Difference] = []
    now = {row.version: row for row in rows}
    if model.name != standing.name:
        begun.append((MODEL, [standing.name, standing.created], [model.name, standing.created]))
    for number, row in sorted(now.items()):
        known, subject = standing.versions.get(number), of_version(number)
        if known is None:
            begun.append((subject, None, [row.created, "None"]))
            known = (row.created, "None")
        elif is_other(known[0], row.created):
            begun.append((subject, list(known), [row.created, "None"]))
            known = (row.created, "None")
        if row.stage != known[1]:
            moved.append((subject, list(known), [known[0], row.stage]))
    moved += _moved_aliases(standing.aliases, model.aliases)
    for number, known in sorted(standing.versions.items()):
        if number not in now:
            ended.append((of_version(number), list(known), None))
    return [*begun, *moved, *ended]


def _moved_aliases(before: Mapping[str, int], after: Mapping[str, int]) -> list[Difference]:
    return [
        (of_alias(alias), before.get(alias), after.get(alias))
        for alias in sorted({*before, *after})
        if before.get(alias) != after.get(alias)
    ]


def is_other(created: int, now: int) -> bool:
    """Whether two creation times are those of two things.

    A creation time that MLflow's answer lacked, which is then 0 or less, proves nothing.
    """
    return created != now and min(created, now) > 0
