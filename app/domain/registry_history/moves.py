"""Changes that the tower made itself: as they are recorded, with who did it."""

from collections.abc import Sequence
from dataclasses import replace

from app.domain.registry_history.change import TOWER, Change, Value, alias_of, version_of
from app.domain.registry_history.lineage import Lineage
from app.domain.registry_history.standing import Standing, standing_of

Move = tuple[str, Value, Value]
"""The subject, what it was, and what it is."""


def tower_changes(lineage: Lineage, moves: Sequence[Move], actor: str, not_before: int, not_after: int) -> list[Change]:
    """What to record of moves that the tower made between two times, in milliseconds.

    A look that came first may have recorded a move already: then the same change is recorded with its actor. If the
    record is behind, as after a move by somebody else that no look has seen, that comes first. What is recorded
    with its actor is left out.
    """
    standing = standing_of(lineage)
    made: list[Change] = []
    for subject, old, new in moves:
        seen = next(
            (change for change in reversed(lineage.changes) if _is(change, subject, old, new, not_before)), None
        )
        if seen is not None:
            if seen.through != TOWER:
                made.append(_narrowed(seen, actor, not_before, not_after))
            continue
        present = _value(standing, subject)
        if present != old:
            made.append(_next(standing, subject, present, old, not_before, not_before, None, None))
        made.append(_next(standing, subject, old, new, not_before, not_after, actor, TOWER))
    return made


def has_seen(lineage: Lineage, moves: Sequence[Move], not_before: int) -> bool:
    """Whether a look has seen one of these moves since a time, in milliseconds."""
    return any(_is(change, *move, not_before) for change in lineage.changes for move in moves)


def earlier_holders(lineage: Lineage, alias: str | None, stage: str | None, now: int) -> list[tuple[int, int]]:
    """The versions that had an alias or a stage before the version `now` has it: number and creation time, last first.

    A move back to an earlier version undoes what came after it: after 1, 2, 3, 2 the version before 2 is 1.
    """
    first = Standing(lineage.id, "", 0)
    for look in lineage.first:
        first.add(look)
    held: list[tuple[int, int]] = []

    def note(number: int) -> None:
        numbers = [known for known, _ in held]
        if number in numbers:
            del held[numbers.index(number) :]
        held.append((number, first.versions.get(number, (0, ""))[0]))

    if alias is not None and alias in first.aliases:
        note(first.aliases[alias])
    for number, (_, in_stage) in sorted(first.versions.items()):
        if stage is not None and in_stage == stage:
            note(number)
    for change in lineage.changes:
        first.apply(change)
        version = version_of(change.subject)
        if alias is not None and alias_of(change.subject) == alias and change.new is not None:
            note(change.new)
        elif stage is not None and version is not None and change.new is not None and change.new[1] == stage:
            note(version)
    numbers = [known for known, _ in held]
    before = held[: numbers.index(now)] if now in numbers else held
    return before[::-1]


def _is(change: Change, subject: str, old: Value, new: Value, not_before: int) -> bool:
    return (change.subject, change.old, change.new) == (subject, old, new) and change.not_after >= not_before


def _narrowed(seen: Change, actor: str, not_before: int, not_after: int) -> Change:
    start, end = max(seen.not_before, not_before), min(seen.not_after, not_after)
    if start > end:
        # The clocks of two hosts differ.
        start, end = seen.not_before, seen.not_after
    return replace(seen, actor=actor, through=TOWER, not_before=start, not_after=end)


def _next(
    standing: Standing, subject: str, old: Value, new: Value, start: int, end: int, actor: str | None, how: str | None
) -> Change:
    head = standing.heads.get(subject)
    if head is not None:
        start, end = (max(start, head.not_before), max(end, head.not_after)) if how else (head.not_before, end)
    end = max(start, end)
    change = Change(
        standing.lineage, standing.previous(subject), standing.name, subject, old, new, start, end, actor, how
    )
    standing.apply(change)
    return change


def _value(standing: Standing, subject: str) -> Value:
    """What the record says that a subject is now."""
    version, alias = version_of(subject), alias_of(subject)
    if alias is not None:
        return standing.aliases.get(alias)
    known = standing.versions.get(version or 0)
    return list(known) if known else None
