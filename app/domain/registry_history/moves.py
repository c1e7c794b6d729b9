"""Changes that the tower made itself: as they are recorded, with who did it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from app.domain.registry_history.change import TOWER, Change, Value, alias_of, version_of
from app.domain.registry_history.lineage import Lineage
from app.domain.registry_history.standing import Standing, is_other, standing_of

Move = tuple[str, Value, Value]
"""The subject, what it was, and what it is."""


def tower_changes(
    lineage: Lineage,
    moves: Sequence[Move],
    heads: Mapping[str, str],
    actor: str,
    not_before: int,
    not_after: int,
    now: Callable[[str], Value],
    confirmed: Callable[[str], int],
) -> list[Change]:
    """What to record of moves that the tower made between two times, in milliseconds.

    `heads` are the keys of the last changes of the subjects that were recorded before, as `heads_of`. `now` says what a
    subject is, and `confirmed` when a look began that saw what is recorded of it, 0 if that is not known.

    A look that came first may have recorded a move already: then the same change is recorded with its actor. If the
    record is behind, as after a move by somebody else that no look has seen, that comes first. If a look saw only what
    somebody else did at the same time, it depends on who came last. What is recorded with its actor is left out.
    """
    standing = standing_of(lineage)
    made: list[Change] = []
    for subject, old, new in moves:
        since = _since(lineage, subject, heads, not_before)
        if any(one.through == TOWER and one.new == new for one in since):
            continue
        seen = next((one for one in reversed(since) if (one.old, one.new) == (old, new)), None)
        if seen is not None:
            made.append(_narrowed(seen, actor, not_before, not_after))
            continue
        present = _value(standing, subject)
        others = next((since[place:] for place, one in enumerate(since) if one.old == old), [])
        if present != old and others:
            if now(subject) != new:
                made += _inserted(others, new, actor, not_before, not_after)
                continue
            # What others did came before.
            made.append(_next(standing, subject, present, new, not_before, not_after, actor))
            continue
        if present is None and version_of(subject) is not None:
            # A version is made in no stage.
            made.append(_unseen(standing, subject, None, [old[0], "None"], confirmed(subject), not_before))
            present = [old[0], "None"]
        if present != old:
            made.append(_unseen(standing, subject, present, old, confirmed(subject), not_before))
        made.append(_next(standing, subject, old, new, not_before, not_after, actor))
    return made


def is_behind(lineage: Lineage, moves: Sequence[Move]) -> bool:
    """Whether something else is recorded than what was there before these moves, or is there after them."""
    standing = standing_of(lineage)
    return any(_value(standing, subject) not in (old, new) for subject, old, new in moves)


def heads_of(lineage: Lineage, moves: Sequence[Move]) -> dict[str, str]:
    """The keys of the last recorded changes of what is moved. What follows them came later, whatever clocks say."""
    standing = standing_of(lineage)
    return {subject: standing.previous(subject) for subject, _, _ in moves}


def has_seen(lineage: Lineage, moves: Sequence[Move], heads: Mapping[str, str], not_before: int) -> bool:
    """Whether a look has seen one of these moves since the changes `heads`, or else since a time (milliseconds)."""
    return any(
        (change.old, change.new) == (old, new)
        for subject, old, new in moves
        for change in _since(lineage, subject, heads, not_before)
    )


def _since(lineage: Lineage, subject: str, heads: Mapping[str, str], not_before: int) -> list[Change]:
    """The changes of a subject after its head, or after a time where the head is not in the record."""
    changes = [change for change in lineage.changes if change.subject == subject]
    keys = [lineage.id, *(change.key for change in changes)]
    head = heads.get(subject)
    if head in keys:
        return changes[keys.index(head) :]
    return [change for change in changes if change.not_after >= not_before]


@dataclass(frozen=True, slots=True)
class PlaceState:
    """Which versions have an alias or a stage after the change with the key `key`, and when that happened.

    `by_tower`: this service made the change. Before the first change the key is that of the lineage, and the times
    (milliseconds) are 0.
    """

    key: str
    not_before: int
    not_after: int
    versions: frozenset[int]
    by_tower: bool = False


def place_states(lineage: Lineage, alias: str | None, stage: str | None) -> list[PlaceState]:
    """Which versions had an alias or a stage in turn, oldest first, from the first look on."""
    standing = _at_first(lineage)
    states = [PlaceState(lineage.id, 0, 0, _holding(standing, alias, stage))]
    for change in lineage.changes:
        standing.apply(change)
        held = _holding(standing, alias, stage)
        if held != states[-1].versions:
            states.append(PlaceState(change.key, change.not_before, change.not_after, held, change.through == TOWER))
    return states


def _at_first(lineage: Lineage) -> Standing:
    standing = Standing(lineage.id, "", 0)
    for look in lineage.first:
        standing.add(look)
    return standing


def _holding(standing: Standing, alias: str | None, stage: str | None) -> frozenset[int]:
    if alias is not None:
        return frozenset([standing.aliases[alias]] if alias in standing.aliases else ())
    return frozenset(number for number, (_, own) in standing.versions.items() if own == stage)


def earlier_holders(lineage: Lineage, alias: str | None, stage: str | None, now: int) -> list[tuple[int, int]]:
    """The versions that had an alias or a stage before the version `now` has it: number and creation time, last first.

    A move back to an earlier version undoes what came after it: after 1, 2, 3, 2 the version before 2 is 1.
    """
    first = _at_first(lineage)
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


def way_back(lineage: Lineage, alias: str | None, stage: str | None) -> tuple[int | None, list[int]]:
    """The version that an alias or a stage would go back from, and those that it can go back to, the next one first.

    The first is None if no version is there, or several are; then it cannot go back.
    """
    standing = standing_of(lineage)
    there = [number for number, (_, own) in standing.versions.items() if own == stage]
    if alias is not None:
        there = [standing.aliases[alias]] if alias in standing.aliases else []
    if not standing.exists or len(there) != 1:
        return None, []
    earlier = earlier_holders(lineage, alias, stage, there[0])
    kept = [number for number, created in earlier if _exists(standing, number, created)]
    return there[0], kept


def _exists(standing: Standing, number: int, created: int) -> bool:
    """Whether a version is still there, and was not made again."""
    return number in standing.versions and not is_other(standing.versions[number][0], created)


def _narrowed(seen: Change, actor: str, not_before: int, not_after: int) -> Change:
    start, end = max(seen.not_before, not_before), min(seen.not_after, not_after)
    if start > end:
        # The clocks of two hosts differ.
        start, end = seen.not_before, seen.not_after
    return replace(seen, actor=actor, through=TOWER, not_before=start, not_after=end)


def _inserted(others: Sequence[Change], new: Value, actor: str, not_before: int, not_after: int) -> list[Change]:
    """A move, and what others made of it after it. Of two ways from the same change the longer one counts."""
    first = others[0]
    start, end = max(first.not_before, not_before), min(first.not_after, not_after)
    made = [replace(first, new=new, not_before=min(start, end), not_after=end, actor=actor, through=TOWER)]
    for change in others:
        before = made[-1]
        start = max(change.not_before, before.not_before)
        made.append(replace(change, previous=before.key, old=before.new, not_before=min(start, change.not_after)))
    return made


def _next(
    standing: Standing, subject: str, old: Value, new: Value, not_before: int, not_after: int, actor: str
) -> Change:
    """A move of the tower, which follows what is recorded."""
    head = standing.heads.get(subject)
    start, end = (max(not_before, head.not_before), max(not_after, head.not_after)) if head else (not_before, not_after)
    return _added(standing, subject, old, new, start, max(start, end), actor, TOWER)


def _unseen(standing: Standing, subject: str, old: Value, new: Value, confirmed: int, found_at: int) -> Change:
    """What others did and no look saw, since the tower found it when it looked before a move."""
    head = standing.heads.get(subject)
    # MLflow says when a version was made, and nothing of other changes.
    made = new[0] if old is None and version_of(subject) is not None else 0
    start = max(standing.known_since, confirmed, made if made <= found_at else 0, head.not_before if head else 0)
    return _added(standing, subject, old, new, min(start, found_at), max(found_at, head.not_after if head else 0))


def _added(standing: Standing, subject: str, old: Value, new: Value, start: int, end: int, *who: str | None) -> Change:
    actor, through = who or (None, None)
    change = Change(
        standing.lineage, standing.previous(subject), standing.name, subject, old, new, start, end, actor, through
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
