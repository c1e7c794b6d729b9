"""What is in a place, an alias or a stage, as MLflow has it now, and why a promotion may not go on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.domain.promotion.promotions import ALIAS, ROLLBACK, Held, Promotion, Proposal
from app.domain.registry.models import ModelReading, ModelVersion
from app.domain.registry_history.change import of_alias, of_version
from app.domain.registry_history.moves import Move

DRIFTING = "drifting"
_HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Place:
    """An alias or a stage of a model, read a moment ago: which versions are there, and all versions by number.

    `model_created` is None if the model does not exist. A stage means MLflow's own, not that of an alias.
    """

    kind: str
    name: str
    model_created: int | None
    held: tuple[Held, ...]
    versions: Mapping[int, ModelVersion]

    def has(self, held: Held) -> bool:
        """Whether a version still exists, and is the same."""
        row = self.versions.get(held.version)
        return row is not None and _is_same(row.created, held.created)

    def moves(self, version: Held) -> list[Move]:
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


def place_of(reading: ModelReading, kind: str, name: str) -> Place:
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
    held = tuple(Held(number, rows[number].created if number in rows else 0) for number in numbers)
    return Place(kind, name, reading.model.created, held, rows)


def is_there(place: Place, version: Held) -> bool:
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
    """Who else is in the place by now; None if it is as the proposal saw it."""
    if {held.version for held in place.held} == {held.version for held in proposal.before} and all(
        place.has(held) for held in proposal.before
    ):
        return None
    now = " and ".join(f"version {held.version}" for held in place.held) or "no version"
    then = " and ".join(f"version {held.version}" for held in proposal.before) or "no version"
    return f"By now {now} has {proposal.target}; when this was proposed, {then} had it. Propose it again."


def objection(promotion: Promotion, place: Place, verdict: str | None, now: int, evidence_hours: float) -> str | None:
    """Why a proposal may not be carried out now; None if it may. `verdict` is that of the version, `now` in ms."""
    proposal = promotion.proposal
    found = gone(proposal, place) or moved_meanwhile(proposal, place)
    if found is not None:
        return found
    if now - proposal.at > evidence_hours * _HOUR_MS:
        return (
            f"The evidence is older than {evidence_hours:g} hours (PROMOTION_EVIDENCE_HOURS). "
            "Withdraw the proposal and propose it again."
        )
    if verdict == DRIFTING and not proposal.override and proposal.origin != ROLLBACK:
        return f"The verdict on version {proposal.version.version} is drifting by now."
    return None


def gate(comparison: Mapping[str, Any] | None, verdict: str | None) -> list[str]:
    """Why the gate does not let a version pass; empty if it does. `comparison` is None where there is no other."""
    why = []
    if comparison is not None and not comparison["passes"]:
        rows = comparison["metrics"]
        failing = [row["metric"] for row in rows if False in (row["non_inferior"], row["within_limits"])]
        metrics = f" ({', '.join(failing[:5])})" if failing else ""
        why.append(f"It does not pass the comparison with version {comparison['baseline']['version']}{metrics}.")
    if verdict == DRIFTING:
        why.append("Its verdict is drifting.")
    return why


def _is_same(created: int, known: int) -> bool:
    """Whether two creation times may be those of one thing; a time that MLflow's answer lacked proves nothing."""
    return created == known or min(created, known) <= 0
