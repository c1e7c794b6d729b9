"""The guard: whether an alias or a stage that is to be moved through this service was last moved outside of it."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from app.domain.registry_history.change import ALIAS, STAGE, TOWER, Change, alias_of, version_of
from app.domain.registry_history.lineage import Lineage

PRODUCTION = "Production"
CHANGED_OUTSIDE = "changed_outside_the_tower"
"""The name of the finding, and of the event that receivers of alerts get."""


@dataclass(frozen=True, slots=True)
class OutsideMove:
    """The last move of an alias, or of the stage Production, if it was made outside this service.

    `key` is that of the change in the history. `alias` is None for the stage. `old` and `new` are the versions that
    left and came, None if there is none. It happened between two times, in milliseconds.
    """

    key: str
    model: str
    alias: str | None
    old: int | None
    new: int | None
    not_before: int
    not_after: int

    @property
    def detail(self) -> str:
        """What happened, in words."""
        if self.alias is None:
            what = f"Version {self.new} was moved to" if self.new else f"Version {self.old} was moved out of"
            return f"{what} the stage {PRODUCTION} outside this service."
        if self.new is None:
            return f"The alias {self.alias} was removed from version {self.old} outside this service."
        before = f", from version {self.old}" if self.old else ""
        return f"The alias {self.alias} was moved to version {self.new} outside this service{before}."


def outside_moves(lineage: Lineage, protected: Collection[str], since: int) -> list[OutsideMove]:
    """The protected aliases, and the stage Production, whose last move was made outside this service.

    `protected` are aliases in lower case. Moves that were seen before `since` (milliseconds) do not count.
    """
    last: dict[str | None, Change] = {}
    for change in lineage.changes:
        alias = alias_of(change.subject)
        if change.kind == ALIAS and alias is not None and alias.lower() in protected:
            last[alias] = change
        elif change.kind == STAGE and PRODUCTION in (change.old[1], change.new[1]):
            known = last.get(None)
            # Who comes says more than who was archived by the same transition.
            if known is None or known.not_after < change.not_after or change.new[1] == PRODUCTION:
                last[None] = change
    moves = [_move(lineage.name, alias, change) for alias, change in last.items()
             if change.through != TOWER and change.not_after > since]  # fmt: skip
    return sorted(moves, key=lambda move: (move.alias or "", move.key))


def _move(model: str, alias: str | None, change: Change) -> OutsideMove:
    if alias is not None:
        old, new = change.old, change.new
    else:
        number = version_of(change.subject)
        old, new = (None, number) if change.new[1] == PRODUCTION else (number, None)
    return OutsideMove(change.key, model, alias, old, new, change.not_before, change.not_after)


def move_value(move: OutsideMove) -> list[Any]:
    """A move for the shared cache."""
    return [move.key, move.model, move.alias, move.old, move.new, move.not_before, move.not_after]


def move_from(row: Any) -> OutsideMove:
    """A move from the shared cache. Raises `TypeError` or `ValueError` for another shape."""
    key, model, alias, old, new, not_before, not_after = row
    if not isinstance(key, str) or not isinstance(model, str):
        raise TypeError("not a move")
    return OutsideMove(key, model, alias, old, new, int(not_before), int(not_after))
