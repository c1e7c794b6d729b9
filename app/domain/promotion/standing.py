"""What is in a place, an alias or a stage, as MLflow has it now, and why a promotion may not go on."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.domain.promotion.promotions import ALIAS, DONE, ROLLBACK, STAGE, STAGES, ExactVersion, Promotion, Proposal
from app.domain.registry.models import ModelReading, ModelVersion
from app.domain.registry.stages import StageRules, aliases_by_version
from app.domain.registry_history.change import of_alias, of_version
from app.domain.registry_history.lineage import Lineage
from app.domain.registry_history.moves import Move, place_states
from app.domain.times import HOUR_MS

DRIFTING = "drifting"
IN_PLACE, EFFECTIVELY = "place", "effective_stage"


@dataclass(frozen=True, slots=True)
class Place:
    """An alias or a stage of a model, read a moment ago: which versions are there, and all versions by number.

    `model_created` is None if the model does not exist. A stage means MLflow's own, not that of an alias. `stage` is
    the stage that the place stands for, None if it stands for none, and `effective` are the versions that are there by
    MLflow's stage or by an alias. Both lists have the highest version first.
    """

    kind: str
    name: str
    model_created: int | None
    held: tuple[ExactVersion, ...]
    versions: Mapping[int, ModelVersion]
    stage: str | None = None
    effective: tuple[ExactVersion, ...] = ()

    def has(self, held: ExactVersion) -> bool:
        """Whether a version still exists, and is the same."""
        row = self.versions.get(held.version)
        return row is not None and _is_same(row.created, held.created)

    def moves(self, version: ExactVersion) -> list[Move]:
        """What changes in the registry when a version is moved here, and the versions that were here leave."""
        if self.kind == ALIAS:
            return [(of_alias(self.name), self.held[0].version if self.held else None, version.version)]
        left = [
            (of_version(held.version), [held.created, self.name], [held.created, "Archived"])
            for held in self.held
            if held.version != version.version
        ]
        own = self.versions[version.version].stage
        comes = [(of_version(version.version), [version.created, own], [version.created, self.name])]
        # Beside others it may be here already. Where it is alone, it is approved that it is here.
        return left if left and own == self.name else left + comes


def place_of(reading: ModelReading, kind: str, name: str, rules: StageRules) -> Place:
    """An alias or a stage of a model, from a reading of it."""
    rows = {row.version: row for row in reading.versions or ()}
    if reading.model is None:
        return Place(kind, name, None, (), {})
    if kind == ALIAS:
        number = reading.model.aliases.get(name)
        numbers = [] if number is None else [number]
    else:
        numbers = sorted((row.version for row in rows.values() if row.stage == name), reverse=True)
    # MLflow keeps no alias of a version that it does not have, but the two are read one after the other.
    held = tuple(ExactVersion(number, rows[number].created if number in rows else 0) for number in numbers)
    stage = name if kind == STAGE else rules.effective("None", [name])[0]
    if stage not in STAGES:
        return Place(kind, name, reading.model.created, held, rows)
    named = aliases_by_version(reading.model.aliases)
    there = [number for number, row in rows.items() if rules.effective(row.stage, named.get(number, ()))[0] == stage]
    effective = tuple(ExactVersion(number, rows[number].created) for number in sorted(there, reverse=True))
    return Place(kind, name, reading.model.created, held, rows, stage, effective)


def compared_with(place: Place, version: ExactVersion) -> tuple[ExactVersion | None, str | None]:
    """The version that another one is compared with before it is moved here, and why: `IN_PLACE` or `EFFECTIVELY`.

    Where nothing else is in the place itself, it is the version that is there effectively.
    """
    for held, why in ((place.held, IN_PLACE), (place.effective, EFFECTIVELY)):
        others = [other for other in held if other.version != version.version]
        if others:
            return others[0], why
    return None, None


def is_there(place: Place, version: ExactVersion) -> bool:
    """Whether a version, and no other, is in a place."""
    return tuple(held.version for held in place.held) == (version.version,) and place.has(version)


def gone(proposal: Proposal, place: Place) -> str | None:
    """Why the version cannot be moved at all; None if it can."""
    if place.model_created is None:
        return "The registered model no longer exists."
    if not _is_same(place.model_created, proposal.model_created):
        return "The registered model was deleted and made again."
    number = proposal.version.version
    if number not in place.versions:
        return f"Version {number} no longer exists."
    if not place.has(proposal.version):
        return f"Version {number} was deleted and made again."
    return None


def moved_meanwhile(proposal: Proposal, place: Place) -> str | None:
    """That another version is in the place by now, in words; None if the place is as the proposal saw it."""
    if not _are_the_same(place, place.held, proposal.before):
        now, then = _versions(place.held), _versions(proposal.before)
        return f"By now {now} has {proposal.target}; when this was proposed, {then} had it. Propose it again."
    if proposal.effective is not None and not _are_the_same(place, place.effective, proposal.effective):
        now, then = _versions(place.effective), _versions(proposal.effective)
        return f"By now {now} is effectively in {place.stage}; when this was proposed, {then} was. Propose it again."
    return None


def _are_the_same(place: Place, now: Sequence[ExactVersion], then: Sequence[ExactVersion]) -> bool:
    return {held.version for held in now} == {held.version for held in then} and all(map(place.has, then))


def _versions(held: Sequence[ExactVersion]) -> str:
    return " and ".join(f"version {one.version}" for one in held) or "no version"


def rolled_back_since(promotion: Promotion, others: Iterable[Promotion]) -> str | None:
    """That the proposed version was rolled back since the proposal, in words; None if none of `others` did that."""
    proposal = promotion.proposal
    for other in others:
        back = other.proposal
        if (
            back.origin == ROLLBACK
            and other.run_id != promotion.run_id
            and other.state == DONE
            and back.at >= proposal.at
            and (back.kind, back.place, back.model_created) == (proposal.kind, proposal.place, proposal.model_created)
            and proposal.version in back.before
        ):
            why = f": {back.reason}" if back.reason else "."
            had = f"Version {proposal.version.version} had {proposal.target} since this was proposed"
            return f"{had}, and {back.by} rolled it back{why}"
    return None


def moved_since(proposal: Proposal, lineage: Lineage) -> str | None:
    """That the place was moved since a proposal and moved back, in words; None if no look has seen that.

    A look may see a move later than the proposal did. Such a move does not count, while one of this service is recorded
    when it is made.
    """
    states = place_states(lineage, *proposal.alias_or_stage)
    keys = [state.key for state in states]
    start = keys.index(proposal.head) + 1 if proposal.head in keys else 1
    is_later = [state.by_tower or state.not_after > proposal.at for state in states]
    if proposal.head not in keys:
        # No key shows what came before the proposal, so only what surely came after it counts.
        is_later = [state.not_before >= proposal.at for state in states]
    first = next((number for number in range(start, len(states)) if is_later[number]), len(states))
    before = frozenset(held.version for held in proposal.before)
    later = states[first:]
    if later and states[first - 1].versions != before:
        seen = next((number for number, state in enumerate(later) if state.versions == before), len(later) - 1)
        later = later[seen + 1 :]
    if not later:
        return None
    return f"Since this was proposed, {proposal.target} was moved, and moved back. Propose it again."


def objection(promotion: Promotion, place: Place, verdict: str | None, now: int, evidence_hours: float) -> str | None:
    """Why a proposal may not be carried out now; None if it may. `verdict` is that of the version, `now` in ms."""
    proposal = promotion.proposal
    against = gone(proposal, place) or moved_meanwhile(proposal, place)
    if against is not None:
        return against
    if now - proposal.at > evidence_hours * HOUR_MS:
        return (
            f"The evidence is older than {evidence_hours:g} hours (PROMOTION_EVIDENCE_HOURS). "
            "Withdraw the proposal and propose it again."
        )
    if verdict == DRIFTING and not proposal.override and proposal.origin != ROLLBACK:
        return f"The verdict on version {proposal.version.version} is drifting by now."
    return None


def gate(comparison: Mapping[str, Any] | None, verdict: str | None, compared: str | None = None) -> list[str]:
    """Why the gate does not let a version pass; empty if it does.

    `comparison` is None where there is no other version, and `compared` says why there is one, as `compared_with`.
    """
    why = []
    if comparison is not None and not comparison["passes"]:
        rows = comparison["metrics"]
        failing = [row["metric"] for row in rows if False in (row["non_inferior"], row["within_limits"])]
        # Where none is worse, it is not known of some: they are of other kinds, or nobody has them.
        unknown = [f"{row['metric']}: {row['reason']}" for row in rows if row["non_inferior"] is None]
        listed = ", ".join(failing[:5]) or "; ".join(unknown[:5]) or "neither has a metric"
        metrics = f" ({listed})" if listed else ""
        other = comparison["baseline"]
        there = f", which is effectively in {other['stage']}" if compared == EFFECTIVELY else ""
        why.append(f"It does not pass the comparison with version {other['version']}{there}{metrics}.")
    if verdict == DRIFTING:
        why.append("Its verdict is drifting.")
    return why


def _is_same(created: int, known: int) -> bool:
    """Whether two creation times may be those of one thing; a time that MLflow's answer lacked proves nothing."""
    return created == known or min(created, known) <= 0
