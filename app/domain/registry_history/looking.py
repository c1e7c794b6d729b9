"""When the registry was last looked at, so that a change can be said to have happened after that."""

from collections.abc import Collection
from dataclasses import dataclass, field

from app.domain.registry.fleet import Fleet

REGISTRY, VERSIONS = "registry", "versions"
"""What a look covers besides single models: all of the registry; or all that moves a time of update, which leaves out
aliases and deleted models."""

Gap = tuple[int, int]
"""A time in which nobody looked at the registry, from and to, in milliseconds."""


@dataclass(frozen=True, slots=True)
class Look:
    """One look at MLflow, which lasted from `began` to `ended` (milliseconds), and took a ticket when it began.

    `fleet` is the snapshot that the look published, or, where it covers more than single models and published nothing,
    that with which MLflow was compared. `covers` is `REGISTRY`, `VERSIONS`, or None for single models, the `names`.
    `unread` could not be read. `through` is how it came about.
    """

    fleet: Fleet
    through: str
    ticket: int
    began: int
    ended: int
    covers: str | None = None
    names: frozenset[str] = frozenset()
    unread: frozenset[str] = frozenset()
    published: bool = True


@dataclass(frozen=True, slots=True)
class Looked:
    """Up to when everything is recorded, in milliseconds: of aliases and models, and of stages and versions."""

    aliases: int
    stages: int

    def joined(self, other: "Looked | None") -> "Looked":
        """The later of two."""
        if other is None:
            return self
        return Looked(max(self.aliases, other.aliases), max(self.stages, other.stages))


@dataclass(slots=True)
class Confirmed:
    """When the state of each registered model, as it is known, was last confirmed.

    `of_all` holds for all models but those in `single`: those were read by themselves since, or could not be read.
    """

    of_all: Looked
    single: dict[str, int] = field(default_factory=dict)

    def of(self, name: str, *, is_alias: bool) -> int:
        """When a look began that confirmed the present aliases of a model, or the rest of it."""
        base = self.of_all.aliases if is_alias else self.of_all.stages
        return self.single.get(name, base)

    def but_for(self, names: Collection[str]) -> Looked:
        """Up to when all is recorded, where what was found about some models is not recorded yet."""
        earliest = min((self.single[name] for name in names if name in self.single), default=None)
        if earliest is None:
            return self.of_all
        return Looked(min(self.of_all.aliases, earliest), min(self.of_all.stages, earliest))

    def one_by_one(self, names: Collection[str], began: int) -> None:
        """Some models were read by themselves."""
        self.single.update(dict.fromkeys(names, began))

    def registry(self, began: int, but: Collection[str]) -> None:
        """All of the registry was looked at, except some models."""
        self.single = {name: self.single.get(name, self.of_all.aliases) for name in but}
        self.of_all = Looked(began, began)

    def versions(self, began: int, but: Collection[str]) -> None:
        """The times of all models and versions were looked at, which show everything but aliases and deletions."""
        for name in but:
            self.single.setdefault(name, min(self.of_all.aliases, self.of_all.stages))
        self.of_all = Looked(self.of_all.aliases, max(self.of_all.stages, began))
