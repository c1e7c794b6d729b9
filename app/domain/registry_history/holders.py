"""Which versions had the stages and aliases of a registered model, from which change until which."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from app.domain.registry.stages import STAGES_IN_USE, StageRules
from app.domain.registry_history.change import MODEL, RECREATED, Change, change_info
from app.domain.registry_history.lineage import Lineage
from app.domain.registry_history.standing import Standing

_ALIAS, _STAGE = "alias", "stage"
_Place = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Holder:
    """A version that had an alias, or was in Production or Staging; the other of the two is None.

    The stage is the effective one, which an alias may stand for.

    `since` is the change that brought it there, None if the first look found it there. `until` is the change after
    which it was there no longer, None if it is there still.
    """

    alias: str | None
    stage: str | None
    version: int
    since: Change | None
    until: Change | None


def holders(lineages: Iterable[Lineage], name: str, rules: StageRules) -> list[Holder]:
    """The holders of registered models that have a name, or had it, the last that came first.

    Of a model that has it now, or had it last, those under all its names; of others those while they had it.
    """
    every = [holder for lineage in lineages for holder in _Walk(lineage, name, rules).all()]
    return sorted(every, key=_order)


def _order(holder: Holder) -> tuple[int, bool, str, int]:
    came = holder.since.not_after if holder.since else 0
    return -came, holder.stage is None, holder.stage or holder.alias or "", -holder.version


class _Walk:
    """Goes through the changes of a model, oldest first, and notes who comes and who leaves."""

    def __init__(self, lineage: Lineage, name: str, rules: StageRules) -> None:
        self._lineage = lineage
        self._name = name
        self._rules = rules
        first = lineage.first
        # Without a first look the first change is the making of the model.
        self._standing = Standing(lineage.id, first[0].name if first else "", 0, exists=bool(first))
        for look in first:
            self._standing.add(look)
        # By version, the places that it has and the changes that brought it there.
        self._held: dict[int, dict[_Place, Change | None]] = {}

    def all(self) -> Iterator[Holder]:
        yield from self._turn(self._standing.versions, None)
        for change in self._lineage.changes:
            if change.kind == RECREATED:
                yield from self._leave(change)
            touched = [*self._standing.versions] if change.subject == MODEL else change.versions
            self._standing.apply(change)
            yield from self._turn(touched, change)
        for number, places in self._held.items():
            for place, since in places.items():
                yield _holder(place, number, since, None)

    def _turn(self, versions: Iterable[int], change: Change | None) -> Iterator[Holder]:
        """Note what these versions have now; yields those that left a place with this change."""
        for number in versions:
            before, now = self._held.get(number, {}), self._places(number)
            for place, since in before.items():
                if place not in now:
                    yield _holder(place, number, since, change)
            self._held[number] = {place: before.get(place, change) for place in now}

    def _leave(self, change: Change) -> Iterator[Holder]:
        """What was made again is another version, even if it has the same places."""
        versions = [*self._held] if change.subject == MODEL else change.versions[:1]
        for number in versions:
            for place, since in self._held.pop(number, {}).items():
                yield _holder(place, number, since, change)

    def _places(self, number: int) -> list[_Place]:
        standing = self._standing
        has_name = self._name in (self._lineage.name, standing.name)
        if not standing.exists or not has_name or number not in standing.versions:
            return []
        aliases = [alias for alias, version in standing.aliases.items() if version == number]
        stage, _ = self._rules.effective(standing.versions[number][1], aliases)
        return [*((_ALIAS, alias) for alias in aliases), *([(_STAGE, stage)] if stage in STAGES_IN_USE else [])]


def _holder(place: _Place, version: int, since: Change | None, until: Change | None) -> Holder:
    kind, name = place
    return Holder(name if kind == _ALIAS else None, name if kind == _STAGE else None, version, since, until)


def holder_info(holder: Holder) -> dict[str, Any]:
    """A holder as clients see it."""
    return {
        "stage": holder.stage,
        "alias": holder.alias,
        "version": str(holder.version),
        "since": change_info(holder.since) if holder.since else None,
        "until": change_info(holder.until) if holder.until else None,
    }
