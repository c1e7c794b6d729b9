"""When the registry was last looked at, so that a change can be said to have happened after that."""

from collections.abc import Collection, Iterable
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
    `unread` could not be read. `lost` is None unless all models were listed before single models were read: it has the
    models that the list lacked, or had with another creation time. All names that were new in the list are in `names`.
    `through` is how it came about.
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
    lost: frozenset[str] | None = None


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
    """When a look began that saw what is recorded.

    `of_all` holds for all models but those in `lineages`, by the id of the lineage, since a name may pass to another
    model. `names` has names that were looked up by themselves since, or were not read: no model that is not recorded
    had the name then.
    """

    of_all: Looked
    lineages: dict[str, Looked] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)

    def of(self, lineage: str) -> Looked:
        """When the present state of a model was last confirmed."""
        return self.lineages.get(lineage, self.of_all)

    def of_name(self, name: str) -> int:
        """When it was last confirmed that no model that is not recorded has a name."""
        return self.names.get(name, self.of_all.aliases)

    def but_for(self, lineages: Iterable[str], names: Iterable[str]) -> Looked:
        """Up to when all is recorded, where what was seen of some models and names is not recorded yet."""
        aliases = [self.names[name] for name in names if name in self.names]
        known = [self.lineages[lineage] for lineage in lineages if lineage in self.lineages]
        return Looked(
            min([self.of_all.aliases, *aliases, *(looked.aliases for looked in known)]),
            min([self.of_all.stages, *aliases, *(looked.stages for looked in known)]),
        )

    def one_by_one(self, lineages: Iterable[str], names: Iterable[str], began: int) -> None:
        """Some models were read by themselves."""
        self.lineages.update(dict.fromkeys(lineages, Looked(began, began)))
        self.names.update(dict.fromkeys(names, began))

    def registry(self, began: int, lineages: Iterable[str], names: Iterable[str]) -> None:
        """All of the registry was looked at, except some models and names."""
        self.lineages = {lineage: self.of(lineage) for lineage in lineages}
        self.names = {name: self.of_name(name) for name in names}
        self.of_all = Looked(began, began)

    def versions(self, began: int, but: Collection[str]) -> None:
        """The times of all models and versions were looked at, which show everything but aliases and deletions."""
        for lineage in but:
            self.lineages.setdefault(lineage, self.of_all)
        for lineage, looked in self.lineages.items():
            if lineage not in but:
                self.lineages[lineage] = Looked(looked.aliases, max(looked.stages, began))
        self.of_all = Looked(self.of_all.aliases, max(self.of_all.stages, began))

    def shared(self, looked: Looked, but: Iterable[str]) -> None:
        """Another process that has the same record looked later than this, except at some models."""
        self.lineages = {lineage: self.of(lineage) for lineage in but}
        self.names = {}
        self.of_all = looked
